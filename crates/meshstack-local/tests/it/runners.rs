//! Runner objects, and what is known about a runner.

use std::time::Duration;

use meshstack_local::{ManualClock, Options, Order, RunnerSpec, RunnerState};
use reqwest::RequestBuilder;
use serde_json::{Value, json};

use crate::client::{CERTIFICATE, RUNNER, Scene, send, with_header};

fn object() -> Value {
    json!({
        "apiVersion": "v1-preview", "kind": "meshBuildingBlockRunner",
        "metadata": { "ownedByWorkspace": "platform-team" },
        "spec": {
            "displayName": "Runner", "publicKey": CERTIFICATE, "implementationType": "GITLAB_PIPELINE",
            "workloadIdentityFederation": {
                "issuer": "https://cluster.invalid", "subject": "system:serviceaccount:a:b",
                "gcp": { "audience": "a", "tokenPath": "/var/run/token" },
            },
        },
    })
}

fn put(scene: &Scene, uuid: &str, body: &Value) -> RequestBuilder {
    scene
        .request("PUT", &format!("/api/meshobjects/meshbuildingblockrunners/{uuid}"))
        .header("Accept", RUNNER)
        .header("Content-Type", RUNNER)
        .bearer_auth(&scene.api_token)
        .body(body.to_string())
}

fn post(scene: &Scene, body: &Value) -> RequestBuilder {
    scene
        .request("POST", "/api/meshobjects/meshbuildingblockrunners")
        .header("Accept", RUNNER)
        .header("Content-Type", RUNNER)
        .bearer_auth(&scene.api_token)
        .body(body.to_string())
}

#[tokio::test]
async fn a_runner_is_created_with_a_uuid_and_updated_under_it() {
    let scene = Scene::new().await;
    let created = send(post(&scene, &object())).await;
    assert_eq!(created.status, 201);
    let uuid = created.json()["metadata"]["uuid"].as_str().unwrap().to_owned();
    assert_eq!(scene.mesh.runner(&uuid).await.unwrap().object["spec"]["displayName"], "Runner");
    scene.mesh.order(&uuid, Order::manual()).await;

    let mut update = object();
    update["spec"]["displayName"] = json!("Renamed");
    update["spec"]["workloadIdentityFederation"] = Value::Null;
    update["metadata"]["uuid"] = json!(uuid);
    assert_eq!(send(put(&scene, &uuid, &update)).await.status, 200);
    assert_eq!(scene.mesh.runner(&uuid).await.unwrap().object["spec"]["displayName"], "Renamed");
    scene.assert_no_violation();
}

#[tokio::test]
async fn a_runner_that_was_never_created_is_not_updated() {
    let scene = Scene::new().await;
    assert_eq!(send(put(&scene, "never", &object())).await.status, 404);
    scene.assert_no_violation();
}

fn get(scene: &Scene, uuid: &str) -> RequestBuilder {
    let path = format!("/api/meshobjects/meshbuildingblockrunners/{uuid}");
    scene.request("GET", &path).header("Accept", RUNNER).bearer_auth(&scene.api_token)
}

#[tokio::test]
async fn a_runner_is_read_as_it_was_registered_and_tells_when_it_last_asked_for_a_run() {
    let clock = ManualClock::new();
    let scene = Scene::with(Options { clock: clock.clone().into(), ..Options::default() }).await;
    let uuid = send(post(&scene, &object())).await.json()["metadata"]["uuid"].as_str().unwrap().to_owned();
    let read = send(get(&scene, &uuid)).await;
    assert_eq!(read.status, 200);
    assert_eq!(read.json()["spec"], object()["spec"]);
    assert_eq!(read.json()["metadata"], json!({ "ownedByWorkspace": "platform-team", "uuid": uuid }));

    send(scene.claim()).await;
    let first = send(get(&scene, &scene.runner)).await.json()["metadata"]["lastSeen"].as_str().unwrap().to_owned();
    assert!(first.len() == 20 && first.ends_with('Z'), "{first}");
    clock.advance(Duration::from_secs(10));
    send(scene.claim()).await;
    assert!(send(get(&scene, &scene.runner)).await.json()["metadata"]["lastSeen"].as_str().unwrap() > &*first);
    assert_eq!(send(get(&scene, "never")).await.status, 404);
    scene.assert_no_violation();
    assert_eq!(send(with_header(get(&scene, &uuid), "accept", Some("application/json"))).await.status, 406);
}

#[tokio::test]
async fn an_update_keeps_the_queue_and_the_last_sign_of_life() {
    let scene = Scene::new().await;
    send(scene.claim()).await;
    let run = scene.mesh.order(&scene.runner, Order::manual()).await;
    assert_eq!(send(put(&scene, &scene.runner, &object())).await.status, 200);
    assert_eq!(scene.mesh.runner(&scene.runner).await.unwrap().state, RunnerState::Active);
    assert_eq!(scene.claimed().await.uuid, run);
}

