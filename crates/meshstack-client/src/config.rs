//! What a client needs to know before its first request.

use std::fmt;
use std::path::PathBuf;

use reqwest::Url;

use crate::Secret;

/// Where meshStack is, who we are, and how we prove it.
#[derive(Clone)]
#[non_exhaustive]
pub struct ClientConfig {
    /// Base URL of meshStack (`api.url`). Without it only the links of a run can be used.
    pub api_url: Option<String>,
    /// The UUID that the runner is registered under.
    pub runner_uuid: String,
    /// Name sent as `User-Agent: meshcloud-<name>/<version>` and `X-Meshcloud-Runner-Name`.
    pub runner_name: String,
    /// Version that meshStack shows in the runner's details.
    pub version: String,
    /// `X-Block-Runner-Node-Id`: tells apart who claimed a run. The claim appends `-worker-1`, unless it starts with
    /// `run-controller`.
    pub node_id: String,
    /// API credentials. A client that only reports runs that have a run token needs none.
    pub credentials: Option<Credentials>,
    /// Files or folders with certificates of authorities to trust in addition to the platform's.
    pub ca_paths: Vec<PathBuf>,
    /// Refuse plan links to another origin than that of `api_url`, in place of a warning.
    pub strict_origins: bool,
}

impl ClientConfig {
    /// A configuration with defaults: name `bb-runner`, the version of this crate, the UUID as node id, nothing else.
    pub fn new(runner_uuid: impl Into<String>) -> Self {
        let runner_uuid = runner_uuid.into();
        Self {
            api_url: None,
            node_id: runner_uuid.clone(),
            runner_uuid,
            runner_name: "bb-runner".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            credentials: None,
            ca_paths: Vec::new(),
            strict_origins: false,
        }
    }

    /// The checked base URL; its path has no `/` at the end.
    pub(crate) fn base_url(&self) -> Result<Option<Url>, ClientConfigError> {
        let Some(text) = self.api_url.as_deref().map(str::trim).filter(|text| !text.is_empty()) else {
            return Ok(None);
        };
        let mut url = Url::parse(text).map_err(|e| ClientConfigError::BadAddress { reason: e.to_string() })?;
        if !matches!(url.scheme(), "http" | "https") {
            let reason = format!("its scheme is `{}`", url.scheme());
            return Err(ClientConfigError::BadAddress { reason });
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(ClientConfigError::CredentialsInAddress);
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(ClientConfigError::BadAddress { reason: "it has a query or a fragment".to_owned() });
        }
        let path = url.path().trim_end_matches('/').to_owned();
        url.set_path(&path);
        Ok(Some(url))
    }
}

impl fmt::Debug for ClientConfig {
    /// Leaves the address out: one that was not checked yet may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientConfig")
            .field("runner_uuid", &self.runner_uuid)
            .field("runner_name", &self.runner_name)
            .field("version", &self.version)
            .field("node_id", &self.node_id)
            .field("credentials", &self.credentials)
            .field("ca_paths", &self.ca_paths)
            .field("strict_origins", &self.strict_origins)
            .finish_non_exhaustive()
    }
}

/// API credentials: for the claim, for runner objects, and where a run has no token.
///
/// Source: `protocol/run-api.md`, "Authentication".
#[derive(Debug, Clone)]
pub enum Credentials {
    /// An API key, exchanged for a token at `/api/login`. Preferred.
    ApiKey {
        /// The key's id.
        client_id: String,
        /// The key's secret.
        client_secret: Secret,
    },
    /// HTTP Basic; deprecated by meshStack, but supported.
    Basic {
        /// The user.
        username: String,
        /// The password.
        password: Secret,
    },
}

/// A configuration that no client can be made from.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClientConfigError {
    /// `api_url` is no usable address.
    #[error("the address of meshStack is not usable: {reason}. It must look like https://meshstack.example.com")]
    BadAddress {
        /// What is wrong with it.
        reason: String,
    },
    /// `api_url` has a user or a password in it, which would end up in logs.
    #[error("the address of meshStack holds credentials. Move them to the settings for credentials")]
    CredentialsInAddress,
    /// A name, version or node id cannot be sent as a header.
    #[error("{setting} holds characters that no HTTP header can carry. Use printable ASCII only")]
    BadHeader {
        /// Which setting.
        setting: &'static str,
    },
}
