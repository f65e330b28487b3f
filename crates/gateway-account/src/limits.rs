//! What one gateway bears. None of these numbers reaches consensus: they protect this process, and
//! an operator may set others.

use std::time::Duration;

/// Bounds on memory, connections and waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes of one request's body, and of one message of a PubSub client.
    pub body_bytes: usize,
    /// Most calls of one batch.
    pub batch_calls: usize,
    /// Most bytes of account data that one answer carries, before they are encoded as text.
    pub answer_data_bytes: usize,
    /// Most bytes of the answers to one batch together; calls after that are not made.
    pub batch_answer_bytes: usize,
    /// Most calls at a time that may take long (simulations, scans of an index, blocks). Further
    /// ones wait.
    pub heavy_calls: usize,
    /// Most open HTTP connections. Further ones wait in the operating system's queue.
    pub connections: usize,
    /// Most open PubSub connections, as above.
    pub subscribers: usize,
    /// Most subscriptions of one PubSub connection.
    pub subscriptions: usize,
    /// Most notifications that wait for one PubSub client. One that is slower is cut off, so that
    /// it cannot make the node remember what it does not read.
    pub notifications: usize,
    /// Most bytes of all notifications that wait for one PubSub client, with the same consequence.
    pub notification_bytes: usize,
    /// Most open QUIC connections. Further ones are refused.
    pub tpu_connections: usize,
    /// Most transactions under way on one QUIC connection. Further ones wait at the peer.
    pub tpu_streams: u32,
    /// Longest wait for the headers of a request, for an upgrade to PubSub, for the handshake of a
    /// QUIC connection, and for the bytes of a
    /// notification to leave.
    pub header_wait: Duration,
    /// Longest wait for the body of a request.
    pub body_wait: Duration,
    /// After this time an HTTP connection takes no further request, however busy it is.
    pub connection_life: Duration,
    /// A PubSub client that is silent for this long is asked for a sign of life, and cut off if it
    /// gives none for as long again. A QUIC connection that is silent for this long ends.
    pub silence: Duration,
    /// How long requests that are under way may still take when a connection ends.
    pub drain: Duration,
}

impl Limits {
    /// What suits a node on the open network. The body limit is that of Solana's validator
    /// (50 KiB); the others are this project's choice.
    pub const STANDARD: Self = Self {
        body_bytes: 50 * 1024,
        batch_calls: 512,
        answer_data_bytes: 64 * 1024 * 1024,
        batch_answer_bytes: 128 * 1024 * 1024,
        heavy_calls: 32,
        connections: 1_024,
        subscribers: 512,
        subscriptions: 1_024,
        notifications: 8_192,
        notification_bytes: 32 * 1024 * 1024,
        tpu_connections: 256,
        tpu_streams: 128,
        header_wait: Duration::from_secs(30),
        body_wait: Duration::from_secs(30),
        connection_life: Duration::from_secs(300),
        silence: Duration::from_secs(60),
        drain: Duration::from_secs(5),
    };
}
