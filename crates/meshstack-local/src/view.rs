//! What a test or a person sees of a run and of a runner.

use std::collections::BTreeMap;
use std::fmt;
use std::time::SystemTime;

use axum::body::Bytes;
use serde::Serialize;
use serde_json::Value;

use crate::Recorded;

/// The status of a run, shown and compared by its word on the wire: `view.status == "SUCCEEDED"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RunStatus {
    /// Queued, not claimed (or queued again).
    Pending,
    /// Claimed.
    InProgress,
    /// Ended well.
    Succeeded,
    /// Ended badly.
    Failed,
    /// Somebody aborted it.
    Aborted,
}

impl RunStatus {
    /// The word on the wire.
    pub fn word(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::InProgress => "IN_PROGRESS",
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
            Self::Aborted => "ABORTED",
        }
    }

    /// Whether nothing can come after it.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Aborted)
    }
}

/// The status of a step, shown and compared by its word on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum StepStatus {
    /// Not begun.
    Pending,
    /// At work.
    InProgress,
    /// Ended well.
    Succeeded,
    /// Ended badly.
    Failed,
}

impl StepStatus {
    /// The word on the wire.
    pub fn word(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::InProgress => "IN_PROGRESS",
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
        }
    }
}

macro_rules! reads_as_its_word {
    ($($status:ty),*) => {$(
        impl fmt::Display for $status {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.word())
            }
        }
        impl PartialEq<str> for $status {
            fn eq(&self, other: &str) -> bool {
                self.word() == other
            }
        }
        impl PartialEq<&str> for $status {
            fn eq(&self, other: &&str) -> bool {
                self.word() == *other
            }
        }
    )*};
}
reads_as_its_word!(RunStatus, StepStatus);

/// An output as it was reported.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OutputView {
    /// Its value, as it came; never null.
    pub value: Value,
    /// `STRING`, `INTEGER`, `BOOLEAN` or `CODE`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether it is to be kept secret.
    #[serde(rename = "isSensitive")]
    pub sensitive: bool,
}

/// A step of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StepView {
    /// The source it belongs to.
    pub source: String,
    /// Its id within the source.
    pub id: String,
    /// Its name for people.
    pub display_name: String,
    /// Its status.
    pub status: StepStatus,
    /// The message for the person who ordered.
    pub user_message: Option<String>,
    /// The log so far, for the platform team.
    pub system_message: Option<String>,
    /// Its outputs.
    pub outputs: BTreeMap<String, OutputView>,
}

/// Somebody who reports for a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceView {
    /// The source's id; a runner's is its UUID.
    pub id: String,
    /// The id of the run on the other platform: a string or a number.
    pub external_run_id: Option<Value>,
    /// The link to the run on the other platform.
    pub external_run_url: Option<String>,
}

/// A run, as meshStack knows it at one moment.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RunView {
    /// Its UUID.
    pub uuid: String,
    /// The runner it is queued for.
    pub runner: String,
    /// `APPLY`, `DETECT`, `DESTROY`, or what a raw run had.
    pub behavior: String,
    /// The building block's name for people.
    pub display_name: String,
    /// Its status.
    pub status: RunStatus,
    /// The last summary.
    pub summary: Option<String>,
    /// The steps of all sources, in the order in which they were first heard of.
    pub steps: Vec<StepView>,
    /// The outputs of all steps together; of equal keys the later step wins.
    pub outputs: BTreeMap<String, OutputView>,
    /// Who has registered.
    pub sources: Vec<SourceView>,
    /// The saved plan that a DETECT run has handed in.
    #[serde(skip)]
    pub artifact: Option<Bytes>,
    /// Whether a DETECT run has found changes.
    pub changes_detected: Option<bool>,
    /// How often it was claimed.
    pub claims: u64,
    /// How often somebody registered, refused or not.
    pub registers: u64,
    /// How many patches were accepted.
    pub patches: u64,
    /// How many patches were refused because the run was over (an abort included).
    pub patches_after_end: u64,
    /// How often a final status was accepted; an abort by a person is not one.
    pub ended_count: u64,
    /// Every remembered request that names this run, and its claims, in order.
    pub requests: Vec<Recorded>,
}

impl RunView {
    /// The first step of this id, whoever it belongs to.
    pub fn step(&self, id: &str) -> Option<&StepView> {
        self.steps.iter().find(|step| step.id == id)
    }

    /// Whether meshStack would show the run with a warning: it succeeded, and one of its steps did not say so.
    pub fn has_warning(&self) -> bool {
        self.status == RunStatus::Succeeded && self.steps.iter().any(|step| step.status != StepStatus::Succeeded)
    }
}

/// What meshStack shows about a runner (`protocol/run-api.md`, Claim a run).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum RunnerState {
    /// Registered, and has never asked for a run.
    Pending,
    /// Has asked for a run in the last 5 minutes.
    Active,
    /// Has fallen silent.
    Error,
}

/// A registered runner.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RunnerView {
    /// Its UUID.
    pub uuid: String,
    /// The runner object, as registered last.
    pub object: Value,
    /// Its state by the clock.
    pub state: RunnerState,
    /// When it last asked for a run.
    #[serde(skip)]
    pub last_claim: Option<SystemTime>,
    /// How often it asked for a run.
    pub polls: u64,
    /// The last `X-Meshcloud-Runner-Version` of a claim.
    pub last_version: Option<String>,
    /// The last `X-Meshcloud-Runner-Name` of a claim.
    pub last_name: Option<String>,
    /// The last `X-Block-Runner-Node-Id` of a claim.
    pub last_node_id: Option<String>,
}
