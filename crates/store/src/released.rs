//! Versions that nobody holds any more, freed by a thread of their own.
//!
//! A version that was replaced leaves about ten nodes for each changed key, and freeing them takes
//! nearly as long as making them did. Who finalises does not wait for it, unless the thread is far
//! behind: so what waits to be freed is bounded.

use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::{Builder, JoinHandle};

use crate::view::View;

/// Versions that may wait to be freed. After a checkpoint one of them may be the last to hold a whole
/// tree, and some dozens of others follow while that is freed.
const WAITING_MAX: usize = 64;

/// The thread and the way to it.
pub(crate) struct Released {
    /// `None` where no thread was to be had.
    thread: Option<(SyncSender<Arc<View>>, JoinHandle<()>)>,
}

impl Released {
    pub(crate) fn new() -> Self {
        let (sender, receiver) = sync_channel::<Arc<View>>(WAITING_MAX);
        let thread = Builder::new()
            .name("store release".to_owned())
            .spawn(move || receiver.into_iter().for_each(drop));
        Self {
            thread: thread.ok().map(|thread| (sender, thread)),
        }
    }

    /// Lets go of views.
    pub(crate) fn free(&self, views: Vec<Arc<View>>) {
        for view in views {
            match &self.thread {
                None => drop(view),
                Some((sender, _)) => match sender.try_send(view) {
                    Ok(()) => {}
                    Err(TrySendError::Full(view) | TrySendError::Disconnected(view)) => drop(view),
                },
            }
        }
    }
}

impl Drop for Released {
    fn drop(&mut self) {
        if let Some((sender, thread)) = self.thread.take() {
            drop(sender);
            // A panic while freeing was reported by the thread itself.
            let _panicked = thread.join();
        }
    }
}
