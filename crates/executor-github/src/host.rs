//! What is known of a host, whoever asks it.

use std::sync::atomic::{AtomicI64, AtomicU8, Ordering};
use std::time::SystemTime;

use runner_core::web::Answer;

use crate::clock;

/// Whether a host names the run that a dispatch starts.
///
/// Source: `protocol/executors.md`, `GITHUB_WORKFLOW`, 7.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Details {
    /// Nobody asked yet.
    Unknown,
    /// It does.
    Given,
    /// It does not, or refuses the question: GitHub Enterprise Server up to 3.20.
    Refused,
}

/// A host, GitHub's own or an Enterprise Server.
#[derive(Debug, Default)]
pub(crate) struct Host {
    details: AtomicU8,
    /// Seconds that its clock is ahead of ours.
    ahead: AtomicI64,
}

impl Host {
    pub(crate) fn details(&self) -> Details {
        match self.details.load(Ordering::SeqCst) {
            1 => Details::Given,
            2 => Details::Refused,
            _ => Details::Unknown,
        }
    }

    pub(crate) fn learn(&self, details: Details) {
        let value = match details {
            Details::Unknown => return,
            Details::Given => 1,
            Details::Refused => 2,
        };
        self.details.store(value, Ordering::SeqCst);
    }

    /// Takes the time from an answer.
    pub(crate) fn saw(&self, answer: &Answer) {
        if let Some(date) = answer.date() {
            self.ahead.store(clock::unix(date) - clock::now(), Ordering::SeqCst);
        }
    }

    /// The host's time, in seconds since 1970; a second or so off.
    pub(crate) fn now(&self) -> i64 {
        clock::unix(SystemTime::now()) + self.ahead.load(Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_learnt_stays() {
        let host = Host::default();
        assert_eq!(host.details(), Details::Unknown);
        host.learn(Details::Refused);
        host.learn(Details::Unknown);
        assert_eq!(host.details(), Details::Refused);
    }
}
