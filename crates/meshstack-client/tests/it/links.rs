//! Where reports go: the configured address, and the links of the run only where that is of no use.

use meshstack_client::{Client, Problem, RunAccess, RunObject, RunStatus, StatusPatch};
use serde_json::json;
use wiremock::{MockServer, ResponseTemplate};

use crate::support::{NOBODY, RUN, access, answer, config, registration, requests, run_json};

/// The links of a run behind another path than the API's.
fn linked(server: &MockServer) -> RunAccess {
    let mut run = run_json();
    let link = |path: &str| json!({ "href": format!("{}{path}", server.uri()) });
    run["_links"] = json!({ "self": link("/linked"), "registerSource": link("/linked/source"),
        "updateSource": link("/linked/source/{sourceId}") });
    RunAccess::of(&RunObject::from_value(run).unwrap())
}

async fn linked_server() -> MockServer {
    let server = MockServer::start().await;
    answer(&server, "POST", "/linked/source", ResponseTemplate::new(200)).await;
    answer(&server, "PATCH", "/linked/source/runner-1", ResponseTemplate::new(200)).await;
    answer(&server, "GET", "/linked", ResponseTemplate::new(200).set_body_json(run_json())).await;
    server
}

async fn report_all(client: &Client, run: &RunAccess) {
    client.register(run, &registration()).await.unwrap();
    client.patch(run, &StatusPatch::new(RunStatus::Succeeded)).await.unwrap();
    assert_eq!(client.read_run(run).await.unwrap().uuid(), RUN);
}

async fn paths(server: &MockServer) -> Vec<String> {
    requests(server).await.iter().map(|request| format!("{} {}", request.method, request.url.path())).collect()
}

const ALL_LINKED: [&str; 3] = ["POST /linked/source", "PATCH /linked/source/runner-1", "GET /linked"];

#[tokio::test]
async fn without_an_address_the_links_of_the_run_are_used() {
    let server = linked_server().await;
    let mut config = config("");
    config.credentials = None;
    report_all(&Client::new(config).unwrap(), &linked(&server)).await;
    assert_eq!(paths(&server).await, ALL_LINKED);
}

#[tokio::test]
async fn the_links_are_used_where_no_connection_to_the_address_can_be_made() {
    let server = linked_server().await;
    report_all(&Client::new(config(NOBODY)).unwrap(), &linked(&server)).await;
    assert_eq!(paths(&server).await, ALL_LINKED);
}

#[tokio::test]
async fn an_answer_of_the_address_counts_even_if_it_is_an_error() {
    let api = MockServer::start().await;
    answer(&api, "POST", "/api/meshobjects/meshbuildingblockruns/run-1/status/source", ResponseTemplate::new(500))
        .await;
    let links = linked_server().await;
    let error = Client::new(config(&api.uri())).unwrap().register(&linked(&links), &registration()).await.unwrap_err();
    assert!(matches!(error.problem, Problem::TryAgain { status: 500, .. }), "{error}");
    assert_eq!(paths(&links).await, Vec::<String>::new());
}

#[tokio::test]
async fn where_neither_can_be_reached_the_configured_address_is_the_one_that_is_named() {
    let mut run = access();
    run.register_link = Some(format!("{NOBODY}/linked"));
    let error =
        Client::new(config(&format!("{NOBODY}/base"))).unwrap().register(&run, &registration()).await.unwrap_err();
    assert_eq!(error.problem, Problem::NoAnswer { connect: true });
    assert_eq!(error.path, "/base/api/meshobjects/meshbuildingblockruns/run-1/status/source");
    assert!(std::error::Error::source(&error).is_some());
}

#[tokio::test]
async fn a_link_that_is_no_template_is_used_as_it_is_and_one_that_is_no_address_is_none() {
    let server = linked_server().await;
    let mut run = linked(&server);
    run.update_link = Some(format!("{}/linked/source/runner-1", server.uri()));
    let client = Client::new(config(NOBODY)).unwrap();
    client.patch(&run, &StatusPatch::new(RunStatus::Failed)).await.unwrap();

    run.update_link = Some("file:///etc/passwd".to_owned());
    let error = client.patch(&run, &StatusPatch::new(RunStatus::Failed)).await.unwrap_err();
    assert_eq!(error.problem, Problem::NoAnswer { connect: true });
}

#[tokio::test]
async fn with_neither_address_nor_link_the_error_says_what_to_configure() {
    let error = Client::new(config("")).unwrap().register(&access(), &registration()).await.unwrap_err();
    assert!(error.to_string().contains("configure `api.url`"), "{error}");
}

#[test]
fn an_address_that_cannot_be_used_is_refused_at_once() {
    for (address, expected) in [
        ("meshstack.example.com", "is not usable"),
        ("ftp://meshstack.example.com", "its scheme is `ftp`"),
        ("http://", "is not usable"),
        ("https://user:pa55word@meshstack.example.com", "holds credentials"),
        ("https://meshstack.example.com/?a=b", "a query or a fragment"),
    ] {
        let error = Client::new(config(address)).unwrap_err().to_string();
        assert!(error.contains(expected), "{address}: {error}");
        assert!(!error.contains("pa55word"), "{error}");
    }
    let mut bad_name = config("https://meshstack.example.com");
    bad_name.version = "1\n2".to_owned();
    assert!(Client::new(bad_name).unwrap_err().to_string().contains("version"));
}
