//! What a runner says about a run: registration as a source, and patches of its status.
//!
//! Source: `protocol/run-api.md`, "Register as a source" and "Patch status".

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Body of the registration as a source.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SourceRegistration {
    /// Who reports.
    pub source: Source,
    /// The steps known up front, in the order people see them.
    pub steps: Vec<StepRegistration>,
}

/// Somebody who reports status for a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Source {
    /// The runner's UUID.
    pub id: String,
    /// The run's name at the platform, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_run_id: Option<String>,
    /// The link to the pipeline that meshStack shows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_run_url: Option<String>,
}

/// A step at registration: always `PENDING`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StepRegistration {
    /// Id, unique within the source.
    pub id: String,
    /// What people see.
    pub display_name: String,
    /// `PENDING`.
    pub status: StepStatus,
}

/// Status of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum StepStatus {
    /// Not begun.
    Pending,
    /// Under way.
    InProgress,
    /// Done.
    Succeeded,
    /// Done, and not well.
    Failed,
}

/// Status of a run that a runner may report. `PENDING` is not among them: meshStack answers it with a 500.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RunStatus {
    /// Under way, or handed over to a pipeline.
    InProgress,
    /// Ended well.
    Succeeded,
    /// Ended badly.
    Failed,
}

/// A change of a run's status. A field left out keeps what meshStack has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusPatch {
    /// The run's status.
    pub status: RunStatus,
    /// A sentence for people.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub summary: Option<String>,
    /// The steps that changed; the others keep what they have.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub steps: Vec<StepPatch>,
    /// A saved plan, base64 (a preview without an upload link).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub artifact: Option<String>,
    /// Whether a preview found changes.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub changes_detected: Option<bool>,
}

impl StatusPatch {
    /// A patch that says nothing but the status: a sign of life when in progress.
    pub fn new(status: RunStatus) -> Self {
        Self { status, summary: None, steps: Vec::new(), artifact: None, changes_detected: None }
    }
}

/// A change of one step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StepPatch {
    /// The step's id.
    pub id: String,
    /// What people see.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub display_name: Option<String>,
    /// The step's status.
    pub status: StepStatus,
    /// For the person who ordered.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub user_message: Option<String>,
    /// The step's log so far, for the platform team. Replaces the earlier one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub system_message: Option<String>,
    /// Outputs by key; values are never null.
    #[serde(skip_serializing_if = "Map::is_empty", default)]
    pub outputs: Map<String, Value>,
}

/// A value that a run gives back.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Output {
    /// The value, not null.
    pub value: Value,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: OutputType,
    /// Whether it is a secret.
    pub is_sensitive: bool,
}

impl std::fmt::Debug for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut out = f.debug_struct("Output");
        if self.is_sensitive {
            out.field("value", &"***")
        } else {
            out.field("value", &self.value)
        };
        out.field("kind", &self.kind).finish()
    }
}

/// The types of outputs that meshStack accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum OutputType {
    /// Text.
    String,
    /// A number.
    Integer,
    /// Yes or no.
    Boolean,
    /// JSON as text.
    Code,
}

/// meshStack's answer to a patch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatchAnswer {
    /// Taken.
    Accepted,
    /// Somebody aborted the run: stop the work, report no end. (`runAborted`, on a 2xx as on a 409.)
    Aborted,
}

impl PatchAnswer {
    /// What a body says. A field that is missing, null or no boolean means no abort.
    pub fn read(body: &Value) -> Self {
        if body.get("runAborted").and_then(Value::as_bool) == Some(true) { Self::Aborted } else { Self::Accepted }
    }
}
