use meshstack_client::Problem;
use serde_json::json;
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::support::{
    CLAIM_PATH, RUN, RUN_MEDIA, RUNNER, RawServer, answer, client, config, header, html, requests, run_json,
};

async fn claim_answered(with: ResponseTemplate) -> Result<Option<String>, Problem> {
    let server = MockServer::start().await;
    answer(&server, "POST", CLAIM_PATH, with).await;
    let claimed = client(&server.uri()).claim().await;
    claimed.map(|run| run.map(|run| run.uuid().to_owned())).map_err(|error| error.problem)
}

#[tokio::test]
async fn a_claim_is_sent_as_the_api_wants_it() {
    let server = MockServer::start().await;
    answer(&server, "POST", CLAIM_PATH, ResponseTemplate::new(200).set_body_json(run_json())).await;
    let run = client(&format!("{}/", server.uri())).claim().await.unwrap().unwrap();
    assert_eq!((run.uuid(), run.run_token().expose()), (RUN, "run-token"));

    let request = &requests(&server).await[0];
    assert_eq!(request.url.query(), Some("forRunnerUuid=runner-1"));
    assert!(request.body.is_empty());
    for (name, value) in [
        ("accept", RUN_MEDIA),
        ("content-type", RUN_MEDIA),
        ("content-length", "0"),
        ("user-agent", "meshcloud-bb-runner/1.2.3"),
        ("x-meshcloud-runner-name", "bb-runner"),
        ("x-meshcloud-runner-version", "1.2.3"),
        ("x-block-runner-node-id", "runner-1-worker-1"),
        ("authorization", "Basic dXNlcjpiYXNpYy1wYXNzd29yZA=="),
    ] {
        assert_eq!(header(request, name), Some(value), "{name}");
    }
}

#[tokio::test]
async fn a_controller_names_itself_as_it_is_and_a_uuid_cannot_change_the_query() {
    let server = MockServer::start().await;
    answer(&server, "POST", CLAIM_PATH, ResponseTemplate::new(404)).await;
    let mut config = config(&server.uri());
    config.node_id = format!("run-controller-{RUNNER}");
    config.runner_uuid = "a&b=c d/ü".to_owned();
    assert!(meshstack_client::Client::new(config).unwrap().claim().await.unwrap().is_none());
    let request = &requests(&server).await[0];
    assert_eq!(header(request, "x-block-runner-node-id"), Some("run-controller-runner-1"));
    let query: Vec<_> = request.url.query_pairs().into_owned().collect();
    assert_eq!(query, [("forRunnerUuid".to_owned(), "a&b=c d/ü".to_owned())]);
}

#[tokio::test]
async fn nothing_queued_and_a_lost_race_are_no_errors() {
    assert_eq!(claim_answered(ResponseTemplate::new(404)).await, Ok(None));
    assert_eq!(claim_answered(ResponseTemplate::new(409)).await, Ok(None));
    let created = ResponseTemplate::new(201).set_body_json(run_json());
    assert_eq!(claim_answered(created).await, Ok(Some(RUN.to_owned())));
}

#[tokio::test]
async fn every_status_says_what_to_do() {
    for status in [401, 403] {
        let problem = claim_answered(ResponseTemplate::new(status).set_body_string("no")).await.unwrap_err();
        assert_eq!(problem, Problem::Unauthorised { status, excerpt: "no".to_owned() });
        assert!(!problem.is_transient());
    }
    for status in [408, 425, 429, 500, 502, 503, 504] {
        let problem = claim_answered(ResponseTemplate::new(status)).await.unwrap_err();
        assert!(matches!(problem, Problem::TryAgain { status: s, .. } if s == status), "{problem:?}");
        assert!(problem.is_transient());
    }
    for status in [400, 405, 410, 422] {
        let problem = claim_answered(ResponseTemplate::new(status)).await.unwrap_err();
        assert!(matches!(problem, Problem::Refused { status: s, .. } if s == status), "{problem:?}");
        assert!(!problem.is_transient());
    }
}

#[tokio::test]
async fn a_wait_that_the_server_asks_for_is_handed_on() {
    let busy = |value: &str| ResponseTemplate::new(503).insert_header("retry-after", value);
    let problem = claim_answered(busy("7")).await.unwrap_err();
    assert_eq!(problem.retry_after(), Some(std::time::Duration::from_secs(7)));
    let problem = claim_answered(busy("Sun, 06 Nov 1994 08:49:37 GMT")).await.unwrap_err();
    assert_eq!(problem.retry_after(), Some(std::time::Duration::ZERO));
    let problem = claim_answered(busy("when it suits me")).await.unwrap_err();
    assert_eq!(problem.retry_after(), None);
}

