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
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel();
    let port: Arc<Double> = Double::new();
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
