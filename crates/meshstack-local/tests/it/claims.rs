//! Claiming runs, and what is in a run object.

use meshstack_local::{Event, Order, RunnerSpec};
use serde_json::{Value, json};

use crate::client::{RUN, Scene, send, with_header};

#[tokio::test]
async fn every_queued_run_is_handed_out_once_and_in_order() {
    let scene = Scene::new().await;
    let first = scene.mesh.order(&scene.runner, Order::manual()).await;
    let second = scene.mesh.order(&scene.runner, Order::manual()).await;
    assert_eq!(scene.claimed().await.uuid, first);
    assert_eq!(scene.claimed().await.uuid, second);
    assert_eq!(send(scene.claim()).await.status, 404);
    assert_eq!(scene.mesh.run(&first).await.unwrap().claims, 1);
    scene.assert_no_violation();
}

#[tokio::test]
async fn a_run_is_handed_to_the_runner_it_was_ordered_from_only() {
    let scene = Scene::new().await;
    let other = scene.mesh.register_runner(RunnerSpec::new("MANUAL").uuid("other")).await;
    scene.mesh.order(&other, Order::manual()).await;
    assert_eq!(send(scene.claim()).await.status, 404);
    assert_eq!(scene.mesh.run(&scene.mesh.runs().await[0].uuid).await.unwrap().status, "PENDING");
}

#[tokio::test]
async fn a_claimed_run_has_everything_a_runner_needs() {
    let scene = Scene::new().await;
    let order = Order::terraform(json!({ "terraformVersion": "1.9.0", "repositoryUrl": "https://git.invalid/a.git" }))
        .display_name("Network")
        .building_block("bb-1")
        .input("size", 3, "INTEGER")
        .environment_input("REGION", "eu", "STRING");
    let run = scene.started(order).await;
    let spec = &run.object["spec"];
    assert_eq!(run.object["kind"], "meshBuildingBlockRun");
    assert_eq!(run.object["apiVersion"], "v1");
    assert_eq!(run.object["status"], "IN_PROGRESS");
    assert_eq!(spec["behavior"], "APPLY");
    assert_eq!(run.token.split('.').count(), 3, "a JWT has three parts");
    assert_eq!(spec["buildingBlock"]["uuid"], "bb-1");
    assert_eq!(spec["buildingBlock"]["spec"]["displayName"], "Network");
    assert_eq!(
        spec["buildingBlock"]["spec"]["inputs"],
        json!([
            { "key": "size", "value": 3, "type": "INTEGER", "isSensitive": false, "isEnvironment": false },
            { "key": "REGION", "value": "eu", "type": "STRING", "isSensitive": false, "isEnvironment": true },
        ])
    );
    let implementation = &spec["buildingBlockDefinition"]["spec"]["implementation"];
    assert_eq!(implementation["type"], "TERRAFORM");
    assert_eq!(implementation["useMeshHttpBackendFallback"], true);
    let this = format!("{}/api/meshobjects/meshbuildingblockruns/{}", scene.mesh.url(), run.uuid);
    let links = &run.object["_links"];
    assert_eq!(links["self"]["href"], this);
    assert_eq!(links["registerSource"]["href"], format!("{this}/status/source"));
    assert_eq!(links["updateSource"]["href"], format!("{this}/status/source/{{sourceId}}"));
    assert_eq!(links["updateSource"]["templated"], true);
    assert_eq!(links["meshstackBaseUrl"]["href"], scene.mesh.url());
    assert_eq!(links["planArtifact"], Value::Null);
    assert_eq!(links["planArtifactUpload"], Value::Null);
}

#[tokio::test]
async fn a_raw_run_is_handed_out_as_it_is_but_for_the_address() {
    let scene = Scene::new().await;
    let raw: Value = serde_json::from_str(include_str!("../fixtures/manual.json")).unwrap();
    let uuid = scene.mesh.order_raw(&scene.runner, raw.clone()).await;
    let run = scene.claimed().await;
    let expected: Value =
        serde_json::from_str(&raw.to_string().replace("http://meshstack.invalid", &scene.mesh.url())).unwrap();
    assert_eq!(run.object, expected);
    assert_eq!(run.uuid, uuid);
    assert_eq!(run.token, raw["spec"]["runToken"].as_str().unwrap());
    assert_eq!(send(scene.register(&run, &scene.one_step())).await.status, 200, "its own token is honoured");
}

#[tokio::test]
async fn what_is_no_run_can_be_handed_out_too() {
    let scene = Scene::new().await;
    scene.mesh.order_raw(&scene.runner, json!({ "spec": { "runToken": null } })).await;
    assert_eq!(send(scene.claim()).await.json(), json!({ "spec": { "runToken": null } }));
}

#[tokio::test]
async fn claims_with_and_without_a_run_are_told_as_events() {
    let scene = Scene::new().await;
    let mut events = scene.mesh.events();
    send(scene.claim()).await;
    let run = scene.mesh.order(&scene.runner, Order::manual()).await;
    send(scene.claim()).await;
    let runner = scene.runner.clone();
    assert_eq!(events.recv().await.unwrap(), Event::IdleClaim { runner: runner.clone() });
    assert_eq!(events.recv().await.unwrap(), Event::Queued { run: run.clone() });
    assert_eq!(events.recv().await.unwrap(), Event::Claimed { run, runner });
}

#[tokio::test]
async fn a_claim_that_is_not_to_the_letter_is_refused_and_takes_no_run() {
    for (request, status, reason) in [
        (0, 406, "Accept is not"),
        (1, 415, "Content-Type is not"),
        (2, 400, "empty body"),
        (3, 400, "forRunnerUuid is missing"),
        (4, 403, "is not registered"),
    ] {
        let scene = Scene::new().await;
        let run = scene.mesh.order(&scene.runner, Order::manual()).await;
        let path = "/api/meshobjects/meshbuildingblockruns/create";
        let elsewhere = |path: &str| scene.request("POST", path).header("Accept", RUN).bearer_auth(&scene.api_token);
        let request = match request {
            0 => with_header(scene.claim(), "accept", Some("application/json")),
            1 => with_header(scene.claim(), "content-type", Some("application/json")),
            2 => scene.claim().body("{}"),
            3 => elsewhere(path),
            _ => elsewhere(&format!("{path}?forRunnerUuid=nobody")),
        };
        assert_eq!(send(request).await.status, status, "{reason}");
        scene.assert_violation(reason);
        assert_eq!(scene.mesh.run(&run).await.unwrap().status, "PENDING");
    }
}

#[tokio::test]
async fn an_unknown_path_or_method_is_a_violation() {
    let scene = Scene::new().await;
    let path = "/api/meshobjects/meshbuildingblockruns/create";
    assert_eq!(send(scene.request("PUT", path).bearer_auth(&scene.api_token)).await.status, 404);
    scene.assert_violation("PUT /api/meshobjects/meshbuildingblockruns/create: there is nothing");
}
