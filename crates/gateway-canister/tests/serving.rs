//! The server: connections of slow, silent and too many peers.

mod double;

use std::sync::Arc;
use std::time::Duration;

use double::Double;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use trilith_gateway_canister::{Limits, serve};

const STATUS: &[u8] = b"GET /api/v2/status HTTP/1.1\r\nhost: x\r\n\r\n";
const MOMENT: Duration = Duration::from_millis(30);

struct Served {
    address: std::net::SocketAddr,
    stop: oneshot::Sender<()>,
    server: JoinHandle<()>,
}

async fn start(limits: Limits) -> Served {
    start_with(limits, Double::new()).await
}

async fn start_with(limits: Limits, port: Arc<Double>) -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel();
    let server = tokio::spawn(async move {
        serve(listener, port, limits, async { drop(stopped.await) }).await;
    });
    Served {
        address,
        stop,
        server,
    }
}

impl Served {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn end(self) {
        self.stop.send(()).unwrap();
        self.server.await.unwrap();
    }
}

/// Reads until the peer closes; a reset counts as an end.
async fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut buffer = [0; 1024];
    while let Ok(count) = stream.read(&mut buffer).await {
        if count == 0 {
            break;
        }
        bytes.extend_from_slice(&buffer[..count]);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Reads the head of one answer.
async fn head(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        bytes.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[tokio::test]
async fn a_connection_serves_several_requests() {
    let served = start(Limits::STANDARD).await;
    let mut stream = served.connect().await;
    stream.write_all(&[STATUS, STATUS].concat()).await.unwrap();
    assert!(head(&mut stream).await.starts_with("HTTP/1.1 200 OK"));
    assert!(head(&mut stream).await.contains("HTTP/1.1 200 OK"));
    served.end().await;
    assert!(!rest(&mut stream).await.contains("HTTP/1.1"));
}

#[tokio::test]
async fn a_silent_connection_is_closed() {
    let served = start(Limits {
        header_wait: MOMENT,
        ..Limits::STANDARD
    })
    .await;
    let mut silent = served.connect().await;
    let mut halting = served.connect().await;
    halting.write_all(b"POST /api/v2/").await.unwrap();
    assert_eq!(rest(&mut silent).await, "");
    let answer = rest(&mut halting).await;
    assert!(!answer.contains("200 OK"), "{answer}");
    served.end().await;
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let served = start(Limits {
        body_wait: MOMENT,
        ..Limits::STANDARD
    })
    .await;
    let mut stream = served.connect().await;
    let path = double::at(4, "call");
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/cbor\r\n\
         content-length: 100\r\n\r\nshort"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let answer = rest(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(
        answer.ends_with("the body was not complete after 30 ms"),
        "{answer}"
    );
    served.end().await;
}

#[tokio::test]
async fn a_connection_over_the_limit_waits_for_a_free_slot() {
    let served = start(Limits {
        connections: 1,
        ..Limits::STANDARD
    })
    .await;
    let mut first = served.connect().await;
    first.write_all(STATUS).await.unwrap();
    assert!(head(&mut first).await.starts_with("HTTP/1.1 200 OK"));
    let mut second = served.connect().await;
    second.write_all(STATUS).await.unwrap();
    assert!(
        tokio::time::timeout(MOMENT, second.readable())
            .await
            .is_err()
    );
    drop(first);
    assert!(head(&mut second).await.starts_with("HTTP/1.1 200 OK"));
    served.end().await;
}

#[tokio::test]
async fn a_connection_does_not_live_for_ever() {
    let served = start(Limits {
        connection_life: MOMENT,
        ..Limits::STANDARD
    })
    .await;
    let mut stream = served.connect().await;
    // The answer may be on its way already when the time is up.
    drop(stream.write_all(STATUS).await);
    let answer = rest(&mut stream).await;
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 200 OK"),
        "{answer}"
    );
    served.end().await;
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let served = start(Limits {
        header_wait: MOMENT,
        ..Limits::STANDARD
    })
    .await;
    let mut stream = served.connect().await;
    stream.write_all(STATUS).await.unwrap();
    let answer = rest(&mut stream).await;
    assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 1, "{answer}");
    served.end().await;
}

