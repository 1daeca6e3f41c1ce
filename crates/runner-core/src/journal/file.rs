//! A journal of one encrypted file per run.
//!
//! Chosen over an embedded store or one append-only file: a run is written a handful of times and
//! never searched for, runs are few and independent, and a damaged file costs that run and no other.
//! A durable write is two `fsync`s (file, folder) of about 3 ms together; runs do not wait for each
//! other's.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use meshstack_client::KeyRing;
use zeroize::Zeroizing;

use super::seal::Seal;
use super::{Durability, Entry, Found, Journal, JournalError};

const ENTRY: &str = "run";
const LOCK: &str = "lock";
const OWN_KEY: &str = "journal.key";

/// A folder that one process at a time keeps its runs in: mode 0700, files 0600, encrypted.
///
/// The key is derived from the runner's own private key, so a copy of the folder alone tells
/// nothing. A runner without one gets a key of its own in the same folder: that keeps secrets out of
/// backups of single files and accidental listings, not from somebody who can read the folder.
pub struct FileJournal {
    inner: Arc<Inner>,
}

struct Inner {
    folder: PathBuf,
    /// Empty until the first write where the runner has no key and the folder has none yet: making
    /// one costs two syncs, which a start need not wait for.
    seal: Mutex<Option<Arc<Seal>>>,
    /// Distinguishes temporary files of writes that go on side by side.
    writes: AtomicU64,
    /// Held for as long as the process lives; the system lets go of it, whatever happens.
    _lock: File,
}

/// The state folder cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process has it.
    #[error("the state folder {folder} is in use by {holder}. Stop it, or give each runner a folder of its own")]
    InUse {
        /// The folder.
        folder: String,
        /// Which process has it.
        holder: String,
    },
    /// It cannot be read or written.
    #[error("the state folder {folder} cannot be used. Check that it can be written by the runner's user")]
    Io {
        /// The folder.
        folder: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl FileJournal {
    /// Opens the folder, makes it if it is not there, and takes hold of it.
    ///
    /// What is written is sealed for the newest of the runner's private keys, what is read may be
    /// sealed for any of them. For a runner without one, a key is made in the folder.
    pub fn open(folder: &Path, keys: &KeyRing) -> Result<Self, OpenError> {
        Self::open_sealed(folder, keys.keys().iter().map(|key| key.derive("journal")).collect())
    }

    pub(super) fn open_sealed(folder: &Path, keys: Vec<Zeroizing<[u8; 32]>>) -> Result<Self, OpenError> {
        let failed = |source| OpenError::Io { folder: folder.display().to_string(), source };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
        let lock = take_hold(folder)?;
        let keys = if keys.is_empty() { read_own_key(folder).map_err(failed)?.into_iter().collect() } else { keys };
        let seal = (!keys.is_empty()).then(|| Arc::new(Seal::new(&keys)));
        for leftover in files(folder, "tmp").map_err(failed)? {
            fs::remove_file(leftover).map_err(failed)?;
        }
        let inner = Inner { folder: folder.to_owned(), seal: Mutex::new(seal), writes: AtomicU64::new(0), _lock: lock };
        Ok(Self { inner: Arc::new(inner) })
    }

    async fn blocking<T: Send + 'static>(
        &self,
        doing: &'static str,
        work: impl FnOnce(&Inner) -> io::Result<T> + Send + 'static,
    ) -> Result<T, JournalError> {
        let inner = Arc::clone(&self.inner);
        let done = tokio::task::spawn_blocking(move || work(&inner)).await;
        done.map_err(io::Error::other).and_then(|done| done).map_err(|e| JournalError { doing, source: e.into() })
    }
}

#[async_trait]
impl Journal for FileJournal {
    async fn put(&self, entry: &Entry, durability: Durability) -> Result<(), JournalError> {
        let name = file_name(&entry.run_uuid);
        let plain =
            Zeroizing::new(serde_json::to_vec(entry).map_err(|e| JournalError { doing: "written", source: e.into() })?);
        self.blocking("written", move |inner| inner.write(&name, &plain, durability)).await
    }

    async fn remove(&self, run_uuid: &str) {
        let name = file_name(run_uuid);
        // Not synced: should the file come back after a power cut, its end is refused as known.
        let removed = self.blocking("written", move |inner| fs::remove_file(inner.folder.join(name))).await;
        if let Err(error) = removed {
            let missing = |e: &JournalError| {
                e.source.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::NotFound)
            };
            if !missing(&error) {
                tracing::warn!(%error, cause = %error.source, "a run that has ended cannot be removed from the journal");
            }
        }
    }

    async fn load(&self) -> Result<Vec<Found>, JournalError> {
        self.blocking("read", Inner::read_all).await
    }

    fn is_durable(&self) -> bool {
        true
    }
}

