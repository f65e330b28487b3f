//! What `ic-agent` and `ic-utils`, unmodified, can do with a node beyond the first steps of
//! `agent.rs`: every way of a call, every path of the state, every kind of identity, and the
//! management canister. Nothing here knows what the node is made of.

#[path = "../support/mod.rs"]
mod support;

mod calls;
mod identities;
mod management;
mod reads;

use ic_agent::AgentError;
use support::{Client, Node};
use tempfile::TempDir;

/// A node on a folder that goes with it, and a user.
struct Network {
    node: Node,
    owner: Client,
    _folder: TempDir,
}

impl Network {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let node = Node::start(folder.path());
        let owner = Client::new(&node);
        Self {
            node,
            owner,
            _folder: folder,
        }
    }

    /// Another user, whose key is made of `seed`.
    fn user(&self, seed: u8) -> Client {
        let identity = ic_agent::identity::BasicIdentity::from_raw_key(&[seed; 32]);
        Client::with_identity(&self.node, identity)
    }
}

/// The status and the text of a request that was refused before anything was certified.
fn refusal<T: std::fmt::Debug>(result: Result<T, AgentError>) -> (u16, String) {
    match result {
        Err(AgentError::HttpError(error)) => (
            error.status,
            String::from_utf8_lossy(&error.content).into_owned(),
        ),
        other => panic!("a refusal with a status was expected, not {other:?}"),
    }
}

/// The error code of a rejection, certified or not.
fn error_code<T: std::fmt::Debug>(result: Result<T, AgentError>) -> String {
    match result {
        Err(
            AgentError::CertifiedReject { reject, .. }
            | AgentError::UncertifiedReject { reject, .. },
        ) => reject.error_code.unwrap_or_default(),
        other => panic!("a rejection was expected, not {other:?}"),
    }
}
