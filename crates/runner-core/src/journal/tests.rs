use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use meshstack_client::{RunStatus, StatusPatch};
use serde_json::json;
use zeroize::Zeroizing;

use super::{Durability, Entry, FileJournal, Found, Journal as _, OpenError, Stage};

fn key(byte: u8) -> Zeroizing<[u8; 32]> {
    Zeroizing::new([byte; 32])
}

fn entry(uuid: &str) -> Entry {
    let mut entry = Entry::new(uuid, json!({"metadata": {"uuid": uuid}, "spec": {"runToken": "CANARY-token"}}));
    entry.checkpoint = Some(json!({"pipeline": "CANARY-checkpoint"}));
    entry.end = Some(StatusPatch { summary: Some("CANARY-end".to_owned()), ..StatusPatch::new(RunStatus::Failed) });
    entry
}

async fn load(journal: &FileJournal) -> (Vec<Entry>, Vec<String>) {
    let (mut entries, mut damaged) = (Vec::new(), Vec::new());
    for found in journal.load().await.expect("the folder can be read") {
        match found {
            Found::Entry(entry) => entries.push(*entry),
            Found::Damaged { run_uuid, .. } => damaged.push(run_uuid),
        }
    }
    (entries, damaged)
}

fn entry_files(folder: &Path) -> Vec<std::path::PathBuf> {
    let paths = fs::read_dir(folder).expect("the folder").map(|entry| entry.expect("an entry").path());
    paths.filter(|path| path.extension().is_some_and(|e| e == "run")).collect()
}

#[tokio::test]
async fn what_was_written_is_there_after_a_restart_until_it_is_removed() {
    let folder = tempfile::tempdir().expect("a folder");
    let journal = FileJournal::open_sealed(folder.path(), vec![key(1)]).expect("open");
    let mut first = entry("run-1");
    journal.put(&first, Durability::Synced).await.expect("written");
    first.stage = Stage::Ended;
    journal.put(&first, Durability::Buffered).await.expect("written");
    journal.put(&entry("run-2"), Durability::Synced).await.expect("written");
    journal.remove("run-2").await;
    journal.remove("run-3").await;
    drop(journal);

    let (entries, damaged) = load(&FileJournal::open_sealed(folder.path(), vec![key(1)]).expect("open")).await;
    assert!(damaged.is_empty());
    assert_eq!(entries.len(), 1);
    assert_eq!(serde_json::to_value(&entries[0]).expect("json"), serde_json::to_value(&first).expect("json"));
}

#[tokio::test]
async fn one_process_at_a_time_has_the_folder_and_a_second_one_is_told_which() {
    let folder = tempfile::tempdir().expect("a folder");
    let held = FileJournal::open_sealed(folder.path(), vec![key(1)]).expect("open");
    match FileJournal::open_sealed(folder.path(), vec![key(1)]).err() {
        Some(OpenError::InUse { holder, .. }) => assert_eq!(holder, format!("process {}", std::process::id())),
        other => panic!("{other:?}"),
    }
    drop(held);
    FileJournal::open_sealed(folder.path(), vec![key(1)]).expect("free again");
}

#[tokio::test]
async fn an_entry_cut_at_any_byte_costs_that_run_only() {
    let folder = tempfile::tempdir().expect("a folder");
    let journal = FileJournal::open_sealed(folder.path(), vec![key(1)]).expect("open");
    journal.put(&entry("whole"), Durability::Buffered).await.expect("written");
    journal.put(&entry("cut"), Durability::Buffered).await.expect("written");
    let path = folder.path().join("cut.run");
    let bytes = fs::read(&path).expect("the entry");
    for length in 0..bytes.len() {
        fs::write(&path, &bytes[..length]).expect("cut");
        let (entries, damaged) = load(&journal).await;
        assert_eq!(entries.iter().map(|e| e.run_uuid.as_str()).collect::<Vec<_>>(), ["whole"], "at {length}");
        assert_eq!(damaged, ["cut"], "at {length}");
    }
}

