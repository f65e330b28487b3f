//! What is done inside a sandbox, apart from how it is asked for.
//!
//! The product's desks stand in [`Desks::local`]. They are traits so that tests can put a desk of
//! their own into a real jail: one that hangs, or that answers what no executor answers.

use std::fs::File;

use trilith_protocol::Fault;
use trilith_types::PageFile;

use crate::executor::wire::Encoded;

/// How a slice ended.
#[derive(Debug)]
pub enum Progress {
    /// It was used up.
    Paused,
    /// The message ended with this [`crate::api::ExecutionResult`].
    Finished(Encoded),
}

/// What became of a module.
#[derive(Debug)]
pub enum Compilation {
    /// It is valid.
    Done {
        /// The encoded [`crate::api::PreparedModule`].
        prepared: Vec<u8>,
        /// The code, in the form that [`ExecuteDesk::load`] takes.
        code: Vec<u8>,
    },
    /// It breaks a rule, which the text names.
    Invalid(String),
}

/// Compiles one module.
pub trait CompileDesk {
    /// Validates and compiles.
    ///
    /// # Errors
    /// [`Fault`] if this node could not do it.
    fn compile(&mut self, wasm: &[u8]) -> Result<Compilation, Fault>;
}

/// Runs the messages of one module of one canister, one at a time.
pub trait ExecuteDesk {
    /// Takes the module. Called once, before anything else.
    ///
    /// # Errors
    /// [`Fault`] if the code is unusable.
    fn load(&mut self, prepared: &[u8], code: &File, code_bytes: u64) -> Result<(), Fault>;

    /// Sets up an execution of an encoded [`crate::api::ExecutionRequest`].
    ///
    /// # Errors
    /// [`Fault`] if it cannot be set up.
    fn start(&mut self, request: &[u8], files: &[PageFile]) -> Result<(), Fault>;

    /// Runs the next slice.
    ///
    /// # Errors
    /// [`Fault`] if there is no execution or it cannot go on.
    fn run(&mut self) -> Result<Progress, Fault>;

    /// Drops the execution.
    fn abandon(&mut self);
}

/// Makes the desk of a sandbox that runs modules. It gets `/proc/self/pagemap` of the sandbox, if
/// the host has it.
pub type MakeExecuteDesk = fn(Option<File>) -> Result<Box<dyn ExecuteDesk>, Fault>;

/// Makes the desk of a sandbox that compiles.
pub type MakeCompileDesk = fn() -> Result<Box<dyn CompileDesk>, Fault>;

/// How the desks of the two roles are made, inside the jail.
#[derive(Clone, Copy)]
pub struct Desks {
    /// For a sandbox that runs modules.
    pub execute: MakeExecuteDesk,
    /// For a sandbox that compiles.
    pub compile: MakeCompileDesk,
}
