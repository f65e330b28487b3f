//! What a round took up of its incoming messages goes into the header executors commit to.

use std::sync::Arc;

use trilith_host::{Executed, Host, HostFault, OutcomeError};
use trilith_protocol::root::{Address, Blob, FromRoot, IncomingMessage, Quantity};
use trilith_protocol::{
    Admission, Batch, CheckContext, Demand, Fault, Outcome, QueryContext, QueryError, Reject,
    RoundContext, RoundLimits, Runtime, io,
};
use trilith_store::Store;
use trilith_types::{Epoch, Hash, Height, Round, RuntimeId, StateRead, TimeNanos, WriteLogEntry};

/// A runtime that takes up a fixed number of messages and writes their data.
struct Taker(u32);

impl Runtime for Taker {
    fn check(&self, _: &dyn StateRead, _: &[u8], _: &CheckContext) -> Result<Admission, Reject> {
        Err(Reject {
            module: "taker",
            code: 1,
            message: "this runtime takes messages only".into(),
        })
    }

    fn execute(
        &self,
        _: &dyn StateRead,
        _: &Batch,
        context: &RoundContext,
        _: &RoundLimits,
    ) -> Result<Outcome, Fault> {
        let taken = context.from_root.incoming.iter().take(self.0 as usize);
        let write_log = taken.map(|message| WriteLogEntry {
            key: message.id.to_be_bytes().map(|byte| byte | 0x80).to_vec(),
            value: Some(message.data.0.clone()),
        });
        Ok(Outcome {
            write_log: write_log.collect(),
            incoming_taken: self.0,
            ..Outcome::default()
        })
    }

    fn query(&self, _: &dyn StateRead, _: &[u8], _: &QueryContext) -> Result<Vec<u8>, QueryError> {
        Ok(Vec::new())
    }

    fn demand(&self, _: &dyn StateRead) -> Result<Demand, Fault> {
        Ok(Demand::Idle)
    }

    fn sealed(&self, _: Hash) {}
}

fn message(id: u64) -> IncomingMessage {
    IncomingMessage {
        id,
        caller: Address::from_bytes([1; Address::LEN]),
        tag: 0,
        fee: Quantity::ZERO,
        tokens: Quantity::new(5),
        data: Blob(vec![7]),
    }
}

/// A round on a store of its own.
fn round(taken: u32, incoming: &[IncomingMessage]) -> Result<Executed, HostFault> {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = Store::open_dir(folder.path()).unwrap();
    let context = RoundContext {
        runtime: RuntimeId::test(1),
        round: Round(1),
        time: TimeNanos(1),
        height: Height(1),
        epoch: Epoch(0),
        committee: Vec::new(),
        randomness: None,
        from_root: FromRoot {
            incoming: incoming.to_vec(),
            ..FromRoot::default()
        },
    };
    let limits = RoundLimits {
        batch_inputs_max: 10,
        batch_bytes_max: 1024,
        messages_max: 0,
    };
    let batch = Batch {
        time: TimeNanos(1),
        inputs: Vec::new(),
    };
    Host::new(Arc::new(store)).execute(&Taker(taken), Hash::EMPTY, &batch, &context, &limits)
}

#[test]
fn the_header_names_the_messages_that_were_taken_up() {
    let queue = [message(3), message(4), message(5)];
    for taken in 0..=3u32 {
        let executed = round(taken, &queue).unwrap();
        let header = executed.results(Round(1), Hash::EMPTY);
        assert_eq!(header.in_msgs_count, taken);
        let expected = io::incoming_hash(&queue[..taken as usize]);
        assert_eq!(header.in_msgs_hash, Some(expected));
        // Another replica reaches the same roots.
        assert_eq!(
            executed.state_root,
            round(taken, &queue).unwrap().state_root
        );
    }
}

#[test]
fn nothing_is_taken_up_that_was_not_shown() {
    let fault = round(2, &[message(3)]).unwrap_err();
    let bad = matches!(
        fault,
        HostFault::BadOutcome {
            error: OutcomeError::Incoming { taken: 2, shown: 1 },
            ..
        }
    );
    assert!(bad, "{fault}");
}
