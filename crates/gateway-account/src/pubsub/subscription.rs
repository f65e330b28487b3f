//! What a client subscribes to: reading the parameters of the subscribing methods.

use solana_account_decoder::UiAccountEncoding;
use solana_pubkey::Pubkey;
use solana_rpc_client_types::config::{
    RpcAccountInfoConfig, RpcBlockSubscribeConfig, RpcBlockSubscribeFilter,
    RpcProgramAccountsConfig, RpcSignatureSubscribeConfig, RpcTransactionLogsConfig,
    RpcTransactionLogsFilter, UiTransactionEncoding,
};
use solana_signature::Signature;
use trilith_engine_account::query::Filter;

use crate::accounts::Form;
use crate::failure::Failure;
use crate::history::BlockForm;
use crate::methods;
use crate::params::Params;
use crate::read;

/// What a client subscribes to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Topic {
    /// Changes of an account.
    Account { key: Pubkey, form: Form },
    /// Changes of accounts that a program owns.
    Program {
        program: Pubkey,
        filters: Vec<Filter>,
        form: Form,
    },
    /// Logs of transactions, all or those that name an account.
    Logs { mentions: Option<Pubkey> },
    /// The end of a transaction. Ends with it.
    Signature {
        signature: Signature,
        received: bool,
    },
    /// Blocks, all or those with a transaction that names an account.
    Block {
        mentions: Option<Pubkey>,
        form: BlockForm,
    },
    /// Slots that begin.
    Slot,
    /// Slots that are final.
    Root,
    /// What becomes of slots, step by step.
    SlotsUpdates,
}

/// A call of PubSub.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Request {
    Subscribe(Topic),
    Unsubscribe(u64),
}

/// Names of subscriptions; the methods are the name with `Subscribe` and `Unsubscribe`.
const NAMES: [&str; 8] = [
    "account",
    "block",
    "logs",
    "program",
    "root",
    "signature",
    "slot",
    "slotsUpdates",
];

impl Topic {
    /// The method of notifications.
    pub(crate) fn notification(&self) -> &'static str {
        match self {
            Self::Account { .. } => "accountNotification",
            Self::Program { .. } => "programNotification",
            Self::Logs { .. } => "logsNotification",
            Self::Signature { .. } => "signatureNotification",
            Self::Block { .. } => "blockNotification",
            Self::Slot => "slotNotification",
            Self::Root => "rootNotification",
            Self::SlotsUpdates => "slotsUpdatesNotification",
        }
    }
}

/// Reads a call.
///
/// # Errors
/// [`Failure`] if there is no such method, or its parameters are wrong.
pub(crate) fn request(method: &str, params: Params) -> Result<Request, Failure> {
    if let Some(name) = method.strip_suffix("Unsubscribe")
        && NAMES.contains(&name)
    {
        let (id,): (u64,) = params.exact()?;
        return Ok(Request::Unsubscribe(id));
    }
    let name = method.strip_suffix("Subscribe");
    let topic = match name.ok_or_else(Failure::method_not_found)? {
        "account" => account(params)?,
        "program" => program(params)?,
        "logs" => logs(params)?,
        "signature" => signature(params)?,
        "block" => block(params)?,
        "slot" => without_params(params, Topic::Slot)?,
        "root" => without_params(params, Topic::Root)?,
        "slotsUpdates" => without_params(params, Topic::SlotsUpdates)?,
        _ => return Err(Failure::method_not_found()),
    };
    Ok(Request::Subscribe(topic))
}

fn without_params(params: Params, topic: Topic) -> Result<Topic, Failure> {
    params.expect_none().map(|()| topic)
}

fn account(params: Params) -> Result<Topic, Failure> {
    let (key, config): (String, Option<RpcAccountInfoConfig>) = params.up_to(1, 2)?;
    Ok(Topic::Account {
        key: read::pubkey(&key)?,
        form: methods::form(&config.unwrap_or_default(), UiAccountEncoding::Binary),
    })
}

fn program(params: Params) -> Result<Topic, Failure> {
    let (program, config): (String, Option<RpcProgramAccountsConfig>) = params.up_to(1, 2)?;
    let config = config.unwrap_or_default();
    Ok(Topic::Program {
        program: read::pubkey(&program)?,
        filters: methods::filters(config.filters.unwrap_or_default())?,
        form: methods::form(&config.account_config, UiAccountEncoding::Binary),
    })
}

fn logs(params: Params) -> Result<Topic, Failure> {
    let (filter, _): (RpcTransactionLogsFilter, Option<RpcTransactionLogsConfig>) =
        params.up_to(1, 2)?;
    let mentions = match filter {
        RpcTransactionLogsFilter::All | RpcTransactionLogsFilter::AllWithVotes => None,
        RpcTransactionLogsFilter::Mentions(keys) => match &keys[..] {
            [key] => Some(read::pubkey(key)?),
            _ => {
                return Err(Failure::invalid_params(
                    "Invalid Request: Only 1 address supported",
                ));
            }
        },
    };
    Ok(Topic::Logs { mentions })
}

fn signature(params: Params) -> Result<Topic, Failure> {
    let (text, config): (String, Option<RpcSignatureSubscribeConfig>) = params.up_to(1, 2)?;
    let received = config.and_then(|config| config.enable_received_notification);
    Ok(Topic::Signature {
        signature: read::signature(&text)?,
        received: received.unwrap_or(false),
    })
}

fn block(params: Params) -> Result<Topic, Failure> {
    let (filter, config): (RpcBlockSubscribeFilter, Option<RpcBlockSubscribeConfig>) =
        params.up_to(1, 2)?;
    let config = config.unwrap_or_default();
    read::at_least_confirmed(config.commitment)?;
    let mentions = match filter {
        RpcBlockSubscribeFilter::All => None,
        RpcBlockSubscribeFilter::MentionsAccountOrProgram(key) => Some(read::pubkey(&key)?),
    };
    Ok(Topic::Block {
        mentions,
        form: BlockForm {
            encoding: config.encoding.unwrap_or(UiTransactionEncoding::Base64),
            details: config.transaction_details.unwrap_or_default(),
            rewards: config.show_rewards.unwrap_or_default(),
            max_version: config.max_supported_transaction_version,
        },
    })
}
