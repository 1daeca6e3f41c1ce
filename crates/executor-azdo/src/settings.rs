//! What an operator may set.

use std::path::PathBuf;
use std::time::Duration;

/// Settings of the executor. Names in configuration files: `protocol/configuration.md`, "Our own keys".
#[derive(Debug, Clone)]
pub struct AzdoSettings {
    /// How long a pipeline is followed, counted from its start (`pipelineTimeoutMins`, 30 minutes). After it the run ends
    /// FAILED; the pipeline is left alone.
    pub pipeline_timeout: Duration,
    /// Watch pipelines that report for themselves, and report those FAILED that die without a word
    /// (`watchHandedOver`, no).
    pub watch_handed_over: bool,
    /// Files and folders with certificates (PEM) of further authorities (`CUSTOM_CA_CERTS_PATH`).
    pub ca_paths: Vec<PathBuf>,
    /// How often a pipeline is looked at while it is followed (10 s). Azure DevOps may ask for more.
    pub poll_interval: Duration,
    /// How often a pipeline that reports for itself is looked at (30 s while something changes, up to four times as long
    /// while nothing does).
    pub watch_interval: Duration,
    /// How long something is tried again that will hardly get better by itself: a server out of reach when a pipeline is
    /// to be started, a token that is refused or a run that is gone while it is followed, a run that is looked for after
    /// a lost answer (2 minutes).
    pub patience: Duration,
    /// How long an aborted run may take until its pipeline has stopped (60 s).
    pub stop_grace: Duration,
    /// How long one request may take (30 s).
    pub request_timeout: Duration,
}

impl Default for AzdoSettings {
    fn default() -> Self {
        Self {
            pipeline_timeout: Duration::from_secs(30 * 60),
            watch_handed_over: false,
            ca_paths: Vec::new(),
            poll_interval: Duration::from_secs(10),
            watch_interval: Duration::from_secs(30),
            patience: Duration::from_secs(120),
            stop_grace: Duration::from_secs(60),
            request_timeout: Duration::from_secs(30),
        }
    }
}
