//! Room for runs in hand: claimed, and not ended for meshStack.

use std::sync::Arc;

use tokio::sync::watch;

/// Counts the runs in hand.
pub(crate) struct Room {
    in_hand: watch::Sender<usize>,
    limit: usize,
}

/// The room of one run, until it is dropped.
pub(crate) struct RoomTaken(Arc<Room>);

impl Room {
    pub(crate) fn new(limit: usize) -> Self {
        Self { in_hand: watch::Sender::new(0), limit }
    }

    /// Waits until one more run may be taken in hand.
    pub(crate) async fn is_free(&self) {
        // It cannot fail: the sender is here.
        let _ = self.in_hand.subscribe().wait_for(|in_hand| *in_hand < self.limit).await;
    }

    /// Takes a run in hand. It is counted beyond the limit too: a run that was claimed to show life,
    /// or is left from an earlier process, keeps others from being claimed.
    pub(crate) fn take(self: &Arc<Self>) -> RoomTaken {
        self.in_hand.send_modify(|in_hand| *in_hand += 1);
        RoomTaken(Arc::clone(self))
    }
}

impl Drop for RoomTaken {
    fn drop(&mut self) {
        self.0.in_hand.send_modify(|in_hand| *in_hand -= 1);
    }
}
