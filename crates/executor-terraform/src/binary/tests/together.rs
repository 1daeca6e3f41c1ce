//! Several runs and several runners.

use std::fs::{self, File};
use std::path::PathBuf;
use std::sync::Arc;

use runner_core::{Stop, StopReason};

use super::world::{PROGRAM, Paths, World, get, names};

/// A run of this version, on its own.
fn begin(world: &World, version: &str, stop: &Stop) -> tokio::task::JoinHandle<super::world::Told> {
    let (binaries, settings) = (Arc::clone(&world.binaries), world.settings.clone());
    tokio::spawn(get(binaries, settings, version.to_owned(), stop.clone()))
}

#[tokio::test]
async fn runs_that_need_the_same_version_download_it_once() {
    let world = World::new().await;
    let paths = world.release("1.9.0");
    world.mirror.hold(true);
    let runs: Vec<_> = (0..4).map(|_| begin(&world, "1.9.0", &Stop::default())).collect();
    world.mirror.asked_for(&paths.sums).await;
    world.mirror.hold(false);
    for run in runs {
        let told = run.await.unwrap();
        assert_eq!(told.result.unwrap().path, world.program("1.9.0"));
        // One that came when all was done says nothing.
        assert!(told.log.is_empty() || told.log.len() >= 5, "{:#?}", told.log);
    }
    assert_eq!(world.mirror.asked(), [paths.sums, paths.signature, paths.archive]);
}

#[tokio::test]
async fn runs_that_wait_for_one_download_all_tell_of_it() {
    let world = World::new().await;
    let paths = world.release("1.9.0");
    world.mirror.hold(true);
    let first = begin(&world, "1.9.0", &Stop::default());
    world.mirror.asked_for(&paths.sums).await;
    // The second one joins while it is polled, with nothing done yet.
    let stop = Stop::default();
    let second = get(Arc::clone(&world.binaries), world.settings.clone(), "1.9.0".to_owned(), stop);
    let release = async { world.mirror.hold(false) };
    let (second, ()) = tokio::join!(second, release);
    let first = first.await.unwrap();
    assert!(first.result.is_ok() && second.result.is_ok());
    assert_eq!(first.log, second.log);
    assert_eq!(world.mirror.count(&paths.archive), 1);
}

#[tokio::test]
async fn a_run_that_is_stopped_waits_no_longer_and_the_others_get_theirs() {
    let world = World::new().await;
    let paths = world.release("1.9.0");
    world.mirror.hold(true);
    let (stop, go_on) = (Stop::default(), Stop::default());
    let stopped = begin(&world, "1.9.0", &stop);
    world.mirror.asked_for(&paths.sums).await;
    let other = get(Arc::clone(&world.binaries), world.settings.clone(), "1.9.0".to_owned(), go_on);
    let rest = async {
        stop.request(StopReason::Aborted);
        let told = stopped.await.unwrap();
        assert_eq!(told.result.unwrap_err().user_message(), "The run was aborted.");
        world.mirror.hold(false);
    };
    let (other, ()) = tokio::join!(other, rest);
    assert!(other.result.is_ok());
    assert_eq!(world.mirror.count(&paths.sums), 1, "the download goes on where it was");
}

#[tokio::test]
async fn a_download_that_nobody_waits_for_ends_and_leaves_nothing() {
    let world = World::new().await;
    let paths = world.release("1.9.0");
    world.mirror.answer(&paths.archive, [super::mirror::Answer::Stalled(b"PK".to_vec())]);
    let stop = Stop::default();
    let run = begin(&world, "1.9.0", &stop);
    world.mirror.asked_for(&paths.archive).await;
    assert_eq!(world.leftovers().len(), 1);
    stop.request(StopReason::Aborted);
    assert!(run.await.unwrap().result.is_err());
    assert_eq!(names(&world.settings.install_dir), [".1.9.0.lock"]);
    // The next one is not kept waiting by it.
    world.release("1.9.0");
    assert!(world.get("1.9.0").await.result.is_ok());
}

#[tokio::test]
async fn a_failure_is_told_to_all_and_tried_anew_by_the_next() {
    let world = World::new().await;
    world.mirror.hold(true);
    let runs: Vec<_> = (0..2).map(|_| begin(&world, "1.9.0", &Stop::default())).collect();
    world.mirror.asked_for(&Paths::of("1.9.0").sums).await;
    world.mirror.hold(false);
    for run in runs {
        assert!(run.await.unwrap().result.unwrap_err().user_message().contains("not available"));
    }
    world.release("1.9.0");
    assert!(world.get("1.9.0").await.result.is_ok());
}

#[tokio::test]
async fn what_a_crash_left_is_removed_and_what_another_runner_works_on_stays() {
    let world = World::new().await;
    world.release("1.9.0");
    let root = &world.settings.install_dir;
    let partial = |name: &str| -> PathBuf {
        let folder = root.join(name);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("archive.zip"), "PK").unwrap();
        folder
    };
    let crashed = [partial(".1.9.0.partial-AbCdEf"), partial(".1.8.1.partial-AbCdEf")];
    let alive = partial(".1.7.0.partial-AbCdEf");
    let lock = File::create(root.join(".1.7.0.lock")).unwrap();
    lock.lock().unwrap();
    let not_ours = partial("a.partial-AbCdEf");

    assert!(world.get("1.9.0").await.result.is_ok());

    assert!(crashed.iter().all(|folder| !folder.exists()));
    assert!(alive.exists() && not_ours.exists());
    assert_eq!(fs::read(world.program("1.9.0")).unwrap(), PROGRAM);
}

#[tokio::test]
async fn a_version_that_another_runner_installs_is_waited_for_and_not_downloaded() {
    let world = World::new().await;
    world.release("1.9.0");
    let root = &world.settings.install_dir;
    fs::create_dir_all(root).unwrap();
    let lock = File::create(root.join(".1.9.0.lock")).unwrap();
    lock.lock().unwrap();
    let stop = Stop::default();
    let stopped = begin(&world, "1.9.0", &stop);
    let run = get(Arc::clone(&world.binaries), world.settings.clone(), "1.9.0".to_owned(), Stop::default());
    let other_runner = async {
        // A stopped run does not wait for the other runner either.
        stop.request(StopReason::Aborted);
        assert!(stopped.await.unwrap().result.is_err());
        let elsewhere = world.dir.path().join("program");
        fs::write(&elsewhere, "by another runner").unwrap();
        fs::set_permissions(&elsewhere, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        fs::create_dir_all(root.join("1.9.0")).unwrap();
        fs::rename(elsewhere, world.program("1.9.0")).unwrap();
        drop(lock);
    };
    let (told, ()) = tokio::join!(run, other_runner);
    assert_eq!(told.result.unwrap().path, world.program("1.9.0"));
    assert_eq!(told.log, ["Waiting for another runner that installs OpenTofu 1.9.0."]);
    assert_eq!(fs::read(world.program("1.9.0")).unwrap(), b"by another runner");
    assert_eq!(world.mirror.asked(), Vec::<String>::new());
}
