//! What survives a restart: where a run's workflow is.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How far the start of a workflow has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Phase {
    /// Nothing was sent: it may be started anew.
    Waiting,
    /// A dispatch may have been sent.
    Dispatching,
    /// GitHub took the dispatch.
    Dispatched,
}

/// Where a run's workflow is. Written before and after its dispatch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Checkpoint {
    pub(crate) phase: Phase,
    /// The API's root.
    pub(crate) base: String,
    /// `owner/repository`.
    pub(crate) repository: String,
    pub(crate) workflow: String,
    /// The branch or tag, in its short form.
    pub(crate) branch: String,
    /// When it was sent, in seconds of GitHub's clock: a run of this dispatch is not older.
    #[serde(default)]
    pub(crate) not_before: i64,
    /// The same in seconds of our clock: the time limit counts from here.
    #[serde(default)]
    pub(crate) triggered_at: i64,
    /// Whether the host is known to name the run of a dispatch, or known not to.
    #[serde(default)]
    pub(crate) details: Option<bool>,
    /// The workflow run.
    #[serde(default)]
    pub(crate) run_id: Option<u64>,
    /// Its page.
    #[serde(default, deserialize_with = "crate::models::page")]
    pub(crate) url: Option<String>,
}

impl Checkpoint {
    /// Reads what an earlier process wrote.
    pub(crate) fn read(value: &Value) -> Option<Self> {
        serde_json::from_value(value.clone()).ok()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_checkpoint_is_read_as_it_was_written_and_an_older_one_too() {
        let written = Checkpoint {
            phase: Phase::Dispatched,
            base: "https://api.github.com/".to_owned(),
            repository: "likvid/infra".to_owned(),
            workflow: "apply.yml".to_owned(),
            branch: "main".to_owned(),
            not_before: 1_579_721_588,
            triggered_at: 1_579_721_590,
            details: Some(true),
            run_id: Some(30_433_642_123_456),
            url: Some("https://github.com/likvid/infra/actions/runs/30433642123456".to_owned()),
        };
        let value = serde_json::to_value(&written).unwrap();
        assert_eq!(Checkpoint::read(&value), Some(written));
        let short = json!({ "phase": "dispatching", "base": "b", "repository": "r", "workflow": "w", "branch": "m" });
        assert_eq!(Checkpoint::read(&short).map(|checkpoint| checkpoint.phase), Some(Phase::Dispatching));
        assert_eq!(Checkpoint::read(&json!({ "phase": "a new one" })), None);
        assert_eq!(Checkpoint::read(&json!(7)), None);
    }
}
