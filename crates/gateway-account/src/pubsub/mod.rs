//! Subscriptions over WebSockets.
//!
//! One [`Hub`] follows the node: for every new round it asks once what the round did and hands each
//! subscriber what it subscribed to. Each connection is a task of its own that reads calls and
//! writes answers and notifications; between hub and connection is a bounded queue, and a client
//! that lets it fill up is cut off.
//!
//! Invariants: the answer to a subscription goes out before its first notification; a notification
//! is of a finalised round; notifications of one connection come in the order of rounds.

mod connection;
mod hub;
mod notices;
mod queue;
mod subscription;

pub(crate) use connection::connection;
pub(crate) use hub::Hub;
pub(crate) use subscription::request;
