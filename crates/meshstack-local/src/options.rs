//! How a local meshStack is set up, and the clock it lives by.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use crate::identifier::random_hex;

/// How a [`LocalMeshStack`](crate::LocalMeshStack) behaves. `Options::default()` is what most tests want.
#[derive(Clone)]
pub struct Options {
    /// Where to listen; port 0 takes a free one. Default: `127.0.0.1:0`.
    pub bind: SocketAddr,
    /// The address that links in run objects start with. Default: the address that is listened on.
    pub public_url: Option<String>,
    /// The time that decides about a runner's state, about tokens and about delivering a run again.
    pub clock: Clock,
    /// Client id and client secret of the API key. Default: an invented pair.
    pub api_key: (String, String),
    /// User name and password for Basic authentication; without them it is refused.
    pub basic: Option<(String, String)>,
    /// Whether credentials are needed at all. When `false`, a request without any is let in as if it had the API key.
    pub require_auth: bool,
    /// How long an API token from `/api/login` is good for (whole seconds). Default: one hour.
    pub api_token_lifetime: Duration,
    /// How long the token of a claimed run is good for, counted from the claim. Default: 3 hours.
    pub run_token_lifetime: Duration,
    /// A run that was claimed this long ago and has not ended is queued again (`protocol/run-api.md`, Vocabulary).
    /// Default: 3 hours.
    pub redeliver_after: Duration,
    /// Whether DETECT runs carry `_links.planArtifactUpload` (`protocol/run-api.md`, Plan artifact). Default: no.
    pub plan_artifact_upload: bool,
    /// How many requests are remembered; of older ones only the counts stay. Default: 20,000.
    pub keep_requests: usize,
    /// How many bytes of request bodies are remembered, all requests together, the newest first. Default: 16 MiB.
    pub keep_body_bytes: usize,
}

/// Without the secrets.
impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("bind", &self.bind)
            .field("public_url", &self.public_url)
            .field("clock", &self.clock)
            .field("require_auth", &self.require_auth)
            .field("redeliver_after", &self.redeliver_after)
            .finish_non_exhaustive()
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            bind: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            public_url: None,
            clock: Clock::Real,
            api_key: ("local-runner".to_owned(), random_hex(16)),
            basic: None,
            require_auth: true,
            api_token_lifetime: Duration::from_secs(3600),
            run_token_lifetime: Duration::from_secs(3 * 3600),
            redeliver_after: Duration::from_secs(3 * 3600),
            plan_artifact_upload: false,
            keep_requests: 20_000,
            keep_body_bytes: 16 * 1024 * 1024,
        }
    }
}

/// The time a local meshStack lives by.
#[derive(Debug, Clone, Default)]
pub enum Clock {
    /// The system's time.
    #[default]
    Real,
    /// A time that stands still until a test moves it.
    Manual(ManualClock),
}

impl Clock {
    pub(crate) fn now(&self) -> SystemTime {
        match self {
            Self::Real => SystemTime::now(),
            Self::Manual(clock) => clock.now(),
        }
    }
}

impl From<ManualClock> for Clock {
    fn from(clock: ManualClock) -> Self {
        Self::Manual(clock)
    }
}

/// A clock that stands still until it is moved. Clones share one time.
#[derive(Debug, Clone)]
pub struct ManualClock(Arc<Mutex<SystemTime>>);

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl ManualClock {
    /// A clock that stands at the present time.
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(SystemTime::now())))
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) += by;
    }

    /// The time it shows.
    pub fn now(&self) -> SystemTime {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
