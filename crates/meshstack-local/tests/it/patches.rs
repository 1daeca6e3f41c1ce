//! Patching the status: what is merged, and what is refused.

use meshstack_local::{Event, Order};
use serde_json::{Value, json};

use crate::client::{RUN, Scene, send, with_header};

#[tokio::test]
async fn what_a_patch_leaves_out_stays_as_it_was() {
    let scene = Scene::new().await;
    let run = scene.registered(Order::manual()).await;
    let first = json!({
        "status": "IN_PROGRESS", "summary": "at work",
        "steps": [{ "id": "build", "displayName": "Build", "status": "IN_PROGRESS", "userMessage": "hello",
                    "systemMessage": "line 1\n", "outputs": { "a": { "value": 1, "type": "INTEGER" } } }],
    });
    let second = json!({
        "status": null, "summary": null,
        "steps": [{ "id": "test", "displayName": "Test", "status": "PENDING" },
                  { "id": "build", "displayName": null, "systemMessage": "line 1\nline 2\n" }],
    });
    for patch in [&first, &second, &json!({})] {
        let reply = send(scene.patch(&run, patch)).await;
        assert_eq!((reply.status, reply.json()), (200, json!({ "runAborted": false })));
    }
    let view = scene.mesh.run(&run.uuid).await.unwrap();
    assert_eq!(view.status, "IN_PROGRESS");
    assert_eq!(view.summary.as_deref(), Some("at work"));
    assert_eq!(view.steps.iter().map(|step| step.id.as_str()).collect::<Vec<_>>(), ["build", "test"]);
    let build = view.step("build").unwrap();
    assert_eq!((build.display_name.as_str(), build.status.word()), ("Build", "IN_PROGRESS"));
    assert_eq!(build.user_message.as_deref(), Some("hello"));
    assert_eq!(build.system_message.as_deref(), Some("line 1\nline 2\n"));
    assert_eq!(build.outputs["a"].value, json!(1));
    assert_eq!(view.patches, 3);
    scene.assert_no_violation();
}

#[tokio::test]
async fn the_outputs_of_all_steps_are_the_run_s_and_the_later_step_wins() {
    let scene = Scene::new().await;
    let run = scene.registered(Order::manual()).await;
    let numbers: Value = serde_json::from_str("[1,2.50]").unwrap();
    let patch = json!({ "status": "SUCCEEDED", "steps": [
        { "id": "build", "status": "SUCCEEDED", "outputs": {
            "a": { "value": "x", "type": "STRING", "isSensitive": true },
            "b": { "value": numbers, "type": "CODE", "isSensitive": null } } },
        { "id": "last", "displayName": "Last", "status": "SUCCEEDED", "outputs": {
            "a": { "value": true, "type": "BOOLEAN", "isSensitive": false } } } ] });
    assert_eq!(send(scene.patch(&run, &patch)).await.status, 200);
    let view = scene.mesh.wait_for_end(&run.uuid).await;
    assert_eq!(view.outputs["a"].value, json!(true));
    assert!(!view.outputs["a"].sensitive);
    assert_eq!(view.outputs["b"].kind, "CODE");
    assert_eq!(view.outputs["b"].value.to_string(), "[1,2.50]", "numbers stay as they were written");
    assert!(!view.has_warning());
}

#[tokio::test]
async fn after_the_end_every_patch_is_refused_with_409_and_the_end_counts_once() {
    for end in ["SUCCEEDED", "FAILED", "ABORTED"] {
        let scene = Scene::new().await;
        let run = scene.registered(Order::manual()).await;
        let mut events = scene.mesh.events();
        assert_eq!(send(scene.patch(&run, &json!({ "status": end }))).await.status, 200);
        assert!(matches!(events.recv().await.unwrap(), Event::Patched { .. }));
        assert!(matches!(events.recv().await.unwrap(), Event::Ended { status, .. } if status == end));
        assert_eq!(send(scene.patch(&run, &json!({ "status": "IN_PROGRESS" }))).await.status, 409);
        assert_eq!(send(scene.patch(&run, &json!({ "status": end }))).await.status, 409);
        assert_eq!(send(scene.patch_as("other", &run, &json!({ "status": end }))).await.status, 409);
        let view = scene.mesh.run(&run.uuid).await.unwrap();
        assert_eq!(view.status, end);
        assert_eq!((view.ended_count, view.patches, view.patches_after_end), (1, 1, 3));
        scene.assert_no_violation();
    }
}

