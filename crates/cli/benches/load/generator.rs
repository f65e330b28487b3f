//! Sends prepared requests over many connections and keeps little of the answers: HTTP/1.1 by hand,
//! so that the generator takes as little of the machine as possible.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::process::Usage;

/// A kept answer.
pub struct Sample {
    /// Index of the request.
    pub request: usize,
    /// Body of the answer.
    pub body: Vec<u8>,
}

/// What came of a run.
#[derive(Default)]
pub struct Run {
    /// How long it took.
    pub took: Duration,
    /// Time from the first byte sent to the last byte received, with the status.
    pub answers: Vec<(u16, Duration)>,
    /// Answers to verify.
    pub samples: Vec<Sample>,
}

impl Run {
    /// How many were answered with a status.
    pub fn answered(&self, status: u16) -> usize {
        self.answers
            .iter()
            .filter(|answer| answer.0 == status)
            .count()
    }

    /// How often each status came.
    pub fn statuses(&self) -> BTreeMap<u16, usize> {
        let mut statuses = BTreeMap::new();
        for (status, _) in &self.answers {
            *statuses.entry(*status).or_default() += 1;
        }
        statuses
    }

    /// The time that a share (in thousandths) of the answers with `status` did not exceed.
    pub fn quantile(&self, status: u16, thousandths: usize) -> Duration {
        let mut times: Vec<Duration> = self
            .answers
            .iter()
            .filter(|answer| answer.0 == status)
            .map(|answer| answer.1)
            .collect();
        times.sort_unstable();
        let at = times.len().saturating_sub(1) * thousandths / 1000;
        times.get(at).copied().unwrap_or_default()
    }

    /// Prints the figures.
    pub fn print(&self, name: &str, used: Usage) {
        let count = self.answers.len();
        let rate = count as f64 / self.took.as_secs_f64();
        println!(
            "{name}: {count} in {:.2} s, {rate:.0} a second; ms p50 {:.1}, p99 {:.1}, most {:.1}; \
             {:?}; node {:.1} s of processor, {:.0} us each",
            self.took.as_secs_f64(),
            self.quantile(200, 500).as_secs_f64() * 1e3,
            self.quantile(200, 990).as_secs_f64() * 1e3,
            self.quantile(200, 1000).as_secs_f64() * 1e3,
            self.statuses(),
            used.seconds(),
            used.seconds() * 1e6 / count as f64,
        );
    }
}

/// Sends every request once, over `connections`, each with one request at a time. The bytes of a
/// request are those on the wire, its head included.
pub async fn run<R: AsRef<[u8]>>(
    url: &str,
    requests: &[R],
    connections: usize,
    sample_every: usize,
) -> Run {
    let next = Arc::new(AtomicUsize::new(0));
    let begun = Instant::now();
    let tasks = (0..connections).map(|_| {
        let next = next.clone();
        async move {
            let mut connection = Connection::open(url).await;
            let mut run = Run::default();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(request) = requests.get(index) else {
                    return run;
                };
                let sent = Instant::now();
                let status = connection.exchange(request.as_ref()).await;
                run.answers.push((status, sent.elapsed()));
                if index.is_multiple_of(sample_every) {
                    let body = connection.body().to_vec();
                    run.samples.push(Sample {
                        request: index,
                        body,
                    });
                }
            }
        }
    });
    let mut all = Run::default();
    for run in futures_util::future::join_all(tasks).await {
        all.answers.extend(run.answers);
        all.samples.extend(run.samples);
    }
    all.took = begun.elapsed();
    all
}

/// One connection that is kept.
pub struct Connection {
    url: String,
    stream: TcpStream,
    buffer: Vec<u8>,
    body_at: usize,
}

impl Connection {
    /// Connects.
    pub async fn open(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            stream: connect(url).await,
            buffer: Vec::with_capacity(64 * 1024),
            body_at: 0,
        }
    }

    /// Sends a request and reads the answer, whose status is given. A connection that the node
    /// closed is opened again, and the request sent again.
    pub async fn exchange(&mut self, wire: &[u8]) -> u16 {
        loop {
            if let Some(status) = self.attempt(wire).await {
                return status;
            }
            self.stream = connect(&self.url).await;
        }
    }

    async fn attempt(&mut self, wire: &[u8]) -> Option<u16> {
        self.stream.write_all(wire).await.ok()?;
        self.buffer.clear();
        let head = loop {
            if self.stream.read_buf(&mut self.buffer).await.ok()? == 0 {
                return None;
            }
            let end = self.buffer.windows(4).position(|end| end == b"\r\n\r\n");
            if let Some(end) = end {
                break end;
            }
        };
        let text = std::str::from_utf8(&self.buffer[..head]).expect("the head is text");
        let status = text[9..12].parse().expect("the answer has a status");
        let length = text.split("\r\n").find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("content-length")
                .then(|| value.parse::<usize>().expect("the length is a number"))
        });
        self.body_at = head + 4;
        let whole = self.body_at + length.unwrap_or(0);
        while self.buffer.len() < whole {
            if self.stream.read_buf(&mut self.buffer).await.ok()? == 0 {
                return None;
            }
        }
        Some(status)
    }

    /// The body of the last answer.
    pub fn body(&self) -> &[u8] {
        &self.buffer[self.body_at..]
    }
}

async fn connect(url: &str) -> TcpStream {
    let address = url.strip_prefix("http://").expect("the endpoint is HTTP");
    let stream = TcpStream::connect(address).await.expect("the node listens");
    stream.set_nodelay(true).expect("requests are sent at once");
    stream
}
