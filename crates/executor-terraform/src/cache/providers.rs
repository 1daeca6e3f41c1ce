//! The cache of providers (`terraform.pluginCacheDir`).
//!
//! Terraform's own plugin cache cannot be shared by runs at the same time: `init` writes a provider into it file by
//! file, while another one already takes it for whole. So each run gets a plugin cache of its own, filled with hard
//! links to what is there; what `init` has added to it is then moved into the shared one in a single rename. This
//! holds for every version of Terraform and `OpenTofu`, needs no lock while something is downloaded, and a provider
//! may leave the cache while a run uses it: the run has links of its own. Two runs that miss the same provider at the
//! same moment both download it, once.
//!
//! ```text
//! <folder>/registry.terraform.io/hashicorp/time/0.14.2/linux_amd64/…   Terraform's own layout
//! <folder>/.runs/<run>/…                                               the run's own, the same layout
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::checksum::{LockFile, checksum_file};
use super::{Lock, make_room};

/// Host, namespace, type, version, platform.
const DEPTH: usize = 5;
/// Folder of the runs' own caches.
const RUNS: &str = ".runs";
/// Held for moments, while the folders of runs or the entries change.
const LOCK: &str = ".lock";

/// Environment inputs that can lead Terraform to providers of the run's own choice.
const STEERING: [&str; 7] = [
    "HOME",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "XDG_DATA_DIRS",
    "TF_CLI_CONFIG_FILE",
    "TERRAFORM_CONFIG",
    "TF_PLUGIN_CACHE_DIR",
];
/// A folder of a module in which Terraform looks for providers.
const OWN_PROVIDERS: &str = "terraform.d";

/// Whether a run gets its providers from where the runner's operator gets them. One that brings its own, unsigned ones
/// must not put them where other runs take theirs from.
pub(crate) fn shares_providers(inputs: &BTreeMap<String, String>, module: &Path) -> bool {
    !STEERING.iter().any(|name| inputs.contains_key(*name)) && fs::symlink_metadata(module.join(OWN_PROVIDERS)).is_err()
}

/// A run's own plugin cache. It is removed when this is dropped.
#[derive(Debug)]
pub(crate) struct Providers {
    shared: PathBuf,
    own: PathBuf,
    /// What was there when the run began.
    known: BTreeSet<PathBuf>,
    /// Says that the run is at work.
    _alive: Lock,
}

/// How the cache has helped.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    /// Providers of this run that were there.
    pub(crate) taken: usize,
    /// Providers that are there from now on.
    pub(crate) added: usize,
}

impl Providers {
    /// A plugin cache with everything in it that the shared one has and this module can use.
    pub(crate) fn open(shared: &Path, module: &Path) -> io::Result<Self> {
        let runs = shared.join(RUNS);
        DirBuilder::new().recursive(true).mode(0o700).create(&runs)?;
        // Terraform resolves a relative path in its own working directory.
        let (shared, runs) = (shared.canonicalize()?, runs.canonicalize()?);
        let lock_file = LockFile::of(module);
        let held = Lock::wait(&shared.join(LOCK))?;
        remove_dead(&runs)?;
        let own = tempfile::Builder::new().prefix("run-").tempdir_in(&runs)?;
        let alive = Lock::wait(&lock_of(own.path()))?;
        // From here on the drop of the value removes it.
        let mut opened = Self { own: own.keep(), shared, known: BTreeSet::new(), _alive: alive };
        for entry in entries(&opened.shared)? {
            let folder = opened.shared.join(&entry);
            if lock_file.admits(&entry, &folder)? {
                link(&folder, &opened.own.join(&entry))?;
                opened.known.insert(entry);
            }
        }
        drop(held);
        Ok(opened)
    }

    /// The folder for `TF_PLUGIN_CACHE_DIR`.
    pub(crate) fn dir(&self) -> &Path {
        &self.own
    }