#[tokio::test]
async fn a_patch_on_an_aborted_run_is_told_so_with_409() {
    let scene = Scene::new().await;
    let run = scene.registered(Order::manual()).await;
    scene.mesh.abort(&run.uuid).await;
    let reply = send(scene.patch(&run, &json!({ "status": "IN_PROGRESS" }))).await;
    assert_eq!((reply.status, reply.json()), (409, json!({ "runAborted": true })));
    let view = scene.mesh.run(&run.uuid).await.unwrap();
    assert_eq!(view.status, "ABORTED");
    assert_eq!(view.ended_count, 0, "nobody has reported an end");
    scene.assert_no_violation();
}

#[tokio::test]
async fn an_abort_before_the_claim_takes_the_run_out_of_the_queue_and_after_the_end_does_nothing() {
    let scene = Scene::new().await;
    let waiting = scene.mesh.order(&scene.runner, Order::manual()).await;
    scene.mesh.abort(&waiting).await;
    assert_eq!(send(scene.claim()).await.status, 404);

    let run = scene.registered(Order::manual()).await;
    send(scene.patch(&run, &json!({ "status": "SUCCEEDED" }))).await;
    scene.mesh.abort(&run.uuid).await;
    assert_eq!(scene.mesh.run(&run.uuid).await.unwrap().status, "SUCCEEDED");
}

#[tokio::test]
async fn a_patch_that_is_not_to_the_letter_is_refused_and_changes_nothing() {
    let scene = Scene::new().await;
    let run = scene.registered(Order::manual()).await;
    let step = |fields: Value| {
        let mut step = json!({ "id": "build" });
        step.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        json!({ "status": "FAILED", "summary": "gone", "steps": [step] })
    };
    let output = |output: Value| step(json!({ "outputs": { "o": output } }));
    for (body, status, reason) in [
        (json!({ "status": "PENDING" }), 500, "PENDING is never sent"),
        (json!({ "status": "DONE" }), 400, "no run status \"DONE\""),
        (json!({ "status": "succeeded" }), 400, "no run status"),
        (json!({ "state": "FAILED" }), 400, "unknown field `state`"),
        (json!([]), 400, "not understood"),
        (json!({ "steps": [{ "status": "FAILED" }] }), 400, "a step has no id"),
        (json!({ "steps": [{ "id": "new", "status": "FAILED" }] }), 400, "step new is new and has no displayName"),
        (json!({ "steps": [{ "id": "build" }, { "id": "build" }] }), 400, "step build is there twice"),
        (step(json!({ "status": "ABORTED" })), 400, "no step status \"ABORTED\""),
        (step(json!({ "message": "x" })), 400, "unknown field `message`"),
        (step(json!({ "outputs": [] })), 400, "not understood"),
        (step(json!({ "outputs": { "o": 1 } })), 400, "not understood"),
        (output(json!({ "value": null, "type": "STRING" })), 400, "output o has no value"),
        (output(json!({ "type": "STRING" })), 400, "output o has no value"),
        (output(json!({ "value": 1, "type": "NUMBER" })), 400, "output o has no type"),
        (output(json!({ "value": 1 })), 400, "output o has no type"),
        (output(json!({ "value": 1, "type": "INTEGER", "sensitive": true })), 400, "unknown field `sensitive`"),
        (json!({ "artifact": "cGxhbg==" }), 400, "for DETECT, this is APPLY"),
        (json!({ "changesDetected": true }), 400, "for DETECT, this is APPLY"),
    ] {
        let before = scene.mesh.run(&run.uuid).await.unwrap();
        assert_eq!(send(scene.patch(&run, &body)).await.status, status, "{body}");
        let violations = scene.mesh.violations();
        assert!(violations.last().unwrap().contains(reason), "{violations:?} does not end with {reason:?}");
        let after = scene.mesh.run(&run.uuid).await.unwrap();
        assert_eq!((after.status, &after.summary, &after.steps), (before.status, &before.summary, &before.steps));
    }
}

