//! As whom one run is reported; a run that is queued again brings a new token.

use std::sync::{Mutex, PoisonError};

use meshstack_client::RunAccess;
use tokio::sync::Notify;

/// The current access to one run.
pub(crate) struct Access {
    current: Mutex<(RunAccess, u64)>,
    renewed: Notify,
}

impl Access {
    pub(crate) fn new(access: RunAccess) -> Self {
        Self { current: Mutex::new((access, 0)), renewed: Notify::new() }
    }

    pub(crate) fn current(&self) -> RunAccess {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).0.clone()
    }

    /// Counts the renewals: who remembers it sees whether meshStack must be told everything anew.
    pub(crate) fn generation(&self) -> u64 {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).1
    }

    pub(crate) fn renew(&self, access: RunAccess) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        current.0 = access;
        current.1 += 1;
        drop(current);
        self.renewed.notify_one();
    }

    /// Waits until the access is a newer one than that of `generation`.
    pub(crate) async fn newer_than(&self, generation: u64) {
        while self.generation() == generation {
            self.renewed.notified().await;
        }
    }

    /// Waits for a renewal since the last call.
    pub(crate) async fn renewed(&self) {
        self.renewed.notified().await;
    }
}