#[tokio::test]
async fn an_answer_that_is_no_run_is_broken_and_shows_nothing_of_it() {
    let text = |text: &str| ResponseTemplate::new(200).set_body_string(text);
    let cases = [
        (text(r#"{"spec":{"runToken":"token-of-run"},"metadata":{"uuid":"x"#), "the run is no JSON"),
        (text(""), "the run is no JSON"),
        (text(r#"{"spec":{"runToken":"token-of-run"}}"#), "no `metadata.uuid`"),
        (text(r#"{"metadata":{"uuid":" "}}"#), "no `metadata.uuid`"),
        (text("[1]"), "no `metadata.uuid`"),
        (ResponseTemplate::new(204), "neither 200 nor 201"),
    ];
    for (with, expected) in cases {
        let problem = claim_answered(with).await.unwrap_err();
        let Problem::BrokenAnswer { reason, excerpt, .. } = &problem else { panic!("{problem:?}") };
        assert!(reason.contains(expected), "{reason}");
        assert_eq!(excerpt, "", "a run holds secrets");
    }
}

#[tokio::test]
async fn a_run_that_cannot_be_read_comes_back_with_what_a_report_of_its_end_needs() {
    let too_deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    let too_long = format!("\"{}\"", "x".repeat(9 << 20));
    for (value, why) in [(too_deep.as_str(), "no JSON"), ("\"\\ud800\"", "no JSON"), (&too_long, "longer than 8 MiB")] {
        let server = MockServer::start().await;
        let body = format!(r#"{{"metadata":{{"uuid":"x"}},"spec":{{"runToken":"its-token","value":{value}}}}}"#);
        answer(&server, "POST", CLAIM_PATH, ResponseTemplate::new(200).set_body_string(body)).await;
        let run = client(&server.uri()).claim().await.unwrap().unwrap();
        assert_eq!((run.uuid(), run.run_token().expose()), ("x", "its-token"));
        assert!(run.unreadable().is_some_and(|reason| reason.contains(why)), "{:?}", run.unreadable());
    }
}

#[tokio::test]
async fn html_in_place_of_a_run_names_the_proxy_as_the_likely_cause() {
    let unlabelled = ResponseTemplate::new(200).set_body_string("\n <!DOCTYPE html><p>Please sign in</p>");
    for with in [html(), unlabelled] {
        let problem = claim_answered(with).await.unwrap_err();
        let text = problem.to_string();
        assert!(text.starts_with("HTTP 200, HTML in place of JSON (a proxy or a sign-in page?): <"), "{text}");
        assert!(text.contains("Please sign in"), "{text}");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_only_its_host_is_told() {
    let elsewhere = MockServer::start().await;
    Mock::given(any()).respond_with(ResponseTemplate::new(200)).expect(0).mount(&elsewhere).await;
    for status in [301, 302, 303, 307, 308] {
        let to = format!("{}/path?signature=s3cret", elsewhere.uri());
        let problem = claim_answered(ResponseTemplate::new(status).insert_header("location", to)).await.unwrap_err();
        let host = elsewhere.address().to_string();
        assert_eq!(problem.to_string(), format!("HTTP {status}, a redirect to {host}, which is not followed"));
    }
}

#[tokio::test]
async fn credentials_that_the_server_echoes_are_not_in_the_error() {
    let echo = "user basic-password, dXNlcjpiYXNpYy1wYXNzd29yZA==";
    let problem = claim_answered(ResponseTemplate::new(400).set_body_string(echo)).await.unwrap_err();
    assert_eq!(problem.to_string(), "HTTP 400, refused: user ***, ***");
}

#[tokio::test]
async fn an_error_names_method_path_and_status_and_is_short() {
    let server = MockServer::start().await;
    let body = json!({ "message": "x".repeat(5000) });
    answer(&server, "POST", CLAIM_PATH, ResponseTemplate::new(500).set_body_json(body)).await;
    let text = client(&server.uri()).claim().await.unwrap_err().to_string();
    let start = format!("POST {CLAIM_PATH}: HTTP 500, not available now: {{\"message\":\"xxx");
    assert!(text.starts_with(&start), "{text}");
    assert!(text.len() < 450, "{}", text.len());
}

#[tokio::test]
async fn a_claim_without_credentials_or_address_is_not_sent() {
    let server = RawServer::answering("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n").await;
    let mut anonymous = config(&server.url);
    anonymous.credentials = None;
    let error = meshstack_client::Client::new(anonymous).unwrap().claim().await.unwrap_err();
    assert!(matches!(error.problem, Problem::Local { .. }), "{error}");
    assert!(error.to_string().contains("configure an API key"), "{error}");

    let mut nowhere = config("");
    nowhere.api_url = None;
    let error = meshstack_client::Client::new(nowhere).unwrap().claim().await.unwrap_err();
    assert!(error.to_string().contains("configure `api.url`"), "{error}");
    assert_eq!(server.requests(), Vec::<String>::new());
}
