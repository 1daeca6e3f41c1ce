//! What GitHub refuses, and how it is told; and errors that pass while a workflow is followed.

use serde_json::{Value, json};

use crate::fake::{Fault, Reply, Script, Workflow};
use crate::world::{World, brief, message};

/// A run that GitHub refuses to start; its message.
async fn refused(fields: Value, prepare: impl FnOnce(&World)) -> String {
    let world = World::new().await;
    prepare(&world);
    let view = world.carry_out(&fields).await;
    assert_eq!(view.status, "FAILED", "{}", brief(&view));
    assert!(world.github.runs().is_empty());
    assert_eq!(world.github.seen("dispatch").len(), 1, "it is not tried again");
    let message = message(&view, "gh-trigger").to_owned();
    assert!(message.ends_with('.') && message.contains("Ask the platform team"), "{message}");
    message
}

#[tokio::test]
async fn a_workflow_that_cannot_be_started_is_told_with_what_to_change() {
    let ends = || Workflow::new(|_| Script::ending("success"));

    let message = refused(json!({ "applyWorkflow": "missing.yml" }), |_| {}).await;
    assert!(message.contains("There is no workflow file `missing.yml` in likvid/infra"), "{message}");

    let message = refused(json!({ "applyWorkflow": ".github/workflows/apply.yml" }), |_| {}).await;
    assert!(message.contains("the file's name without its folder"), "{message}");

    let message = refused(json!({}), |world| {
        world.github.workflow("apply.yml", Workflow { dispatchable: false, ..ends() });
    })
    .await;
    assert!(message.contains("it has no `workflow_dispatch` trigger"), "{message}");

    let message = refused(json!({}), |world| {
        world.github.workflow("apply.yml", Workflow { enabled: false, ..ends() });
    })
    .await;
    assert!(message.contains("is disabled"), "{message}");

    let message = refused(json!({ "branch": "f83a356604ae3c5d03e1b46ef4d1ca77d64a90b0" }), |_| {}).await;
    assert!(
        message.contains("There is no branch or tag `f83a") && message.contains("a commit cannot be used"),
        "{message}"
    );

    let message = refused(json!({}), |world| world.github.workflow("apply.yml", ends().declaring(&[]))).await;
    assert!(message.contains("does not declare the input `buildingBlockRun`"), "{message}");
    assert!(message.contains("omitRunObjectInput"), "{message}");

    let message = refused(json!({ "omitRunObjectInput": true }), |world| {
        world.github.workflow("apply.yml", ends().declaring(&[("buildingBlockRun", false)]));
    })
    .await;
    assert!(message.contains("declare `buildingBlockRunUrl`"), "{message}");

    let message = refused(json!({}), |world| {
        let inputs = [("buildingBlockRun", true), ("stage", true)];
        world.github.workflow("apply.yml", ends().declaring(&inputs));
    })
    .await;
    assert!(message.contains("requires an input that the runner does not send: Required input 'stage'"), "{message}");

    let message = refused(json!({}), |world| {
        world.github.fault("dispatch", Fault::Answer(Reply::error(422, "Something new")));
    })
    .await;
    assert!(message.contains("refused to start the workflow `apply.yml` in likvid/infra: Something new."), "{message}");
}

#[tokio::test]
async fn inputs_that_are_too_long_are_told_with_their_length() {
    let world = World::new().await;
    let order = world.order_with(&json!({})).input("big", "x".repeat(60_000), "STRING");
    let view = world.carry_out_order(order).await;
    let end = message(&view, "gh-trigger");
    assert!(
        end.contains("characters, and GitHub takes 65535 at most") && end.contains("pass only the API URL"),
        "{end}"
    );

    let order = world.order_with(&json!({ "omitRunObjectInput": true }));
    let view = world.carry_out_order(order.input("MESHSTACK_API_TOKEN", "x".repeat(70_000), "STRING")).await;
    let end = message(&view, "gh-trigger");
    assert!(end.contains("70") && end.contains("shorten the inputs"), "{end}");
}

