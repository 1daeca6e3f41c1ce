//! A runner: what it is made of, and how it is built.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use meshstack_client::{KeyRing, Secret};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::task::TaskTracker;

use crate::active::Active;
use crate::api::RunApi;
use crate::executors::{Executors, Registered};
use crate::journal::{Journal, NoJournal};
use crate::progress::Progress;
use crate::room::Room;
use crate::{Executor, Serves};

/// How many runs are under way at once, unless said otherwise.
const MAX_CONCURRENT_RUNS: usize = 20;

/// A building block runner: polls meshStack and carries out what it is given.
///
/// Cheap to clone; all clones are one runner.
#[derive(Clone)]
pub struct Runner {
    pub(crate) shared: Arc<Shared>,
}

/// What all runs of a runner share.
pub(crate) struct Shared {
    pub(crate) api: Arc<dyn RunApi>,
    pub(crate) runner_uuid: String,
    pub(crate) executors: Executors,
    pub(crate) keys: KeyRing,
    pub(crate) working_dir: PathBuf,
    /// Directories of runs that are being removed.
    pub(crate) removals: TaskTracker,
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) secrets: Vec<Secret>,
    pub(crate) active: Active,
    pub(crate) room: Arc<Room>,
    /// Places for runs under way, as many as there is room for in hand. Apart from it, so that runs
    /// which wait for a slot of their executor do not keep one of another type from beginning.
    pub(crate) places: Arc<Semaphore>,
    pub(crate) max_concurrent_runs: usize,
    pub(crate) idle_poll: Duration,
    pub(crate) shutdown_grace: Duration,
}

/// Puts a [`Runner`] together.
pub struct RunnerBuilder {
    api: Arc<dyn RunApi>,
    runner_uuid: String,
    executors: Executors,
    keys: KeyRing,
    working_dir: PathBuf,
    journal: Arc<dyn Journal>,
    secrets: Vec<Secret>,
    max_concurrent_runs: usize,
    idle_poll: Duration,
    shutdown_grace: Duration,
}

/// A runner that cannot be built as asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// It could carry nothing out.
    #[error("the runner has no executor; add one with `executor`")]
    NoExecutor,
    /// Two executors want the same runs.
    #[error("two executors serve {0:?}; keep one of them")]
    TwoExecutors(Serves),
    /// A limit that lets nothing through.
    #[error("a limit of 0 runs at once lets nothing through; use 1 or more")]
    NoRoom,
}

/// What a runner is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct RunnerStatus {
    /// Runs in hand: waiting, under way, or with an end that is still to be delivered.
    pub runs_in_hand: usize,
    /// Runs that are handed over to a pipeline, and watched.
    pub watched: usize,
    /// How many may be under way at once.
    pub max_concurrent_runs: usize,
}

impl Runner {
    /// Starts to put a runner together that reports as the source `runner_uuid`.
    pub fn builder(api: impl RunApi, runner_uuid: impl Into<String>) -> RunnerBuilder {
        RunnerBuilder {
            api: Arc::new(api),
            runner_uuid: runner_uuid.into(),
            executors: Executors::default(),
            keys: KeyRing::empty(),
            working_dir: std::env::temp_dir().join("bb-runner"),
            journal: Arc::new(NoJournal),
            secrets: Vec::new(),
            max_concurrent_runs: MAX_CONCURRENT_RUNS,
            idle_poll: Duration::from_secs(10),
            shutdown_grace: Duration::from_secs(30),
        }
    }

    /// What it is doing now.
    pub fn status(&self) -> RunnerStatus {
        let watched = self.shared.active.watched();
        RunnerStatus {
            runs_in_hand: self.shared.active.len().saturating_sub(watched),
            watched,
            max_concurrent_runs: self.shared.max_concurrent_runs,
        }
    }
}

impl RunnerBuilder {
    /// Adds an executor; as many of its runs at once as there is room for over all.
    #[must_use]
    pub fn executor(mut self, executor: impl Executor) -> Self {
        self.executors.add(Arc::new(executor), None);
        self
    }

    /// Adds an executor that carries out at most `limit` runs at once; others wait for it.
    #[must_use]
    pub fn executor_with_limit(mut self, executor: impl Executor, limit: usize) -> Self {
        self.executors.add(Arc::new(executor), Some(limit));
        self
    }

