//! What runs leave on the disk of the runner: nothing, for it may hold secrets.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command};

use runner_core::{Outcome, Shutdown};

use crate::fake::Fake;
use crate::scene::{MINUTE, Scripted, executor, instant, order, start};

/// Puts many files into the run's directory, and has ended.
fn littering(kind: &str) -> Scripted {
    executor(kind, &["work"], |ctx| {
        Box::pin(async move {
            let directory = ctx.directory().expect("a directory");
            for i in 0..3000 {
                fs::write(directory.join(format!("secret-{i}")), "secret").expect("written");
            }
            Ok(Outcome::Succeeded)
        })
    })
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn when_the_runner_has_ended_no_directory_of_a_run_is_left() {
    let (fake, folder) = (Fake::new(), tempfile::tempdir().expect("a folder"));
    fake.queue(&order("r", "MANUAL"));
    let daemon = start(&fake, fake.runner().executor(littering("MANUAL")).working_dir(folder.path()));
    fake.until_over("r").await;
    daemon.drain().await;
    assert_eq!(names(folder.path()), [""; 0]);
}

#[tokio::test]
async fn when_a_single_run_has_ended_its_directory_is_gone() {
    let (fake, folder) = (Fake::new(), tempfile::tempdir().expect("a folder"));
    let run = order("r", "MANUAL");
    fake.know(&run);
    let runner = fake.runner().executor(littering("MANUAL")).working_dir(folder.path()).build().expect("a runner");
    runner.run_once(run, &Shutdown::new()).await;
    assert_eq!(names(folder.path()), [""; 0]);
}

/// A process that works in a folder until it is dropped.
struct Works(Child);

impl Works {
    fn at(folder: &Path) -> Self {
        Self(Command::new("sleep").arg("600").current_dir(folder).spawn().expect("a process"))
    }
}

impl Drop for Works {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(start_paused = true)]
async fn what_killed_processes_left_is_removed_once_nothing_works_there_or_had_its_time_to_stop() {
    let (fake, folder) = (Fake::new(), tempfile::tempdir().expect("a folder"));
    for left in ["run-alive-1", "run-busy-2", "run-quiet-3"] {
        fs::create_dir_all(folder.path().join(left).join("sources")).expect("a folder");
        fs::write(folder.path().join(left).join("secret"), "secret").expect("written");
    }
    let alive = File::open(folder.path().join("run-alive-1")).expect("opened");
    alive.lock_shared().expect("locked");
    let _busy = Works::at(&folder.path().join("run-busy-2/sources"));

    let mut executor = instant("MANUAL");
    executor.stop_grace = MINUTE;
    let daemon = start(&fake, fake.runner().executor(executor).working_dir(folder.path()));
    tokio::time::sleep(MINUTE / 2).await;
    assert_eq!(names(folder.path()), ["run-alive-1", "run-busy-2"]);
    tokio::time::sleep(MINUTE).await;
    daemon.drain().await;
    assert_eq!(names(folder.path()), ["run-alive-1"]);
}