#[tokio::test]
async fn a_flipped_bit_is_noticed() {
    let folder = tempfile::tempdir().expect("a folder");
    let journal = FileJournal::open_sealed(folder.path(), vec![key(1)]).expect("open");
    journal.put(&entry("flipped"), Durability::Buffered).await.expect("written");
    let path = folder.path().join("flipped.run");
    let bytes = fs::read(&path).expect("the entry");
    for at in (0..bytes.len()).step_by(7) {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        fs::write(&path, changed).expect("changed");
        assert_eq!(load(&journal).await.1, ["flipped"], "at {at}");
    }
}

#[tokio::test]
async fn nothing_of_a_run_lies_in_clear_and_nobody_else_can_read_it() {
    let parent = tempfile::tempdir().expect("a folder");
    let folder = parent.path().join("state");
    let journal = FileJournal::open_sealed(&folder, Vec::new()).expect("open");
    journal.put(&entry("secret"), Durability::Synced).await.expect("written");
    assert_eq!(fs::metadata(&folder).expect("the folder").permissions().mode() & 0o777, 0o700);
    for file in fs::read_dir(&folder).expect("the folder") {
        let path = file.expect("an entry").path();
        let bytes = fs::read(&path).expect("a file");
        assert!(!bytes.windows(6).any(|window| window == b"CANARY"), "{}", path.display());
        assert_eq!(fs::metadata(&path).expect("a file").permissions().mode() & 0o777, 0o600, "{}", path.display());
    }
}

#[tokio::test]
async fn after_a_rotation_entries_of_the_old_key_are_still_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let journal = FileJournal::open_sealed(folder.path(), vec![key(1)]).expect("open");
    journal.put(&entry("old"), Durability::Buffered).await.expect("written");
    drop(journal);
    let journal = FileJournal::open_sealed(folder.path(), vec![key(2), key(1)]).expect("open");
    assert_eq!(load(&journal).await.0.len(), 1);
    drop(journal);
    let journal = FileJournal::open_sealed(folder.path(), vec![key(2)]).expect("open");
    assert_eq!(load(&journal).await.1, ["old"]);
}

#[tokio::test]
async fn a_runner_without_a_key_keeps_one_of_its_own() {
    let folder = tempfile::tempdir().expect("a folder");
    for expected in [0, 1] {
        let journal = FileJournal::open_sealed(folder.path(), Vec::new()).expect("open");
        assert_eq!(load(&journal).await.0.len(), expected);
        journal.put(&entry("kept"), Durability::Buffered).await.expect("written");
    }
}

#[tokio::test]
async fn a_write_that_was_cut_off_leaves_the_earlier_entry() {
    let folder = tempfile::tempdir().expect("a folder");
    let journal = FileJournal::open_sealed(folder.path(), vec![key(1)]).expect("open");
    journal.put(&entry("run"), Durability::Buffered).await.expect("written");
    drop(journal);
    fs::write(folder.path().join("run.run.7.tmp"), b"half").expect("written");
    let journal = FileJournal::open_sealed(folder.path(), vec![key(1)]).expect("open");
    assert_eq!(load(&journal).await.0.len(), 1);
    assert_eq!(fs::read_dir(folder.path()).expect("the folder").count(), 2, "the entry and the lock");
}

#[tokio::test]
async fn a_uuid_that_is_no_file_name_leaves_the_folder_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let journal = FileJournal::open_sealed(&folder.path().join("state"), vec![key(1)]).expect("open");
    for uuid in ["../../escape", "a/b", "ü", "", &"x".repeat(300)] {
        journal.put(&entry(uuid), Durability::Buffered).await.expect("written");
        assert_eq!(load(&journal).await.0[0].run_uuid, uuid);
        journal.remove(uuid).await;
    }
    assert_eq!(fs::read_dir(folder.path()).expect("the folder").count(), 1);
    assert!(entry_files(&folder.path().join("state")).is_empty());
}
