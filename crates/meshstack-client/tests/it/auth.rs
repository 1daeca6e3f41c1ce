use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use meshstack_client::{Client, Problem, Secret};
use serde_json::json;
use wiremock::matchers::{header as has, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::support::{CLAIM_PATH, access, answer, api_key, config, header, requests};

fn token(token: &str, expires_in: u64) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(json!({ "access_token": token, "expires_in": expires_in }))
}

fn key_client(server: &MockServer) -> Client {
    let mut config = config(&server.uri());
    config.credentials = Some(api_key());
    Client::new(config).unwrap()
}

/// Logins give `token-1`, `token-2`, …
async fn counting_logins(server: &MockServer, expires_in: u64, delay: Duration) -> Arc<AtomicUsize> {
    let count = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&count);
    Mock::given(method("POST"))
        .and(path("/api/login"))
        .respond_with(move |_: &wiremock::Request| {
            let number = counter.fetch_add(1, Ordering::SeqCst) + 1;
            token(&format!("token-{number}"), expires_in).set_delay(delay)
        })
        .mount(server)
        .await;
    count
}

#[tokio::test]
async fn a_login_is_plain_json_and_its_token_is_used_and_kept() {
    let server = MockServer::start().await;
    counting_logins(&server, 300, Duration::ZERO).await;
    answer(&server, "POST", CLAIM_PATH, ResponseTemplate::new(404)).await;
    let client = key_client(&server);
    client.claim().await.unwrap();
    client.clone().claim().await.unwrap();

    let all = requests(&server).await;
    let paths: Vec<_> = all.iter().map(|request| request.url.path()).collect();
    assert_eq!(paths, ["/api/login", CLAIM_PATH, CLAIM_PATH]);
    let body: serde_json::Value = serde_json::from_slice(&all[0].body).unwrap();
    assert_eq!(body, json!({ "clientId": "key-id", "clientSecret": "key-secret" }));
    assert_eq!(header(&all[0], "accept"), Some("application/json"));
    assert_eq!(header(&all[0], "content-type"), Some("application/json"));
    assert_eq!(header(&all[0], "authorization"), None);
    assert_eq!(header(&all[0], "user-agent"), Some("meshcloud-bb-runner/1.2.3"));
    assert_eq!(header(&all[2], "authorization"), Some("Bearer token-1"));
}