impl Inner {
    /// What entries are sealed with; a key is made if there is none.
    fn seal(&self) -> io::Result<Arc<Seal>> {
        let mut seal = self.seal.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(seal) = seal.as_ref() {
            return Ok(Arc::clone(seal));
        }
        let made = Arc::new(Seal::new(&[make_own_key(&self.folder)?]));
        *seal = Some(Arc::clone(&made));
        Ok(made)
    }

    /// Writes beside the old entry and puts it in its place.
    fn write(&self, name: &str, plain: &[u8], durability: Durability) -> io::Result<()> {
        let temporary = self.folder.join(format!("{name}.{}.tmp", self.writes.fetch_add(1, Ordering::Relaxed)));
        let written = (|| {
            let mut file = private().create_new(true).open(&temporary)?;
            file.write_all(&self.seal()?.seal(plain)?)?;
            if durability == Durability::Synced {
                file.sync_data()?;
            }
            fs::rename(&temporary, self.folder.join(name))?;
            if durability == Durability::Synced {
                File::open(&self.folder)?.sync_all()?;
            }
            Ok(())
        })();
        if written.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        written
    }

    fn read_all(&self) -> io::Result<Vec<Found>> {
        let mut found = Vec::new();
        for path in files(&self.folder, ENTRY)? {
            let named = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
            found.push(match fs::read(&path).map_err(|e| e.to_string()).and_then(|bytes| self.read(&bytes)) {
                Ok(entry) => Found::Entry(Box::new(entry)),
                Err(reason) => Found::Damaged { run_uuid: named, reason },
            });
        }
        Ok(found)
    }

    fn read(&self, bytes: &[u8]) -> Result<Entry, String> {
        let plain = Zeroizing::new(self.seal().map_err(|e| e.to_string())?.open(bytes)?);
        serde_json::from_slice(&plain).map_err(|_| "it is of another version of the runner".to_owned())
    }
}

/// The file of a run: named by its uuid, so that it can be named even when it cannot be read.
fn file_name(run_uuid: &str) -> String {
    let harmless =
        (1..=64).contains(&run_uuid.len()) && run_uuid.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if harmless { format!("{run_uuid}.{ENTRY}") } else { format!("{}.{ENTRY}", Seal::name_of(run_uuid)) }
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600);
    options
}

/// The files of the folder with this extension.
fn files(folder: &Path, extension: &str) -> io::Result<Vec<PathBuf>> {
    let paths = fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path()));
    let mut paths: Vec<PathBuf> = paths.collect::<io::Result<_>>()?;
    paths.retain(|path| path.extension().is_some_and(|found| found == extension));
    paths.sort();
    Ok(paths)
}

/// Locks the folder for this process, and says in it which one that is.
fn take_hold(folder: &Path) -> Result<File, OpenError> {
    let failed = |source| OpenError::Io { folder: folder.display().to_string(), source };
    let mut lock = private().read(true).create(true).truncate(false).open(folder.join(LOCK)).map_err(failed)?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(fs::TryLockError::WouldBlock) => {
            let mut holder = String::new();
            let _ = lock.read_to_string(&mut holder);
            let holder = if holder.is_empty() { "another process" } else { holder.trim() }.to_owned();
            return Err(OpenError::InUse { folder: folder.display().to_string(), holder });
        }
        Err(fs::TryLockError::Error(source)) => return Err(failed(source)),
    }
    lock.set_len(0).map_err(failed)?;
    lock.rewind().map_err(failed)?;
    writeln!(lock, "process {}", std::process::id()).map_err(failed)?;
    Ok(lock)
}

/// The key of a runner that has no private key, if it was made already.
fn read_own_key(folder: &Path) -> io::Result<Option<Zeroizing<[u8; 32]>>> {
    let path = folder.join(OWN_KEY);
    let bytes = match fs::read(&path) {
        Ok(bytes) => Zeroizing::new(bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let key = <[u8; 32]>::try_from(bytes.as_slice());
    key.map(|key| Some(Zeroizing::new(key))).map_err(|_| io::Error::other(format!("{} is damaged", path.display())))
}

/// Makes that key. It is on disk before anything is sealed with it.
fn make_own_key(folder: &Path) -> io::Result<Zeroizing<[u8; 32]>> {
    let key = Seal::fresh_key()?;
    // Beside and then in place, so that a crash leaves no half of it.
    let (path, temporary) = (folder.join(OWN_KEY), folder.join(format!("{OWN_KEY}.tmp")));
    let mut file = private().create(true).truncate(true).open(&temporary)?;
    file.write_all(key.as_slice())?;
    file.sync_all()?;
    fs::rename(&temporary, &path)?;
    File::open(folder)?.sync_all()?;
    Ok(key)
}
