//! The port through which a node talks to the others of its network, and the messages.
//!
//! A [`Link`] moves bytes and says from whom they came; it may lose, delay and reorder them, and
//! must not forge the sender. What the bytes mean is the business of [`message`]. Nothing here
//! blocks: sending puts into a queue or drops, receiving takes what is there.

pub mod hub;
pub mod message;
mod parts;

use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use trilith_types::NodeId;

pub use hub::{Hub, HubLink};
pub use message::{MESSAGE_BYTES_MAX, Message};

/// The encoded form of a message, shared between its receivers.
pub type MessageBytes = Arc<[u8]>;

/// One node's connection to the others.
pub trait Link: Send {
    /// Sends to one node. What cannot be sent is dropped.
    fn send(&mut self, to: &NodeId, message: MessageBytes);

    /// Sends to every other node. What cannot be sent is dropped.
    fn broadcast(&mut self, message: MessageBytes);

    /// The next message that arrived, and from whom; `None` if there is none now.
    fn receive(&mut self) -> Option<(NodeId, MessageBytes)>;

    /// From now on `wake` is sent to whenever a message arrives.
    fn wake_with(&mut self, wake: SyncSender<()>);
}

/// A node's place in a network of several.
pub struct Membership {
    /// Its connection to the others.
    pub link: Box<dyn Link>,
    /// The validator that orders blocks; `None` where this node is it.
    pub validator: Option<NodeId>,
    /// Least nanoseconds between two blocks that this node orders, if it is the validator.
    pub block_interval: u64,
}
