//! Folders: rights, space, and whether programs may be run in them.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, StatVfsMountFlags, access, statvfs};

use super::report::Check;

const MIB: u64 = 1 << 20;
/// With less, the next run may fail.
const LITTLE: u64 = 1024 * MIB;
/// With less, the next run fails.
const NONE: u64 = 100 * MIB;
const FEW_FILES: u64 = 10_000;

/// What a folder is for.
pub(super) struct Folder<'a> {
    pub(super) name: &'static str,
    /// The key that names it, for advice.
    pub(super) key: String,
    pub(super) path: &'a Path,
    /// Programs are run from it.
    pub(super) runs: bool,
    /// The runner works without it.
    pub(super) dispensable: bool,
}

pub(super) fn check(folder: &Folder<'_>) -> Check {
    let shown = folder.path.display();
    let bad = |seen: String, advice: String| {
        if folder.dispensable {
            Check::warning(folder.name, seen, advice)
        } else {
            Check::problem(folder.name, seen, advice)
        }
    };
    let elsewhere = format!("or name another folder with `{}`", folder.key);
    if fs::metadata(folder.path).is_ok_and(|about| !about.is_dir()) {
        return bad(format!("{shown} is no folder."), format!("Move it away, {elsewhere}."));
    }
    let (there, exists) = existing(folder.path);
    let writable = if exists {
        // Rights alone do not tell of a read-only file system, a quota, or another namespace.
        tempfile::tempfile_in(&there).map(drop).map_err(|error| error.to_string())
    } else {
        access(&there, Access::WRITE_OK | Access::EXEC_OK).map_err(|error| error.to_string())
    };
    if let Err(error) = writable {
        let what = if exists {
            format!("{shown} cannot be written to ({error}).")
        } else {
            format!("{shown} does not exist and cannot be made in {} ({error}).", there.display())
        };
        let without = if folder.dispensable { " Without it, runs under way are lost in a crash." } else { "" };
        return bad(
            format!("{what}{without}"),
            format!("Give the runner's user the right to write there, {elsewhere}."),
        );
    }
    let Ok(space) = statvfs(&there) else {
        return Check::note(folder.name, format!("{shown} can be written to; how much space there is cannot be told."));
    };
    let free = space.f_bavail.saturating_mul(space.f_frsize);
    let state = if exists { "can be written to" } else { "does not exist yet, and can be made" };
    let seen = format!("{shown} {state}; {} free", amount(free));
    if folder.runs && space.f_flag.contains(StatVfsMountFlags::NOEXEC) {
        let advice = format!("Mount it without `noexec`, {elsewhere}: Terraform and its providers are run there.");
        return Check::problem(folder.name, format!("{seen}, but no program may be run there (`noexec`)."), advice);
    }
    if free < NONE {
        return bad(format!("{seen}: not enough for a run."), format!("Make space, {elsewhere}."));
    }
    // Some file systems count no files.
    let few_files = space.f_files > 0 && space.f_favail < FEW_FILES;
    if free < LITTLE || few_files {
        let files = if few_files { format!(", room for {} files", space.f_favail) } else { String::new() };
        let advice = format!("Make space, {elsewhere}: providers of Terraform need hundreds of MiB.");
        return Check::warning(folder.name, format!("{seen}{files}."), advice);
    }
    Check::fine(folder.name, seen)
}

/// The folder, or the nearest one above it that exists; and whether it was the folder itself.
fn existing(path: &Path) -> (PathBuf, bool) {
    let nearest = path.ancestors().find(|folder| folder.is_dir()).unwrap_or(Path::new("/"));
    (nearest.to_owned(), nearest == path)
}

fn amount(bytes: u64) -> String {
    match bytes / MIB {
        mib if mib >= 10 * 1024 => format!("{} GiB", mib / 1024),
        mib => format!("{mib} MiB"),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Folder, check};
    use crate::doctor::report::Level;

    fn level(path: &Path, dispensable: bool) -> Level {
        let folder = Folder { name: "folder", key: "workingDir".to_owned(), path, runs: false, dispensable };
        check(&folder).level
    }

    #[test]
    fn a_folder_that_is_there_or_can_be_made_is_in_order_and_nothing_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("a/b");
        assert!(level(folder.path(), false) <= Level::Warning, "space is a matter of the machine");
        assert!(level(&missing, false) <= Level::Warning);
        assert!(!missing.parent().unwrap().exists());
    }

    #[test]
    fn a_file_in_its_place_is_a_problem_or_a_warning_where_it_is_dispensable() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert_eq!(level(&file, false), Level::Problem);
        assert_eq!(level(&file, true), Level::Warning);
        assert_eq!(level(Path::new("/proc/self/nothing/here"), false), Level::Problem);
    }
}
