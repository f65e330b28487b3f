//! The inside of a sandbox: what a process does that was started in a sandbox role.
//!
//! It runs on one thread and has nothing but its channel. Whatever goes wrong here is told to the
//! controller as a failure, or ends the process, which the controller sees as well.

use std::any::Any;
use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use trilith_jail::{Channel, FrameLimits, Requirement, enter};
use trilith_protocol::Fault;
use trilith_types::PageFile;

use super::desk::{Compilation, CompileDesk, Desks, ExecuteDesk, Progress};
use super::files;
use super::frame::{PAYLOAD_BYTES_MAX, Request, Response};
use super::policy::{self, FILES_MAX};

/// First argument of a process that is to be a sandbox.
pub const ROLE_ARGUMENT: &str = "sandbox-role";

/// Second argument of a sandbox that runs modules.
pub const EXECUTE_ARGUMENT: &str = "execute";

/// Second argument of a sandbox that compiles a module.
pub const COMPILE_ARGUMENT: &str = "compile";

/// Third argument: the jail must be complete.
pub const REQUIRED_ARGUMENT: &str = "required";

/// Third argument: the jail is as complete as the host allows.
pub const BEST_EFFORT_ARGUMENT: &str = "best-effort";

/// What a sandbox is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Running modules.
    Execute,
    /// Compiling a module.
    Compile,
}

