//! A node: everything between a transaction that arrives and a certified answer.
//!
//! ```text
//! submit ─ check ─> pool ─ cut ─> proposal ─> host executes and seals ─> commitment
//!    ^                                                                       │
//!    └── receipt <─ publish <─ sync <─ sign leaf <─ finalise <─ root block <─┘
//! ```
//!
//! [`Core`] is the committee worker: one step at a time, no thread and no clock of its own, so that
//! tests drive it. [`Node`] runs a core on a thread of its own. [`RuntimeHandle`] is what gateways
//! hold: submit, query, sign, wait. A core is alone, or one of several that talk through a
//! [`net::Link`]: proposals, states to hold, receipts, root blocks and transactions.
//!
//! The node imports no engine (runtimes come in a [`RuntimeRegistry`]) and trusts none: what its own
//! process computed reaches the root only as a signed commitment, like anyone else's.
//!
//! Invariants: nothing is published or answered before the log that leads to it is durable; signed
//! bytes are in the log before they are used, and the same slot is never signed differently; after a
//! restart an open proposal is executed again, not replaced.

mod accuser;
mod certify;
mod clock;
mod core;
mod handle;
mod identity;
mod ledger;
pub mod net;
mod own;
mod pool;
mod prover;
mod registry;
mod report;
mod root;
mod root_port;
mod signed;
mod snapshot;
mod thread;
mod worker;

pub use clock::{Clock, SystemClock};
pub use core::{Core, NodeError, StepReport};
pub use handle::{RuntimeHandle, SubmitError, Submitted};
pub use identity::{NodeConfig, NodeKeys};
pub use net::Membership;
pub use pool::{Pool, PoolError, PoolLimits};
pub use registry::RuntimeRegistry;
pub use report::{RoundLog, RoundReport};
pub use root_port::{RootHandle, RootReceipt, RootSubmitError, RootTip};
pub use signed::{Circumstances, OpenProposal};
pub use snapshot::{Evidence, Snapshot};
pub use thread::Node;
pub use trilith_proof::Answer;
