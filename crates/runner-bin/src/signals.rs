//! SIGTERM and SIGINT: the first asks for an orderly end, the second for one at once.

use std::io;

use runner_core::Shutdown;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The two signals that ask a process to end.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Catches them from now on.
    pub(crate) fn catch() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for the next one, and gives its name.
    pub(crate) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }

    /// Turns the switch: drain at the first signal, now at the second.
    pub(crate) async fn turn(mut self, shutdown: Shutdown) {
        let name = self.next().await;
        tracing::info!("{name}: claiming no more runs, letting running work end; a second signal ends at once");
        shutdown.drain();
        let name = self.next().await;
        tracing::warn!("{name}: ending at once");
        shutdown.now();
    }
}
