//! Single-run mode. Source: `protocol/run-controller.md`.

use std::fs;
use std::path::Path;
use std::process::Output;

use meshstack_client::{Client, ClientConfig, Credentials, Secret};
use meshstack_local::{LocalMeshStack, Operation, Order};

use crate::support::{UUID, bb_runner, local};

/// A run that the controller has claimed, in a file as its pods find it.
async fn claimed(local: &LocalMeshStack, folder: &Path) -> String {
    let run = local.order(UUID, Order::manual().input("name", "demo", "STRING")).await;
    let (client_id, secret) = local.api_key();
    let mut config = ClientConfig::new(UUID);
    config.api_url = Some(local.url());
    config.credentials = Some(Credentials::ApiKey { client_id, client_secret: Secret::new(secret) });
    let object = Client::new(config).unwrap().claim().await.unwrap().unwrap();
    fs::write(folder.join("run.json"), object.raw().to_string()).unwrap();
    run
}

/// Starts the program as a pod does; neither API key nor private key is there.
fn once(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = bb_runner(folder);
    command.env("RUNNER_UUID", UUID).args(arguments).envs(variables.iter().copied());
    command.output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_carried_out_with_its_token_alone() {
    let local = local().await;
    let folder = tempfile::tempdir().unwrap();
    let run = claimed(&local, folder.path()).await;
    let before = local.requests().len();
    let output = once(folder.path(), &["run-once", "run.json"], &[("RUNNER_API_URL", &local.url())]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let view = local.run(&run).await.unwrap();
    assert_eq!(view.status, "SUCCEEDED");
    assert_eq!(view.outputs["name"].value, "demo");
    let ours = &local.requests()[before..];
    assert!(ours.iter().all(|request| request.operation != Operation::Login && request.operation != Operation::Claim));
    assert_eq!(local.violations(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_environment_asks_for_it_in_three_ways() {
    let local = local().await;
    let ways: [&[(&str, &str)]; 3] =
        [&[("EXECUTION_MODE", "single-run")], &[("SPRING_PROFILES_ACTIVE", "prod,kubernetes")], &[]];
    for way in ways {
        let folder = tempfile::tempdir().unwrap();
        let run = claimed(&local, folder.path()).await;
        // Without RUNNER_API_URL the links of the run are used.
        let variables = [way, &[("RUN_JSON_FILE_PATH", "run.json")]].concat();
        let output = once(folder.path(), &[], &variables);
        assert_eq!(output.status.code(), Some(0), "{way:?}: {}", said(&output));
        assert_eq!(local.run(&run).await.unwrap().status, "SUCCEEDED", "{way:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_over_or_aborted_is_not_carried_out_and_not_tried_again() {
    let local = local().await;
    let folder = tempfile::tempdir().unwrap();
    let run = claimed(&local, folder.path()).await;
    let arguments = ["run-once", "run.json"];
    let over = [once(folder.path(), &arguments, &[]), once(folder.path(), &arguments, &[])];
    assert_eq!(over.map(|output| output.status.code()), [Some(0), Some(0)]);
    assert_eq!(local.run(&run).await.unwrap().ended_count, 1);

    let run = claimed(&local, folder.path()).await;
    local.abort(&run).await;
    let aborted = once(folder.path(), &arguments, &[]);
    assert_eq!(aborted.status.code(), Some(0), "{}", said(&aborted));
    assert_eq!(local.run(&run).await.unwrap().status, "ABORTED");
}

#[test]
fn what_was_not_started_may_be_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let missing = once(folder.path(), &["run-once", "gone.json", "--log-format", "text"], &[]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(said(&missing).contains("gone.json cannot be read"), "{}", said(&missing));
    fs::write(folder.path().join("no.json"), "{\"a\": 1}").unwrap();
    let no_run = once(folder.path(), &["run-once", "no.json", "--log-format", "text"], &[]);
    assert_eq!(no_run.status.code(), Some(1));
    insta::assert_snapshot!(said(&no_run), @"The file no.json holds no run: the run object has no `metadata.uuid`, so nothing can be reported for it. It must hold the run object as JSON.");
}

#[test]
fn single_run_mode_without_a_file_is_a_wrong_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let output = once(folder.path(), &[], &[("EXECUTION_MODE", "single-run")]);
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("RUN_JSON_FILE_PATH"), "{}", said(&output));
}
