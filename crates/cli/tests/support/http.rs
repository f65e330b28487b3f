//! HTTP by hand: what a well-behaved agent would never send can be sent too.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

/// Longest wait for an answer, well above what the node itself waits.
const PATIENCE: Duration = Duration::from_secs(60);

/// A status and a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status, such as 200.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
}

impl Response {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The bytes in the field `name` of a body that is a CBOR map.
    pub fn bytes(&self, name: &str) -> Vec<u8> {
        match self.field(name) {
            Some(ciborium::Value::Bytes(bytes)) => bytes,
            other => panic!("the field {name} is {other:?} in {}", self.text()),
        }
    }

    /// The field `name` of a body that is a CBOR map.
    pub fn field(&self, name: &str) -> Option<ciborium::Value> {
        let ciborium::Value::Tag(_, map) = ciborium::from_reader(&self.body[..]).ok()? else {
            return None;
        };
        let mut fields = map.into_map().ok()?.into_iter();
        fields
            .find(|(key, _)| key.as_text() == Some(name))
            .map(|(_, value)| value)
    }
}

/// Gets a path.
pub fn get(url: &str, path: &str) -> Response {
    let request = format!("GET {path} HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n");
    exchange(url, request.as_bytes())
}

/// Posts CBOR.
pub fn post(url: &str, path: &str, body: &[u8]) -> Response {
    post_as(url, path, "application/cbor", body)
}

/// Posts bytes of any type.
pub fn post_as(url: &str, path: &str, content_type: &str, body: &[u8]) -> Response {
    let head = head(path, content_type, body.len());
    exchange(url, &[head.as_bytes(), body].concat())
}

/// The head of a request that announces `length` bytes.
pub fn head(path: &str, content_type: &str, length: usize) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\
         Content-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n"
    )
}

/// Sends bytes, whatever they are, and reads the answer until the node closes the connection.
pub fn exchange(url: &str, request: &[u8]) -> Response {
    let address = url.strip_prefix("http://").expect("the endpoint is HTTP");
    let mut stream = TcpStream::connect(address).expect("the node listens");
    stream
        .set_read_timeout(Some(PATIENCE))
        .expect("a timeout can be set");
    stream.write_all(request).expect("the node takes bytes");
    let mut answer = Vec::new();
    stream
        .read_to_end(&mut answer)
        .expect("the node answers and closes");
    let end = answer
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .expect("the answer has a head");
    let head = std::str::from_utf8(&answer[..end]).expect("the head is text");
    let status = head.split(' ').nth(1).and_then(|text| text.parse().ok());
    Response {
        status: status.expect("the answer has a status"),
        body: answer[end + 4..].to_vec(),
    }
}

/// A connection that carries one request after another, as agents keep theirs.
pub struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    /// Connects to the endpoint.
    pub fn open(url: &str) -> Self {
        let address = url.strip_prefix("http://").expect("the endpoint is HTTP");
        let stream = TcpStream::connect(address).expect("the node listens");
        stream
            .set_nodelay(true)
            .expect("small requests can be sent at once");
        stream
            .set_read_timeout(Some(PATIENCE))
            .expect("a timeout can be set");
        let stream = BufReader::new(stream);
        Self { stream }
    }

    /// Posts CBOR and reads the answer.
    pub fn post(&mut self, path: &str, body: &[u8]) -> Response {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: node\r\nContent-Type: application/cbor\r\n\
             Content-Length: {}\r\n\r\n",
            body.len()
        );
        let request = [head.as_bytes(), body].concat();
        self.stream
            .get_mut()
            .write_all(&request)
            .expect("the node takes bytes");
        let status = self.line();
        let status = status.split(' ').nth(1).and_then(|text| text.parse().ok());
        let mut length = 0;
        loop {
            let line = self.line().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().expect("the length is a number");
            }
        }
        let mut body = vec![0; length];
        self.stream
            .read_exact(&mut body)
            .expect("the answer is complete");
        Response {
            status: status.expect("the answer has a status"),
            body,
        }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stream
            .read_line(&mut line)
            .expect("the answer has a head");
        line.trim_end().to_owned()
    }
}
