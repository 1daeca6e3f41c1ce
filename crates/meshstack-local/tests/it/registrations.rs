//! Registering as a source.

use meshstack_local::{Effect, Fault, Operation, Order};
use serde_json::{Value, json};

use crate::client::{Scene, send, with_header};

#[tokio::test]
async fn a_source_and_its_steps_are_shown_in_order() {
    let scene = Scene::new().await;
    let run = scene.started(Order::manual()).await;
    let body = json!({
        "source": { "id": scene.runner, "externalRunId": 42, "externalRunUrl": "https://ci.invalid/42" },
        "steps": [
            { "id": "z", "displayName": "First", "status": "PENDING" },
            { "id": "a", "displayName": "Second", "status": null },
        ],
    });
    assert_eq!(send(scene.register(&run, &body)).await.status, 200);
    let view = scene.mesh.run(&run.uuid).await.unwrap();
    let steps: Vec<_> = view.steps.iter().map(|step| (step.id.as_str(), step.display_name.as_str())).collect();
    assert_eq!(steps, [("z", "First"), ("a", "Second")]);
    assert!(view.steps.iter().all(|step| step.status == "PENDING"));
    assert_eq!(view.sources[0].external_run_id, Some(json!(42)));
    assert_eq!(view.sources[0].external_run_url.as_deref(), Some("https://ci.invalid/42"));
    scene.assert_no_violation();
}

#[tokio::test]
async fn registering_again_is_answered_409_and_changes_nothing() {
    let scene = Scene::new().await;
    let run = scene.registered(Order::manual()).await;
    let other = json!({ "source": { "id": scene.runner }, "steps": [{ "id": "x", "displayName": "X" }] });
    assert_eq!(send(scene.register(&run, &other)).await.status, 409);
    let view = scene.mesh.run(&run.uuid).await.unwrap();
    assert_eq!(view.steps.len(), 1);
    assert_eq!(view.steps[0].id, "build");
    assert_eq!(view.registers, 2);
    scene.assert_no_violation();
}

#[tokio::test]
async fn a_pipeline_registers_beside_the_runner_with_steps_of_its_own() {
    let scene = Scene::new().await;
    let run = scene.registered(Order::manual()).await;
    let pipeline =
        json!({ "source": { "id": "pipeline" }, "steps": [{ "id": "build", "displayName": "Its own build" }] });
    assert_eq!(send(scene.register(&run, &pipeline)).await.status, 200);
    let patch = json!({ "status": "IN_PROGRESS", "steps": [{ "id": "build", "status": "SUCCEEDED" }] });
    assert_eq!(send(scene.patch_as("pipeline", &run, &patch)).await.status, 200);
    let view = scene.mesh.run(&run.uuid).await.unwrap();
    let steps: Vec<_> = view.steps.iter().map(|step| (step.source.as_str(), step.status.word())).collect();
    assert_eq!(steps, [(scene.runner.as_str(), "PENDING"), ("pipeline", "SUCCEEDED")]);
}

#[tokio::test]
async fn a_registration_that_is_not_to_the_letter_is_refused() {
    let scene = Scene::new().await;
    let steps = |steps: Value| json!({ "source": { "id": "s" }, "steps": steps });
    for (body, reason) in [
        (json!({ "steps": [] }), "missing field `source`"),
        (json!({ "source": {} }), "the source has no id"),
        (json!({ "source": { "id": "" } }), "the source has no id"),
        (json!({ "source": { "id": "s", "externalRunId": true } }), "neither a string nor a number"),
        (json!({ "source": { "id": "s", "url": "x" } }), "unknown field `url`"),
        (json!({ "source": { "id": "s" }, "status": "PENDING" }), "unknown field `status`"),
        (steps(json!([{ "displayName": "A" }])), "a step has no id"),
        (steps(json!([{ "id": "a" }])), "step a has no displayName"),
        (steps(json!([{ "id": "a", "displayName": "" }])), "step a has no displayName"),
        (steps(json!([{ "id": "a", "displayName": "A", "status": "IN_PROGRESS" }])), "other than PENDING"),
        (steps(json!([{ "id": "a", "displayName": "A", "userMessage": "x" }])), "unknown field `userMessage`"),
        (steps(json!([{ "id": "a", "displayName": "A" }, { "id": "a", "displayName": "B" }])), "step a is there twice"),
    ] {
        let run = scene.started(Order::manual()).await;
        assert_eq!(send(scene.register(&run, &body)).await.status, 400, "{body}");
        let violations = scene.mesh.violations();
        assert!(violations.last().unwrap().contains(reason), "{violations:?} does not end with {reason:?}");
        assert_eq!(scene.mesh.run(&run.uuid).await.unwrap().sources, []);
    }
}

#[tokio::test]
async fn a_registration_without_the_right_content_type_is_refused() {
    for (content_type, accept, status) in
        [(None, None, 406), (Some("application/json"), None, 406), (None, Some(true), 415)]
    {
        let scene = Scene::new().await;
        let run = scene.started(Order::manual()).await;
        let mut request = with_header(scene.register(&run, &scene.one_step()), "content-type", content_type);
        if accept.is_none() {
            request = with_header(request, "accept", None);
        }
        assert_eq!(send(request).await.status, status);
        assert_eq!(scene.mesh.violations().len(), 1);
    }
}

#[tokio::test]
async fn a_run_that_nobody_has_claimed_takes_no_source() {
    let scene = Scene::new().await;
    let uuid = scene.mesh.order(&scene.runner, Order::manual()).await;
    let run = crate::client::Claimed { uuid, token: scene.api_token.clone(), object: Value::Null };
    assert_eq!(send(scene.register(&run, &scene.one_step())).await.status, 409);
    scene.assert_violation("not claimed yet");
}

#[tokio::test]
async fn an_ended_run_takes_no_source_and_an_aborted_one_says_so() {
    let scene = Scene::new().await;
    let run = scene.registered(Order::manual()).await;
    send(scene.patch(&run, &json!({ "status": "FAILED" }))).await;
    let late = json!({ "source": { "id": "late" } });
    assert_eq!(send(scene.register(&run, &late)).await.status, 409);

    let aborted = scene.started(Order::manual()).await;
    scene.mesh.abort(&aborted.uuid).await;
    let reply = send(scene.register(&aborted, &late)).await;
    assert_eq!((reply.status, reply.json()), (409, json!({ "runAborted": true })));
    scene.assert_no_violation();
}

#[tokio::test]
async fn who_could_not_register_may_still_report_the_failure_and_nothing_else() {
    let scene = Scene::new().await;
    let run = scene.started(Order::manual()).await;
    scene.mesh.fault(Fault::on(Operation::Register, Effect::status(500)).always());
    assert_eq!(send(scene.register(&run, &scene.one_step())).await.status, 500);
    let step = json!([{ "id": "build", "displayName": "Build", "status": "FAILED" }]);
    assert_eq!(send(scene.patch(&run, &json!({ "status": "SUCCEEDED" }))).await.status, 400);
    scene.assert_violation("is not registered for this run");
    assert_eq!(send(scene.patch(&run, &json!({ "status": "FAILED", "steps": step }))).await.status, 200);
    let view = scene.mesh.run(&run.uuid).await.unwrap();
    assert_eq!(view.status, "FAILED");
    assert_eq!(view.step("build").unwrap().status, "FAILED");
}
