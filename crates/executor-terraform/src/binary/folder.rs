//! The folder with the binaries of all versions, which several runners may share.
//!
//! ```text
//! 1.5.5/terraform
//! 1.9.0/terraform          OpenTofu, under the name that runs call
//! 1.9.0/tofu               a link to it, for scripts
//! .1.9.0.lock              locked while somebody installs the version
//! .1.9.0.partial-Xq3v      what is not finished; left behind by a crash, it is removed by the next install
//! ```

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use super::version::{Product, Version};

/// The name under which every version's program is called.
const PROGRAM: &str = "terraform";
const PARTIAL: &str = ".partial-";
/// How often it is looked whether another process is done: nobody tells.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// The place of one version.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// Of all versions.
    root: PathBuf,
    version: Version,
}

/// A version that no other process installs as long as this lives.
#[derive(Debug)]
pub(crate) struct Claimed {
    place: Place,
    /// None where the file system knows no locks: then two processes may both download, and the later one wins.
    lock: Option<File>,
}

/// What lies in a version's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    Nothing,
    Program,
    /// Something of the name, but not to be run.
    Other,
}

impl Place {
    pub(crate) fn new(root: &Path, version: &Version) -> Self {
        Self { root: root.to_owned(), version: version.clone() }
    }

    fn folder(&self) -> PathBuf {
        self.root.join(self.version.as_str())
    }

    /// Where the program is, or will be.
    pub(crate) fn program(&self) -> PathBuf {
        self.folder().join(PROGRAM)
    }

    /// What is there. Writes nothing but the link that makes an unpacked `tofu` a `terraform` too.
    pub(crate) fn look(&self) -> Found {
        let program = self.program();
        if is_program(&program) {
            return Found::Program;
        }
        if fs::symlink_metadata(&program).is_ok() {
            return Found::Other;
        }
        let unpacked = self.version.product().program();
        if unpacked != PROGRAM && is_program(&self.folder().join(unpacked)) && symlink(unpacked, &program).is_ok() {
            return Found::Program;
        }
        Found::Nothing
    }

    /// Waits until nobody else installs this version. `waiting` is called once if it takes a while.
    pub(crate) async fn claim(self, waiting: impl FnOnce()) -> io::Result<Claimed> {
        fs::create_dir_all(&self.root)?;
        let lock = self.lock_file(&self.version)?;
        let mut waiting = Some(waiting);
        loop {
            match lock.try_lock() {
                Ok(()) => return Ok(Claimed { place: self, lock: Some(lock) }),
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => {
                    tracing::warn!(%error, folder = %self.root.display(), "files cannot be locked here");
                    return Ok(Claimed { place: self, lock: None });
                }
            }
            if let Some(waiting) = waiting.take() {
                waiting();
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    fn lock_file(&self, version: &Version) -> io::Result<File> {
        let path = self.root.join(format!(".{version}.lock"));
        File::options().read(true).write(true).create(true).truncate(false).open(path)
    }
}

impl Claimed {
    pub(crate) fn look(&self) -> Found {
        self.place.look()
    }

    /// An empty folder beside the versions, so that a rename out of it is one. What crashes left is removed first.
    pub(crate) fn temporary(&self) -> io::Result<TempDir> {
        self.remove_leftovers();
        tempfile::Builder::new().prefix(&format!(".{}{PARTIAL}", self.place.version)).tempdir_in(&self.place.root)
    }

    /// Whatever is not finished is a leftover if nobody holds the lock of its version.
    fn remove_leftovers(&self) {
        if self.lock.is_none() {
            return;
        }
        let entries = fs::read_dir(&self.place.root).into_iter().flatten().flatten();
        for entry in entries {
            let name = entry.file_name();
            let version = name.to_str().and_then(|name| name.strip_prefix('.')?.rsplit_once(PARTIAL));
            let Some(version) = version.and_then(|(version, _)| Version::parse(version)) else { continue };
            let other = if version == self.place.version {
                None
            } else {
                let Ok(lock) = self.place.lock_file(&version) else { continue };
                if lock.try_lock().is_err() {
                    continue;
                }
                Some(lock)
            };
            if let Err(error) = fs::remove_dir_all(entry.path()) {
                tracing::warn!(%error, path = %entry.path().display(), "an unfinished download could not be removed");
            }
            drop(other);
        }
    }

    /// Puts a finished program, on the same file system, into its place. It is there whole or not at all.
    pub(crate) fn place(&self, finished: &Path) -> io::Result<()> {
        let folder = self.place.folder();
        fs::create_dir_all(&folder)?;
        if self.place.version.product() == Product::OpenTofu {
            let link = folder.join(Product::OpenTofu.program());
            match symlink(PROGRAM, &link) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
        }
        fs::rename(finished, self.place.program())?;
        // The names, too, are to outlive a power cut.
        File::open(&folder)?.sync_all()?;
        File::open(&self.place.root)?.sync_all()
    }
}

/// Whether it is a file that can be run.
pub(crate) fn is_program(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}
