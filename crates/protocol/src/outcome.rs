//! What executing a batch gives.

use trilith_types::{Hash, ImageId, PageRun, TimeNanos, WriteLog};

/// The result of a round, not yet sealed: what the runtime would change and what it answers.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Changed keys, unique and ascending. Keys that start with a zero byte are reserved for the
    /// store and must not be written.
    pub write_log: WriteLog,
    /// Changed page images, unique and ascending by name.
    pub images: Vec<ImageWrite>,
    /// One receipt for each input of the batch, in the order of the batch.
    pub receipts: Vec<Receipt>,
    /// Messages to the root or to other runtimes, in order of emission.
    pub messages: Vec<OutgoingMessage>,
    /// How many of the incoming messages the round took up, the oldest first.
    pub incoming_taken: u32,
    /// Leaves of the state that validators are asked to sign in a foreign form.
    pub attested: Vec<AttestedLeaf>,
    /// What the round used.
    pub usage: Usage,
}

/// A change of one page image.
#[derive(Clone, Debug)]
pub struct ImageWrite {
    /// Which image.
    pub image: ImageId,
    /// What becomes of it.
    pub change: ImageChange,
}

/// What becomes of a page image.
#[derive(Clone, Debug)]
pub enum ImageChange {
    /// The image is created or changed: first emptied where `reset` is set, then resized to
    /// `pages` (pages cut off are forgotten, pages added are zero), then overlaid with `runs`.
    Write {
        /// Whether what was there before is forgotten.
        reset: bool,
        /// The new length in pages.
        pages: u64,
        /// New contents, ascending by page, not overlapping, below `pages`. The files hold the
        /// bytes only until the outcome is sealed.
        runs: Vec<PageRun>,
    },
    /// The image is removed.
    Delete,
}

/// The result of one input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// [`crate::Input::hash`] of the input.
    pub input: Hash,
    /// What became of it.
    pub status: ReceiptStatus,
    /// The runtime's own account of the result; may be empty.
    pub output: Vec<u8>,
}

/// What became of an input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReceiptStatus {
    /// It was valid and was executed or taken up for execution.
    Accepted,
    /// It was invalid and had no effect.
    Rejected {
        /// Which part of the runtime rejected it.
        module: String,
        /// The reason within the module.
        code: u32,
        /// States fact, value and limit.
        message: String,
    },
}

/// A message that leaves the runtime.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutgoingMessage {
    /// The encoded message; its hash goes into the block.
    pub payload: Vec<u8>,
}

/// A leaf of the state that validators are asked to sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttestedLeaf {
    /// The key under which the value stands in the state sealed from this outcome.
    pub key: Vec<u8>,
    /// The value: 32 bytes.
    pub value: [u8; 32],
    /// What is signed.
    pub form: AttestedForm,
}

/// The foreign form of an attested leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttestedForm {
    /// Threshold BLS12-381 over `\x0Dic-state-root ‖ value`, as the Internet Computer signs the
    /// root of its hash tree.
    IcStateRoot,
}

/// What a round used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Metered instructions of all programs.
    pub instructions: u64,
}

/// When a state needs a round even without transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Demand {
    /// There is work left: as soon as possible.
    Now,
    /// Not before this time (a timer).
    At(TimeNanos),
    /// Never.
    Idle,
}
