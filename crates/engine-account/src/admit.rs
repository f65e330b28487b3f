//! Which transactions may enter the pool.

use trilith_protocol::{Admission, CheckContext, Reject};
use trilith_types::{Hash, StateRead};

use solana_transaction_error::TransactionError;
use trilith_params::account::BLOCKHASH_SLOTS;
use trilith_protocol::Fault;

use crate::answer::Desk;
use crate::bank::check;
use crate::bank::decode::{self, Verified};
use crate::bank::profile::Profile;
use crate::query::CODE_NOT_STARTED;
use crate::{CODE_FAULT, CODE_TRANSACTION, MODULE};

/// Checks size, form, age and signatures, and that the transaction is not recorded yet. Whether the
/// fee can be paid is seen at execution.
///
/// # Errors
/// [`Reject`] if the transaction may not enter.
pub(crate) fn check(
    view: &dyn StateRead,
    transaction: &[u8],
    context: &CheckContext,
    (desk, verified): (&Desk, &Verified),
) -> Result<Admission, Reject> {
    let decoded = decode::decode(transaction).map_err(|error| refused(&error))?;
    let chain = desk.chain(view).map_err(|fault| faulty(&fault))?;
    let chain = chain.ok_or_else(|| Reject {
        module: MODULE,
        code: CODE_NOT_STARTED,
        message: "the account runtime has had no round yet".to_owned(),
    })?;
    let message = decoded.view();
    let slot = chain.slot_at(context.now.0).max(chain.slot);
    let last = match chain.valid_until(message.recent_blockhash()) {
        Some(last) => last,
        // The nonce itself is looked at when the transaction is executed.
        None if check::may_have_nonce(message) => slot + BLOCKHASH_SLOTS,
        None => return Err(refused(&TransactionError::BlockhashNotFound)),
    };
    if slot > last {
        return Err(refused(&TransactionError::BlockhashNotFound));
    }
    verified
        .verify(transaction, &decoded)
        .map_err(|error| refused(&error))?;
    let signature = message.signatures().first();
    if signature.is_some_and(|signature| desk.is_recorded(view, signature)) {
        return Err(refused(&TransactionError::AlreadyProcessed));
    }
    let payer = message.static_account_keys().first();
    Ok(Admission {
        id: Hash::of(transaction),
        sender: payer.map_or_else(Vec::new, |key| key.as_array().to_vec()),
        // A price is not charged where budgets are older than prices.
        priority: match chain.profile {
            Profile::Today => check::price(message),
            Profile::Classic | Profile::TransactionWide => 0,
        },
        expires: chain.time_of(last.saturating_add(1)),
    })
}

/// The refusal of a transaction.
pub(crate) fn refused(error: &TransactionError) -> Reject {
    Reject {
        module: MODULE,
        code: CODE_TRANSACTION + decode::error_number(error),
        message: error.to_string(),
    }
}

fn faulty(fault: &Fault) -> Reject {
    Reject {
        module: MODULE,
        code: CODE_FAULT,
        message: fault.to_string(),
    }
}
