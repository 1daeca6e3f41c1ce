//! What comes in is broken: one clear sentence to the right person, the claimed run ends, the daemon lives on.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use meshstack_local::{Effect, Fault, LocalMeshStack, Operation, Order, RunView};
use serde_json::Value;

use crate::support::{Daemon, Setup, UUID, bb_runner, fixture, fixture_path, local, run_fixture};

/// A Terraform run with secrets in it.
fn with_secrets() -> Value {
    run_fixture("terraform-apply")
}

/// Orders `run` and a plain one behind it, starts the daemon, and gives the end of the first.
///
/// It ends FAILED once; the daemon carries the second one out and lives on; nothing secret is in its log.
async fn fails_and_lives_on(local: &LocalMeshStack, setup: Setup, run: Value) -> (RunView, Daemon) {
    let run = local.order_raw(UUID, run).await;
    let next = local.order(UUID, Order::manual()).await;
    let mut daemon = setup.start();
    let failed = local.wait_for_end(&run).await;
    assert_eq!((failed.status.word(), failed.ended_count), ("FAILED", 1), "{failed:?}");
    lives_on(local, &mut daemon, &next).await;
    (failed, daemon)
}

async fn lives_on(local: &LocalMeshStack, daemon: &mut Daemon, next: &str) {
    assert_eq!(local.wait_for_end(next).await.status, "SUCCEEDED");
    assert!(daemon.is_running());
    assert_eq!(local.violations(), [""; 0]);
    let log = daemon.log();
    let key = fixture("crypto/current.key.pem");
    let line_of_key = key.lines().nth(5).unwrap();
    for secret in [local.api_key().1.as_str(), "pa$$w0rd", "dd-secret", ".sig", line_of_key] {
        assert!(!log.contains(secret), "{secret:?} is in the log:\n{log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_does_not_fit_fails_the_run_and_says_what_to_do() {
    let local = local().await;
    let mut setup = Setup::of(&local);
    setup.command.env("RUNNER_PRIVATE_KEY_FILE", fixture_path("crypto/unrelated-2048.key.pem"));
    let (failed, _) = fails_and_lives_on(&local, setup, with_secrets()).await;
    let summary = failed.summary.unwrap();
    assert!(summary.contains("password") && summary.contains("key"), "{summary}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_key_a_run_with_secrets_fails_and_says_so() {
    let local = local().await;
    let mut setup = Setup::of(&local);
    setup.command.env_remove("RUNNER_PRIVATE_KEY_FILE");
    let (failed, daemon) = fails_and_lives_on(&local, setup, with_secrets()).await;
    assert!(failed.summary.as_ref().unwrap().contains("key"), "{failed:?}");
    daemon.wait_for_log("no private key is configured");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truncated_ciphertext_fails_the_run() {
    let local = local().await;
    let mut run = with_secrets();
    let value = &mut run["spec"]["buildingBlock"]["spec"]["inputs"][6]["value"];
    let text = value.as_str().unwrap();
    *value = text[..text.len() - 12].into();
    let (failed, _) = fails_and_lives_on(&local, Setup::of(&local), run).await;
    assert!(failed.summary.as_ref().unwrap().contains("password"), "{failed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_cannot_be_read_is_ended_and_not_lost() {
    let local = local().await;
    let mut run = run_fixture("manual");
    run["spec"]["buildingBlock"]["spec"]["inputs"][0]["value"] = "x".repeat(9 << 20).into();
    let (failed, _) = fails_and_lives_on(&local, Setup::of(&local), run).await;
    assert!(failed.summary.as_ref().unwrap().contains("cannot read this run"), "{failed:?}");
    assert!(failed.steps[0].system_message.as_ref().unwrap().contains("longer than 8 MiB"), "{failed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_git_fails_the_run_and_is_named() {
    let local = local().await;
    let mut run = with_secrets();
    run["spec"]["buildingBlockDefinition"]["spec"]["implementation"]["repositoryUrl"] =
        "https://localhost:1/x.git".into();
    let mut setup = Setup::of(&local);
    let programs = setup.folder.path().join("tfbin/1.9.0");
    fs::create_dir_all(&programs).unwrap();
    executable(&programs.join("terraform"), "#!/bin/sh\nexit 0\n");
    setup.command.env("PATH", &programs);
    let (failed, _) = fails_and_lives_on(&local, setup, run).await;
    assert!(failed.summary.as_ref().unwrap().contains("git"), "{failed:?}");
}

fn executable(file: &Path, text: &str) {
    fs::write(file, text).unwrap();
    fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
}

/// The first claim gets a broken answer; the daemon says `complaint` and claims again.
async fn claim_is_answered_with(effect: Effect, complaint: &str) {
    let local = local().await;
    local.fault(Fault::on(Operation::Claim, effect));
    let next = local.order(UUID, Order::manual()).await;
    let mut daemon = Setup::of(&local).start();
    let line = daemon.wait_for_log("claiming failed");
    assert!(line.contains(complaint), "{line}");
    lives_on(&local, &mut daemon, &next).await;
    let peak = peak_memory_mib(daemon.id());
    assert!(peak < 64, "the daemon took {peak} MiB");
}

/// The most memory that the process ever held.
fn peak_memory_mib(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

fn answer(code: u16, body: &str) -> Effect {
    Effect::Status {
        code,
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        body: body.to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_answered_with_json_that_is_no_run_is_survived() {
    claim_is_answered_with(answer(200, "{\"hello\": 1}"), "metadata.uuid").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_answered_with_something_else_than_json_is_survived() {
    claim_is_answered_with(answer(200, "surprise"), "HTTP 200").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_answered_with_html_is_survived() {
    claim_is_answered_with(Effect::Html, "HTML").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_answered_with_a_500_is_survived() {
    claim_is_answered_with(answer(500, "oops"), "HTTP 500").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_answered_with_a_gibibyte_is_survived_in_bounded_memory() {
    claim_is_answered_with(Effect::HugeBody(1 << 30), "HTTP 200").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_credentials_are_said_loudly_and_not_shown() {
    let local = local().await;
    let mut setup = Setup::of(&local);
    setup.command.env("RUNNER_API_CLIENT_SECRET", "hush-hush-4711");
    let daemon = setup.start();
    let line = daemon.wait_for_log("credentials");
    assert!(line.contains("ERROR"), "{line}");
    assert!(!daemon.log().contains("hush-hush-4711"));
}

#[test]
fn a_configuration_with_three_mistakes_is_refused_with_all_three() {
    let folder = tempfile::tempdir().unwrap();
    let config = "runnerUUID: 7f3c9b1e-0d52-4c5a-9a64-3f1f0c1f7a10\napi:\n  url: ftp://mesh\n  clientId: id\n  clientSecret: hush-hush\ntimeoutMins: soon\n";
    fs::write(folder.path().join("runner-config.yml"), config).unwrap();
    let output = bb_runner(folder.path()).args(["--log-format", "text"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    insta::assert_snapshot!(String::from_utf8(output.stderr).unwrap());
}

#[test]
fn where_the_log_is_json_a_wrong_configuration_is_json_too() {
    let folder = tempfile::tempdir().unwrap();
    let output = bb_runner(folder.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let line: Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!(line["level"], "ERROR");
    assert!(line["message"].as_str().unwrap().contains("RUNNER_UUID"), "{line}");
}