#[tokio::test]
async fn a_step_does_not_go_back() {
    for (from, to, allowed) in [
        ("PENDING", "IN_PROGRESS", true),
        ("PENDING", "FAILED", true),
        ("IN_PROGRESS", "IN_PROGRESS", true),
        ("IN_PROGRESS", "SUCCEEDED", true),
        ("SUCCEEDED", "SUCCEEDED", true),
        ("SUCCEEDED", "FAILED", true),
        ("FAILED", "SUCCEEDED", true),
        ("IN_PROGRESS", "PENDING", false),
        ("SUCCEEDED", "IN_PROGRESS", false),
        ("SUCCEEDED", "PENDING", false),
        ("FAILED", "IN_PROGRESS", false),
        ("FAILED", "PENDING", false),
    ] {
        let scene = Scene::new().await;
        let run = scene.registered(Order::manual()).await;
        let to_status = |status: &str| json!({ "steps": [{ "id": "build", "status": status }] });
        assert_eq!(send(scene.patch(&run, &to_status(from))).await.status, 200);
        let status = send(scene.patch(&run, &to_status(to))).await.status;
        assert_eq!(status, if allowed { 200 } else { 400 }, "{from} to {to}");
        let shown = scene.mesh.run(&run.uuid).await.unwrap().step("build").unwrap().status;
        assert_eq!(shown, if allowed { to } else { from });
        assert_eq!(scene.mesh.violations().is_empty(), allowed);
    }
}

#[tokio::test]
async fn a_patch_of_a_source_that_is_not_registered_is_refused() {
    let scene = Scene::new().await;
    let run = scene.started(Order::manual()).await;
    assert_eq!(send(scene.patch(&run, &json!({ "status": "FAILED" }))).await.status, 400, "nobody has registered");
    send(scene.register(&run, &scene.one_step())).await;
    assert_eq!(send(scene.patch_as("other", &run, &json!({ "status": "FAILED" }))).await.status, 400);
    assert_eq!(scene.mesh.violations().len(), 2);
    assert_eq!(scene.mesh.run(&run.uuid).await.unwrap().status, "IN_PROGRESS");
}

#[tokio::test]
async fn a_patch_without_the_right_media_types_is_refused() {
    for (header, value, status) in [
        ("content-type", None, 415),
        ("content-type", Some("application/json"), 415),
        ("accept", None, 406),
        ("accept", Some("*/*"), 406),
    ] {
        let scene = Scene::new().await;
        let run = scene.registered(Order::manual()).await;
        let request = with_header(scene.patch(&run, &json!({ "status": "FAILED" })), header, value);
        assert_eq!(send(request).await.status, status);
        assert_eq!(scene.mesh.violations().len(), 1);
        let charset = format!("{RUN}; charset=utf-8");
        let request = with_header(scene.patch(&run, &json!({})), "content-type", Some(&charset));
        assert_eq!(send(request).await.status, 200, "a charset does not matter");
    }
}

#[tokio::test]
async fn the_extra_fields_of_the_public_terraform_runner_are_accepted() {
    let scene = Scene::new().await;
    let run = scene.registered(Order::manual()).await;
    let patch = json!({
        "blockRunId": run.uuid, "source": { "id": scene.runner }, "type": "TERRAFORM",
        "createdOn": "2026-01-01T00:00:00Z", "status": "SUCCEEDED",
        "steps": [{ "id": "build", "status": "IN_PROGRESS" }],
    });
    assert_eq!(send(scene.patch(&run, &patch)).await.status, 200);
    assert!(scene.mesh.run(&run.uuid).await.unwrap().has_warning(), "a step never succeeded");
    scene.assert_no_violation();
}
