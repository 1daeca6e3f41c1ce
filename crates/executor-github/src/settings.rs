//! What an operator may set.

use std::path::PathBuf;
use std::time::Duration;

/// How workflows are started and followed.
#[derive(Debug, Clone)]
pub struct GithubSettings {
    /// How long a workflow may take, counted from its dispatch, before the run ends FAILED. Default: 30 minutes.
    pub pipeline_timeout: Duration,
    /// Whether an asynchronous run is watched, so that it ends FAILED when its workflow dies without a word.
    /// Default: no.
    pub watch_handed_over: bool,
    /// Files and folders with certificates (PEM) of further authorities, for a GitHub Enterprise Server.
    pub ca_paths: Vec<PathBuf>,
    /// Intervals and limits that hardly anybody changes.
    pub times: Times,
}

impl Default for GithubSettings {
    fn default() -> Self {
        Self {
            pipeline_timeout: Duration::from_secs(30 * 60),
            watch_handed_over: false,
            ca_paths: Vec::new(),
            times: Times::default(),
        }
    }
}

/// How often GitHub is asked, and for how long.
#[derive(Debug, Clone)]
pub struct Times {
    /// Between two looks at a workflow run that moves. Default: 10 s.
    pub poll: Duration,
    /// The same while nothing changes. Default: 30 s.
    pub slowest_poll: Duration,
    /// Between two looks at a workflow run that was handed over. Default: 60 s.
    pub watch: Duration,
    /// The same while nothing changes. Default: 3 minutes.
    pub slowest_watch: Duration,
    /// Between two looks for the workflow run that a dispatch started, where GitHub does not name it. Default: 2 s.
    pub lookup: Duration,
    /// How long such a run is looked for. Default: 2 minutes.
    pub lookup_limit: Duration,
    /// The wait after a first error; it doubles with each further one. Default: 1 s.
    pub retry: Duration,
    /// The longest such wait. Default: 60 s.
    pub slowest_retry: Duration,
    /// How long GitHub may be out of reach before a workflow was started. Default: 5 minutes.
    pub patience: Duration,
    /// How long a rate limit is waited for before a workflow was started. Default: 75 minutes: GitHub's limits are
    /// renewed every hour.
    pub limit_patience: Duration,
    /// The first wait for a secondary rate limit of which GitHub does not say how long it lasts. Default: 60 s.
    pub secondary_limit: Duration,
    /// Between two looks at a workflow run that is being cancelled. Default: 2 s.
    pub cancel_poll: Duration,
    /// How long a workflow run may take to end after it was cancelled, before it is ended by force, and then again. Default: 30 s.
    pub cancel_grace: Duration,
    /// How long a run needs at most to stop in order: twice `cancel_grace`, and a dispatch that is under way.
    /// Default: 150 s.
    pub stop_grace: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            poll: Duration::from_secs(10),
            slowest_poll: Duration::from_secs(30),
            watch: Duration::from_secs(60),
            slowest_watch: Duration::from_secs(180),
            lookup: Duration::from_secs(2),
            lookup_limit: Duration::from_secs(120),
            retry: Duration::from_secs(1),
            slowest_retry: Duration::from_secs(60),
            patience: Duration::from_secs(5 * 60),
            limit_patience: Duration::from_secs(75 * 60),
            secondary_limit: Duration::from_secs(60),
            cancel_poll: Duration::from_secs(2),
            cancel_grace: Duration::from_secs(30),
            stop_grace: Duration::from_secs(150),
        }
    }
}
