//! `trilith canister` and `trilith identity`: canisters used from the command line, on a developer
//! network or any other that speaks the Internet Computer's interface.
//!
//! Everything here is a client: it knows nothing of how a node is made, speaks HTTP through an
//! agent, and believes no answer but those that verify under the root key. One command, one result
//! on stdout; what went wrong on stderr, with what to do next.

mod advice;
mod amount;
mod argument;
mod call;
mod connection;
pub mod identity;
mod install;
mod interface;
mod key;
mod lifecycle;
mod look;
mod management;
mod module;
mod names;
pub(crate) mod report;
mod settings;
mod text;

use anyhow::{Context as _, Result, anyhow};
use clap::{Args, Subcommand};

use self::call::{CallArguments, Way};
pub use self::connection::ConnectionArguments;
use self::connection::Session;
use self::install::{CodeArguments, InstallArguments};
use self::lifecycle::{CreateArguments, Deed, OneCanister, TopUpArguments};
use self::look::{InfoArguments, LogsArguments, NamesArguments};
use self::report::Answer;
use self::settings::SettingsArguments;

/// Stack of the thread that runs a command. Interfaces and replies come from others, and reading
/// them recurses as deep as their bounds allow.
const STACK_BYTES: usize = 256 << 20;

/// What the exit codes of all commands say.
const EXIT_CODES: &str = "Exit codes: 0 done; 1 the call failed: no node, a reject, an answer that \
                          does not verify; 2 the arguments cannot be used.";

/// Arguments of `trilith canister`.
#[derive(Args, Clone, Debug)]
#[command(arg_required_else_help = true, after_help = EXIT_CODES)]
pub struct CanisterArguments {
    #[command(subcommand)]
    command: CanisterCommand,
    #[command(flatten)]
    connection: ConnectionArguments,
}

impl CanisterArguments {
    /// Whether results and failures are to be JSON.
    pub fn json(&self) -> bool {
        self.connection.json
    }
}

#[derive(Subcommand, Clone, Debug)]
enum CanisterCommand {
    /// Make an empty canister and print its id; with --name, remember it by a name
    ///
    /// You are its controller unless you name others. Works on developer networks, which give
    /// cycles to whoever asks.
    ///
    /// Example: trilith canister create --name counter --cycles 3T
    Create(CreateArguments),
    /// Install a Wasm module in a canister
    ///
    /// The argument of the initialization is candid text; its types come from the interface in the
    /// module. Modules that do not fit in one message are sent in pieces.
    ///
    /// Example: trilith canister install counter --wasm counter.wasm --arg '(7)'
    Install(InstallArguments),
    /// Replace a canister's code and keep its data; the same as install --mode upgrade
    ///
    /// If the new code traps in its hooks, the canister stays as it was.
    ///
    /// Example: trilith canister upgrade counter --wasm counter_v2.wasm
    Upgrade(CodeArguments),
    /// Call a method as an update: it is agreed upon, may change the canister, and its reply comes
    /// with a certificate, which is verified
    ///
    /// The argument and the reply are candid text; their types and field names come from the
    /// canister's own interface, if it has one.
    ///
    /// Example: trilith canister call counter add '(5)'
    Call(CallArguments),
    /// Ask a query method: answered by one node, whose signature is verified, and quicker than a
    /// call
    ///
    /// Example: trilith canister query counter get --output json
    Query(CallArguments),
    /// Show a canister's cycles, memory, module and settings, which its controllers may see
    ///
    /// Example: trilith canister status counter
    Status(OneCanister),
    /// Show what the network certifies of a canister to everybody: module, controllers, methods
    ///
    /// Example: trilith canister info counter --metadata candid:service
    Info(InfoArguments),
    /// Show or change controllers, limits, log visibility and environment variables
    ///
    /// Without options to change something it shows what holds.
    ///
    /// Example: trilith canister settings counter --log-visibility public --freezing-threshold 30d
    Settings(SettingsArguments),
    /// Print what a canister has printed
    ///
    /// Example: trilith canister logs counter --follow
    Logs(LogsArguments),
    /// Let a stopped canister take messages again
    ///
    /// Example: trilith canister start counter
    Start(OneCanister),
    /// Let a canister take no more messages, and wait until those under way have ended
    ///
    /// Example: trilith canister stop counter
    Stop(OneCanister),
    /// Remove a canister's code and data; the canister and its cycles stay
    ///
    /// Example: trilith canister uninstall counter
    Uninstall(OneCanister),
    /// Delete a stopped canister with its cycles, and forget its name
    ///
    /// Example: trilith canister stop counter && trilith canister delete counter
    Delete(OneCanister),
    /// Give a canister cycles, on developer networks
    ///
    /// Example: trilith canister top-up counter --cycles 10T
    #[command(visible_alias = "deposit")]
    TopUp(TopUpArguments),
    /// Print the id of a canister that was given a name
    ///
    /// Example: trilith canister id counter
    Id(OneCanister),
    /// List the names that the project gave to canisters of this network
    ///
    /// They stand in `trilith.canisters.json`, in the current folder or one above it.
    ///
    /// Example: trilith canister names --forget counter
    Names(NamesArguments),
}

/// Runs `trilith canister`.
///
/// # Errors
/// If the arguments cannot be used, the network cannot be reached, or it refuses.
pub fn run(arguments: &CanisterArguments) -> Result<()> {
    let thread = std::thread::Builder::new().stack_size(STACK_BYTES);
    std::thread::scope(|scope| {
        let thread = thread.spawn_scoped(scope, || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .context("the runtime cannot be started")?;
            runtime.block_on(run_command(arguments))
        });
        let thread = thread.context("a thread cannot be started")?;
        let ended = thread.join();
        ended
            .map_err(|_| anyhow!("the command ended by itself; report this with the text above"))?
    })
}

async fn run_command(arguments: &CanisterArguments) -> Result<()> {
    let mut session = Session::open(&arguments.connection).await?;
    let answer = answer(&mut session, &arguments.command).await?;
    match answer {
        Some(answer) => answer.print(session.json),
        None => Ok(()),
    }
}

async fn answer(session: &mut Session, command: &CanisterCommand) -> Result<Option<Answer>> {
    let answer = match command {
        CanisterCommand::Create(arguments) => lifecycle::create(session, arguments).await?,
        CanisterCommand::Install(arguments) => install::install(session, arguments).await?,
        CanisterCommand::Upgrade(arguments) => install::upgrade(session, arguments).await?,
        CanisterCommand::Call(arguments) => call::run(session, arguments, Way::Update).await?,
        CanisterCommand::Query(arguments) => call::run(session, arguments, Way::Query).await?,
        CanisterCommand::Status(arguments) => look::status(session, arguments).await?,
        CanisterCommand::Info(arguments) => look::info(session, arguments).await?,
        CanisterCommand::Settings(arguments) => settings::run(session, arguments).await?,
        CanisterCommand::Logs(arguments) => return look::logs(session, arguments).await,
        CanisterCommand::Start(one) => lifecycle::run(session, one, Deed::Start).await?,
        CanisterCommand::Stop(one) => lifecycle::run(session, one, Deed::Stop).await?,
        CanisterCommand::Uninstall(one) => lifecycle::run(session, one, Deed::Uninstall).await?,
        CanisterCommand::Delete(one) => lifecycle::run(session, one, Deed::Delete).await?,
        CanisterCommand::TopUp(arguments) => lifecycle::top_up(session, arguments).await?,
        CanisterCommand::Id(one) => look::id(session, one)?,
        CanisterCommand::Names(arguments) => look::names(session, arguments)?,
    };
    Ok(Some(answer))
}
