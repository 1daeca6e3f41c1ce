//! The state folder, and what lies on disk.

use std::fs;
use std::path::Path;

use meshstack_local::{Effect, Event, Fault, Operation, Order};

use crate::support::{Daemon, Setup, UUID, local, run_fixture};

#[tokio::test(flavor = "multi_thread")]
async fn a_second_runner_is_told_who_has_the_state_folder() {
    let local = local().await;
    let mut events = local.events();
    let mut setup = Setup::of(&local);
    let first = Daemon::start(&mut setup.command, None);
    while !matches!(events.recv().await.unwrap(), Event::IdleClaim { .. }) {}
    let mut second = setup.start();
    assert_eq!(second.wait().code(), Some(2), "{}", second.log());
    second.wait_for_log(&format!("process {}", first.id()));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_runners_with_one_uuid_share_the_runs() {
    let local = local().await;
    let _daemons = [Setup::of(&local).start(), Setup::of(&local).start()];
    for _ in 0..20 {
        let run = local.order(UUID, Order::manual().input("name", "demo", "STRING")).await;
        let _ = run;
    }
    for run in local.runs().await {
        let ended = local.wait_for_end(&run.uuid).await;
        assert_eq!((ended.status.word(), ended.claims, ended.ended_count), ("SUCCEEDED", 1, 1));
    }
    assert_eq!(local.violations(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_folder_that_was_asked_for_and_cannot_be_used_is_an_error() {
    let local = local().await;
    let mut setup = Setup::of(&local);
    let file = setup.folder.path().join("a-file");
    fs::write(&file, "").unwrap();
    setup.command.env("BB_STATE_DIR", file.join("state"));
    let mut daemon = setup.start();
    assert_eq!(daemon.wait().code(), Some(2));
    daemon.wait_for_log("state folder");
    assert!(local.requests().is_empty(), "nothing was claimed");
}

/// Whether a file below `folder` holds one of the texts; gives its path.
fn find(folder: &Path, canaries: &[&str]) -> Option<String> {
    fs::read_dir(folder).unwrap().find_map(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return find(&path, canaries);
        }
        let bytes = fs::read(&path).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        canaries.iter().find(|canary| text.contains(**canary)).map(|canary| format!("{canary} in {}", path.display()))
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_secret_of_a_run_lies_on_disk_while_its_end_is_undelivered() {
    let local = local().await;
    local.fault(Fault::on(Operation::Patch, Effect::status(503)).always());
    let mut run = run_fixture("manual");
    run["spec"]["runToken"] = "canary-run-token".into();
    let run = local.order_raw(UUID, run).await;
    let mut setup = Setup::of(&local);
    let secret = local.api_key().1;
    let daemon = Daemon::start(&mut setup.command, None);
    daemon.wait_for_log("the end of the run was not taken");
    let state = setup.folder.path().join("state").join(UUID);
    assert!(fs::read_dir(&state).unwrap().any(|entry| entry.unwrap().path().extension().is_some_and(|e| e == "run")));
    assert_eq!(find(setup.folder.path(), &["canary-run-token", &secret]), None);
    assert!(!daemon.log().contains("canary-run-token") && !daemon.log().contains(&secret), "{}", daemon.log());
    drop(daemon);

    local.clear_faults();
    let _daemon = setup.start();
    assert_eq!(local.wait_for_end(&run).await.status, "SUCCEEDED");
}
