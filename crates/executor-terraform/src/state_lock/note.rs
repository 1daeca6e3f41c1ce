//! What the runner notes of its own runs, to know their locks again after a crash.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::info::LockInfo;
use crate::cache::Lock;
use crate::inputs::own_file;

/// A command takes its lock at its very beginning; a slow backend may need a while.
const TAKEN_WITHIN: Duration = Duration::from_secs(120);
/// Clocks of one machine, but read in two ways.
const TOLERANCE: Duration = Duration::from_secs(1);
/// Notes of building blocks that are gone do not stay for ever.
const KEPT_FOR: Duration = Duration::from_secs(30 * 24 * 3600);

/// The notes of one run, and its way to those of the others.
#[derive(Debug)]
pub(super) struct Notes {
    folder: PathBuf,
    own: Mutex<Note>,
    /// Says that the run is alive.
    _alive: Lock,
}

/// Which run began commands that lock, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Note {
    pub(super) run: String,
    building_block: String,
    host: String,
    /// The run's files: a process that works there is one of it.
    directory: PathBuf,
    began: Vec<SystemTime>,
}

impl Notes {
    pub(super) fn open(folder: &Path, run: &str, building_block: &str, directory: PathBuf) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let host = fs::read_to_string("/proc/sys/kernel/hostname")?.trim().to_owned();
        let run = run.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
        let own = Note { run, building_block: building_block.to_owned(), host, directory, began: Vec::new() };
        let alive =
            Lock::try_take(&lock_of(folder, &own.run))?.ok_or_else(|| io::Error::other("the run is at work"))?;
        let notes = Self { folder: folder.to_owned(), own: Mutex::new(own), _alive: alive };
        notes.remove(|note| note.began.iter().all(|began| began.elapsed().is_ok_and(|age| age > KEPT_FOR)));
        Ok(notes)
    }

    /// A command begins.
    pub(super) fn add(&self, now: SystemTime) -> io::Result<()> {
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        own.began.push(now);
        own_file::replace(&file_of(&self.folder, &own.run), own.to_json().to_string().as_bytes())
    }

    /// Removes the notes of this run, and those of dead ones on the same state.
    pub(super) fn forget(&self) {
        let own = self.own.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for file in [file_of(&self.folder, &own.run), lock_of(&self.folder, &own.run)] {
            let _ = fs::remove_file(file);
        }
        self.remove(|note| note.building_block == own.building_block);
    }

    /// Removes those notes of dead runs.
    fn remove(&self, which: impl Fn(&Note) -> bool) {
        for note in self.all().into_iter().filter(|note| which(note) && self.is_dead(note)) {
            for file in [file_of(&self.folder, &note.run), lock_of(&self.folder, &note.run)] {
                let _ = fs::remove_file(file);
            }
        }
    }

    /// The dead run of this runner that has taken the lock, if it is proven.
    pub(super) fn dead_owner(&self, lock: &LockInfo) -> Option<Note> {
        let building_block = self.own.lock().unwrap_or_else(PoisonError::into_inner).building_block.clone();
        let mut owners = self
            .all()
            .into_iter()
            .filter(|note| note.building_block == building_block && note.has_taken(lock) && self.is_dead(note));
        owners.next()
    }

    fn all(&self) -> Vec<Note> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let files = entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|e| e == "json"));
        files.filter_map(|path| Note::from_json(&serde_json::from_slice(&fs::read(path).ok()?).ok()?)).collect()
    }

    /// Neither the runner holds on to it, nor is one of its processes there (a killed runner's may still be ending).
    fn is_dead(&self, note: &Note) -> bool {
        let lock = lock_of(&self.folder, &note.run);
        let released = !lock.exists() || Lock::try_take(&lock).is_ok_and(|lock| lock.is_some());
        released && !someone_works_in(&note.directory)
    }
}

impl Note {
    fn has_taken(&self, lock: &LockInfo) -> bool {
        let Some(created) = lock.created else { return false };
        let here = lock.who.rsplit_once('@').is_some_and(|(_, host)| host == self.host);
        here && self.began.iter().any(|began| created + TOLERANCE >= *began && created <= *began + TAKEN_WITHIN)
    }

