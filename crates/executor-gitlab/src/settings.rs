//! What an operator may set.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use runner_core::meshstack_client::Secret;

/// Settings of the executor. All of them may be left at their defaults: then pipelines are started and not watched.
///
/// Names in configuration files: `protocol/configuration.md`, "Our own keys".
#[derive(Debug, Clone)]
pub struct GitlabSettings {
    /// Watch pipelines after the hand-over where there is a read token (`watchHandedOver`, no).
    pub watch_handed_over: bool,
    /// A token per GitLab server that may read pipelines, and with the scope `api` cancel them
    /// (`gitlab.readTokens.<host>`).
    ///
    /// The key is the definition's base URL without its scheme: `host[:port][/sub-path]`. The token is sent to exactly
    /// this place, and by https only; where a server has no https, the key begins with `http://`.
    pub read_tokens: HashMap<String, Secret>,
    /// Files or folders with certificates (PEM) of further authorities (`CUSTOM_CA_CERTS_PATH`).
    pub ca_paths: Vec<PathBuf>,
    /// How often a watched pipeline is looked at while something changes (15 s).
    pub poll: Duration,
    /// The same while nothing changes (60 s).
    pub slowest_poll: Duration,
    /// How long a trigger that GitLab has certainly not accepted is tried again: there is no connection, or GitLab wants
    /// fewer requests (10 minutes).
    pub trigger_patience: Duration,
    /// The wait before the second try, or look; it grows (5 s).
    pub first_retry: Duration,
    /// How long a pipeline is looked for when the answer to its trigger was lost and there is a read token (30 s).
    pub look_up: Duration,
}

impl Default for GitlabSettings {
    fn default() -> Self {
        Self {
            watch_handed_over: false,
            read_tokens: HashMap::new(),
            ca_paths: Vec::new(),
            poll: Duration::from_secs(15),
            slowest_poll: Duration::from_secs(60),
            trigger_patience: Duration::from_secs(10 * 60),
            first_retry: Duration::from_secs(5),
            look_up: Duration::from_secs(30),
        }
    }
}
