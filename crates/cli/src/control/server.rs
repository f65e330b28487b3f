//! The node's side of the control socket.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::timeout;
use trilith_node::{RootHandle, RootSubmitError, RootTip};
use trilith_params::root::EVENTS_KEPT;
use trilith_protocol::control::{
    ControlAnswer, ControlReceipt, ControlRequest, EVENTS_BYTES, EventsAnswer, LENGTH_BYTES,
    QueryAnswer, REQUEST_BYTES_MAX, Refused, StatusAnswer, frame, frame_length,
};
use trilith_protocol::root::Blob;
use trilith_protocol::{ReceiptStatus, RootAnswer, RootEvent, RootQuery};
use trilith_types::{Height, StateRead as _};

use crate::output::NextStep;

/// Most tools that are connected at a time. Own choice: operators and their scripts.
pub const CONNECTIONS_MAX: usize = 32;

/// How long a tool may be silent. Own choice.
const IDLE: Duration = Duration::from_secs(60);

/// How long a frame that began may take to arrive, or an answer to be read. Own choice.
const TRANSFER: Duration = Duration::from_secs(10);

/// How long a transaction is waited for. Own choice: many heights of a network that works.
const HEIGHT_WAIT: Duration = Duration::from_secs(60);

/// A socket that listens. Dropping it removes the file.
pub struct ControlSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl ControlSocket {
    /// Listens in a data folder that this process has locked. A socket that a node left when it was
    /// killed is replaced.
    ///
    /// # Errors
    /// If another node answers there, something else has the name, or the path is too long.
    pub fn bind(data: &Path) -> Result<Self> {
        let path = super::path(data)?;
        let shown = path.display().to_string();
        match fs::symlink_metadata(&path) {
            Ok(found) if !found.file_type().is_socket() => {
                return Err(
                    anyhow!("{shown} is there and is no socket").context(NextStep(
                        "remove the file, or choose another folder with --data",
                    )),
                );
            }
            Ok(_) if std::os::unix::net::UnixStream::connect(&path).is_ok() => {
                return Err(anyhow!("another node answers on {shown}").context(NextStep(
                    "stop the other node, or choose another folder with --data",
                )));
            }
            // Nobody listens there any more; the new one takes its place.
            _ => {}
        }
        let fresh = PathBuf::from(format!("{shown}{}", super::NEW_SUFFIX));
        let bound = || -> io::Result<UnixListener> {
            match fs::remove_file(&fresh) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let listener = UnixListener::bind(&fresh)?;
            // It has its name only once nobody else can open it.
            fs::set_permissions(&fresh, Permissions::from_mode(0o600))?;
            fs::rename(&fresh, &path)?;
            Ok(listener)
        };
        let listener = bound()
            .with_context(|| format!("the control socket {shown} cannot be made"))
            .context(NextStep(
                "see that the data folder can be written and is on a disk that has sockets",
            ))?;
        Ok(Self { listener, path })
    }

