//! A journal that counts what it writes.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use runner_core::journal::{Durability, Entry, FileJournal, Found, Journal, JournalError};
use runner_core::meshstack_client::KeyRing;

/// A synced write syncs the file and its folder (`journal.rs` of the crate).
const SYNCS_PER_WRITE: usize = 2;

#[derive(Default)]
pub(crate) struct Written {
    pub(crate) writes: usize,
    pub(crate) syncs: usize,
    pub(crate) bytes: usize,
    pub(crate) synced_writes: Vec<Duration>,
}

pub(crate) struct Counting {
    journal: FileJournal,
    folder: PathBuf,
    written: Arc<Mutex<Written>>,
}

impl Counting {
    pub(crate) fn open(folder: PathBuf) -> (Self, Arc<Mutex<Written>>) {
        let written = Arc::default();
        let journal = FileJournal::open(&folder, &KeyRing::empty()).expect("a journal");
        (Self { journal, folder, written: Arc::clone(&written) }, written)
    }
}

#[async_trait]
impl Journal for Counting {
    async fn put(&self, entry: &Entry, durability: Durability) -> Result<(), JournalError> {
        let began = Instant::now();
        let done = self.journal.put(entry, durability).await;
        let took = began.elapsed();
        let size = std::fs::metadata(self.folder.join(format!("{}.run", entry.run_uuid))).map_or(0, |file| file.len());
        let mut written = self.written.lock().expect("the counts");
        written.writes += 1;
        written.bytes += usize::try_from(size).unwrap_or(usize::MAX);
        if durability == Durability::Synced {
            written.syncs += SYNCS_PER_WRITE;
            written.synced_writes.push(took);
        }
        done
    }

    async fn remove(&self, run_uuid: &str) {
        self.journal.remove(run_uuid).await;
    }

    async fn load(&self) -> Result<Vec<Found>, JournalError> {
        self.journal.load().await
    }

    fn is_durable(&self) -> bool {
        true
    }
}
