use meshstack_client::{
    Client, PatchAnswer, Problem, RunStatus, Secret, StatusPatch, StepPatch, StepRegistration, StepStatus,
};
use serde_json::{Value, json};
use wiremock::matchers::{header as has, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::support::{
    RUN_MEDIA, RUN_PATH, access, answer, client, config, header, html, registration, requests, run_json,
};

const SOURCE: &str = "/api/meshobjects/meshbuildingblockruns/run-1/status/source";
const UPDATE: &str = "/api/meshobjects/meshbuildingblockruns/run-1/status/source/runner-1";

async fn patch_answered(with: ResponseTemplate) -> Result<PatchAnswer, Problem> {
    let server = MockServer::start().await;
    answer(&server, "PATCH", UPDATE, with).await;
    let patch = StatusPatch::new(RunStatus::InProgress);
    client(&server.uri()).patch(&access(), &patch).await.map_err(|error| error.problem)
}

#[tokio::test]
async fn a_registration_is_sent_with_the_run_token_and_its_steps_in_order() {
    let server = MockServer::start().await;
    answer(&server, "POST", SOURCE, ResponseTemplate::new(200)).await;
    let mut body = registration();
    body.source.external_run_url = Some("https://ci.example.com/1".to_owned());
    let step = |id: &str| StepRegistration {
        id: id.to_owned(),
        display_name: format!("Step {id}"),
        status: StepStatus::Pending,
    };
    body.steps = vec![step("b"), step("a")];
    client(&server.uri()).register(&access(), &body).await.unwrap();

    let request = &requests(&server).await[0];
    let sent: Value = serde_json::from_slice(&request.body).unwrap();
    assert_eq!(
        sent,
        json!({ "source": { "id": "runner-1", "externalRunUrl": "https://ci.example.com/1" }, "steps": [
            { "id": "b", "displayName": "Step b", "status": "PENDING" },
            { "id": "a", "displayName": "Step a", "status": "PENDING" },
        ] })
    );
    for (name, value) in [
        ("accept", RUN_MEDIA),
        ("content-type", RUN_MEDIA),
        ("authorization", "Bearer run-token"),
        ("x-block-runner-node-id", "runner-1"),
        ("x-meshcloud-runner-version", "1.2.3"),
    ] {
        assert_eq!(header(request, name), Some(value), "{name}");
    }
}

#[tokio::test]
async fn any_success_and_being_registered_already_are_a_registration() {
    for status in [200, 201, 204, 409] {
        let server = MockServer::start().await;
        answer(&server, "POST", SOURCE, ResponseTemplate::new(status)).await;
        client(&server.uri()).register(&access(), &registration()).await.unwrap();
    }
    let server = MockServer::start().await;
    answer(&server, "POST", SOURCE, html()).await;
    let error = client(&server.uri()).register(&access(), &registration()).await.unwrap_err();
    assert!(matches!(error.problem, Problem::BrokenAnswer { .. }), "{error}");
}

#[tokio::test]
async fn a_patch_holds_what_changed_and_nothing_else() {
    let server = MockServer::start().await;
    answer(&server, "PATCH", UPDATE, ResponseTemplate::new(200)).await;
    let mut patch = StatusPatch::new(RunStatus::Succeeded);
    patch.steps.push(StepPatch {
        id: "apply".to_owned(),
        display_name: None,
        status: StepStatus::Succeeded,
        user_message: Some("done".to_owned()),
        system_message: None,
        outputs: [("n".to_owned(), json!({ "value": 1, "type": "INTEGER", "isSensitive": false }))]
            .into_iter()
            .collect(),
    });
    client(&server.uri()).patch(&access(), &patch).await.unwrap();
    let request = &requests(&server).await[0];
    let sent: Value = serde_json::from_slice(&request.body).unwrap();
    assert_eq!(
        sent,
        json!({ "status": "SUCCEEDED", "steps": [{ "id": "apply", "status": "SUCCEEDED", "userMessage": "done",
            "outputs": { "n": { "value": 1, "type": "INTEGER", "isSensitive": false } } }] })
    );
    assert_eq!(header(request, "authorization"), Some("Bearer run-token"));
    assert_eq!(header(request, "content-type"), Some(RUN_MEDIA));
    assert_eq!(header(request, "x-block-runner-node-id"), Some("runner-1"));
}

#[tokio::test]
async fn an_empty_answer_and_one_without_the_field_mean_not_aborted() {
    for with in [
        ResponseTemplate::new(200),
        ResponseTemplate::new(204),
        ResponseTemplate::new(200).set_body_string(" \n"),
        ResponseTemplate::new(200).set_body_json(json!({})),
        ResponseTemplate::new(202).set_body_json(json!({ "runAborted": false, "more": [1] })),
        ResponseTemplate::new(200).set_body_json(json!({ "runAborted": null })),
        ResponseTemplate::new(200).set_body_string("OK"),
        ResponseTemplate::new(200).set_body_string("null"),
    ] {
        assert_eq!(patch_answered(with).await, Ok(PatchAnswer::Accepted));
    }
}

#[tokio::test]
async fn an_abort_is_seen_on_a_success_and_on_a_conflict() {
    for status in [200, 409] {
        let with = ResponseTemplate::new(status).set_body_json(json!({ "runAborted": true }));
        assert_eq!(patch_answered(with).await, Ok(PatchAnswer::Aborted));
    }
}

#[tokio::test]
async fn any_other_conflict_means_that_the_run_is_over() {
    for body in [r#"{"runAborted":false}"#, "", "the run has ended", "<html>", r#"{"runAborted":"true"}"#] {
        let problem = patch_answered(ResponseTemplate::new(409).set_body_string(body)).await.unwrap_err();
        assert!(matches!(problem, Problem::Conflict { .. }), "{body}: {problem:?}");
        assert!(!problem.is_transient());
    }
}

#[tokio::test]
async fn a_patch_whose_answer_makes_no_sense_is_worth_trying_again() {
    for with in [html(), ResponseTemplate::new(200).set_body_string(r#"{"runAborted": tr"#)] {
        let problem = patch_answered(with).await.unwrap_err();
        assert!(matches!(problem, Problem::BrokenAnswer { status: 200, .. }), "{problem:?}");
        assert!(problem.is_transient());
    }
}

#[tokio::test]
async fn a_run_token_that_the_server_echoes_is_not_in_the_error() {
    let problem = patch_answered(ResponseTemplate::new(403).set_body_string("bad token: run-token")).await.unwrap_err();
    assert_eq!(problem.to_string(), "HTTP 403, the credentials were refused: bad token: ***");
}

#[tokio::test]
async fn uuids_are_escaped_in_paths() {
    let server = MockServer::start().await;
    Mock::given(wiremock::matchers::any()).respond_with(ResponseTemplate::new(200)).mount(&server).await;
    let mut run = access();
    run.uuid = "a/../b?c#d".to_owned();
    let patch = StatusPatch::new(RunStatus::Failed);
    let mut config = config(&server.uri());
    config.runner_uuid = "me/you".to_owned();
    let client = Client::new(config).unwrap();
    client.patch(&run, &patch).await.unwrap();
    let sent_to = requests(&server).await[0].url.path().to_owned();
    assert_eq!(sent_to, "/api/meshobjects/meshbuildingblockruns/a%2F..%2Fb%3Fc%23d/status/source/me%2Fyou");

    run.uuid = "..".to_owned();
    let error = client.patch(&run, &patch).await.unwrap_err();
    assert!(matches!(error.problem, Problem::Local { .. }), "{error}");
    assert_eq!(requests(&server).await.len(), 1);
}

#[tokio::test]
async fn a_run_whose_token_no_header_can_carry_is_reported_with_the_api_credentials() {
    let server = MockServer::start().await;
    answer(&server, "PATCH", UPDATE, ResponseTemplate::new(200)).await;
    let mut run = access();
    run.token = Secret::new("to\nken");
    client(&server.uri()).patch(&run, &StatusPatch::new(RunStatus::Failed)).await.unwrap();
    let request = &requests(&server).await[0];
    assert_eq!(header(request, "authorization"), Some("Basic dXNlcjpiYXNpYy1wYXNzd29yZA=="));
}

#[tokio::test]
async fn a_run_is_read_with_its_token_and_where_that_is_refused_with_the_api_credentials() {
    for refusal in [401, 403] {
        let server = MockServer::start().await;
        let when_asked_as = |authorization: &str, with| {
            Mock::given(path(RUN_PATH)).and(has("authorization", authorization)).respond_with(with)
        };
        let mut run = run_json();
        run["status"] = "ABORTED".into();
        when_asked_as("Bearer run-token", ResponseTemplate::new(refusal)).expect(1).mount(&server).await;
        let found = ResponseTemplate::new(200).set_body_json(&run);
        when_asked_as("Basic dXNlcjpiYXNpYy1wYXNzd29yZA==", found).expect(1).mount(&server).await;
        let current = client(&server.uri()).read_run(&access()).await.unwrap();
        assert_eq!((current.status(), current.raw()), (Some("ABORTED"), &run));
    }
}

#[tokio::test]
async fn a_run_that_may_not_be_read_is_unauthorised_and_one_that_is_gone_is_gone() {
    let server = MockServer::start().await;
    answer(&server, "GET", RUN_PATH, ResponseTemplate::new(401)).await;
    let mut config = config(&server.uri());
    config.credentials = None;
    let error = Client::new(config).unwrap().read_run(&access()).await.unwrap_err();
    assert!(matches!(error.problem, Problem::Unauthorised { .. }), "{error}");
    let request = &requests(&server).await[0];
    assert_eq!(header(request, "accept"), Some(RUN_MEDIA));
    assert!(request.body.is_empty());

    let server = MockServer::start().await;
    let error = client(&server.uri()).read_run(&access()).await.unwrap_err();
    assert!(matches!(error.problem, Problem::Gone { .. }), "{error}");
}
