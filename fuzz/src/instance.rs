//! The account engine in this process, as a gateway sees a node.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;
use trilith_engine_account::query::{Answer, Chain, Question};
use trilith_gateway_account::port::{BoxFuture, NodePort, Proof, StateView, SubmitError};
use trilith_local::{Local, LocalError};
use trilith_protocol::{Fault, QueryError};
use trilith_types::{ImageId, Round};

/// An instance that is only asked: what is submitted to it has no effect.
#[derive(Clone)]
pub struct Instance(Arc<Mutex<Local>>);

impl Instance {
    /// An instance with the accounts of genesis.
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(Local::new())))
    }
}

impl Default for Instance {
    fn default() -> Self {
        Self::new()
    }
}

impl NodePort for Instance {
    fn newest(&self) -> BoxFuture<Arc<dyn StateView>> {
        let view = self.current();
        Box::pin(async move { view })
    }

    fn current(&self) -> Arc<dyn StateView> {
        Arc::new(self.clone())
    }

    fn submit(&self, _: Vec<u8>) -> Result<(), SubmitError> {
        Ok(())
    }

    fn rounds(&self) -> watch::Receiver<Round> {
        watch::channel(Round(1)).1
    }

    fn look(&self) {}

    fn is_healthy(&self) -> bool {
        true
    }
}

impl StateView for Instance {
    fn round(&self) -> Round {
        Round(1)
    }

    fn ask(&self, question: &Question) -> Result<Answer, QueryError> {
        let local = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        local.ask(question).map_err(|error| match error {
            LocalError::Query(error) => error,
            other => Fault(other.to_string()).into(),
        })
    }

    fn prove(&self, _: &[u8]) -> Result<Option<Proof>, QueryError> {
        Ok(None)
    }

    fn prove_image(&self, _: &ImageId) -> Result<Option<Proof>, QueryError> {
        Ok(None)
    }

    fn chain(&self) -> Result<Arc<Chain>, QueryError> {
        match self.ask(&Question::Chain)? {
            Answer::Chain(chain) => Ok(chain.into()),
            _ => Err(Fault("another answer".into()).into()),
        }
    }
}
