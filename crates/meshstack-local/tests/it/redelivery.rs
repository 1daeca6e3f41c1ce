//! A run without an end is delivered again.

use std::time::Duration;

use meshstack_local::{Event, ManualClock, Options, Order};
use serde_json::{Value, json};

use crate::client::{Scene, send};

const THREE_HOURS: Duration = Duration::from_secs(3 * 3600);

async fn scene() -> (Scene, ManualClock) {
    let clock = ManualClock::new();
    // The API token outlives the three hours.
    let options = Options { clock: clock.clone().into(), api_token_lifetime: THREE_HOURS * 100, ..Options::default() };
    (Scene::with(options).await, clock)
}

#[tokio::test]
async fn a_run_without_an_end_is_queued_again_under_a_new_token() {
    let (scene, clock) = scene().await;
    let run = scene.registered(Order::manual()).await;
    clock.advance(THREE_HOURS.checked_sub(Duration::from_secs(1)).unwrap());
    assert_eq!(send(scene.claim()).await.status, 404, "not yet");
    clock.advance(Duration::from_secs(1));
    let mut events = scene.mesh.events();
    assert_eq!(send(scene.patch(&run, &json!({}))).await.status, 401, "the old token is void");
    assert_eq!(events.recv().await.unwrap(), Event::Redelivered { run: run.uuid.clone() });
    assert_eq!(scene.mesh.run(&run.uuid).await.unwrap().status, "PENDING");

    let again = scene.claimed().await;
    assert_eq!(again.uuid, run.uuid);
    assert_ne!(again.token, run.token);
    assert_eq!(send(scene.patch(&run, &json!({}))).await.status, 401);
    assert_eq!(send(scene.register(&again, &scene.one_step())).await.status, 409, "the source is still known");
    assert_eq!(send(scene.patch(&again, &json!({ "status": "SUCCEEDED" }))).await.status, 200);
    let view = scene.mesh.run(&run.uuid).await.unwrap();
    assert_eq!((view.claims, view.ended_count), (2, 1));
    scene.assert_no_violation();
}

#[tokio::test]
async fn an_ended_run_is_not_queued_again() {
    let (scene, clock) = scene().await;
    let run = scene.registered(Order::manual()).await;
    send(scene.patch(&run, &json!({ "status": "SUCCEEDED" }))).await;
    let aborted = scene.started(Order::manual()).await;
    scene.mesh.abort(&aborted.uuid).await;
    clock.advance(THREE_HOURS * 2);
    assert_eq!(send(scene.claim()).await.status, 404);
}

#[tokio::test]
async fn the_time_counts_from_the_last_claim() {
    let (scene, clock) = scene().await;
    let run = scene.started(Order::manual()).await;
    clock.advance(THREE_HOURS / 2);
    scene.mesh.redeliver(&run.uuid).await;
    assert_eq!(scene.claimed().await.uuid, run.uuid);
    clock.advance(THREE_HOURS / 2);
    assert_eq!(send(scene.claim()).await.status, 404, "the first claim does not count any more");
    clock.advance(THREE_HOURS / 2);
    assert_eq!(scene.claimed().await.uuid, run.uuid);
}

#[tokio::test]
async fn when_it_is_delivered_again_a_step_may_start_over_once() {
    let (scene, _) = scene().await;
    let run = scene.registered(Order::manual()).await;
    let to_status = |status: &str| json!({ "steps": [{ "id": "build", "status": status }] });
    send(scene.patch(&run, &to_status("SUCCEEDED"))).await;
    scene.mesh.redeliver(&run.uuid).await;
    let again = scene.claimed().await;
    assert_eq!(send(scene.patch(&again, &to_status("IN_PROGRESS"))).await.status, 200);
    assert_eq!(send(scene.patch(&again, &to_status("PENDING"))).await.status, 400);
}

#[tokio::test]
async fn an_end_that_is_reported_while_the_run_waits_again_takes_it_out_of_the_queue() {
    let (scene, _) = scene().await;
    let mut run = scene.registered(Order::manual()).await;
    scene.mesh.redeliver(&run.uuid).await;
    run.token.clone_from(&scene.api_token);
    assert_eq!(send(scene.patch(&run, &json!({ "status": "IN_PROGRESS" }))).await.status, 200);
    assert_eq!(scene.mesh.run(&run.uuid).await.unwrap().status, "PENDING", "progress leaves it in the queue");
    assert_eq!(send(scene.patch(&run, &json!({ "status": "FAILED" }))).await.status, 200);
    assert_eq!(send(scene.claim()).await.status, 404);
    scene.assert_no_violation();
}

#[tokio::test]
async fn a_raw_run_gets_a_new_token_too_and_one_without_a_token_stays_without() {
    let (scene, _) = scene().await;
    let raw: Value = serde_json::from_str(include_str!("../fixtures/manual.json")).unwrap();
    scene.mesh.order_raw(&scene.runner, raw.clone()).await;
    let first = scene.claimed().await;
    scene.mesh.redeliver(&first.uuid).await;
    let second = scene.claimed().await;
    assert_ne!(second.token, first.token);
    assert_eq!(send(scene.read(&first)).await.status, 401);
    assert_eq!(send(scene.read(&second)).await.status, 200);

    let mut without = raw;
    without["spec"]["runToken"] = Value::Null;
    without["metadata"]["uuid"] = json!("without");
    scene.mesh.order_raw(&scene.runner, without).await;
    assert_eq!(scene.claimed().await.object["spec"]["runToken"], Value::Null);
    scene.mesh.redeliver("without").await;
    assert_eq!(scene.claimed().await.object["spec"]["runToken"], Value::Null);
}

#[tokio::test]
async fn a_raw_run_of_the_same_uuid_takes_the_place_of_the_first() {
    let (scene, clock) = scene().await;
    let raw: Value = serde_json::from_str(include_str!("../fixtures/manual.json")).unwrap();
    scene.mesh.order_raw(&scene.runner, raw.clone()).await;
    let run = scene.claimed().await;
    clock.advance(THREE_HOURS / 2);
    scene.mesh.order_raw(&scene.runner, raw).await;
    assert_eq!(scene.mesh.run(&run.uuid).await.unwrap().claims, 0);
    assert_eq!(scene.claimed().await.uuid, run.uuid);
    clock.advance(THREE_HOURS / 2);
    assert_eq!(send(scene.claim()).await.status, 404, "the first one's time does not count for the second");
    assert_eq!(scene.mesh.runs().await.len(), 1);
}
