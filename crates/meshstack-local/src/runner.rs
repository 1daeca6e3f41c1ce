//! Registered runners.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use x509_cert::der::DateTime;

use crate::seal::Sealer;
use crate::view::{RunnerState, RunnerView};

/// A runner is Active when it has asked for a run in this time.
const ACTIVE: Duration = Duration::from_secs(5 * 60);

/// A runner to register.
#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct RunnerSpec {
    /// Its name for people.
    pub display_name: String,
    /// `MANUAL`, `TERRAFORM`, `GITHUB_WORKFLOW`, `GITLAB_PIPELINE`, `AZURE_DEVOPS_PIPELINE` or `ALL`.
    pub implementation_type: String,
    /// Its X.509 certificate in PEM; without one it can be sent no secret.
    pub certificate_pem: Option<String>,
    /// Its UUID; one is made up if none is given.
    pub uuid: Option<String>,
}

impl RunnerSpec {
    /// A runner of this type without a certificate.
    pub fn new(implementation_type: &str) -> Self {
        Self {
            display_name: "Local runner".to_owned(),
            implementation_type: implementation_type.to_owned(),
            certificate_pem: None,
            uuid: None,
        }
    }

    /// Gives it a certificate.
    #[must_use]
    pub fn certificate(mut self, pem: &str) -> Self {
        self.certificate_pem = Some(pem.to_owned());
        self
    }

    /// Gives it a UUID.
    #[must_use]
    pub fn uuid(mut self, uuid: &str) -> Self {
        self.uuid = Some(uuid.to_owned());
        self
    }

    /// The runner object (`protocol/run-api.md`, Runner objects).
    pub(crate) fn object(&self, uuid: &str) -> Value {
        json!({
            "apiVersion": "v1-preview",
            "kind": "meshBuildingBlockRunner",
            "metadata": { "uuid": uuid, "ownedByWorkspace": "platform-team" },
            "spec": {
                "displayName": self.display_name,
                "publicKey": self.certificate_pem,
                "implementationType": self.implementation_type,
            },
        })
    }
}

/// A runner as the server keeps it.
#[derive(Debug)]
pub(crate) struct Runner {
    pub(crate) object: Value,
    pub(crate) sealer: Option<Arc<Sealer>>,
    /// Runs that wait for it, the oldest first.
    pub(crate) queue: VecDeque<String>,
    pub(crate) last_claim: Option<SystemTime>,
    pub(crate) polls: u64,
    pub(crate) last_version: Option<String>,
    pub(crate) last_name: Option<String>,
    pub(crate) last_node_id: Option<String>,
}

impl Runner {
    pub(crate) fn new(object: Value, sealer: Option<Arc<Sealer>>) -> Self {
        Self {
            object,
            sealer,
            queue: VecDeque::new(),
            last_claim: None,
            polls: 0,
            last_version: None,
            last_name: None,
            last_node_id: None,
        }
    }

    /// The object as it is read: with the time when the runner last asked for a run.
    pub(crate) fn stored(&self) -> Value {
        let mut object = self.object.clone();
        let since = self.last_claim.and_then(|last| last.duration_since(SystemTime::UNIX_EPOCH).ok());
        if let Some(last) = since.and_then(|since| DateTime::from_unix_duration(since).ok()) {
            object["metadata"]["lastSeen"] = last.to_string().into();
        }
        object
    }

    pub(crate) fn view(&self, uuid: &str, now: SystemTime) -> RunnerView {
        let state = match self.last_claim {
            None => RunnerState::Pending,
            Some(last) if now.duration_since(last).unwrap_or_default() <= ACTIVE => RunnerState::Active,
            Some(_) => RunnerState::Error,
        };
        RunnerView {
            uuid: uuid.to_owned(),
            object: self.object.clone(),
            state,
            last_claim: self.last_claim,
            polls: self.polls,
            last_version: self.last_version.clone(),
            last_name: self.last_name.clone(),
            last_node_id: self.last_node_id.clone(),
        }
    }
}
