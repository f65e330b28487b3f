"""Programs as `solana`, its `spl` clients and `solders` drive them: tokens of both programs, memos,
lookup tables, nonces, and a program's life under the upgradeable loader."""

import asyncio
import unittest

from solana.rpc.core import RPCException
from solana.rpc.models import TokenAccountOpts
from solders.address_lookup_table_account import AddressLookupTable, AddressLookupTableAccount
from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.solders import create_lookup_table, extend_lookup_table
from solders.system_program import (
    ID as SYSTEM,
    AdvanceNonceAccountParams,
    CreateAccountParams,
    TransferParams,
    advance_nonce_account,
    create_account,
    create_nonce_account,
    transfer,
)
from solders.sysvar import CLOCK, RENT
from spl.memo.constants import MEMO_PROGRAM_ID
from spl.memo.instructions import create_memo
from spl.memo.models import MemoParams
from spl.token import instructions as token
from spl.token import models
from spl.token.constants import MINT_LEN, TOKEN_2022_PROGRAM_ID, TOKEN_PROGRAM_ID

from network import SOL, NetworkTest

LOADER = Pubkey.from_string("BPFLoaderUpgradeab1e11111111111111111111111")
MEMO_4 = Pubkey.from_string("Memo4c2pN8afCj432Lb7RMVKi9PbQnnW7ewFFaV3oAH")
# Bytes of a nonce account, and where its nonce lies.
NONCE_BYTES = 80
NONCE_AT = slice(40, 72)
# Bytes of the loader's states before the program's own.
BUFFER_BYTES, PROGRAM_BYTES, PROGRAM_DATA_BYTES = 37, 36, 45
CHUNK_BYTES = 900


def gift(payer, to, lamports):
    return transfer(TransferParams(from_pubkey=payer.pubkey(), to_pubkey=to, lamports=lamports))


def loader(tag, accounts, data=b""):
    """An instruction of the loader; accounts as (key, signs, is written)."""
    metas = [AccountMeta(key, signs, written) for key, signs, written in accounts]
    return Instruction(LOADER, tag.to_bytes(4, "little") + data, metas)