    /// The private keys for secret inputs. Without them, runs with secrets fail.
    #[must_use]
    pub fn keys(mut self, keys: KeyRing) -> Self {
        self.keys = keys;
        self
    }

    /// Where runs get their directories. Default: `bb-runner` in the system's temporary folder.
    #[must_use]
    pub fn working_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.working_dir = path.into();
        self
    }

    /// What survives a crash. Default: nothing.
    #[must_use]
    pub fn journal(mut self, journal: impl Journal) -> Self {
        self.journal = Arc::new(journal);
        self
    }

    /// A secret of this process that must not show up in what runs report.
    #[must_use]
    pub fn mask(mut self, secret: &Secret) -> Self {
        self.secrets.push(secret.clone());
        self
    }

    /// How many runs are in hand at once, over all executors. Default: 20.
    #[must_use]
    pub fn max_concurrent_runs(mut self, runs: usize) -> Self {
        self.max_concurrent_runs = runs;
        self
    }

    /// How long to wait after an answer that nothing is queued. Default: 10 s.
    #[must_use]
    pub fn idle_poll(mut self, wait: Duration) -> Self {
        self.idle_poll = wait;
        self
    }

    /// How long runs may go on after a shutdown was asked for. Default: 30 s.
    #[must_use]
    pub fn shutdown_grace(mut self, grace: Duration) -> Self {
        self.shutdown_grace = grace;
        self
    }

    /// The runner.
    pub fn build(self) -> Result<Runner, BuildError> {
        if self.executors.is_empty() {
            return Err(BuildError::NoExecutor);
        }
        if self.max_concurrent_runs == 0 || self.executors.lets_nothing_through() {
            return Err(BuildError::NoRoom);
        }
        if let Some(serves) = self.executors.duplicate() {
            return Err(BuildError::TwoExecutors(serves));
        }
        let places = self.max_concurrent_runs.min(Semaphore::MAX_PERMITS);
        Ok(Runner {
            shared: Arc::new(Shared {
                api: self.api,
                runner_uuid: self.runner_uuid,
                executors: self.executors,
                keys: self.keys,
                working_dir: self.working_dir,
                removals: TaskTracker::new(),
                journal: self.journal,
                secrets: self.secrets,
                active: Active::default(),
                room: Arc::new(Room::new(self.max_concurrent_runs)),
                places: Arc::new(Semaphore::new(places)),
                max_concurrent_runs: self.max_concurrent_runs,
                idle_poll: self.idle_poll,
                shutdown_grace: self.shutdown_grace,
            }),
        })
    }
}

impl Shared {
    /// Waits until the directories of all runs that have ended are removed: they hold secrets.
    pub(crate) async fn removed(&self) {
        self.removals.close();
        self.removals.wait().await;
        self.removals.reopen();
    }

    /// Waits for a slot of the executor and a place among the runs under way. Says so in the first
    /// step if it has to wait.
    pub(crate) async fn wait_for_place(&self, registered: &Registered, progress: &Progress) -> Place {
        let mut slot = None;
        if let Some(slots) = &registered.slots {
            let running = match registered.executor.serves() {
                Serves::Type(kind) => format!("{} {kind} runs", slots.limit),
                Serves::Any => format!("{} runs", slots.limit),
            };
            slot = acquire(&slots.free, || progress.wait_notice(&running)).await;
        }
        let limit = self.max_concurrent_runs;
        let among_all = acquire(&self.places, || progress.wait_notice(&format!("{limit} runs"))).await;
        progress.clear_wait_notice();
        Place { _slot: slot, _among_all: among_all }
    }
}

/// The right to carry a run out, for as long as it is held.
pub(crate) struct Place {
    _slot: Option<OwnedSemaphorePermit>,
    _among_all: Option<OwnedSemaphorePermit>,
}

/// A permit; `notice` is called if it is not there at once.
async fn acquire(semaphore: &Arc<Semaphore>, notice: impl FnOnce()) -> Option<OwnedSemaphorePermit> {
    if let Ok(permit) = Arc::clone(semaphore).try_acquire_owned() {
        return Some(permit);
    }
    notice();
    // The semaphores of a runner are never closed.
    Arc::clone(semaphore).acquire_owned().await.ok()
}
