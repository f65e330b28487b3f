//! A tool's side of the control socket: one request, one answer, as often as needed.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use trilith_protocol::control::{
    ANSWER_BYTES_MAX, ControlAnswer, ControlReceipt, ControlRequest, EventsAnswer, EventsSince,
    LENGTH_BYTES, Refused, StatusAnswer, frame, frame_length,
};
use trilith_protocol::root::registry::Marker;
use trilith_protocol::root::{Blob, Signed};
use trilith_protocol::{RootAnswer, RootGenesis, RootQuery};

use crate::output::{Failure, NextStep};

/// Longest wait for a part of an answer: longer than a node waits for a height.
const WAIT: Duration = Duration::from_secs(90);

/// What to do about a node that does not keep to the protocol.
const OTHER_VERSION: NextStep = NextStep(
    "use the same version of `trilith` as the node; `trilith root status` shows the node's",
);

/// A connection to a node.
pub struct Client {
    stream: UnixStream,
}

/// What became of a transaction.
pub enum Submission {
    /// It is in a height.
    Taken(Box<ControlReceipt>),
    /// It was not taken up and has no effect.
    Refused(Refused),
}

impl Client {
    /// Connects to the node that runs on a data folder.
    ///
    /// # Errors
    /// If none does, or it cannot be reached.
    pub fn open(data: &Path) -> Result<Self> {
        let path = super::path(data)?;
        let stream = UnixStream::connect(&path).map_err(|error| unreachable(data, &error))?;
        stream.set_read_timeout(Some(WAIT))?;
        stream.set_write_timeout(Some(WAIT))?;
        Ok(Self { stream })
    }

    /// Sends a request and reads its answer.
    ///
    /// # Errors
    /// If the connection fails, or the node says that it cannot answer.
    pub fn ask(&mut self, request: &ControlRequest) -> Result<ControlAnswer> {
        let framed = frame(&request.encode()).context("the request is too long")?;
        let bytes = self
            .exchange(&framed)
            .context("the node does not answer")
            .context(NextStep("see that the node still runs, and try again"))?;
        let answer = ControlAnswer::decode(&bytes)
            .context("the node's answer cannot be read")
            .context(OTHER_VERSION)?;
        match answer {
            ControlAnswer::Failed(message) => Err(anyhow!(message)
                .context("the node cannot answer")
                .context(NextStep("see what the node says where it runs"))),
            answer => Ok(answer),
        }
    }

    fn exchange(&mut self, framed: &[u8]) -> io::Result<Vec<u8>> {
        let written = self.stream.write_all(framed);
        let mut head = [0; LENGTH_BYTES];
        // A node that hangs up without reading may have said why before.
        match (written, self.stream.read_exact(&mut head)) {
            (Err(error), Err(_)) | (Ok(()), Err(error)) => return Err(error),
            (_, Ok(())) => {}
        }
        let length = frame_length(head, ANSWER_BYTES_MAX)
            .map_err(|error| io::Error::new(ErrorKind::InvalidData, error.to_string()))?;
        // Grown as bytes arrive, not by what the length says.
        let mut bytes = Vec::new();
        let read = (&self.stream).take(length as u64).read_to_end(&mut bytes)?;
        if read < length {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        Ok(bytes)
    }

    /// Asks the root's newest durable state. Gives its height too.
    ///
    /// # Errors
    /// As of [`Client::ask`].
    pub fn query(&mut self, query: &RootQuery) -> Result<(u64, RootAnswer)> {
        match self.ask(&ControlRequest::Query(Blob(query.encode())))? {
            ControlAnswer::Query(answer) => {
                let decoded = RootAnswer::decode(&answer.answer.0)
                    .context("the root's answer cannot be read")
                    .context(OTHER_VERSION)?;
                Ok((answer.height, decoded))
            }
            other => unexpected(&other),
        }
    }

    /// Submits a transaction and waits until it is in a durable height.
    ///
    /// # Errors
    /// As of [`Client::ask`].
    pub fn submit(&mut self, transaction: &Signed) -> Result<Submission> {
        match self.ask(&ControlRequest::Submit(Blob(transaction.encode())))? {
            ControlAnswer::Receipt(receipt) => Ok(Submission::Taken(Box::new(receipt))),
            ControlAnswer::Refused(refused) => Ok(Submission::Refused(refused)),
            other => unexpected(&other),
        }
    }

    /// The document the network began with.
    ///
    /// # Errors
    /// As of [`Client::ask`].
    pub fn genesis(&mut self) -> Result<RootGenesis> {
        self.document(&ControlRequest::Genesis(Marker))
    }

    /// A document with which another network goes on from the newest state.
    ///
    /// # Errors
    /// As of [`Client::ask`].
    pub fn export(&mut self) -> Result<RootGenesis> {
        self.document(&ControlRequest::Export(Marker))
    }

    fn document(&mut self, request: &ControlRequest) -> Result<RootGenesis> {
        match self.ask(request)? {
            ControlAnswer::Genesis(bytes) => RootGenesis::decode(&bytes.0)
                .context("the node's document cannot be read")
                .context(OTHER_VERSION),
            other => unexpected(&other),
        }
    }

    /// What happened from a height on.
    ///
    /// # Errors
    /// As of [`Client::ask`].
    pub fn events(&mut self, since: u64) -> Result<EventsAnswer> {
        match self.ask(&ControlRequest::Events(EventsSince { since }))? {
            ControlAnswer::Events(events) => Ok(events),
            other => unexpected(&other),
        }
    }

    /// How the network stands.
    ///
    /// # Errors
    /// As of [`Client::ask`].
    pub fn status(&mut self) -> Result<StatusAnswer> {
        match self.ask(&ControlRequest::Status(Marker))? {
            ControlAnswer::Status(status) => Ok(status),
            other => unexpected(&other),
        }
    }
}

fn unexpected<T>(answer: &ControlAnswer) -> Result<T> {
    tracing::debug!(?answer, "unexpected answer");
    bail!("the node answers another question than was asked")
}

fn unreachable(data: &Path, error: &io::Error) -> anyhow::Error {
    let shown = data.display();
    let (message, next) = match error.kind() {
        _ if !data.exists() => (
            format!("there is no folder {shown}"),
            format!(
                "start a network with `trilith dev --data {shown}`, or give its folder with --data"
            ),
        ),
        ErrorKind::NotFound | ErrorKind::ConnectionRefused => (
            format!("no node runs on the data folder {shown}"),
            format!(
                "start it with `trilith dev --data {shown}`, or give another folder with --data"
            ),
        ),
        ErrorKind::PermissionDenied => (
            format!("the node on the data folder {shown} is another user's"),
            "run the command as the user who started the node".to_owned(),
        ),
        _ => (
            format!("the node on the data folder {shown} cannot be reached"),
            "see that the node still runs, and try again".to_owned(),
        ),
    };
    Failure {
        message,
        causes: vec![error.to_string()],
        next: Some(next),
        ..Failure::default()
    }
    .into()
}
