"""`solana` and `solders` from PyPI, unmodified, against a started Trilith node."""

import asyncio
import unittest

from solana.rpc.commitment import Confirmed, Finalized, Processed
from solana.rpc.core import RPCException
from solana.rpc.models import MemcmpOpts, TxOpts
from solana.rpc.websocket_api import SolanaWsClient
from solders.keypair import Keypair
from solders.signature import Signature
from solders.system_program import ID as SYSTEM, TransferParams, transfer
from solders.transaction_status import TransactionConfirmationStatus

from network import PUBSUB, SOL, NetworkTest



class Solana(NetworkTest):
    async def transfer_of(self, payer, to, lamports):
        instruction = transfer(
            TransferParams(from_pubkey=payer.pubkey(), to_pubkey=to, lamports=lamports)
        )
        return await self.signed(payer, [instruction])

    async def test_airdrop_transfer_history(self):
        payer = await self.funded()
        to = Keypair().pubkey()
        transaction = await self.transfer_of(payer, to, SOL)
        simulated = (await self.client.simulate_transaction(transaction)).value
        self.assertIsNone(simulated.err)
        self.assertEqual(simulated.units_consumed, 150)
        signature = (await self.client.send_transaction(transaction)).value
        self.assertEqual(signature, transaction.signatures[0])
        await self.client.confirm_transaction(signature, Finalized, sleep_seconds=0.1)
        self.assertEqual((await self.client.get_balance(to)).value, SOL)
        status = (await self.client.get_signature_statuses([signature])).value[0]
        self.assertEqual(status.confirmation_status, TransactionConfirmationStatus.Finalized)
        found = await self.client.get_transaction(
            signature, encoding="jsonParsed", max_supported_transaction_version=0
        )
        self.assertEqual(found.value.transaction.meta.fee, 5000)
        entries = (await self.client.get_signatures_for_address(to)).value
        self.assertEqual([entry.signature for entry in entries], [signature])
        unknown = (await self.client.get_transaction(Signature.default())).value
        self.assertIsNone(unknown)

    async def test_subscriptions(self):
        payer = await self.funded()
        to = Keypair().pubkey()
        async with SolanaWsClient(PUBSUB) as socket:
            account = await socket.account_subscribe(
                pubkey=to, commitment=Confirmed, encoding="base64"
            )
            transaction = await self.transfer_of(payer, to, 7_000_000)
            await socket.signature_subscribe(signature=transaction.signatures[0])
            await self.client.send_transaction(
                transaction, opts=TxOpts(skip_preflight=True, preflight_commitment=Processed)
            )
            kinds = {}
            while len(kinds) < 2:
                notice = await asyncio.wait_for(socket.recv(), 10)
                kinds[type(notice).__name__] = notice
            changed = kinds["AccountNotification"].result.value
            self.assertEqual(changed.lamports, 7_000_000)
            self.assertIsNone(kinds["SignatureNotification"].result.value.err)
            await socket.unsubscribe(account)

    async def test_refusals(self):
        payer = await self.funded(SOL)
        transaction = await self.transfer_of(payer, Keypair().pubkey(), 5 * SOL)
        with self.assertRaises(RPCException) as raised:
            await self.client.send_transaction(transaction)
        refused = raised.exception.args[0]
        self.assertIn("custom program error: 0x1", refused.message)
        self.assertEqual(refused.data.units_consumed, 150)
        self.assertTrue(any("insufficient lamports" in line for line in refused.data.logs))

    async def test_accounts(self):
        payer = await self.funded()
        several = await self.client.get_multiple_accounts([payer.pubkey(), Keypair().pubkey()])
        self.assertEqual(several.value[0].lamports, 10 * SOL)
        self.assertEqual(several.value[0].owner, SYSTEM)
        self.assertIsNone(several.value[1])
        none = await self.client.get_program_accounts(
            Keypair().pubkey(), filters=[17, MemcmpOpts(offset=0, bytes="3Mc6vR")]
        )
        self.assertEqual(none.value, [])
        rent = (await self.client.get_minimum_balance_for_rent_exemption(0)).value
        self.assertGreater(rent, 0)
        self.assertTrue(await self.client.is_connected())


if __name__ == "__main__":
    unittest.main()
