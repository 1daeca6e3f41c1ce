//! The operator's API.

use meshstack_local::Order;
use reqwest::RequestBuilder;
use serde_json::{Value, json};

use crate::client::{Scene, send};

fn post(scene: &Scene, path: &str, body: &Value) -> RequestBuilder {
    scene.request("POST", path).header("Content-Type", "application/json").body(body.to_string())
}

async fn get(scene: &Scene, path: &str) -> Value {
    send(scene.request("GET", path)).await.json()
}

#[tokio::test]
async fn a_runner_is_registered_and_a_run_ordered_from_another_process() {
    let mut scene = Scene::new().await;
    let registered = send(post(&scene, "/local/runners", &json!({ "implementationType": "MANUAL" }))).await;
    registered.json()["uuid"].as_str().unwrap().clone_into(&mut scene.runner);
    let order = json!({ "order": {
        "displayName": "By hand", "inputs": [{ "key": "size", "value": 3, "type": "INTEGER" }],
    } });
    let path = format!("/local/runs?runner={}", scene.runner);
    let uuid = send(post(&scene, &path, &order)).await.json()["uuid"].as_str().unwrap().to_owned();
    let run = scene.claimed().await;
    assert_eq!(run.uuid, uuid);
    assert_eq!(run.object["spec"]["buildingBlock"]["spec"]["displayName"], "By hand");
    assert_eq!(run.object["spec"]["buildingBlock"]["spec"]["inputs"][0]["value"], 3);

    let wait = format!("/local/runs/{uuid}?wait=end&timeoutSecs=60");
    let waiting = get(&scene, &wait);
    let work = async {
        send(scene.register(&run, &scene.one_step())).await;
        send(scene.patch(&run, &json!({ "status": "SUCCEEDED" }))).await;
    };
    let (view, ()) = tokio::join!(waiting, work);
    assert_eq!(view["status"], "SUCCEEDED");
    assert_eq!(view["steps"][0]["displayName"], "Build");
    assert_eq!(get(&scene, "/local/runs").await[0]["uuid"], json!(uuid));
    assert_eq!(get(&scene, &format!("/local/runners/{}", scene.runner)).await["state"], "Active");
    assert_eq!(get(&scene, "/local/violations").await, json!([]));
}

#[tokio::test]
async fn a_raw_run_is_ordered_and_aborted_from_another_process() {
    let scene = Scene::new().await;
    let raw: Value = serde_json::from_str(include_str!("../fixtures/manual.json")).unwrap();
    let path = format!("/local/runs?runner={}", scene.runner);
    let uuid = send(post(&scene, &path, &raw)).await.json()["uuid"].as_str().unwrap().to_owned();
    assert_eq!(json!(uuid), raw["metadata"]["uuid"]);
    let view = send(scene.request("POST", &format!("/local/runs/{uuid}/abort"))).await.json();
    assert_eq!(view["status"], "ABORTED");
}

#[tokio::test]
async fn a_wait_that_is_too_long_shows_the_run_as_it_is() {
    let scene = Scene::new().await;
    let run = scene.mesh.order(&scene.runner, Order::manual()).await;
    assert_eq!(get(&scene, &format!("/local/runs/{run}?wait=end&timeoutSecs=0")).await["status"], "PENDING");
}

#[tokio::test]
async fn faults_are_planned_and_forgotten_from_another_process() {
    let scene = Scene::new().await;
    let fault = json!({ "effect": "status", "code": 503, "operation": "claim", "times": 0 });
    assert_eq!(send(post(&scene, "/local/faults", &fault)).await.status, 204);
    assert_eq!(send(scene.claim()).await.status, 503);
    assert_eq!(send(scene.claim()).await.status, 503);
    assert_eq!(send(scene.request("DELETE", "/local/faults")).await.status, 204);
    assert_eq!(send(scene.claim()).await.status, 404);
}

#[tokio::test]
async fn requests_are_shown_without_credentials() {
    let scene = Scene::new().await;
    send(scene.claim()).await;
    let shown = send(scene.request("GET", "/local/requests")).await;
    assert_eq!(shown.json()[1]["headers"]["authorization"], "Bearer");
    assert!(!shown.text.contains(&scene.api_token));
}

#[tokio::test]
async fn what_the_operator_gets_wrong_is_said() {
    let scene = Scene::new().await;
    for (method, path, body, status, reason) in [
        ("GET", "/local/runs/none", Value::Null, 404, "there is no run none"),
        ("GET", "/local/runs/none?wait=end", Value::Null, 404, "there is no run none"),
        ("GET", "/local/runs/none?wait=start", Value::Null, 400, "not for `start`"),
        ("POST", "/local/runs/none/abort", Value::Null, 404, "there is no run none"),
        ("GET", "/local/runners/none", Value::Null, 404, "there is no runner none"),
        ("POST", "/local/runs?runner=none", json!({}), 400, "runner none is not registered"),
        ("POST", "/local/runs?runner=none", json!({ "order": { "input": [] } }), 400, "unknown field `input`"),
        ("POST", "/local/runners", json!({ "certificatePem": "x" }), 400, "not an X.509 certificate"),
        ("POST", "/local/faults", json!({ "effect": "explode" }), 400, "no effect \"explode\""),
        ("POST", "/local/faults", json!({ "effect": "status" }), 400, "status needs `code`"),
    ] {
        let request = if method == "GET" { scene.request(method, path) } else { post(&scene, path, &body) };
        let reply = send(request).await;
        assert_eq!(reply.status, status, "{method} {path}");
        assert!(reply.text.contains(reason), "{:?} does not say {reason:?}", reply.text);
    }
    scene.assert_no_violation();
}
