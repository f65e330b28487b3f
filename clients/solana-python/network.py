"""What every suite needs: the node's two addresses, funded keys, transactions that are confirmed."""

import asyncio
import os
import unittest
from urllib.parse import urlsplit

from solana.rpc.async_api import AsyncClient
from solana.rpc.commitment import Confirmed, Processed
from solana.rpc.models import TxOpts
from solders.keypair import Keypair
from solders.message import MessageV0
from solders.transaction import VersionedTransaction

URL = os.environ["TRILITH_ACCOUNT_URL"]
PARTS = urlsplit(URL)
# Clients reckon the port of PubSub as the next one.
PUBSUB = f"ws://{PARTS.hostname}:{PARTS.port + 1}"
SOL = 1_000_000_000


class NetworkTest(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self):
        self.client = AsyncClient(URL, commitment=Confirmed)

    async def asyncTearDown(self):
        await self.client.close()

    async def funded(self, lamports=10 * SOL):
        keypair = Keypair()
        signature = (await self.client.request_airdrop(keypair.pubkey(), lamports)).value
        await self.client.confirm_transaction(signature, Confirmed, sleep_seconds=0.1)
        return keypair

    async def signed(self, payer, instructions, signers=(), tables=(), blockhash=None):
        if blockhash is None:
            blockhash = (await self.client.get_latest_blockhash()).value.blockhash
        message = MessageV0.try_compile(payer.pubkey(), instructions, list(tables), blockhash)
        return VersionedTransaction(message, [payer, *signers])

    async def send(self, payer, instructions, signers=(), **rest):
        transaction = await self.signed(payer, instructions, signers, **rest)
        options = TxOpts(preflight_commitment=Processed)
        signature = (await self.client.send_transaction(transaction, opts=options)).value
        confirmed = await self.client.confirm_transaction(
            signature, Confirmed, sleep_seconds=0.1
        )
        self.assertIsNone(confirmed.value[0].err)
        return signature

    async def rent(self, space):
        return (await self.client.get_minimum_balance_for_rent_exemption(space)).value

    async def next_slot(self):
        """Programs, lookup tables and nonces serve from the slot after they were made."""
        slot = (await self.client.get_slot(Processed)).value
        while (await self.client.get_slot(Processed)).value <= slot:
            await asyncio.sleep(0.05)
