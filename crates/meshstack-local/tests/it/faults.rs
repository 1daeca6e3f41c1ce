//! What goes wrong on demand.

use std::time::{Duration, Instant};

use meshstack_local::{Effect, Event, Fault, Operation, Order};
use serde_json::json;

use crate::client::{Scene, send, try_send};

#[tokio::test]
async fn a_status_is_answered_with_its_headers_and_the_request_is_not_applied() {
    let scene = Scene::new().await;
    let run = scene.mesh.order(&scene.runner, Order::manual()).await;
    let headers = vec![("Retry-After".to_owned(), "7".to_owned())];
    let effect = Effect::Status { code: 503, headers, body: "later".to_owned() };
    scene.mesh.fault(Fault::on(Operation::Claim, effect));
    let reply = send(scene.claim()).await;
    assert_eq!((reply.status, reply.text.as_str()), (503, "later"));
    assert_eq!(reply.headers["retry-after"], "7");
    assert_eq!(scene.mesh.run(&run).await.unwrap().claims, 0);
    assert_eq!(send(scene.claim()).await.status, 200, "it strikes once");
    let claims: Vec<_> = scene.mesh.requests().into_iter().filter(|r| r.operation == Operation::Claim).collect();
    assert_eq!((claims[0].status, claims[0].fault), (Some(503), Some("status")));
    assert_eq!((claims[1].status, claims[1].fault), (Some(200), None));
}

#[tokio::test]
async fn a_connection_cut_before_leaves_the_request_without_effect() {
    let scene = Scene::new().await;
    let run = scene.registered(Order::manual()).await;
    scene.mesh.fault(Fault::on(Operation::Patch, Effect::CutBefore));
    try_send(scene.patch(&run, &json!({ "status": "FAILED" }))).await.unwrap_err();
    let view = scene.mesh.run(&run.uuid).await.unwrap();
    assert_eq!((view.status.word(), view.patches), ("IN_PROGRESS", 0));
    let last = view.requests.last().unwrap();
    assert_eq!((last.status, last.fault), (None, Some("cutBefore")));
}

#[tokio::test]
async fn a_connection_cut_after_loses_the_answer_and_keeps_the_effect() {
    let scene = Scene::new().await;
    let run = scene.registered(Order::manual()).await;
    scene.mesh.fault(Fault::on(Operation::Patch, Effect::CutAfter));
    let patch = json!({ "status": "SUCCEEDED" });
    try_send(scene.patch(&run, &patch)).await.unwrap_err();
    assert_eq!(scene.mesh.run(&run.uuid).await.unwrap().status, "SUCCEEDED");
    assert_eq!(send(scene.patch(&run, &patch)).await.status, 409, "sent again, it is too late and does no harm");
    assert_eq!(scene.mesh.run(&run.uuid).await.unwrap().ended_count, 1);
    scene.assert_no_violation();
}

#[tokio::test]
async fn a_delayed_answer_comes_later_and_the_request_is_applied() {
    let scene = Scene::new().await;
    let run = scene.registered(Order::manual()).await;
    scene.mesh.fault(Fault::on(Operation::Patch, Effect::Delay(Duration::from_millis(50))));
    let before = Instant::now();
    assert_eq!(send(scene.patch(&run, &json!({ "status": "FAILED" }))).await.status, 200);
    assert!(before.elapsed() >= Duration::from_millis(50));
    assert_eq!(scene.mesh.run(&run.uuid).await.unwrap().status, "FAILED");
}

#[tokio::test]
async fn a_proxy_s_page_and_broken_json_are_not_json() {
    let scene = Scene::new().await;
    let run = scene.mesh.order(&scene.runner, Order::manual()).await;
    scene.mesh.fault(Fault::on(Operation::Claim, Effect::Html));
    let page = send(scene.claim()).await;
    assert_eq!(page.status, 200);
    assert!(page.headers["content-type"].to_str().unwrap().starts_with("text/html"));
    assert_eq!(scene.mesh.run(&run).await.unwrap().claims, 0);

    scene.mesh.fault(Fault::on(Operation::Claim, Effect::BrokenJson));
    let broken = send(scene.claim()).await;
    assert!(broken.text.starts_with("{\"kind\""));
    serde_json::from_str::<serde_json::Value>(&broken.text).unwrap_err();
    assert_eq!(scene.mesh.run(&run).await.unwrap().claims, 1, "the claim took effect");
}

#[tokio::test]
async fn a_huge_body_is_as_large_as_planned() {
    let scene = Scene::new().await;
    scene.mesh.fault(Fault::on(Operation::Claim, Effect::HugeBody(3_000_001)));
    let reply = send(scene.claim()).await;
    assert_eq!(reply.text.len(), 3_000_001);
    assert!(reply.json()["padding"].is_string());
}

#[tokio::test]
async fn a_hanging_request_is_never_answered_and_ends_with_the_server() {
    let scene = Scene::new().await;
    let mut events = scene.mesh.events();
    scene.mesh.fault(Fault::on(Operation::Claim, Effect::Hang));
    let hanging = tokio::spawn(try_send(scene.claim()));
    let struck = Event::FaultStruck { operation: Operation::Claim, effect: "hang" };
    assert_eq!(events.recv().await.unwrap(), struck);
    assert_eq!(send(scene.claim()).await.status, 404, "others are answered");
    assert!(!hanging.is_finished());
    drop(scene);
    hanging.await.unwrap().unwrap_err();
}

#[tokio::test]
async fn a_fault_for_a_path_strikes_there_until_it_is_cleared() {
    let scene = Scene::new().await;
    let struck = scene.registered(Order::manual()).await;
    let spared = scene.registered(Order::manual()).await;
    scene.mesh.fault(Fault::on_path("PATCH", &struck.uuid, Effect::status(502)).always());
    for _ in 0..3 {
        assert_eq!(send(scene.patch(&struck, &json!({}))).await.status, 502);
        assert_eq!(send(scene.patch(&spared, &json!({}))).await.status, 200);
    }
    scene.mesh.clear_faults();
    assert_eq!(send(scene.patch(&struck, &json!({}))).await.status, 200);
}
