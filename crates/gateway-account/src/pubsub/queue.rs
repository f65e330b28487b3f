//! What waits for one client, bounded in number and in bytes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::{Notify, mpsc};

use crate::Limits;

/// The end of the queue that the hub holds. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Sink {
    sender: mpsc::Sender<String>,
    state: Arc<State>,
    bytes_max: usize,
}

struct State {
    bytes: AtomicUsize,
    overflown: AtomicBool,
    overflow: Notify,
}

/// The end that the connection holds.
pub(crate) struct Source {
    receiver: mpsc::Receiver<String>,
    state: Arc<State>,
}

/// A queue with the bounds of `limits`.
pub(crate) fn queue(limits: &Limits) -> (Sink, Source) {
    let (sender, receiver) = mpsc::channel(limits.notifications.max(1));
    let state = Arc::new(State {
        bytes: AtomicUsize::new(0),
        overflown: AtomicBool::new(false),
        overflow: Notify::new(),
    });
    let sink = Sink {
        sender,
        state: state.clone(),
        bytes_max: limits.notification_bytes,
    };
    (sink, Source { receiver, state })
}

impl Sink {
    /// Adds a notification; marks the queue as overflown if it does not fit.
    pub(crate) fn send(&self, text: String) {
        let len = text.len();
        let waiting = self.state.bytes.fetch_add(len, Ordering::AcqRel);
        if waiting + len > self.bytes_max || self.sender.try_send(text).is_err() {
            self.state.overflown.store(true, Ordering::Release);
            self.state.overflow.notify_one();
        }
    }
}

impl Source {
    /// The next notification; `None` once the client turned out to be too slow.
    pub(crate) async fn next(&mut self) -> Option<String> {
        if self.state.overflown.load(Ordering::Acquire) {
            return None;
        }
        tokio::select! {
            biased;
            () = self.state.overflow.notified() => None,
            text = self.receiver.recv() => {
                if let Some(text) = &text {
                    self.state.bytes.fetch_sub(text.len(), Ordering::AcqRel);
                }
                text
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounded(notifications: usize, notification_bytes: usize) -> (Sink, Source) {
        queue(&Limits {
            notifications,
            notification_bytes,
            ..Limits::STANDARD
        })
    }

    #[tokio::test]
    async fn what_fits_comes_in_order_and_frees_its_place() {
        let (sink, mut source) = bounded(2, 10);
        for turn in 0..20 {
            sink.send(format!("a{turn}"));
            sink.send(format!("b{turn}"));
            assert_eq!(source.next().await, Some(format!("a{turn}")));
            assert_eq!(source.next().await, Some(format!("b{turn}")));
        }
    }

    #[tokio::test]
    async fn a_slow_client_is_found_out_by_number_and_by_bytes() {
        let (sink, mut source) = bounded(2, 100);
        for _ in 0..3 {
            sink.send("x".into());
        }
        assert_eq!(source.next().await, None);
        let (sink, mut source) = bounded(100, 10);
        sink.send("x".repeat(6));
        sink.send("x".repeat(6));
        assert_eq!(source.next().await, None);
        assert_eq!(source.next().await, None);
    }
}