impl Role {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Execute => EXECUTE_ARGUMENT,
            Self::Compile => COMPILE_ARGUMENT,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// Runs this process as a sandbox if its first argument is [`ROLE_ARGUMENT`]. A program that uses
/// sandboxes calls this before anything else, above all before it starts a thread; if it gets an
/// exit code, it ends with it.
pub fn run_role_if_asked() -> Option<ExitCode> {
    let mut args = std::env::args_os().skip(1);
    if args.next()? != ROLE_ARGUMENT {
        return None;
    }
    Some(role_main(&args.collect::<Vec<_>>()))
}

/// Runs this process as a sandbox; `args` are those that follow [`ROLE_ARGUMENT`].
pub fn role_main(args: &[OsString]) -> ExitCode {
    role_main_with(args, &Desks::local())
}

/// Like [`role_main`], with other desks.
pub fn role_main_with(args: &[OsString], desks: &Desks) -> ExitCode {
    let [role, requirement] = args else {
        return usage();
    };
    let role = match role.to_str() {
        Some(EXECUTE_ARGUMENT) => Role::Execute,
        Some(COMPILE_ARGUMENT) => Role::Compile,
        _ => return usage(),
    };
    let requirement = match requirement.to_str() {
        Some(REQUIRED_ARGUMENT) => Requirement::Required,
        Some(BEST_EFFORT_ARGUMENT) => Requirement::BestEffort,
        _ => return usage(),
    };
    let policy = match role {
        Role::Execute => policy::execute(requirement),
        Role::Compile => policy::compile(requirement),
    };
    let entered = match enter(&policy) {
        Ok(entered) => entered,
        Err(error) => {
            // Seen only by a person who started the role by hand: a parent was told already.
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    keep_panic_messages();
    let channel = entered.channel;
    let pagemap = entered.pagemap.map(File::from);
    let served = guarded(|| match role {
        Role::Execute => (desks.execute)(pagemap).map(Served::Execute),
        Role::Compile => (desks.compile)().map(Served::Compile),
    });
    match served {
        Ok(served) => serve(&channel, served),
        Err(Fault(reason)) => {
            // The controller may be gone; this process ends anyway.
            let _ = answer(&channel, &Response::Failed { reason }, &[]);
            ExitCode::FAILURE
        }
    }
}

fn usage() -> ExitCode {
    eprintln!(
        "usage: {ROLE_ARGUMENT} {EXECUTE_ARGUMENT}|{COMPILE_ARGUMENT} \
         {REQUIRED_ARGUMENT}|{BEST_EFFORT_ARGUMENT}\n\
         This role is started by the node itself, which passes a socket as standard input."
    );
    ExitCode::FAILURE
}

enum Served {
    Execute(Box<dyn ExecuteDesk>),
    Compile(Box<dyn CompileDesk>),
}

/// Answers requests until the controller closes the channel.
fn serve(channel: &Channel, mut served: Served) -> ExitCode {
    let limits = FrameLimits {
        payload_bytes_max: PAYLOAD_BYTES_MAX,
        descriptors_max: FILES_MAX,
    };
    if answer(channel, &Response::Ready, &[]).is_err() {
        return ExitCode::FAILURE;
    }
    loop {
        // An end of the channel is how a sandbox is told to go.
        let Ok(message) = channel.receive(&limits, None) else {
            return ExitCode::SUCCESS;
        };
        let files = message.descriptors.into_iter().map(File::from).collect();
        let request = match Request::decode(&message.payload) {
            Ok(request) => request,
            Err(error) => {
                let reason = format!("a request has a wrong form: {error}");
                let _ = answer(channel, &Response::Failed { reason }, &[]);
                return ExitCode::FAILURE;
            }
        };
        let answered = guarded(|| match &mut served {
            Served::Execute(desk) => execute(desk.as_mut(), request, files),
            Served::Compile(desk) => compile(desk.as_mut(), &request, files),
        });
        let sent = match answered {
            Ok(None) => Ok(()),
            Ok(Some((response, files))) => answer(channel, &response, &files),
            Err(Fault(reason)) => answer(channel, &Response::Failed { reason }, &[]),
        };
        if sent.is_err() {
            return ExitCode::FAILURE;
        }
    }
}

type Answered = Result<Option<(Response, Vec<PageFile>)>, Fault>;

fn execute(desk: &mut dyn ExecuteDesk, request: Request, files: Vec<File>) -> Answered {
    match request {
        Request::Load {
            prepared,
            code_bytes,
        } => {
            desk.load(&prepared, &only_file(files)?, code_bytes)?;
            Ok(Some((Response::Ready, Vec::new())))
        }
        Request::Start { request } => {
            let files: Vec<PageFile> = files.into_iter().map(Arc::new).collect();
            desk.start(&request, &files)?;
            run(desk)
        }
        Request::Run => run(desk),
        Request::Abandon => {
            desk.abandon();
            Ok(None)
        }
        Request::Compile { .. } => Err(Fault("a sandbox to execute does not compile".into())),
    }
}

fn run(desk: &mut dyn ExecuteDesk) -> Answered {
    Ok(Some(match desk.run()? {
        Progress::Paused => (Response::Paused, Vec::new()),
        Progress::Finished(encoded) => (
            Response::Finished {
                result: encoded.bytes,
            },
            encoded.files,
        ),
    }))
}

fn compile(desk: &mut dyn CompileDesk, request: &Request, files: Vec<File>) -> Answered {
    let Request::Compile { wasm_bytes } = request else {
        return Err(Fault("a sandbox to compile does nothing else".into()));
    };
    let failed = |what, error: std::io::Error| Fault(format!("{what}: {error}"));
    let wasm = files::read_whole(&only_file(files)?, *wasm_bytes)
        .map_err(|error| failed("a module cannot be read", error))?;
    Ok(Some(match desk.compile(&wasm)? {
        Compilation::Invalid(reason) => (Response::Invalid { reason }, Vec::new()),
        Compilation::Done { prepared, code } => {
            let code_bytes = code.len() as u64;
            let code = files::sealed_copy("code", &code)
                .map_err(|error| failed("no memory for compiled code", error))?;
            (
                Response::Compiled {
                    prepared,
                    code_bytes,
                },
                vec![Arc::new(code)],
            )
        }
    }))
}

fn only_file(files: Vec<File>) -> Result<File, Fault> {
    let [file] = <[File; 1]>::try_from(files)
        .map_err(|files| Fault(format!("a request brings {} files, not 1", files.len())))?;
    Ok(file)
}

fn answer(
    channel: &Channel,
    response: &Response,
    files: &[PageFile],
) -> Result<(), trilith_jail::ChannelError> {
    use std::os::fd::AsFd;
    let descriptors: Vec<_> = files.iter().map(|file| file.as_fd()).collect();
    channel.send(&response.encode(), &descriptors, None)
}

/// The message of the last panic, which has no other way out of the jail.
static LAST_PANIC: Mutex<String> = Mutex::new(String::new());

fn keep_panic_messages() {
    std::panic::set_hook(Box::new(|info| {
        *LAST_PANIC.lock().unwrap_or_else(PoisonError::into_inner) = info.to_string();
    }));
}

/// Runs `work`; a panic in it is a fault.
fn guarded<T>(work: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_: Box<dyn Any + Send>| {
        let message = LAST_PANIC
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        Err(Fault(format!("a sandbox panicked: {message}")))
    })
}