    fn to_json(&self) -> Value {
        let millis = |time: &SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis();
        let began: Vec<u64> = self.began.iter().filter_map(|time| u64::try_from(millis(time)).ok()).collect();
        json!({
            "run": self.run, "buildingBlock": self.building_block, "host": self.host,
            "directory": self.directory.to_string_lossy(), "beganMillis": began,
        })
    }

    fn from_json(value: &Value) -> Option<Self> {
        let text = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
        let began = value.get("beganMillis")?.as_array()?.iter().filter_map(Value::as_u64);
        Some(Self {
            run: text("run")?,
            building_block: text("buildingBlock")?,
            host: text("host")?,
            directory: text("directory")?.into(),
            began: began.filter_map(|ms| SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(ms))).collect(),
        })
    }
}

fn file_of(folder: &Path, run: &str) -> PathBuf {
    folder.join(format!("{run}.json"))
}

fn lock_of(folder: &Path, run: &str) -> PathBuf {
    folder.join(format!("{run}.lock"))
}

/// Whether a process has its working directory there, also if it was removed meanwhile.
fn someone_works_in(directory: &Path) -> bool {
    let Ok(processes) = fs::read_dir("/proc") else { return true };
    processes
        .flatten()
        .any(|process| fs::read_link(process.path().join("cwd")).is_ok_and(|cwd| cwd.starts_with(directory)))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::process::{Command, Stdio};
    use std::time::{Duration, SystemTime};

    use super::{LockInfo, Note, Notes};

    struct Machine {
        dir: tempfile::TempDir,
    }

    impl Machine {
        fn new() -> Self {
            Self { dir: tempfile::tempdir().unwrap() }
        }

        fn work(&self) -> PathBuf {
            let work = self.dir.path().join("work");
            std::fs::create_dir_all(&work).unwrap();
            work
        }

        fn run(&self, uuid: &str, building_block: &str) -> Notes {
            Notes::open(&self.dir.path().join("notes"), uuid, building_block, self.work()).unwrap()
        }
    }

    fn lock(created: SystemTime) -> LockInfo {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
        LockInfo {
            id: "1".to_owned(),
            who: format!("jo@{}", host.trim()),
            operation: "OperationTypeApply".to_owned(),
            created: Some(created),
        }
    }

    #[test]
    fn a_lock_of_a_dead_run_of_this_building_block_is_known() {
        let (machine, now) = (Machine::new(), SystemTime::now());
        let dead = machine.run("dead", "block");
        dead.add(now - Duration::from_secs(600)).unwrap();
        dead.add(now - Duration::from_secs(300)).unwrap();
        let next = machine.run("next", "block");
        let taken = lock(now - Duration::from_secs(299));
        assert_eq!(next.dead_owner(&taken), None, "it is alive");
        drop(dead);
        assert_eq!(next.dead_owner(&taken).map(|note| note.run), Some("dead".to_owned()));

        for (why, other) in [
            ("before", lock(now - Duration::from_secs(620))),
            ("between", lock(now - Duration::from_secs(400))),
            ("after", lock(now)),
            ("no time", LockInfo { created: None, ..taken.clone() }),
            ("elsewhere", LockInfo { who: "jo@another-host".to_owned(), ..taken.clone() }),
        ] {
            assert_eq!(next.dead_owner(&other), None, "{why}");
        }
        assert_eq!(machine.run("another", "another block").dead_owner(&taken), None);
        next.forget();
        assert_eq!(machine.run("last", "block").dead_owner(&taken), None, "it is forgotten");
    }

    #[test]
    fn a_run_with_a_process_left_is_not_dead() {
        let (machine, now) = (Machine::new(), SystemTime::now());
        machine.run("killed", "block").add(now).unwrap();
        let mut process = Command::new("cat")
            .current_dir(machine.work())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let next = machine.run("next", "block");
        assert_eq!(next.dead_owner(&lock(now)), None);
        drop(process.stdin.take());
        process.wait().unwrap();
        assert!(next.dead_owner(&lock(now)).is_some());
    }

    #[test]
    fn a_note_is_read_as_it_was_written() {
        let began = SystemTime::UNIX_EPOCH + Duration::from_millis(1_777_876_801_500);
        let note = Note {
            run: "r".to_owned(),
            building_block: "b".to_owned(),
            host: "h".to_owned(),
            directory: "/d".into(),
            began: vec![began],
        };
        assert_eq!(Note::from_json(&note.to_json()), Some(note));
    }
}
