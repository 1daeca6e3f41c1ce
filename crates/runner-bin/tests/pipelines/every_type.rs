//! One process serves every type at once.

use meshstack_local::{Order, RunView};
use serde_json::json;

use crate::fake_azure::azure::Pipeline;
use crate::fake_github::{Script, Workflow};
use crate::runs::{
    AZURE_ASYNC, AZURE_SYNC, GITHUB_ASYNC, GITHUB_NO_DESTROY, GITHUB_RUN_TOKEN, GITHUB_SYNC, GITLAB, run,
};
use crate::support::{Setup, UUID, local, run_fixture};
use crate::{fake_azure, fake_github, fake_gitlab, patiently};

#[tokio::test(flavor = "multi_thread")]
async fn runs_of_all_types_come_to_their_end_in_one_process() {
    let local = local().await;
    let (github, gitlab) = (fake_github::Fake::start().await, fake_gitlab::Fake::start().await);
    let azure = fake_azure::Fake::with(Pipeline::of_the_fixtures()).await;
    for file in ["apply.yml", "destroy.yml"] {
        github.workflow(
            file,
            Workflow::new(|_| Script::new().end("success", vec![fake_github::job(1, "build").ended("success")])),
        );
    }
    let raw = async |fixture: &str, url: &str| local.order_raw(UUID, run(fixture, url)).await;
    let followed = [
        raw(GITHUB_SYNC, &github.url()).await,
        raw(GITHUB_RUN_TOKEN, &github.url()).await,
        raw(AZURE_SYNC, azure.url()).await,
    ];
    let handed_over = [
        ("gh-trigger", raw(GITHUB_ASYNC, &github.url()).await),
        ("gl-trigger", raw(GITLAB, &gitlab.url()).await),
        ("azure-devops-trigger", raw(AZURE_ASYNC, azure.url()).await),
    ];
    let failed = [raw(GITHUB_NO_DESTROY, &github.url()).await, local.order_raw(UUID, run_fixture("custom-type")).await];
    let manual = local.order(UUID, Order::manual().input("size", 3, "INTEGER")).await;

    let daemon = Setup::of(&local).start();
    for run in followed.iter().chain([&manual]) {
        let view = patiently(local.wait_for_end(run)).await;
        assert_eq!(view.status, "SUCCEEDED", "{:#?}\n{}", view.steps, daemon.log());
    }
    for (step, run) in &handed_over {
        let done = |run: &RunView| run.step(step).is_some_and(|step| step.status == "SUCCEEDED");
        let view = patiently(local.wait_until(run, done)).await;
        assert_eq!(view.status, "IN_PROGRESS", "{:#?}", view.steps);
        assert!(view.sources[0].external_run_url.is_some(), "{step}: no link to the pipeline");
    }
    let [no_destroy, custom] = failed;
    let no_destroy = patiently(local.wait_for_end(&no_destroy)).await;
    assert_eq!(no_destroy.status, "FAILED");
    assert!(format!("{:?}", no_destroy.steps).contains("destroy"), "{:#?}", no_destroy.steps);
    let custom = format!("{:?}", patiently(local.wait_for_end(&custom)).await.steps);
    for kind in ["AZURE_DEVOPS", "GITHUB_WORKFLOW", "GITLAB_CICD", "MANUAL", "TERRAFORM"] {
        assert!(custom.contains(kind), "an unknown type is told the known ones: {custom}");
    }

    assert_eq!(local.violations(), Vec::<String>::new());
    let log = daemon.log();
    for secret in ["glptt-secret", "pat-secret", "dd-secret", "pa$$w0rd", "api-token", "BEGIN RSA", "ghs_"] {
        assert!(!log.contains(secret), "{secret} is in the log:\n{log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workflow_that_dies_after_its_hand_over_fails_its_run_where_that_is_watched() {
    let local = local().await;
    let github = fake_github::Fake::start().await;
    github.workflow("apply.yml", Workflow::new(|_| Script::new().end("cancelled", vec![])));
    let run = local.order_raw(UUID, run(GITHUB_ASYNC, &github.url())).await;
    let mut setup = Setup::of(&local);
    setup.command.env("BB_WATCH_HANDED_OVER", "true");
    let _daemon = setup.start();
    let view = patiently(local.wait_for_end(&run)).await;
    assert_eq!(view.status, "FAILED", "{:#?}", view.steps);
    assert_eq!(local.violations(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_per_type_lets_others_pass() {
    let local = local().await;
    let github = fake_github::Fake::start().await;
    github.workflow("apply.yml", Workflow::new(|_| Script::endless()));
    let runs = [local.order_raw(UUID, run(GITHUB_SYNC, &github.url())).await, {
        let mut second = run(GITHUB_SYNC, &github.url());
        second["spec"]["runToken"] = json!("the token of the second");
        second["metadata"]["uuid"] = json!("5d1f4f6e-9b1c-4b43-8ac0-000000000002");
        local.order_raw(UUID, second).await
    }];
    let manual = local.order(UUID, Order::manual()).await;
    let mut setup = Setup::of(&local);
    setup.command.env("BB_LIMITS_GITHUB", "1");
    let _daemon = setup.start();
    assert_eq!(patiently(local.wait_for_end(&manual)).await.status, "SUCCEEDED");
    let message = |run: &RunView| run.step("gh-trigger").and_then(|step| step.user_message.clone()).unwrap_or_default();
    // Which of the two came first is meshStack's affair.
    let waits = |run| local.wait_until(run, |run| message(run).starts_with("Waiting"));
    tokio::select! {
        _ = patiently(waits(&runs[0])) => {}
        _ = patiently(waits(&runs[1])) => {}
    }
    github.until("a workflow", |state| (!state.runs.is_empty()).then_some(())).await;
    assert_eq!(github.runs().len(), 1);
}
