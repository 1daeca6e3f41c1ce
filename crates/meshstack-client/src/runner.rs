//! Runner objects: how a runner is registered with meshStack.
//!
//! Source: `protocol/run-api.md`, "Runner objects".

use std::fmt;

use serde_json::{Value, json};

use crate::run::open_enum;

/// A registration. `metadata.uuid` is not part of it: meshStack assigns it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunnerObject {
    /// The workspace of the platform team that owns the runner.
    pub owned_by_workspace: String,
    /// What people see.
    pub display_name: String,
    /// The X.509 certificate, PEM, whose key meshStack encrypts secrets for. A bare public key is refused by meshStack.
    pub public_key: String,
    /// Which building blocks it serves.
    pub implementation_type: RunnerType,
    /// How runs get credentials of a cloud without a stored secret.
    pub workload_identity_federation: Option<WorkloadIdentityFederation>,
}

open_enum! {
    /// What a runner serves, as registrations spell it (two words differ from those of runs).
    RunnerType {
        /// Done by hand, or by nobody.
        Manual = "MANUAL",
        /// Terraform, or `OpenTofu`.
        Terraform = "TERRAFORM",
        /// A GitHub Actions workflow.
        GithubWorkflow = "GITHUB_WORKFLOW",
        /// A GitLab pipeline; runs say `GITLAB_CICD`.
        GitlabPipeline = "GITLAB_PIPELINE",
        /// An Azure DevOps pipeline; runs say `AZURE_DEVOPS`.
        AzureDevopsPipeline = "AZURE_DEVOPS_PIPELINE",
        /// Every type.
        All = "ALL",
    }
}

/// Trust of clouds in the service account that runs are executed as. One cloud at least is filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkloadIdentityFederation {
    /// Who issues the tokens.
    pub issuer: String,
    /// Whom they name.
    pub subject: String,
    /// Google Cloud.
    pub gcp: Option<CloudIdentity>,
    /// AWS.
    pub aws: Option<CloudIdentity>,
    /// Azure.
    pub azure: Option<CloudIdentity>,
}

/// A token for one cloud.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloudIdentity {
    /// Whom the token is for.
    pub audience: String,
    /// Where a run finds the token.
    pub token_path: String,
}

impl RunnerObject {
    /// The body of a creation (no UUID) or of an update.
    pub(crate) fn to_json(&self, uuid: Option<&str>) -> Value {
        let mut object = json!({
            "apiVersion": "v1-preview",
            "kind": "meshBuildingBlockRunner",
            "metadata": {},
            "spec": {
                "displayName": self.display_name,
                "publicKey": self.public_key,
                "implementationType": self.implementation_type.as_str(),
            },
        });
        if let Some(uuid) = uuid {
            object["metadata"]["uuid"] = uuid.into();
        }
        object["metadata"]["ownedByWorkspace"] = self.owned_by_workspace.as_str().into();
        if let Some(federation) = &self.workload_identity_federation {
            object["spec"]["workloadIdentityFederation"] = federation.to_json();
        }
        object
    }
}

impl WorkloadIdentityFederation {
    fn to_json(&self) -> Value {
        let mut object = json!({ "issuer": self.issuer, "subject": self.subject });
        for (name, cloud) in [("gcp", &self.gcp), ("aws", &self.aws), ("azure", &self.azure)] {
            if let Some(cloud) = cloud {
                object[name] = json!({ "audience": cloud.audience, "tokenPath": cloud.token_path });
            }
        }
        object
    }
}