#[tokio::test]
async fn a_runner_object_that_is_not_to_the_letter_is_refused() {
    let scene = Scene::new().await;
    let with = |pointer: &str, value: Value| {
        let mut object = object();
        let (parent, field) = pointer.rsplit_once('/').unwrap();
        object.pointer_mut(parent).unwrap()[field] = value;
        object
    };
    let ec = rcgen::generate_simple_self_signed(Vec::new()).unwrap().cert.pem();
    for (body, reason) in [
        (with("/apiVersion", json!("v1")), "apiVersion is not v1-preview"),
        (with("/kind", json!("runner")), "kind is not meshBuildingBlockRunner"),
        (with("/metadata/uuid", json!("given")), "must not be sent"),
        (with("/metadata/ownedByWorkspace", json!("")), "ownedByWorkspace"),
        (with("/spec/displayName", Value::Null), "not understood"),
        (with("/spec/implementationType", json!("GITLAB_CICD")), "no implementation type \"GITLAB_CICD\""),
        (with("/spec/publicKey", json!("-----BEGIN PUBLIC KEY-----")), "not an X.509 certificate"),
        (with("/spec/publicKey", json!(ec)), "not an RSA key"),
        (with("/spec/publickey", json!("x")), "unknown field `publickey`"),
        (with("/spec/workloadIdentityFederation/gcp", Value::Null), "names no cloud"),
        (with("/spec/workloadIdentityFederation/gcp/tokenPath", Value::Null), "not understood"),
    ] {
        assert_eq!(send(post(&scene, &body)).await.status, 400, "{reason}");
        let violations = scene.mesh.violations();
        assert!(violations.last().unwrap().contains(reason), "{violations:?} does not end with {reason:?}");
    }
    assert_eq!(send(put(&scene, &scene.runner, &with("/metadata/uuid", json!("other")))).await.status, 400);
    assert_eq!(send(with_header(post(&scene, &object()), "content-type", Some("application/json"))).await.status, 415);
    let run = scene.started(Order::manual()).await;
    let with_run_token = format!("Bearer {}", run.token);
    assert_eq!(send(with_header(post(&scene, &object()), "authorization", Some(&with_run_token))).await.status, 403);
}

#[tokio::test]
async fn a_runner_is_pending_then_active_then_in_error_and_active_again() {
    let clock = ManualClock::new();
    let scene = Scene::with(Options { clock: clock.clone().into(), ..Options::default() }).await;
    let state = async || scene.mesh.runner(&scene.runner).await.unwrap().state;
    assert_eq!(state().await, RunnerState::Pending);
    send(scene.claim()).await;
    assert_eq!(state().await, RunnerState::Active);
    clock.advance(Duration::from_secs(300));
    assert_eq!(state().await, RunnerState::Active);
    clock.advance(Duration::from_secs(1));
    assert_eq!(state().await, RunnerState::Error);
    send(scene.claim()).await;
    assert_eq!(state().await, RunnerState::Active);
    let view = scene.mesh.runner(&scene.runner).await.unwrap();
    assert_eq!((view.polls, view.last_claim), (2, Some(clock.now())));
}

#[tokio::test]
async fn what_a_claim_says_about_the_runner_is_remembered() {
    let scene = Scene::new().await;
    let claim = scene.claim().header("X-Meshcloud-Runner-Version", "1.2.3").header("X-Block-Runner-Node-Id", "node-1");
    send(claim.header("X-Meshcloud-Runner-Name", "bb-runner")).await;
    send(scene.claim()).await;
    let view = scene.mesh.runner(&scene.runner).await.unwrap();
    assert_eq!(view.last_version.as_deref(), Some("1.2.3"));
    assert_eq!(view.last_name.as_deref(), Some("bb-runner"));
    assert_eq!(view.last_node_id.as_deref(), Some("node-1"));
}

#[tokio::test]
async fn a_secret_cannot_be_ordered_from_a_runner_without_a_certificate_or_without_a_registration() {
    let scene = Scene::new().await;
    let bare = scene.mesh.register_runner(RunnerSpec::new("MANUAL")).await;
    let secret = Order::manual().sensitive_input("password", "secret-word", "STRING");
    let error = scene.mesh.try_order(&bare, &secret).await.unwrap_err().to_string();
    assert!(error.contains("has no certificate") && !error.contains("secret-word"), "{error}");
    scene.mesh.try_order(&bare, &Order::manual()).await.unwrap();
    let error = scene.mesh.try_order("nobody", &secret).await.unwrap_err().to_string();
    assert!(error.contains("nobody is not registered"), "{error}");
}
