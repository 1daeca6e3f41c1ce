//! What the operator can read.

use std::io;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

use crate::world::within;

/// The log of the whole process: one of a thread's own would miss what another thread has met first.
#[derive(Clone, Default)]
pub(crate) struct OperatorLog(Arc<Mutex<Vec<u8>>>);

static LOG: LazyLock<OperatorLog> = LazyLock::new(|| {
    let log = OperatorLog::default();
    tracing_subscriber::fmt().with_ansi(false).with_writer(log.clone()).init();
    log
});

impl OperatorLog {
    /// From the first call on, everything is kept.
    pub(crate) fn read() -> Self {
        LOG.clone()
    }

    /// What is about one run; of an empty name, everything.
    pub(crate) fn of(&self, run: &str) -> String {
        let text = String::from_utf8_lossy(&self.0.lock().expect("the log")).into_owned();
        text.lines().filter(|line| line.contains(run)).collect::<Vec<_>>().join("\n")
    }

    /// Waits until something is said about a run.
    pub(crate) async fn until(&self, run: &str, text: &str) {
        within(text, async {
            while !self.of(run).contains(text) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
    }
}

impl io::Write for OperatorLog {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("the log").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for OperatorLog {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}