    /// Serves until `shutdown` completes.
    pub async fn serve(self, root: RootHandle, shutdown: impl Future<Output = ()>) {
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let mut connections = JoinSet::new();
        tokio::pin!(shutdown);
        loop {
            let accepted = tokio::select! {
                () = &mut shutdown => break,
                // Those that ended are forgotten; how is of no interest.
                Some(_) = connections.join_next() => continue,
                accepted = self.listener.accept() => accepted,
            };
            let Ok((stream, _)) = accepted else {
                // As many files are open as may be: some connection will end.
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            let place = places.clone().try_acquire_owned();
            let root = root.clone();
            connections.spawn(async move {
                match place {
                    Ok(_place) => connection(stream, &root).await,
                    Err(_) => refuse(stream).await,
                }
            });
        }
        connections.shutdown().await;
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        // One that stays is replaced by the next node.
        let _removed = fs::remove_file(&self.path);
    }
}

/// Tells a tool that there are too many.
async fn refuse(mut stream: UnixStream) {
    let message = format!("{CONNECTIONS_MAX} tools are connected, which is the limit");
    // A tool that does not read is gone, which is as good.
    let _sent = send(&mut stream, &ControlAnswer::failed(&message)).await;
}

/// Answers requests until the tool goes, is silent, or breaks the rules.
async fn connection(mut stream: UnixStream, root: &RootHandle) {
    while let Some(read) = receive(&mut stream).await {
        let (answer, go_on) = match read {
            Ok(request) => (answer(root, request).await, true),
            Err(reason) => (ControlAnswer::failed(&reason), false),
        };
        if send(&mut stream, &answer).await.is_err() || !go_on {
            return;
        }
    }
}

/// The next request; `None` if there is none, an error if it cannot be read.
async fn receive(stream: &mut UnixStream) -> Option<Result<ControlRequest, String>> {
    let mut head = [0; LENGTH_BYTES];
    timeout(IDLE, stream.read_exact(&mut head))
        .await
        .ok()?
        .ok()?;
    let length = match frame_length(head, REQUEST_BYTES_MAX) {
        Ok(length) => length,
        Err(error) => return Some(Err(error.to_string())),
    };
    let mut bytes = vec![0; length];
    timeout(TRANSFER, stream.read_exact(&mut bytes))
        .await
        .ok()?
        .ok()?;
    Some(ControlRequest::decode(&bytes).map_err(|error| error.to_string()))
}

async fn send(stream: &mut UnixStream, answer: &ControlAnswer) -> io::Result<()> {
    let framed = frame(&answer.encode()).ok_or(ErrorKind::InvalidData)?;
    timeout(TRANSFER, stream.write_all(&framed)).await?
}

async fn answer(root: &RootHandle, request: ControlRequest) -> ControlAnswer {
    if let ControlRequest::Submit(transaction) = request {
        return submit(root, transaction.0).await;
    }
    // The rest reads state, which may take its time.
    let root = root.clone();
    let answered = spawn_blocking(move || read(&root, &request)).await;
    match answered {
        Ok(Ok(answer)) => answer,
        Ok(Err(message)) => ControlAnswer::failed(&message),
        Err(_) => ControlAnswer::failed("answering ended by itself; this is a bug of the node"),
    }
}

async fn submit(root: &RootHandle, transaction: Vec<u8>) -> ControlAnswer {
    let submitter = root.clone();
    let submitted = spawn_blocking(move || submitter.submit(transaction)).await;
    let waiting = match submitted {
        Ok(Ok(waiting)) => waiting,
        Ok(Err(RootSubmitError::Rejected(reject))) => {
            let refused = Refused::new(reject.module, reject.code, &reject.message);
            return ControlAnswer::Refused(refused);
        }
        Ok(Err(other)) => return ControlAnswer::failed(&other.to_string()),
        Err(_) => return ControlAnswer::failed("checking ended by itself; this is a bug"),
    };
    let seconds = HEIGHT_WAIT.as_secs();
    let done = match timeout(HEIGHT_WAIT, waiting).await {
        Ok(Ok(done)) => done,
        Ok(Err(_)) => return ControlAnswer::failed("the node stopped before the next height"),
        Err(_) => {
            let message = format!(
                "the transaction was taken up, and is in no height after {seconds} s; it may \
                 still come into one"
            );
            return ControlAnswer::failed(&message);
        }
    };
    let failure = match &done.receipt.status {
        ReceiptStatus::Accepted => None,
        ReceiptStatus::Rejected {
            module,
            code,
            message,
        } => Some(Refused::new(module, *code, message)),
    };
    ControlAnswer::Receipt(ControlReceipt {
        height: done.height.0,
        transaction: done.receipt.input,
        failure,
        events: Blob(done.receipt.output),
    })
}

fn read(root: &RootHandle, request: &ControlRequest) -> Result<ControlAnswer, String> {
    let tip = root.tip();
    Ok(match request {
        ControlRequest::Query(query) => ControlAnswer::Query(QueryAnswer {
            height: tip.height.0,
            answer: Blob(
                root.query(&tip, &query.0)
                    .map_err(|error| error.to_string())?,
            ),
        }),
        ControlRequest::Genesis(_) => ControlAnswer::Genesis(Blob(root.genesis().encode())),
        ControlRequest::Export(_) => {
            let exported = trilith_root::export_genesis(&*tip.view, root.genesis());
            ControlAnswer::Genesis(Blob(exported.map_err(|error| error.to_string())?.encode()))
        }
        ControlRequest::Events(asked) => {
            ControlAnswer::Events(events(root, &tip, Height(asked.since))?)
        }
        ControlRequest::Status(_) => ControlAnswer::Status(status(root, &tip)?),
        ControlRequest::Submit(_) => return Err("a transaction is not read".into()),
    })
}

fn ask(root: &RootHandle, tip: &RootTip, query: &RootQuery) -> Result<RootAnswer, String> {
    let answer = root
        .query(tip, &query.encode())
        .map_err(|error| error.to_string())?;
    RootAnswer::decode(&answer).map_err(|error| error.to_string())
}

/// What happened from a height on, as far as it is known and fits an answer.
fn events(root: &RootHandle, tip: &RootTip, since: Height) -> Result<EventsAnswer, String> {
    let oldest = tip.height.0.saturating_sub(EVENTS_KEPT - 1);
    let first = since.0.max(oldest);
    let mut answer = EventsAnswer {
        heights: BTreeMap::new(),
        next: first,
        kept_since: oldest,
    };
    let mut bytes = 0;
    while answer.next <= tip.height.0 && bytes < EVENTS_BYTES {
        let height = Height(answer.next);
        let RootAnswer::Events(mut events) = ask(root, tip, &RootQuery::Events(height))? else {
            return Err("the root gives another answer than was asked for".into());
        };
        let (_, mut of_transactions) = root.transaction_events(height, height);
        events.extend(of_transactions.remove(&height.0).unwrap_or_default());
        if !events.is_empty() {
            let encoded = RootEvent::encode_list(&events);
            bytes += encoded.len();
            answer.heights.insert(height.0, Blob(encoded));
        }
        answer.next += 1;
    }
    Ok(answer)
}

fn status(root: &RootHandle, tip: &RootTip) -> Result<StatusAnswer, String> {
    let other = || "the root gives another answer than was asked for".to_owned();
    let RootAnswer::Epoch { epoch, since } = ask(root, tip, &RootQuery::Epoch)? else {
        return Err(other());
    };
    let RootAnswer::Tip { time, .. } = ask(root, tip, &RootQuery::Tip)? else {
        return Err(other());
    };
    let genesis = root.genesis();
    Ok(StatusAnswer {
        chain: genesis.chain.clone(),
        chain_context: genesis.chain_context(),
        height: tip.height.0,
        state_root: tip.view.root(),
        time: time.0,
        epoch: epoch.0,
        epoch_since: since.0,
        epoch_interval: genesis.epoch_interval,
        software: concat!("trilith ", env!("CARGO_PKG_VERSION")).to_owned(),
    })
}
