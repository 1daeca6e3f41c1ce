//! What is noted of a run before and after its pipeline is started, so that it is started once.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How far a run has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Checkpoint {
    /// The pipeline is about to be started: it may or may not be.
    Intended {
        /// When, in seconds since 1970.
        at: u64,
    },
    /// The pipeline was started.
    Started {
        /// When, in seconds since 1970: its time limit counts from here.
        at: u64,
        /// The id of its run.
        run: u64,
        /// The page of its run.
        link: String,
    },
}

impl Checkpoint {
    /// Reads one; `None` if it is of another version, or damaged.
    pub(crate) fn read(value: &Value) -> Option<Self> {
        Self::deserialize(value).ok()
    }
}

/// Now, in seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// How much of `limit` is left, counted from `at`; all of it if the clock went back.
pub(crate) fn left(limit: Duration, at: u64) -> Duration {
    limit.saturating_sub(Duration::from_secs(now().saturating_sub(at)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_checkpoint_is_read_as_it_was_written_and_nonsense_is_none() {
        let started = Checkpoint::Started { at: 7, run: u64::from(u32::MAX) + 1, link: "https://a/1".to_owned() };
        for checkpoint in [Checkpoint::Intended { at: 7 }, started] {
            assert_eq!(Checkpoint::read(&serde_json::to_value(&checkpoint).unwrap()), Some(checkpoint));
        }
        for other in [json!(null), json!({}), json!({ "dreamt": {} }), json!({ "started": { "at": 1 } })] {
            assert_eq!(Checkpoint::read(&other), None, "{other}");
        }
    }

    #[test]
    fn a_limit_counts_from_the_start_and_a_clock_that_went_back_gives_all_of_it() {
        let limit = Duration::from_secs(1800);
        assert_eq!(left(limit, now() - 2000), Duration::ZERO);
        assert!(left(limit, now() - 600) <= Duration::from_secs(1200));
        assert_eq!(left(limit, now() + 600), limit);
    }
}
