//! Who is let in where.

use std::time::Duration;

use meshstack_local::{ManualClock, Options, Order};
use serde_json::json;

use crate::client::{Scene, send, with_header};

#[tokio::test]
async fn a_wrong_client_secret_is_refused() {
    let scene = Scene::new().await;
    let (id, secret) = scene.mesh.api_key();
    assert_eq!(send(scene.login(&id, "wrong")).await.status, 401);
    assert_eq!(send(scene.login("wrong", &secret)).await.status, 401);
    let login = send(scene.login(&id, &secret)).await;
    assert_eq!(login.json()["expires_in"], 3600);
}

#[tokio::test]
async fn a_login_that_is_not_to_the_letter_is_refused() {
    let scene = Scene::new().await;
    let (id, secret) = scene.mesh.api_key();
    let extra = json!({ "clientId": id, "clientSecret": secret, "grant": "x" }).to_string();
    assert_eq!(send(scene.login(&id, &secret).body(extra)).await.status, 400);
    assert_eq!(send(with_header(scene.login(&id, &secret), "content-type", Some("text/plain"))).await.status, 415);
    assert_eq!(send(with_header(scene.login(&id, &secret), "accept", None)).await.status, 406);
    let violations = scene.mesh.violations();
    assert_eq!(violations.len(), 3);
    assert!(!violations.join("\n").contains(&secret), "a violation tells no secret");
}

#[tokio::test]
async fn an_api_token_has_an_end_by_the_clock() {
    let clock = ManualClock::new();
    let options =
        Options { clock: clock.clone().into(), api_token_lifetime: Duration::from_secs(60), ..Options::default() };
    let scene = Scene::with(options).await;
    clock.advance(Duration::from_secs(59));
    assert_eq!(send(scene.claim()).await.status, 404);
    clock.advance(Duration::from_secs(1));
    assert_eq!(send(scene.claim()).await.status, 401);
    scene.assert_no_violation();
}

#[tokio::test]
async fn a_claim_takes_the_api_key_or_basic_and_never_a_run_token() {
    let options = Options { basic: Some(("user".to_owned(), "word:word".to_owned())), ..Options::default() };
    let scene = Scene::with(options).await;
    assert_eq!(send(scene.bare_claim().basic_auth("user", Some("word:word"))).await.status, 404);
    scene.assert_no_violation();
    let run = scene.started(Order::manual()).await;
    assert_eq!(send(scene.bare_claim().bearer_auth(&run.token)).await.status, 403);
    assert_eq!(send(scene.bare_claim()).await.status, 401);
    assert_eq!(send(scene.bare_claim().bearer_auth("made-up")).await.status, 401);
    assert_eq!(send(scene.bare_claim().basic_auth("user", Some("wrong"))).await.status, 401);
    assert_eq!(send(scene.bare_claim().header("Authorization", "Digest x")).await.status, 401);
    assert_eq!(scene.mesh.violations().len(), 5);
}

#[tokio::test]
async fn basic_is_refused_where_it_was_not_set_up() {
    let scene = Scene::new().await;
    assert_eq!(send(scene.bare_claim().basic_auth("", Some(""))).await.status, 401);
}

#[tokio::test]
async fn a_run_token_is_for_its_own_run_only() {
    let scene = Scene::new().await;
    let mine = scene.registered(Order::manual()).await;
    let mut other = scene.registered(Order::manual()).await;
    other.token.clone_from(&mine.token);
    assert_eq!(send(scene.read(&mine)).await.status, 200);
    assert_eq!(send(scene.read(&other)).await.status, 403);
    assert_eq!(send(scene.patch(&other, &json!({ "status": "FAILED" }))).await.status, 403);
    assert_eq!(send(scene.register(&other, &scene.one_step())).await.status, 403);
    assert_eq!(scene.mesh.violations().len(), 3);
    assert_eq!(scene.mesh.run(&other.uuid).await.unwrap().status, "IN_PROGRESS");
}

#[tokio::test]
async fn the_api_key_may_report_for_a_run_and_read_it() {
    let scene = Scene::new().await;
    let mut run = scene.started(Order::manual()).await;
    run.token.clone_from(&scene.api_token);
    assert_eq!(send(scene.register(&run, &scene.one_step())).await.status, 200);
    assert_eq!(send(scene.patch(&run, &json!({ "status": "FAILED" }))).await.status, 200);
    let read = send(scene.read(&run)).await;
    assert_eq!((read.status, &read.json()["status"]), (200, &json!("FAILED")));
    scene.assert_no_violation();
}

#[tokio::test]
async fn a_wrong_token_is_named_before_a_wrong_body() {
    let scene = Scene::new().await;
    let mut run = scene.registered(Order::manual()).await;
    run.token = "made-up".to_owned();
    assert_eq!(send(scene.patch(&run, &json!({ "status": "DONE" }))).await.status, 401);
    scene.assert_violation("nobody was given this token");
}

#[tokio::test]
async fn a_run_token_has_an_end_by_the_clock() {
    let clock = ManualClock::new();
    let options =
        Options { clock: clock.clone().into(), run_token_lifetime: Duration::from_secs(60), ..Options::default() };
    let scene = Scene::with(options).await;
    let run = scene.registered(Order::manual()).await;
    clock.advance(Duration::from_secs(60));
    assert_eq!(send(scene.patch(&run, &json!({}))).await.status, 401);
    scene.assert_no_violation();
}

#[tokio::test]
async fn without_authentication_nobody_needs_credentials_but_wrong_ones_stay_wrong() {
    let scene = Scene::with(Options { require_auth: false, ..Options::default() }).await;
    assert_eq!(send(scene.bare_claim()).await.status, 404);
    assert_eq!(send(scene.bare_claim().bearer_auth("made-up")).await.status, 401);
}