class Programs(NetworkTest):
    async def created(self, payer, space, owner):
        keypair = Keypair()
        made = create_account(
            CreateAccountParams(
                from_pubkey=payer.pubkey(),
                to_pubkey=keypair.pubkey(),
                lamports=await self.rent(space),
                space=space,
                owner=owner,
            )
        )
        return keypair, made

    async def mint_and_send(self, program):
        payer, other = await self.funded(), Keypair().pubkey()
        mint, made = await self.created(payer, MINT_LEN, program)
        key = mint.pubkey()
        initialise = token.initialize_mint2(
            models.InitializeMint2Params(
                decimals=6, program_id=program, mint=key, mint_authority=payer.pubkey()
            )
        )
        holders = [payer.pubkey(), other]
        accounts = [token.get_associated_token_address(of, key, program) for of in holders]
        mine, theirs = accounts
        create = [
            token.create_idempotent_associated_token_account(payer.pubkey(), of, key, program)
            for of in holders
        ]
        issue = token.mint_to(
            models.MintToParams(
                program_id=program, mint=key, dest=mine, mint_authority=payer.pubkey(), amount=900
            )
        )
        await self.send(payer, [made, initialise, *create, issue], [mint])
        move = models.TransferCheckedParams(
            program_id=program,
            source=mine,
            mint=key,
            dest=theirs,
            owner=payer.pubkey(),
            amount=250,
            decimals=6,
        )
        await self.send(payer, [token.transfer_checked(move)])
        balance = (await self.client.get_token_account_balance(theirs)).value
        self.assertEqual((balance.amount, balance.decimals), ("250", 6))
        self.assertEqual((await self.client.get_token_supply(key)).value.amount, "900")
        largest = (await self.client.get_token_largest_accounts(key)).value
        self.assertEqual([entry.address for entry in largest], [mine, theirs])
        owned = await self.client.get_token_accounts_by_owner(other, TokenAccountOpts(mint=key))
        self.assertEqual([entry.pubkey for entry in owned.value], [theirs])
        too_much = token.transfer_checked(move.model_copy(update={"amount": 651}))
        with self.assertRaises(RPCException) as raised:
            await self.send(payer, [too_much])
        self.assertIn("custom program error: 0x1", raised.exception.args[0].message)

    async def test_tokens(self):
        await self.mint_and_send(TOKEN_PROGRAM_ID)

    async def test_tokens_2022(self):
        await self.mint_and_send(TOKEN_2022_PROGRAM_ID)

    async def test_memo(self):
        payer = await self.funded()
        memo = create_memo(
            MemoParams(
                program_id=MEMO_PROGRAM_ID, signer=payer.pubkey(), message=b"three stones"
            )
        )
        signature = await self.send(payer, [memo])
        [entry, _] = (await self.client.get_signatures_for_address(payer.pubkey())).value
        self.assertEqual((entry.signature, entry.memo), (signature, "[12] three stones"))

    async def test_lookup_table(self):
        payer = await self.funded()
        slot = (await self.client.get_slot()).value
        make, table = create_lookup_table(
            {
                "authority_address": payer.pubkey(),
                "payer_address": payer.pubkey(),
                "recent_slot": slot,
            }
        )
        targets = [Keypair().pubkey() for _ in range(20)]
        extend = extend_lookup_table(
            {
                "lookup_table_address": table,
                "authority_address": payer.pubkey(),
                "payer_address": payer.pubkey(),
                "new_addresses": targets,
            }
        )
        await self.send(payer, [make, extend])
        await self.next_slot()
        data = (await self.client.get_account_info(table)).value.data
        held = AddressLookupTable.deserialize(data).addresses
        self.assertEqual(held, targets)
        tables = [AddressLookupTableAccount(table, held)]
        gifts = [gift(payer, to, 1_000_000) for to in targets]
        signature = await self.send(payer, gifts, tables=tables)
        self.assertEqual((await self.client.get_balance(targets[19])).value, 1_000_000)
        found = await self.client.get_transaction(signature, max_supported_transaction_version=0)
        loaded = found.value.transaction.meta.loaded_addresses
        # The compiler of messages has an order of its own.
        self.assertCountEqual(loaded.writable, targets)

    async def test_durable_nonce(self):
        payer, nonce = await self.funded(), Keypair()
        make = create_nonce_account(
            payer.pubkey(), nonce.pubkey(), payer.pubkey(), await self.rent(NONCE_BYTES)
        )
        await self.send(payer, list(make), [nonce])
        await self.next_slot()
        stored = (await self.client.get_account_info(nonce.pubkey())).value.data[NONCE_AT]
        advance = advance_nonce_account(
            AdvanceNonceAccountParams(
                nonce_pubkey=nonce.pubkey(), authorized_pubkey=payer.pubkey()
            )
        )
        to = Keypair().pubkey()
        instructions = [advance, gift(payer, to, 1_000_000)]
        await self.send(payer, instructions, blockhash=Hash(stored))
        self.assertEqual((await self.client.get_balance(to)).value, 1_000_000)
        after = (await self.client.get_account_info(nonce.pubkey())).value.data[NONCE_AT]
        self.assertNotEqual(after, stored)
        with self.assertRaises(RPCException):
            await self.send(payer, instructions, blockhash=Hash(stored))

    async def test_history(self):
        payer, to = await self.funded(), Keypair().pubkey()
        signatures = [await self.send(payer, [gift(payer, to, n * SOL)]) for n in (1, 2, 3)]
        entries = (await self.client.get_signatures_for_address(to)).value
        self.assertEqual([entry.signature for entry in entries], signatures[::-1])
        older = await self.client.get_signatures_for_address(to, before=signatures[1])
        self.assertEqual([entry.signature for entry in older.value], signatures[:1])
        slot = entries[0].slot
        while (await self.client.get_slot()).value < slot:
            await asyncio.sleep(0.1)
        block = await self.client.get_block(slot, max_supported_transaction_version=0)
        inside = [entry.transaction.signatures[0] for entry in block.value.transactions]
        self.assertIn(signatures[2], inside)
        self.assertIn(slot, (await self.client.get_blocks(slot, slot)).value)

    async def buffer(self, payer, code):
        buffer, made = await self.created(payer, BUFFER_BYTES + len(code), LOADER)
        key, authority = buffer.pubkey(), payer.pubkey()
        begin = loader(0, [(key, False, True), (authority, False, False)])
        await self.send(payer, [made, begin], [buffer])
        accounts = [(key, False, True), (authority, True, False)]
        for offset in range(0, len(code), CHUNK_BYTES):
            chunk = code[offset : offset + CHUNK_BYTES]
            head = offset.to_bytes(4, "little") + len(chunk).to_bytes(8, "little")
            await self.send(payer, [loader(1, accounts, head + chunk)])
        return key

    async def test_deploy_upgrade_close(self):
        payer = await self.funded(100 * SOL)
        me = payer.pubkey()
        # A small program that the network has anyway.
        known, _ = Pubkey.find_program_address([bytes(MEMO_4)], LOADER)
        code = (await self.client.get_account_info(known)).value.data[PROGRAM_DATA_BYTES:]
        buffer = await self.buffer(payer, code)
        program, made = await self.created(payer, PROGRAM_BYTES, LOADER)
        key = program.pubkey()
        data, _ = Pubkey.find_program_address([bytes(key)], LOADER)
        accounts = [
            (me, True, True),
            (data, False, True),
            (key, False, True),
            (buffer, False, True),
            (RENT, False, False),
            (CLOCK, False, False),
            (SYSTEM, False, False),
            (me, True, False),
        ]
        deploy = loader(2, accounts, len(code).to_bytes(8, "little"))
        await self.send(payer, [made, deploy], [program])
        self.assertTrue((await self.client.get_account_info(key)).value.executable)
        await self.next_slot()
        call = Instruction(key, b"hello", [])
        signature = await self.send(payer, [call])
        found = await self.client.get_transaction(signature, max_supported_transaction_version=0)
        self.assertTrue(found.value.transaction.meta.log_messages[-1].endswith("success"))
        newer = await self.buffer(payer, code)
        accounts = [
            (data, False, True),
            (key, False, True),
            (newer, False, True),
            (me, False, True),
            (RENT, False, False),
            (CLOCK, False, False),
            (me, True, False),
        ]
        await self.send(payer, [loader(3, accounts)])
        await self.next_slot()
        await self.send(payer, [call])
        accounts = [(data, False, True), (me, False, True), (me, True, False), (key, False, True)]
        await self.send(payer, [loader(5, accounts)])
        await self.next_slot()
        with self.assertRaises(RPCException):
            await self.send(payer, [call])


if __name__ == "__main__":
    unittest.main()
