//! What the layers of Trilith say to each other about executing a round: the [`Runtime`] trait,
//! [`Batch`], [`Outcome`], limits; block headers, proposals and commitments in Oasis Core's exact
//! encodings; and root transactions and events as types.
//!
//! This crate holds types and pure functions only. It knows no store, no network and no engine.

pub mod batch;
pub mod block;
pub mod commitment;
pub mod control;
pub mod io;
pub mod outcome;
pub mod root;
pub mod runtime;

mod wire;

pub use batch::{Batch, Input};
pub use block::{BlockHeader, HeaderType};
pub use commitment::{
    ComputeResultsHeader, ExecutorCommitment, ExecutorCommitmentHeader, Failure, NodeSignature,
    Proposal, ProposalHeader, StorageReceipt,
};
pub use outcome::{
    AttestedForm, AttestedLeaf, Demand, ImageChange, ImageWrite, Outcome, OutgoingMessage, Receipt,
    ReceiptStatus, Usage,
};
pub use root::{
    Committee, ROOT_RUNTIME, RootAnswer, RootEvent, RootGenesis, RootQuery, RootTransaction,
};
pub use runtime::{
    Admission, AttestedSignature, CheckContext, Fault, QueryContext, QueryError, Reject,
    RoundContext, RoundLimits, Runtime,
};
