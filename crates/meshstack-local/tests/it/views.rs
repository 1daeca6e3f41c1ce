//! What a test sees: waiting, requests, bounded memory.

use std::time::Duration;

use meshstack_local::{LocalMeshStack, Operation, Options, Order};
use serde_json::json;

use crate::client::{Scene, send};

#[tokio::test]
async fn waiting_ends_as_soon_as_the_run_is_as_wanted() {
    let scene = Scene::new().await;
    let run = scene.registered(Order::manual()).await;
    let wait = scene.mesh.wait_until(&run.uuid, |run| run.summary.as_deref() == Some("two"));
    let work = async {
        for summary in ["one", "two"] {
            send(scene.patch(&run, &json!({ "summary": summary }))).await;
        }
    };
    let (view, ()) = tokio::join!(wait, work);
    assert_eq!(view.summary.as_deref(), Some("two"));
    scene.mesh.abort(&run.uuid).await;
    assert_eq!(scene.mesh.wait_for_end(&run.uuid).await.status, "ABORTED");
}

#[tokio::test]
async fn whoever_sees_a_change_sees_the_status_of_the_request_that_made_it() {
    let scene = Scene::new().await;
    for _ in 0..50 {
        let run = scene.registered(Order::manual()).await;
        let work = send(scene.patch(&run, &json!({ "status": "SUCCEEDED" })));
        let (view, _) = tokio::join!(scene.mesh.wait_for_end(&run.uuid), work);
        assert_eq!(view.requests.last().unwrap().status, Some(200));
    }
}

#[tokio::test]
async fn a_run_shows_its_requests_in_order_with_what_was_sent() {
    let scene = Scene::new().await;
    let run = scene.registered(Order::manual()).await;
    send(scene.patch(&run, &json!({ "status": "IN_PROGRESS" })).header("User-Agent", "meshcloud-test/1")).await;
    let view = scene.mesh.run(&run.uuid).await.unwrap();
    let operations: Vec<Operation> = view.requests.iter().map(|request| request.operation).collect();
    assert_eq!(operations, [Operation::Claim, Operation::Register, Operation::Patch]);
    let patch = &view.requests[2];
    assert_eq!(patch.json(), Some(json!({ "status": "IN_PROGRESS" })));
    assert_eq!(patch.header("user-agent"), Some("meshcloud-test/1"));
    assert!(patch.received >= view.requests[1].received);
    assert_eq!(scene.mesh.requests().len(), 4, "the login is no request of the run");
}

#[tokio::test]
async fn a_long_log_patched_again_and_again_does_not_fill_the_memory() {
    let scene = Scene::with(Options { keep_body_bytes: 300_000, ..Options::default() }).await;
    let run = scene.registered(Order::manual()).await;
    let log = "x".repeat(100_000);
    for _ in 0..10 {
        let patch = json!({ "steps": [{ "id": "build", "status": "IN_PROGRESS", "systemMessage": log }] });
        assert_eq!(send(scene.patch(&run, &patch)).await.status, 200);
    }
    let view = scene.mesh.run(&run.uuid).await.unwrap();
    let patches: Vec<_> = view.requests.iter().filter(|request| request.operation == Operation::Patch).collect();
    assert_eq!(patches.len(), 10);
    assert!(patches.iter().all(|patch| patch.body_size > 100_000));
    assert_eq!(patches.iter().filter(|patch| patch.body.is_some()).count(), 2);
    assert!(patches[9].body.is_some());
    assert_eq!(view.step("build").unwrap().system_message.as_deref(), Some(log.as_str()));
}

#[tokio::test]
async fn dropping_it_ends_open_connections() {
    let mesh = LocalMeshStack::start().await.unwrap();
    let address = mesh.url().strip_prefix("http://").unwrap().to_owned();
    let mut open = tokio::net::TcpStream::connect(&address).await.unwrap();
    drop(mesh);
    let mut byte = [0; 1];
    let ended = tokio::io::AsyncReadExt::read(&mut open, &mut byte);
    let read = tokio::time::timeout(Duration::from_secs(30), ended).await.expect("the connection ends");
    assert!(matches!(read, Ok(0) | Err(_)));
}

#[tokio::test]
async fn its_debug_form_tells_no_secret() {
    let options = Options { basic: Some(("user".to_owned(), "pass-word".to_owned())), ..Options::default() };
    let mesh = LocalMeshStack::start_with(options.clone()).await.unwrap();
    let shown = format!("{mesh:?} {options:?}");
    assert!(shown.contains(&mesh.url()));
    assert!(!shown.contains(&mesh.api_key().1) && !shown.contains("pass-word"), "{shown}");
}