    /// After `init`: adds what is new, notes what was used, and keeps the whole within `limit` bytes. `installed` is
    /// the folder in which `init` notes the providers of a module.
    pub(crate) fn keep(&self, installed: &Path, limit: u64) -> io::Result<Kept> {
        let _held = Lock::wait(&self.shared.join(LOCK))?;
        let mut kept = Kept { taken: 0, added: 0 };
        for entry in entries(&self.own)?.into_iter().filter(|entry| !self.known.contains(entry)) {
            kept.added += usize::from(self.publish(&entry)?);
        }
        for entry in entries_with_links(installed).unwrap_or_default() {
            kept.taken += usize::from(self.known.contains(&entry));
            if let Ok(folder) = File::open(self.shared.join(&entry)) {
                folder.set_modified(SystemTime::now())?;
            }
        }
        let all = entries(&self.shared)?.into_iter().map(|entry| self.shared.join(entry)).collect();
        make_room(all, limit, |_| Some(()))?;
        Ok(kept)
    }

    /// Puts an entry where other runs find it; false if another run was faster.
    fn publish(&self, entry: &Path) -> io::Result<bool> {
        let target = self.shared.join(entry);
        if target.exists() {
            return Ok(false);
        }
        let whole = self.own.with_extension("new");
        let _ = fs::remove_dir_all(&whole);
        link(&self.own.join(entry), &whole)?;
        read_only(&whole)?;
        fs::create_dir_all(target.parent().unwrap_or(&self.shared))?;
        let _ = fs::remove_file(checksum_file(&target));
        fs::rename(&whole, &target)?;
        Ok(true)
    }
}

impl Drop for Providers {
    fn drop(&mut self) {
        for folder in [self.own.clone(), self.own.with_extension("new")] {
            let _ = fs::remove_dir_all(folder);
        }
        let _ = fs::remove_file(lock_of(&self.own));
    }
}

/// The file whose lock says that a run is at work.
fn lock_of(run: &Path) -> PathBuf {
    run.with_extension("lock")
}

/// Removes what killed runners have left.
fn remove_dead(runs: &Path) -> io::Result<()> {
    for entry in fs::read_dir(runs)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "lock") {
            if Lock::try_take(&path)?.is_some() {
                for left in [path.with_extension(""), path.with_extension("new")] {
                    let _ = fs::remove_dir_all(left);
                }
                let _ = fs::remove_file(&path);
            }
        } else if !lock_of(&path).exists() {
            let _ = fs::remove_dir_all(&path);
        }
    }
    Ok(())
}

/// The providers in a folder of Terraform's layout, by their paths in it. Those that are links lead to where somebody
/// else keeps them, such as a mirror on the disk.
fn entries(root: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = entries_with_links(root)?;
    found.retain(|entry| fs::symlink_metadata(root.join(entry)).is_ok_and(|metadata| metadata.is_dir()));
    Ok(found)
}

fn entries_with_links(root: &Path) -> io::Result<Vec<PathBuf>> {
    let mut level = vec![PathBuf::new()];
    for depth in 0..DEPTH {
        let mut next = Vec::new();
        for folder in level {
            for entry in fs::read_dir(root.join(&folder))? {
                let entry = entry?;
                let kind = entry.file_type()?;
                let last = depth + 1 == DEPTH;
                // Our own folders, and those of a file system, begin with a dot.
                let ours = entry.file_name().as_encoded_bytes().starts_with(b".");
                if !ours && (kind.is_dir() || (last && kind.is_symlink())) {
                    next.push(folder.join(entry.file_name()));
                }
            }
        }
        level = next;
    }
    Ok(level)
}

/// The same folder once more, with hard links for files. Providers are large.
fn link(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        let kind = entry.file_type()?;
        if kind.is_dir() {
            link(&entry.path(), &target)?;
        } else if kind.is_file() {
            fs::hard_link(entry.path(), target)?;
        } else {
            return Err(io::Error::other("a provider holds something else than files and folders"));
        }
    }
    Ok(())
}

/// A file of the cache is one file for all runs: none may write into it by mistake.
fn read_only(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            read_only(&entry.path())?;
        } else {
            fs::set_permissions(entry.path(), Permissions::from_mode(0o555))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
