//! The working directories of runs: private, locked by the process that uses them, removed at the end of their run.
//!
//! A process that is killed cannot remove them, and they hold secrets in clear: the next one does. A lock tells what
//! is still in use, since several runners may share a working folder.

use std::fs::{self, File, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// What the names begin with.
const PREFIX: &str = "run-";

/// The directory of one run, mode 0700. Removed with all it holds when it is dropped.
pub(crate) struct Directory {
    made: TempDir,
    /// Locked for as long as this process lives and the directory is there.
    _held: File,
}

impl Directory {
    /// Makes one in the working folder, and that folder where it is missing.
    pub(crate) fn make(working_dir: &Path, run_uuid: &str) -> io::Result<Self> {
        fs::create_dir_all(working_dir)?;
        // Readable in a listing, and harmless whatever the uuid holds.
        let name: String = run_uuid.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(36).collect();
        let made = tempfile::Builder::new()
            .prefix(&format!("{PREFIX}{name}-"))
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in(working_dir)?;
        let held = File::open(made.path())?;
        held.lock_shared()?;
        Ok(Self { made, _held: held })
    }

    pub(crate) fn path(&self) -> &Path {
        self.made.path()
    }
}

/// The directories that no living process uses.
pub(crate) fn left_behind(working_dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(working_dir) else { return Vec::new() };
    let ours = |name: &std::ffi::OsStr| name.to_str().is_some_and(|name| name.starts_with(PREFIX));
    entries
        .filter_map(Result::ok)
        .filter(|entry| ours(&entry.file_name()) && entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .filter(|path| in_use(path).is_ok_and(|in_use| !in_use))
        .collect()
}

/// Removes those of them in which nothing works any more: what a killed runner had started may take a while to stop, and
/// needs its files until then. Gives the others.
pub(crate) fn remove_quiet(directories: Vec<PathBuf>) -> Vec<PathBuf> {
    let (busy, quiet): (Vec<_>, Vec<_>) = directories.into_iter().partition(|path| worked_in(path));
    remove(&quiet);
    busy
}

/// Removes those of them that are still not in use by a runner.
pub(crate) fn remove(directories: &[PathBuf]) {
    for path in directories {
        let removed = match in_use(path) {
            Ok(true) => continue,
            Ok(false) => fs::remove_dir_all(path),
            Err(error) => Err(error),
        };
        match removed {
            Ok(()) => tracing::info!(path = %path.display(), "removed what a run of an earlier process left behind"),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                tracing::warn!(%error, path = %path.display(), "what a run of an earlier process left behind cannot be removed");
            }
        }
    }
}

/// Whether a process has its working directory there. Where that cannot be told, it is taken for granted.
fn worked_in(path: &Path) -> bool {
    let (Ok(path), Ok(processes)) = (path.canonicalize(), fs::read_dir("/proc")) else { return true };
    let works_there = |process: fs::DirEntry| {
        fs::read_link(process.path().join("cwd")).is_ok_and(|directory| directory.starts_with(&path))
    };
    processes.filter_map(Result::ok).any(works_there)
}

fn in_use(path: &Path) -> io::Result<bool> {
    match File::open(path)?.try_lock() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::{Directory, left_behind, remove};

    #[test]
    fn only_what_no_process_uses_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let used = Directory::make(folder.path(), "a-run").unwrap();
        let dead = folder.path().join("run-dead-abc");
        fs::create_dir_all(dead.join("sources")).unwrap();
        fs::write(dead.join("sources/secret.auto.tfvars"), "secret").unwrap();
        fs::create_dir(folder.path().join("cache")).unwrap();
        fs::write(folder.path().join("run-file"), "").unwrap();
        symlink(folder.path().join("cache"), folder.path().join("run-link")).unwrap();

        let found = left_behind(folder.path());
        assert_eq!(found, std::slice::from_ref(&dead));
        remove(&found);
        assert!(!dead.exists() && used.path().exists());
        remove(&[used.path().to_owned()]);
        assert!(used.path().exists(), "it is in use");
        for other in ["cache", "run-file", "run-link"] {
            assert!(folder.path().join(other).exists(), "{other}");
        }
    }

    #[test]
    fn a_directory_is_private_and_goes_when_it_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let made = Directory::make(&folder.path().join("work"), "../a\u{0}b/ü").unwrap();
        let path = made.path().to_owned();
        assert_eq!(path.parent(), Some(folder.path().join("work").as_path()));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        drop(made);
        assert!(!path.exists());
    }

    #[test]
    fn a_missing_working_folder_holds_nothing() {
        assert!(left_behind(std::path::Path::new("/nonexistent/folder")).is_empty());
    }
}
