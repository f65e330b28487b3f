//! What one gateway bears. None of these numbers reaches consensus: they protect this process, and
//! an operator may set others.

use std::time::Duration;

use trilith_engine_canister::ingress::ENVELOPE_BYTES_MAX;

/// Bounds on memory, connections and waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes of one request's body.
    pub body_bytes: usize,
    /// Most bytes of all bodies that are held at a time. Further requests wait for
    /// [`Limits::body_wait`].
    pub bodies_bytes: usize,
    /// Most open connections. Further ones wait in the operating system's queue.
    pub connections: usize,
    /// Most requests under way, whether they wait for a body, a round or an answer. Further ones are
    /// refused at once; connections beyond this number serve to tell them so.
    pub requests: usize,
    /// Longest wait for the headers of a request, also on an idle connection.
    pub header_wait: Duration,
    /// Longest wait for the body of a request.
    pub body_wait: Duration,
    /// After this time a connection takes no further request, however busy it is.
    pub connection_life: Duration,
    /// How long requests that are under way may still take when a connection ends.
    pub drain: Duration,
    /// Longest wait for a call to be in a durable round.
    pub inclusion_wait: Duration,
    /// How long after it came in a synchronous call waits for its reply.
    pub reply_wait: Duration,
    /// Longest wait for the answer to a query or a read.
    pub query_wait: Duration,
    /// Most query calls of one canister that run at a time; further ones wait in line, within
    /// [`Limits::query_wait`].
    pub canister_queries: usize,
}

impl Limits {
    /// What suits a node on the open network. The body limit and the wait for a reply are those of
    /// the Internet Computer's replica (5 MiB and 10 s); the others are this project's choice: with
    /// them, slow clients can hold no more than 256 MiB and 1,024 descriptors.
    pub const STANDARD: Self = Self {
        body_bytes: ENVELOPE_BYTES_MAX,
        bodies_bytes: 256 * 1024 * 1024,
        connections: 1_024,
        requests: 768,
        header_wait: Duration::from_secs(30),
        body_wait: Duration::from_secs(30),
        connection_life: Duration::from_secs(300),
        drain: Duration::from_secs(15),
        inclusion_wait: Duration::from_secs(30),
        reply_wait: Duration::from_secs(10),
        query_wait: Duration::from_secs(30),
        canister_queries: 4,
    };
}
