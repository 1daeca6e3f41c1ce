//! One way to stop a run, whatever the reason.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

/// Asks a run to stop, and says why. Cheap to clone; all clones are one.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    token: CancellationToken,
    reason: Arc<OnceLock<StopReason>>,
}

/// Why a run is asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StopReason {
    /// Somebody aborted it in meshStack; no end is reported.
    Aborted,
    /// It took longer than it may.
    TimeLimit(Duration),
    /// The run token runs out: after it nothing could be reported any more.
    TokenExpires,
    /// meshStack has ended it already; nothing more can be reported.
    RunOver,
    /// The runner is shut down.
    Shutdown,
}

impl StopReason {
    /// The sentence for the person who ordered.
    pub fn user_message(self) -> String {
        match self {
            Self::Aborted => "The run was aborted.".to_owned(),
            Self::RunOver => "The run was ended in meshStack while it was still being carried out.".to_owned(),
            Self::TimeLimit(limit) => format!(
                "The run was stopped because it took longer than its limit of {}. \
                 Start it again, or ask the platform team to raise the limit.",
                human(limit)
            ),
            Self::TokenExpires => "The run was stopped because its permission to report to meshStack ends. \
                 Start it again; if it needs this long, ask the platform team to split it."
                .to_owned(),
            Self::Shutdown => {
                "The runner was shut down and had to stop this run. Check the result and start the run again."
                    .to_owned()
            }
        }
    }
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Aborted => f.write_str("aborted in meshStack"),
            Self::RunOver => f.write_str("ended in meshStack"),
            Self::TimeLimit(limit) => write!(f, "time limit of {} reached", human(*limit)),
            Self::TokenExpires => f.write_str("the run token expires"),
            Self::Shutdown => f.write_str("the runner is shut down"),
        }
    }
}

impl Stop {
    /// Asks to stop. The first reason stands.
    pub fn request(&self, reason: StopReason) {
        let _ = self.reason.set(reason);
        self.token.cancel();
    }

    /// Whether a stop was asked for, and why.
    pub fn reason(&self) -> Option<StopReason> {
        if self.token.is_cancelled() { self.reason.get().copied() } else { None }
    }

    /// Waits until a stop is asked for.
    pub async fn requested(&self) -> StopReason {
        self.token.cancelled().await;
        self.reason.get().copied().unwrap_or(StopReason::Shutdown)
    }

    /// The token itself, for libraries that take one.
    pub fn token(&self) -> &CancellationToken {
        &self.token
    }
}

/// A duration as people write it: `90 s`, `30 min`, `2 h`.
pub(crate) fn human(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        _ => format!("{} h", seconds / 3600),
    }
}
