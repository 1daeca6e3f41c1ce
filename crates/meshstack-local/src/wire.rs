//! The JSON of requests, field by field as the protocol lists them: an unknown field is an error.
//!
//! These types are this crate's own on purpose. Shared with a client, a wrong field name would agree with itself.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

/// `protocol/run-api.md`, Authentication.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Login {
    pub(crate) client_id: String,
    pub(crate) client_secret: String,
}

/// `protocol/run-api.md`, Register as a source.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Registration {
    pub(crate) source: Source,
    pub(crate) steps: Option<Vec<RegisteredStep>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Source {
    pub(crate) id: Option<String>,
    /// A string or a number.
    pub(crate) external_run_id: Option<Value>,
    pub(crate) external_run_url: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RegisteredStep {
    pub(crate) id: Option<String>,
    pub(crate) display_name: Option<String>,
    pub(crate) status: Option<String>,
}

/// `protocol/run-api.md`, Patch status.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "the four fields of the public Terraform runner are accepted and not needed")]
pub(crate) struct Patch {
    pub(crate) status: Option<String>,
    pub(crate) summary: Option<String>,
    pub(crate) steps: Option<Vec<PatchedStep>>,
    pub(crate) artifact: Option<String>,
    pub(crate) changes_detected: Option<bool>,
    block_run_id: Option<IgnoredAny>,
    source: Option<IgnoredAny>,
    #[serde(rename = "type")]
    kind: Option<IgnoredAny>,
    created_on: Option<IgnoredAny>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct PatchedStep {
    pub(crate) id: Option<String>,
    pub(crate) display_name: Option<String>,
    pub(crate) status: Option<String>,
    pub(crate) user_message: Option<String>,
    pub(crate) system_message: Option<String>,
    pub(crate) outputs: Option<BTreeMap<String, Output>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Output {
    /// Never null; `None` also stands for a value that is missing.
    pub(crate) value: Option<Value>,
    #[serde(rename = "type")]
    pub(crate) kind: Option<String>,
    #[serde(rename = "isSensitive")]
    pub(crate) sensitive: Option<bool>,
}

/// `protocol/run-api.md`, Runner objects.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RunnerObject {
    pub(crate) api_version: String,
    pub(crate) kind: String,
    pub(crate) metadata: RunnerMetadata,
    pub(crate) spec: RunnerFields,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RunnerMetadata {
    pub(crate) uuid: Option<String>,
    pub(crate) owned_by_workspace: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RunnerFields {
    pub(crate) display_name: String,
    pub(crate) public_key: String,
    pub(crate) implementation_type: String,
    pub(crate) workload_identity_federation: Option<WorkloadIdentity>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "checked to be complete, and handed back as it came")]
pub(crate) struct WorkloadIdentity {
    issuer: String,
    subject: String,
    pub(crate) gcp: Option<CloudIdentity>,
    pub(crate) aws: Option<CloudIdentity>,
    pub(crate) azure: Option<CloudIdentity>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "checked to be complete, and handed back as it came")]
pub(crate) struct CloudIdentity {
    audience: String,
    token_path: String,
}