#[tokio::test]
async fn callers_at_the_same_time_share_one_login() {
    let server = MockServer::start().await;
    let logins = counting_logins(&server, 300, Duration::from_millis(100)).await;
    answer(&server, "POST", CLAIM_PATH, ResponseTemplate::new(404)).await;
    let client = key_client(&server);
    let calls: Vec<_> = (0..20).map(|_| client.clone()).map(|c| tokio::spawn(async move { c.claim().await })).collect();
    for call in calls {
        assert!(call.await.unwrap().unwrap().is_none());
    }
    assert_eq!(logins.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_token_near_its_end_is_replaced() {
    let server = MockServer::start().await;
    // 30 s before its end it is not used any more, but at least for one second.
    let logins = counting_logins(&server, 29, Duration::ZERO).await;
    answer(&server, "POST", CLAIM_PATH, ResponseTemplate::new(404)).await;
    let client = key_client(&server);
    let two_logins = async {
        while logins.load(Ordering::SeqCst) < 2 {
            client.claim().await.unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), two_logins).await.unwrap();
    let last = requests(&server).await.pop().unwrap();
    assert_eq!(header(&last, "authorization"), Some("Bearer token-2"));
}

#[tokio::test]
async fn a_token_that_was_revoked_is_replaced_within_the_call() {
    let server = MockServer::start().await;
    let logins = counting_logins(&server, 3600, Duration::ZERO).await;
    let client = key_client(&server);
    let accepting = |token: &str| {
        Mock::given(path(CLAIM_PATH))
            .and(has("authorization", format!("Bearer {token}").as_str()))
            .respond_with(ResponseTemplate::new(404))
    };
    let first = accepting("token-1").mount_as_scoped(&server).await;
    client.claim().await.unwrap();
    drop(first);
    accepting("token-2").mount(&server).await;
    Mock::given(path(CLAIM_PATH)).respond_with(ResponseTemplate::new(401)).mount(&server).await;

    assert!(client.claim().await.unwrap().is_none());
    assert_eq!(logins.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_fresh_token_that_is_refused_is_not_tried_again() {
    let server = MockServer::start().await;
    let logins = counting_logins(&server, 3600, Duration::ZERO).await;
    answer(&server, "POST", CLAIM_PATH, ResponseTemplate::new(401)).await;
    let error = key_client(&server).claim().await.unwrap_err();
    assert!(matches!(error.problem, Problem::Unauthorised { status: 401, .. }), "{error}");
    assert_eq!(logins.load(Ordering::SeqCst), 1);
    assert_eq!(requests(&server).await.len(), 2);
}

#[tokio::test]
async fn a_login_that_fails_names_the_status_and_not_the_secret() {
    for (status, expected) in [
        (401, "HTTP 401, the credentials were refused: no key-id with ***"),
        (404, "HTTP 404, refused: no key-id with ***"),
        (409, "HTTP 409, refused: no key-id with ***"),
        (503, "HTTP 503, not available now: no key-id with ***"),
    ] {
        let server = MockServer::start().await;
        let body = ResponseTemplate::new(status).set_body_string("no key-id with key-secret");
        answer(&server, "POST", "/api/login", body).await;
        // A 404 of the login must not be taken for "nothing queued".
        let error = key_client(&server).claim().await.unwrap_err();
        assert_eq!(error.to_string(), format!("POST /api/login: {expected}"));
        assert!(key_client(&server).login().await.is_err());
    }
}

#[tokio::test]
async fn a_login_without_a_token_is_a_broken_answer_that_shows_no_token() {
    let bodies = [
        json!({ "access_token": "", "expires_in": 60 }).to_string(),
        json!({ "expires_in": 60 }).to_string(),
        String::new(),
        r#"{"access_token":"half-a-tok"#.to_owned(),
    ];
    for body in bodies {
        let server = MockServer::start().await;
        answer(&server, "POST", "/api/login", ResponseTemplate::new(200).set_body_string(body)).await;
        let error = key_client(&server).login().await.unwrap_err();
        assert!(matches!(error.problem, Problem::BrokenAnswer { status: 200, .. }), "{error}");
        assert!(!error.to_string().contains("half-a-tok"), "{error}");
    }
}

#[tokio::test]
async fn any_success_with_a_token_is_a_login_and_each_login_asks_anew() {
    let server = MockServer::start().await;
    let created = ResponseTemplate::new(201).set_body_json(json!({ "access_token": "t", "expires_in": "soon" }));
    answer(&server, "POST", "/api/login", created).await;
    let client = key_client(&server);
    client.login().await.unwrap();
    client.login().await.unwrap();
    assert_eq!(requests(&server).await.len(), 2);
}

#[tokio::test]
async fn a_run_without_a_token_is_reported_with_the_api_credentials() {
    let server = MockServer::start().await;
    counting_logins(&server, 300, Duration::ZERO).await;
    let at = "/api/meshobjects/meshbuildingblockruns/run-1/status/source";
    answer(&server, "POST", at, ResponseTemplate::new(200)).await;
    let mut run = access();
    run.token = Secret::default();
    key_client(&server).register(&run, &crate::support::registration()).await.unwrap();
    assert_eq!(header(&requests(&server).await[1], "authorization"), Some("Bearer token-1"));
}

#[tokio::test]
async fn a_token_that_no_header_can_carry_is_told_without_showing_it() {
    let server = MockServer::start().await;
    let mut run = access();
    run.token = Secret::new("bad\ntoken");
    let mut without = config(&server.uri());
    without.credentials = None;
    let error = Client::new(without).unwrap().read_run(&run).await.unwrap_err();
    assert!(matches!(error.problem, Problem::Local { .. }), "{error}");
    assert!(!format!("{error} {error:?}").contains("bad"), "{error:?}");
    assert!(requests(&server).await.is_empty());
}
