//! What survives a restart: how far the trigger of a run's pipeline has come.

use runner_core::Failure;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How far a run is. A tag of its own outside, since numbers do not survive tagged variants with exact JSON numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Checkpoint {
    /// GitLab has certainly not accepted a trigger: it may be sent.
    #[serde(rename_all = "camelCase")]
    NotAccepted {
        /// GitLab wants no request before, in seconds since 1970.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        not_before: Option<u64>,
    },
    /// A trigger is on its way. Whether it arrived is not known.
    Sending {
        /// When, in seconds since 1970.
        at: u64,
    },
    /// GitLab has started the pipeline.
    Started(Started),
}

/// A pipeline that was started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Started {
    /// Its id, if GitLab's answer had one.
    pub(crate) id: Option<u64>,
    /// Its page, if the answer had one.
    pub(crate) web_url: Option<String>,
    /// When it was triggered, in seconds since 1970.
    pub(crate) at: u64,
}

impl Checkpoint {
    pub(crate) fn read(value: Value) -> Result<Self, Failure> {
        serde_json::from_value(value).map_err(|source| {
            Failure::because(
                "The runner was restarted and cannot tell any more whether the pipeline was started. \
                 Look for it in GitLab; if there is none, start the run again.",
                source,
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Checkpoint, Started};

    #[test]
    fn a_checkpoint_reads_back_as_it_was_written() {
        let started = Started { id: Some(u64::MAX), web_url: Some("https://x/1".to_owned()), at: 7 };
        for checkpoint in [
            Checkpoint::NotAccepted { not_before: None },
            Checkpoint::NotAccepted { not_before: Some(1_767_225_600) },
            Checkpoint::Sending { at: 1_767_225_600 },
            Checkpoint::Started(started),
        ] {
            let text = serde_json::to_string(&checkpoint).expect("JSON");
            let value = serde_json::from_str(&text).expect("JSON");
            assert_eq!(Checkpoint::read(value).expect("a checkpoint"), checkpoint, "{text}");
        }
    }

    #[test]
    fn one_of_before_there_was_a_time_to_keep_to_can_be_read() {
        let read = Checkpoint::read(json!({ "notAccepted": {} })).expect("a checkpoint");
        assert_eq!(read, Checkpoint::NotAccepted { not_before: None });
    }

    #[test]
    fn one_that_cannot_be_read_is_not_taken_for_a_run_that_was_not_started() {
        let failure = Checkpoint::read(json!({ "somethingNew": 1 })).expect_err("unknown");
        assert!(failure.user_message().contains("cannot tell"), "{failure}");
    }
}
