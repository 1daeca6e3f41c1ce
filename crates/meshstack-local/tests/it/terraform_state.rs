//! Terraform state over HTTP.

use std::time::Duration;

use meshstack_local::{Event, ManualClock, Options, Order};
use reqwest::RequestBuilder;
use serde_json::json;

use crate::client::{Claimed, Scene, send};

const STATE: &str = r#"{"version":4,"serial":1}"#;

fn order() -> Order {
    Order::terraform(json!({ "terraformVersion": "1.9.0" })).building_block("bb-1")
}

fn state(scene: &Scene, run: &Claimed, method: &str, query: &str) -> RequestBuilder {
    let path = format!("/api/terraform/state/workspace/example-workspace/buildingBlock/bb-1{query}");
    scene.request(method, &path).basic_auth("x", Some(&run.token))
}

#[tokio::test]
async fn a_state_is_kept_for_the_next_run_of_its_building_block() {
    let scene = Scene::new().await;
    let mut events = scene.mesh.events();
    let first = scene.started(order()).await;
    assert_eq!(send(state(&scene, &first, "GET", "")).await.status, 404);
    assert_eq!(send(state(&scene, &first, "POST", "").body(STATE)).await.status, 200);
    let written = Event::StateWritten { workspace: "example-workspace".to_owned(), building_block: "bb-1".to_owned() };
    while events.recv().await.unwrap() != written {}
    let second = scene.started(order()).await;
    let read = send(state(&scene, &second, "GET", "")).await;
    assert_eq!((read.status, read.text.as_str()), (200, STATE));
    assert_eq!(scene.mesh.state("example-workspace", "bb-1").await.unwrap(), STATE.as_bytes());
    assert_eq!(send(state(&scene, &second, "DELETE", "")).await.status, 200);
    assert_eq!(scene.mesh.state("example-workspace", "bb-1").await, None);
    scene.assert_no_violation();
}

#[tokio::test]
async fn a_lock_keeps_others_out_until_it_is_given_back() {
    let scene = Scene::new().await;
    let run = scene.started(order()).await;
    let (mine, other) = (json!({ "ID": "mine", "Who": "me" }), json!({ "ID": "other" }));
    let lock = |lock: &serde_json::Value| state(&scene, &run, "LOCK", "").body(lock.to_string());
    let unlock = |lock: &serde_json::Value| state(&scene, &run, "UNLOCK", "").body(lock.to_string());
    let write = |query: &str| state(&scene, &run, "POST", query).body(STATE);

    assert_eq!(send(lock(&mine)).await.status, 200);
    assert_eq!(send(lock(&mine)).await.status, 200, "its answer may have been lost");
    let conflict = send(lock(&other)).await;
    assert_eq!((conflict.status, conflict.json()), (423, mine.clone()), "the holder is named");
    assert_eq!(scene.mesh.state_lock("example-workspace", "bb-1").await, Some(mine.clone()));

    assert_eq!(send(write("?ID=other")).await.status, 423);
    assert_eq!(send(write("")).await.status, 423);
    assert_eq!(scene.mesh.state("example-workspace", "bb-1").await, None);
    assert_eq!(send(write("?ID=mine")).await.status, 200);

    assert_eq!(send(unlock(&other)).await.status, 423);
    assert_eq!(send(unlock(&mine)).await.status, 200);
    assert_eq!(send(unlock(&mine)).await.status, 200, "its answer may have been lost");
    assert_eq!(send(write("?ID=mine")).await.status, 409, "the lock is gone");
    assert_eq!(send(lock(&other)).await.status, 200);
    assert_eq!(send(state(&scene, &run, "UNLOCK", "")).await.status, 200, "by force");
    assert_eq!(scene.mesh.state_lock("example-workspace", "bb-1").await, None);
    scene.assert_no_violation();
}

#[tokio::test]
async fn what_is_no_lock_or_no_state_is_refused() {
    let scene = Scene::new().await;
    let run = scene.started(order()).await;
    assert_eq!(send(state(&scene, &run, "LOCK", "").body("{}")).await.status, 400);
    assert_eq!(send(state(&scene, &run, "POST", "").body("plain text")).await.status, 400);
    assert_eq!(scene.mesh.violations().len(), 2);
}

#[tokio::test]
async fn a_state_is_for_the_token_of_its_own_building_block_as_a_password_only() {
    let clock = ManualClock::new();
    let scene = Scene::with(Options { clock: clock.clone().into(), ..Options::default() }).await;
    let run = scene.started(order()).await;
    let other = scene.started(order().building_block("bb-2")).await;
    let path = "/api/terraform/state/workspace/example-workspace/buildingBlock/bb-1";
    assert_eq!(send(scene.request("GET", path)).await.status, 401);
    assert_eq!(send(scene.request("GET", path).bearer_auth(&run.token)).await.status, 401);
    assert_eq!(send(scene.request("GET", path).basic_auth("x", Some("wrong"))).await.status, 401);
    assert_eq!(send(scene.request("GET", path).basic_auth("x", Some(&other.token))).await.status, 403);
    assert_eq!(scene.mesh.violations().len(), 4);
    assert_eq!(send(scene.request("GET", path).basic_auth("anybody", Some(&run.token))).await.status, 404);
    clock.advance(Duration::from_secs(3 * 3600));
    assert_eq!(send(scene.request("GET", path).basic_auth("x", Some(&run.token))).await.status, 401);
    assert_eq!(scene.mesh.violations().len(), 4, "a token that has had its time is no violation");
}
