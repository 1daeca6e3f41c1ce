//! Asks the runner to end: in order, or at once.

use std::future::Future;

use tokio_util::sync::CancellationToken;

/// The switch to end a runner. Cheap to clone; all clones are one.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    drain: CancellationToken,
    now: CancellationToken,
}

impl Shutdown {
    /// A switch that nobody has turned.
    pub fn new() -> Self {
        Self::default()
    }

    /// Claim nothing more; give running work its grace period, stop the rest in order, report it.
    pub fn drain(&self) {
        self.drain.cancel();
    }

    /// End at once. What is not reported stays in the journal.
    pub fn now(&self) {
        self.drain.cancel();
        self.now.cancel();
    }

    /// Whether [`drain`](Self::drain) or [`now`](Self::now) was called.
    pub fn is_draining(&self) -> bool {
        self.drain.is_cancelled()
    }

    /// Whether [`now`](Self::now) was called.
    pub fn is_at_once(&self) -> bool {
        self.now.is_cancelled()
    }

    /// Waits for [`drain`](Self::drain) or [`now`](Self::now).
    pub fn draining(&self) -> impl Future<Output = ()> + Send + use<> {
        self.drain.clone().cancelled_owned()
    }

    /// Waits for [`now`](Self::now).
    pub fn at_once(&self) -> impl Future<Output = ()> + Send + use<> {
        self.now.clone().cancelled_owned()
    }
}
