//! Keeps a cache within its size: what was not used for longest goes first.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Removes entries until the rest takes no more than `limit` bytes, and gives those that went. The time of an entry's
/// last use is its modification time. `claim` is called before one goes, and what it gives is held meanwhile; an entry
/// for which it gives nothing stays.
pub(crate) fn make_room<C>(
    entries: Vec<PathBuf>,
    limit: u64,
    claim: impl Fn(&Path) -> Option<C>,
) -> io::Result<Vec<PathBuf>> {
    let mut sized = Vec::with_capacity(entries.len());
    for entry in entries {
        let used = fs::symlink_metadata(&entry)?.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        sized.push((used, size(&entry)?, entry));
    }
    sized.sort();
    let mut total: u64 = sized.iter().map(|(_, size, _)| size).sum();
    let mut gone = Vec::new();
    for (_, size, entry) in sized {
        if total <= limit {
            break;
        }
        let Some(_claimed) = claim(&entry) else { continue };
        fs::remove_dir_all(&entry)?;
        total = total.saturating_sub(size);
        gone.push(entry);
    }
    Ok(gone)
}

/// The bytes of all files in a folder. Links are not followed.
fn size(folder: &Path) -> io::Result<u64> {
    let mut total = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        total += if metadata.is_dir() { size(&entry.path())? } else { metadata.len() };
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::time::{Duration, SystemTime};

    use super::make_room;

    #[test]
    fn what_was_not_used_for_longest_goes_first_and_only_as_much_as_must() {
        let dir = tempfile::tempdir().unwrap();
        let entry = |name: &str, bytes: usize, age: u64| {
            let folder = dir.path().join(name);
            fs::create_dir_all(folder.join("sub")).unwrap();
            fs::write(folder.join("sub/file"), vec![0; bytes]).unwrap();
            let used = SystemTime::now() - Duration::from_secs(age);
            File::open(&folder).unwrap().set_modified(used).unwrap();
            folder
        };
        let (old, busy, fresh) = (entry("old", 60, 300), entry("busy", 60, 200), entry("fresh", 60, 1));
        let all = vec![fresh.clone(), old.clone(), busy.clone()];
        assert_eq!(make_room(all.clone(), 180, |_| Some(())).unwrap(), Vec::<std::path::PathBuf>::new());
        assert_eq!(make_room(all, 130, |_| Some(())).unwrap(), [old]);
        assert_eq!(
            make_room(vec![fresh.clone(), busy.clone()], 100, |entry| (entry != busy).then_some(())).unwrap(),
            [fresh]
        );
        assert!(busy.exists());
    }
}
