//! Saved plans: handed in with a patch, uploaded, downloaded.

use meshstack_local::{Event, Options, Order};
use reqwest::RequestBuilder;
use serde_json::{Value, json};

use crate::client::{Claimed, Scene, send, with_header};

fn detect() -> Order {
    Order::terraform(json!({ "terraformVersion": "1.9.0" })).behavior("DETECT")
}

fn apply() -> Order {
    detect().behavior("APPLY")
}

fn download(scene: &Scene, run: &Claimed) -> RequestBuilder {
    let href = run.object["_links"]["planArtifact"]["href"].as_str().unwrap();
    scene.http.get(href).header("Accept", "application/octet-stream").bearer_auth(&run.token)
}

#[tokio::test]
async fn a_plan_handed_in_with_a_patch_is_served_to_the_run_that_applies_it() {
    let scene = Scene::new().await;
    let mut events = scene.mesh.events();
    let preview = scene.registered(detect()).await;
    let patch = json!({ "status": "SUCCEEDED", "artifact": "AAEC/w==", "changesDetected": true });
    assert_eq!(send(scene.patch(&preview, &patch)).await.status, 200);
    let stored = Event::ArtifactStored { run: preview.uuid.clone(), bytes: 4 };
    while events.recv().await.unwrap() != stored {}
    let view = scene.mesh.run(&preview.uuid).await.unwrap();
    assert_eq!(view.artifact.unwrap(), [0, 1, 2, 255].as_slice());
    assert_eq!(view.changes_detected, Some(true));

    let run = scene.started(apply().plan_of(&preview.uuid)).await;
    let answer = download(&scene, &run).send().await.unwrap();
    assert_eq!(answer.headers()["content-type"], "application/octet-stream");
    assert_eq!(answer.bytes().await.unwrap(), [0, 1, 2, 255].as_slice());
    scene.assert_no_violation();
}

#[tokio::test]
async fn an_artifact_that_is_not_base64_is_refused() {
    let scene = Scene::new().await;
    let preview = scene.registered(detect()).await;
    assert_eq!(send(scene.patch(&preview, &json!({ "artifact": "not base64" }))).await.status, 400);
    scene.assert_violation("not base64");
}

#[tokio::test]
async fn a_plan_put_there_by_hand_is_served() {
    let scene = Scene::new().await;
    let waiting = scene.mesh.order(&scene.runner, apply()).await;
    scene.mesh.put_plan_artifact(&waiting, b"by hand".to_vec()).await;
    let run = scene.claimed().await;
    assert_eq!(send(download(&scene, &run)).await.text, "by hand");

    scene.mesh.put_plan_artifact("earlier", b"earlier plan".to_vec()).await;
    let run = scene.started(apply().plan_of("earlier")).await;
    assert_eq!(send(download(&scene, &run)).await.text, "earlier plan");
    scene.assert_no_violation();
}

#[tokio::test]
async fn a_plan_is_not_for_every_token_and_not_for_every_header() {
    let scene = Scene::new().await;
    scene.mesh.put_plan_artifact("earlier", b"plan".to_vec()).await;
    let run = scene.started(apply().plan_of("earlier")).await;
    let other = scene.started(apply()).await;
    let foreign = with_header(download(&scene, &run), "authorization", Some(&format!("Bearer {}", other.token)));
    assert_eq!(send(foreign).await.status, 403);
    assert_eq!(send(with_header(download(&scene, &run), "accept", Some("*/*"))).await.status, 406);
    assert_eq!(send(download(&scene, &run).header("Content-Type", "text/plain")).await.status, 415);
    assert_eq!(scene.mesh.violations().len(), 3);
}

#[tokio::test]
async fn a_run_that_waits_for_a_plan_that_is_not_there_gets_404() {
    let scene = Scene::new().await;
    let run = scene.started(apply().plan_of("nowhere")).await;
    assert_eq!(send(download(&scene, &run)).await.status, 404);
    scene.assert_no_violation();
}

#[tokio::test]
async fn a_preview_uploads_its_plan_where_it_was_given_a_link() {
    let scene = Scene::with(Options { plan_artifact_upload: true, ..Options::default() }).await;
    let run = scene.registered(detect()).await;
    let href = run.object["_links"]["planArtifactUpload"]["href"].as_str().unwrap();
    let put = |token: &str| {
        let request = scene.http.put(href).header("Accept", "*/*").bearer_auth(token).body("plan");
        with_header(request, "content-type", Some("application/octet-stream"))
    };
    assert_eq!(send(put(&run.token)).await.status, 204);
    assert_eq!(scene.mesh.run(&run.uuid).await.unwrap().artifact.unwrap(), "plan");
    send(scene.patch(&run, &json!({ "status": "SUCCEEDED" }))).await;
    assert_eq!(send(put(&run.token)).await.status, 409, "the run is over");
    scene.assert_no_violation();
    let run = scene.started(apply()).await;
    assert_eq!(run.object["_links"]["planArtifactUpload"], Value::Null, "only a preview has a plan to upload");
}

#[tokio::test]
async fn an_upload_without_a_link_is_refused() {
    let scene = Scene::new().await;
    let run = scene.registered(detect()).await;
    let path = format!("/api/meshobjects/meshbuildingblockruns/{}/artifact", run.uuid);
    let request = scene.request("PUT", &path).header("Accept", "*/*").bearer_auth(&run.token).body("plan");
    let request = with_header(request, "content-type", Some("application/octet-stream"));
    assert_eq!(send(request).await.status, 404);
    scene.assert_violation("no link to upload");
}