#[tokio::test]
async fn errors_that_pass_do_not_end_a_run_that_is_followed() {
    for operation in ["get_run", "list_jobs"] {
        for fault in [
            Fault::CutBefore,
            Fault::CutAfter,
            Fault::Answer(Reply::error(500, "Server Error")),
            Fault::Answer(Reply::page(502)),
            Fault::Answer(Reply::page(200)),
            Fault::Answer(Reply::odd(200, "{ no JSON")),
            Fault::Answer(Reply::odd(200, "[]")),
            Fault::Answer(Reply::error(404, "Not Found")),
            Fault::Answer(Reply::error(403, "Resource not accessible by integration")),
        ] {
            let world = World::new().await;
            world.github.faults(operation, 0, 3, fault.clone());
            let view = world.carry_out(&json!({})).await;
            assert_eq!(view.status, "SUCCEEDED", "{operation} {fault:?}: {}", brief(&view));
            assert_eq!(world.github.runs().len(), 1);
        }
    }
}

#[tokio::test]
async fn a_workflow_that_github_no_longer_shows_fails_the_run() {
    for status in [403, 404, 410] {
        let world = World::new().await;
        world.script(Script::endless());
        world.github.faults("get_run", 2, 1000, Fault::Answer(Reply::error(status, "Not for you")));
        let view = world.carry_out(&json!({})).await;
        assert_eq!(view.status, "FAILED");
        let end = message(&view, "gh-trigger");
        assert!(end.contains("no longer lets the runner see the workflow, which may still be running"), "{end}");
        let id = world.github.runs()[0].id;
        assert!(end.ends_with(&world.github.state().page(id)), "{end}");
    }
}

#[tokio::test]
async fn hostile_names_never_leave_the_path_that_is_meant() {
    let world = World::new().await;
    for workflow in ["../../../user", "a/../../b.yml", "x?y=1", "x#y", "%2e%2e", "ü 日本.yml"] {
        let view = world.carry_out(&json!({ "applyWorkflow": workflow })).await;
        assert_eq!(view.status, "FAILED", "{}", brief(&view));
        assert!(message(&view, "gh-trigger").contains("There is no workflow file"), "{}", brief(&view));
        // The fake counts every request that is none of GitHub's as a violation.
        let seen = world.github.seen("dispatch").pop().expect("a dispatch");
        assert!(seen.path.starts_with("/repos/likvid/infra/actions/workflows/"), "{}", seen.path);
    }
    let before = world.github.state().seen.len();
    for (field, value) in
        [("owner", "../.."), ("repository", "a?b"), ("branch", ""), ("branch", "a b"), ("repository", "..")]
    {
        let view = world.carry_out(&json!({ field: value })).await;
        assert_eq!(view.status, "FAILED");
        assert!(message(&view, "gh-trigger").contains("Ask the platform team to correct"), "{}", brief(&view));
    }
    assert_eq!(world.github.state().seen.len(), before, "GitHub is not asked");
}

#[tokio::test]
async fn nothing_secret_is_told() {
    let world = World::new().await;
    let echo = "Provided value 'hunter2-canary' for input 'x' not in the list of allowed values, token ghs_installation-token-1";
    world.github.fault("dispatch", Fault::Answer(Reply::error(422, echo)));
    let order = world.order_with(&json!({})).sensitive_input("password", "hunter2-canary", "STRING");
    let view = world.carry_out_order(order).await;
    assert_eq!(view.status, "FAILED");
    for request in world.mesh.requests() {
        let body = request.body.map_or_else(String::new, |body| String::from_utf8_lossy(&body).into_owned());
        for secret in ["hunter2-canary", "ghs_installation", "PRIVATE KEY", "MII"] {
            assert!(!body.contains(secret), "{secret}: {body}");
        }
    }
}
