//! What must survive a crash.
//!
//! The core writes an [`Entry`] per run at the moments named in [`Journal::put`], and removes it
//! when nothing is left to say. [`FileJournal`] keeps entries on disk, [`NoJournal`] keeps nothing.

mod file;
mod seal;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;
use meshstack_client::{StatusPatch, StepStatus};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::{Mutex, OwnedMutexGuard};

pub use file::{FileJournal, OpenError};

pub use crate::progress::ExternalRun;

/// What is known of one run that has not ended.
#[derive(Clone, Serialize, Deserialize)]
pub struct Entry {
    /// The run's uuid.
    pub run_uuid: String,
    /// The run object as it was claimed. It holds the run token.
    pub run: Value,
    /// Where it is.
    pub stage: Stage,
    /// The executor's last checkpoint.
    pub checkpoint: Option<Value>,
    /// Where the work goes on, as of that checkpoint.
    #[serde(default)]
    pub external_run: ExternalRun,
    /// How far meshStack was told its steps have come, so that none goes back after a restart.
    pub steps: Vec<NotedStep>,
    /// The end that meshStack has not taken yet.
    pub end: Option<StatusPatch>,
    /// The executor's checkpoint for watching over a run that is handed over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watch: Option<Value>,
}

impl Entry {
    /// A run that was just claimed.
    pub fn new(run_uuid: impl Into<String>, run: Value) -> Self {
        Self {
            run_uuid: run_uuid.into(),
            run,
            stage: Stage::Claimed,
            checkpoint: None,
            external_run: ExternalRun::default(),
            steps: Vec::new(),
            end: None,
            watch: None,
        }
    }
}

/// How far a run has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Stage {
    /// Claimed; the executor was not called.
    Claimed,
    /// The executor was called.
    Started,
    /// It has ended; only the report is left.
    Ended,
    /// It is handed over, as meshStack knows, and watched.
    HandedOver,
}

/// A step as meshStack was told of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotedStep {
    /// Its id.
    pub id: String,
    /// What people see.
    pub display_name: String,
    /// Its status, as of the last report that was sent.
    pub status: StepStatus,
}

/// An entry of an earlier process.
pub enum Found {
    /// One that can be read.
    Entry(Box<Entry>),
    /// One that cannot. The run can be named, but nothing else is known of it.
    Damaged {
        /// The run's uuid.
        run_uuid: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// The journal could not be written or read.
#[derive(Debug, thiserror::Error)]
#[error("the journal cannot be {doing}")]
pub struct JournalError {
    /// What was being done: `written`, `read`.
    pub doing: &'static str,
    /// Why it failed.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// What a write must survive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// The death of the process, and of the machine: synced to the disk.
    Synced,
    /// The death of the process.
    Buffered,
}

/// Keeps entries over the death of the process.
#[async_trait]
pub trait Journal: Send + Sync + 'static {
    /// Writes the entry of a run, in place of an earlier one. Called when a run is claimed, when its
    /// executor is called, at each checkpoint and when it has ended; and before the status of a step
    /// is reported, buffered only. Never twice at a time for one run.
    async fn put(&self, entry: &Entry, durability: Durability) -> Result<(), JournalError>;

    /// Forgets a run: meshStack knows its end, or wants none.
    async fn remove(&self, run_uuid: &str);

    /// What an earlier process left behind.
    async fn load(&self) -> Result<Vec<Found>, JournalError>;

    /// Whether entries survive this process. If not, a shutdown must end every run.
    fn is_durable(&self) -> bool;
}

/// Keeps nothing: a crash loses what was under way, and meshStack times it out.
pub struct NoJournal;

#[async_trait]
impl Journal for NoJournal {
    async fn put(&self, _entry: &Entry, _durability: Durability) -> Result<(), JournalError> {
        Ok(())
    }

    async fn remove(&self, _run_uuid: &str) {}

    async fn load(&self) -> Result<Vec<Found>, JournalError> {
        Ok(Vec::new())
    }

    fn is_durable(&self) -> bool {
        false
    }
}

/// The journal's view of one run: remembers the entry, writes it when something changes.
#[derive(Clone)]
pub(crate) struct RunJournal {
    journal: Arc<dyn Journal>,
    /// `None` once it is removed: nothing may bring it back.
    entry: Arc<Mutex<Option<Entry>>>,
}

impl RunJournal {
    pub(crate) fn new(journal: Arc<dyn Journal>, entry: Entry) -> Self {
        Self { journal, entry: Arc::new(Mutex::new(Some(entry))) }
    }

    /// Changes the entry and writes it. In a task of its own: an executor that is dropped in the
    /// middle must not leave a write behind that overtakes the next one.
    async fn write(&self, durability: Durability, change: impl FnOnce(&mut Entry)) -> Result<(), JournalError> {
        if !self.journal.is_durable() {
            return Ok(());
        }
        let mut entry: OwnedMutexGuard<Option<Entry>> = Arc::clone(&self.entry).lock_owned().await;
        let Some(changed) = entry.as_mut() else { return Ok(()) };
        change(changed);
        let journal = Arc::clone(&self.journal);
        let write = tokio::spawn(async move {
            match entry.as_ref() {
                Some(entry) => journal.put(entry, durability).await,
                None => Ok(()),
            }
        });
        write.await.map_err(|e| JournalError { doing: "written", source: e.into() })?
    }

    pub(crate) async fn claimed(&self) -> Result<(), JournalError> {
        self.write(Durability::Synced, |entry| entry.stage = Stage::Claimed).await
    }

    pub(crate) async fn started(&self) -> Result<(), JournalError> {
        self.write(Durability::Buffered, |entry| entry.stage = Stage::Started).await?;
        self.sync();
        Ok(())
    }

    pub(crate) async fn checkpoint(&self, value: Value, external_run: ExternalRun) -> Result<(), JournalError> {
        self.write(Durability::Synced, |entry| {
            entry.checkpoint = Some(value);
            entry.external_run = external_run;
        })
        .await
    }

    /// What is about to be reported. Written before, so that what meshStack knows is never ahead.
    pub(crate) async fn reporting(&self, steps: Vec<NotedStep>) -> Result<(), JournalError> {
        self.write(Durability::Buffered, |entry| entry.steps = steps).await
    }

    /// The end, and how to watch over what comes after it.
    pub(crate) async fn ended(&self, end: StatusPatch, watch: Option<Value>) -> Result<(), JournalError> {
        self.write(Durability::Buffered, |entry| {
            entry.stage = Stage::Ended;
            entry.end = Some(end);
            entry.watch = watch;
        })
        .await?;
        self.sync();
        Ok(())
    }

    /// meshStack knows of the hand-over.
    pub(crate) async fn handed_over(&self) -> Result<(), JournalError> {
        self.write(Durability::Buffered, |entry| {
            entry.stage = Stage::HandedOver;
            entry.end = None;
        })
        .await
    }

    /// Syncs the entry beside what goes on: neither a start nor an end waits for the disk. The death
    /// of the process costs nothing meanwhile; that of the machine, within these milliseconds, makes
    /// of a run what it was before. What must not happen twice has its own checkpoint.
    fn sync(&self) {
        let journal = self.clone();
        tokio::spawn(async move {
            if let Err(error) = journal.write(Durability::Synced, |_| {}).await {
                tracing::warn!(%error, cause = %error.source, "the journal could not be synced");
            }
        });
    }

    pub(crate) async fn remove(&self) {
        if let Some(entry) = self.entry.lock().await.take() {
            self.journal.remove(&entry.run_uuid).await;
        }
    }
}