/// Each byte comes in time, the whole head does not.
#[tokio::test]
async fn a_head_that_trickles_is_not_waited_for() {
    let served = start(Limits {
        header_wait: 3 * MOMENT,
        ..Limits::STANDARD
    })
    .await;
    let (mut reading, mut writing) = served.connect().await.into_split();
    let trickle = tokio::spawn(async move {
        for byte in STATUS.iter().cycle() {
            if *byte == b'\n' {
                continue;
            }
            if writing.write_all(&[*byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(MOMENT / 10).await;
        }
    });
    let mut answer = Vec::new();
    // A reset counts as an end.
    drop(reading.read_to_end(&mut answer).await);
    assert!(!answer.windows(6).any(|window| window == b"200 OK"));
    trickle.abort();
    served.end().await;
}

/// As above, for a body.
#[tokio::test]
async fn a_body_that_trickles_is_not_waited_for() {
    let served = start(Limits {
        body_wait: 3 * MOMENT,
        ..Limits::STANDARD
    })
    .await;
    let (mut reading, mut writing) = served.connect().await.into_split();
    let path = double::at(4, "call");
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/cbor\r\n\
         content-length: 100000\r\n\r\n"
    );
    let trickle = tokio::spawn(async move {
        writing.write_all(head.as_bytes()).await.unwrap();
        while writing.write_all(&[0]).await.is_ok() {
            tokio::time::sleep(MOMENT / 10).await;
        }
    });
    let mut answer = Vec::new();
    drop(reading.read_to_end(&mut answer).await);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    trickle.abort();
    served.end().await;
}

/// A peer that asks much and reads nothing holds its connection for a bounded time.
#[tokio::test]
async fn a_peer_that_never_reads_is_let_go() {
    let served = start(Limits {
        connections: 1,
        connection_life: 3 * MOMENT,
        drain: MOMENT,
        ..Limits::STANDARD
    })
    .await;
    let deaf = served.connect().await;
    let requests = STATUS.repeat(20_000);
    let (reading, mut writing) = deaf.into_split();
    let ask = tokio::spawn(async move { writing.write_all(&requests).await });
    // The only slot is free again when it is gone.
    let mut next = served.connect().await;
    next.write_all(STATUS).await.unwrap();
    assert!(head(&mut next).await.starts_with("HTTP/1.1 200 OK"));
    drop((reading, ask.await.unwrap()));
    drop(next);
    served.end().await;
}

/// A client that goes away in the middle of its body frees its slot at once.
#[tokio::test]
async fn a_connection_cut_in_the_middle_is_forgotten() {
    let served = start(Limits {
        connections: 1,
        ..Limits::STANDARD
    })
    .await;
    let mut stream = served.connect().await;
    let path = double::at(4, "call");
    let head_of = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/cbor\r\n\
         content-length: 100000\r\n\r\nshort"
    );
    stream.write_all(head_of.as_bytes()).await.unwrap();
    drop(stream);
    let mut next = served.connect().await;
    next.write_all(STATUS).await.unwrap();
    let answered = tokio::time::timeout(Duration::from_secs(10), head(&mut next)).await;
    assert!(answered.unwrap().starts_with("HTTP/1.1 200 OK"));
    served.end().await;
}

#[tokio::test]
async fn requests_over_the_limit_are_refused_at_once() {
    let limits = Limits {
        requests: 1,
        ..Limits::STANDARD
    };
    let port = Double::with_answers(double::Answers::Hangs);
    let served = start_with(limits, port.clone()).await;
    let query = double::envelope(&double::query_content());
    let path = double::at(3, "query");
    let head_of = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/cbor\r\n\
         content-length: {}\r\n\r\n",
        query.len()
    );
    let mut waiting = served.connect().await;
    waiting
        .write_all(&[head_of.as_bytes(), &query].concat())
        .await
        .unwrap();
    while port.asked.lock().unwrap().is_empty() {
        tokio::time::sleep(MOMENT / 10).await;
    }
    let mut refused = served.connect().await;
    let closing = b"GET /api/v2/status HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    refused.write_all(closing).await.unwrap();
    let answer = rest(&mut refused).await;
    assert!(
        answer.starts_with("HTTP/1.1 503 Service Unavailable"),
        "{answer}"
    );
    assert!(answer.contains("retry-after: 1\r\n"), "{answer}");
    assert!(
        answer.ends_with(
            "Service is overloaded, try again later: 1 requests are under way, the limit is 1"
        ),
        "{answer}"
    );
    // Its slot is free once the one before has gone.
    drop(waiting);
    let mut later = served.connect().await;
    loop {
        later.write_all(STATUS).await.unwrap();
        if head(&mut later).await.starts_with("HTTP/1.1 200 OK") {
            break;
        }
        later = served.connect().await;
    }
    drop(later);
    served.end().await;
}

#[tokio::test]
async fn heads_of_requests_are_bounded() {
    let served = start(Limits::STANDARD).await;
    let mut stream = served.connect().await;
    let long = format!("GET /{} HTTP/1.1\r\n", "x".repeat(200_000));
    // The server may close while this is still being written.
    drop(stream.write_all(long.as_bytes()).await);
    let answer = rest(&mut stream).await;
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 4"),
        "{answer}"
    );
    served.end().await;
}
