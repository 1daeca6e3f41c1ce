//! What is noted of a run before and after its pipeline is started, so that it is started once.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::answer::LONGEST_WAIT;

/// How far a run has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Checkpoint {
    /// The pipeline is about to be started: it may or may not be.
    Intended {
        /// When, in seconds since 1970.
        at: u64,
    },
    /// Azure DevOps has certainly not started the pipeline: it may be asked to.
    NotAccepted {
        /// No request is wanted before this time, in seconds since 1970.
        until: u64,
    },
    /// The pipeline was started.
    Started {
        /// When, in seconds since 1970: its time limit counts from here.
        at: u64,
        /// The id of its run.
        run: u64,
        /// The page of its run.
        link: String,
        /// No request is wanted before this time, in seconds since 1970, if Azure DevOps said so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        quiet_until: Option<u64>,
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
    since_1970().as_secs()
}

fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// The time after a wait from now, in seconds since 1970, rounded up.
pub(crate) fn after(wait: Duration) -> u64 {
    since_1970().saturating_add(wait).as_secs().saturating_add(1)
}

/// How long it is until a time in seconds since 1970. No request is put off for longer than [`LONGEST_WAIT`]: a clock that
/// went back must not stop a run for good.
pub(crate) fn until(time: u64) -> Duration {
    Duration::from_secs(time).saturating_sub(since_1970()).min(LONGEST_WAIT)
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
        let started = Checkpoint::Started {
            at: 7,
            run: u64::from(u32::MAX) + 1,
            link: "https://a/1".to_owned(),
            quiet_until: Some(9),
        };
        for checkpoint in [Checkpoint::Intended { at: 7 }, Checkpoint::NotAccepted { until: 8 }, started] {
            assert_eq!(Checkpoint::read(&serde_json::to_value(&checkpoint).unwrap()), Some(checkpoint));
        }
        for other in [json!(null), json!({}), json!({ "dreamt": {} }), json!({ "started": { "at": 1 } })] {
            assert_eq!(Checkpoint::read(&other), None, "{other}");
        }
    }

    #[test]
    fn a_started_pipeline_that_an_earlier_version_noted_is_read() {
        let earlier = json!({ "started": { "at": 1, "run": 2, "link": "https://a/1" } });
        let expected = Checkpoint::Started { at: 1, run: 2, link: "https://a/1".to_owned(), quiet_until: None };
        assert_eq!(Checkpoint::read(&earlier), Some(expected));
    }

    #[test]
    fn a_wait_is_kept_whole_and_a_clock_that_went_back_does_not_stretch_it() {
        let wait = Duration::from_secs(60);
        let left = until(after(wait));
        assert!(left > wait / 2 && left <= wait + Duration::from_secs(1), "{left:?}");
        assert_eq!((until(now() - 5), until(u64::MAX)), (Duration::ZERO, LONGEST_WAIT));
    }

    #[test]
    fn a_limit_counts_from_the_start_and_a_clock_that_went_back_gives_all_of_it() {
        let limit = Duration::from_secs(1800);
        assert_eq!(left(limit, now() - 2000), Duration::ZERO);
        assert!(left(limit, now() - 600) <= Duration::from_secs(1200));
        assert_eq!(left(limit, now() + 600), limit);
    }
}
