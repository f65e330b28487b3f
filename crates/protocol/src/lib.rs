//! What the layers of Trilith say to each other about executing a round: the [`Runtime`] trait,
//! [`Batch`], [`Outcome`], limits; block headers, proposals and commitments in Oasis Core's exact
//! encodings; and root transactions and events as types.
//!
//! This crate holds types and pure functions only. It knows no store, no network and no engine.

pub mod batch;
pub mod outcome;
pub mod runtime;

pub use batch::{Batch, Input};
pub use outcome::{
    AttestedForm, AttestedLeaf, Demand, ImageChange, ImageWrite, Outcome, OutgoingMessage, Receipt,
    ReceiptStatus, Usage,
};
pub use runtime::{
    Admission, AttestedSignature, CheckContext, Fault, QueryContext, QueryError, Reject,
    RoundContext, RoundLimits, Runtime,
};
