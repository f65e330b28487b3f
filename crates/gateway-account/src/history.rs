//! Records of the engine as the transactions and blocks that clients know.

use solana_account_decoder::parse_account_data::SplTokenAdditionalDataV2;
use solana_message::compiled_instruction::CompiledInstruction;
use solana_message::v0::LoadedAddresses;
use solana_rpc_client_types::config::{TransactionDetails, UiTransactionEncoding};
use solana_rpc_client_types::response::UiConfirmedBlock;
use solana_transaction::versioned::VersionedTransaction;
use solana_transaction_context::transaction::TransactionReturnData;
use solana_transaction_status::{
    BlockEncodingOptions, ConfirmedBlock, ConfirmedTransactionWithStatusMeta,
    EncodedConfirmedTransactionWithStatusMeta, InnerInstruction, InnerInstructions, Reward,
    RewardType, TransactionStatusMeta, TransactionTokenBalance, TransactionWithStatusMeta,
    VersionedTransactionWithStatusMeta,
};
use trilith_engine_account::query::Chain;
use trilith_engine_account::record::{BlockHeader, TokenBalance, TransactionRecord};

use crate::accounts;
use crate::failure::Failure;

/// How a block is wanted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct BlockForm {
    pub(crate) encoding: UiTransactionEncoding,
    pub(crate) details: TransactionDetails,
    pub(crate) rewards: bool,
    pub(crate) max_version: Option<u8>,
}

/// A transaction with the slot and time of its block.
pub(crate) fn transaction(
    record: TransactionRecord,
    time: i64,
    encoding: UiTransactionEncoding,
    max_version: Option<u8>,
) -> Result<EncodedConfirmedTransactionWithStatusMeta, Failure> {
    let confirmed = ConfirmedTransactionWithStatusMeta {
        slot: record.slot,
        index: record.index,
        tx_with_meta: with_meta(record)?,
        block_time: Some(time),
    };
    Ok(confirmed.encode(encoding, max_version)?)
}

/// A block of an ended slot.
pub(crate) fn block(
    chain: &Chain,
    header: &BlockHeader,
    records: Vec<TransactionRecord>,
    form: BlockForm,
) -> Result<UiConfirmedBlock, Failure> {
    let rewards = if header.rewards == 0 {
        Vec::new()
    } else {
        vec![Reward {
            pubkey: chain.identity.to_string(),
            lamports: i64::try_from(header.rewards).unwrap_or(i64::MAX),
            post_balance: header.rewards_balance,
            reward_type: Some(RewardType::Fee),
            commission: None,
            commission_bps: None,
        }]
    };
    let block = ConfirmedBlock {
        previous_blockhash: header.previous_blockhash.to_string(),
        blockhash: header.blockhash.to_string(),
        parent_slot: header.parent,
        transactions: records
            .into_iter()
            .map(with_meta)
            .collect::<Result<_, _>>()?,
        rewards,
        num_partitions: None,
        block_time: Some(header.time),
        block_height: Some(header.slot),
    };
    let options = BlockEncodingOptions {
        transaction_details: form.details,
        show_rewards: form.rewards,
        max_supported_transaction_version: form.max_version,
    };
    Ok(block.encode_with_options(form.encoding, options)?)
}

fn with_meta(record: TransactionRecord) -> Result<TransactionWithStatusMeta, Failure> {
    let transaction: VersionedTransaction =
        wincode::deserialize(&record.transaction).map_err(|error| {
            Failure::internal(format!("a recorded transaction is damaged: {error}"))
        })?;
    let meta = TransactionStatusMeta {
        inner_instructions: Some(inner(&record)),
        pre_token_balances: Some(record.tokens_before.iter().map(token_balance).collect()),
        post_token_balances: Some(record.tokens_after.iter().map(token_balance).collect()),
        rewards: Some(Vec::new()),
        loaded_addresses: LoadedAddresses {
            writable: record.loaded_writable_keys().to_vec(),
            readonly: record.loaded_readonly_keys().to_vec(),
        },
        return_data: returned(&record),
        status: record.status,
        fee: record.fee,
        pre_balances: record.balances_before,
        post_balances: record.balances_after,
        log_messages: Some(record.logs),
        compute_units_consumed: Some(record.units),
        cost_units: None,
    };
    Ok(TransactionWithStatusMeta::Complete(
        VersionedTransactionWithStatusMeta { transaction, meta },
    ))
}

/// What programs called, by top-level instruction.
pub(crate) fn inner(record: &TransactionRecord) -> Vec<InnerInstructions> {
    let instructions = |group: &trilith_engine_account::record::InnerInstructions| {
        let mapped = group.instructions.iter().map(|called| InnerInstruction {
            instruction: CompiledInstruction {
                program_id_index: called.program,
                accounts: called.accounts.clone(),
                data: called.data.clone(),
            },
            stack_height: Some(u32::from(called.stack_height)),
        });
        mapped.collect()
    };
    record
        .inner
        .iter()
        .map(|group| InnerInstructions {
            index: group.index,
            instructions: instructions(group),
        })
        .collect()
}

/// What the last program that returned data returned.
pub(crate) fn returned(record: &TransactionRecord) -> Option<TransactionReturnData> {
    let returned = record.returned.as_ref()?;
    Some(TransactionReturnData {
        program_id: returned.program,
        data: returned.data.clone(),
    })
}

/// What a token account held.
pub(crate) fn token_balance(balance: &TokenBalance) -> TransactionTokenBalance {
    let units = SplTokenAdditionalDataV2::with_decimals(balance.decimals);
    TransactionTokenBalance {
        account_index: balance.account,
        mint: balance.mint.to_string(),
        ui_token_amount: accounts::amount(balance.amount, &units),
        owner: balance.owner.to_string(),
        program_id: balance.program.to_string(),
    }
}
