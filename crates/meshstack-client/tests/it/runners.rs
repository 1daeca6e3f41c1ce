use meshstack_client::{CloudIdentity, Problem, RunnerObject, RunnerType, WorkloadIdentityFederation};
use serde_json::{Value, json};
use wiremock::{MockServer, ResponseTemplate};

use crate::support::{answer, client, header, requests};

const PATH: &str = "/api/meshobjects/meshbuildingblockrunners";
const MEDIA: &str = "application/vnd.meshcloud.api.meshbuildingblockrunner.v1-preview.hal+json";

fn runner() -> RunnerObject {
    let cloud = |name: &str| {
        Some(CloudIdentity { audience: format!("aud-{name}"), token_path: format!("/var/run/secrets/{name}/token") })
    };
    RunnerObject {
        owned_by_workspace: "platform-team".to_owned(),
        display_name: "Runner".to_owned(),
        public_key: "-----BEGIN CERTIFICATE-----…".to_owned(),
        implementation_type: RunnerType::GitlabPipeline,
        workload_identity_federation: Some(WorkloadIdentityFederation {
            issuer: "https://issuer.example.com".to_owned(),
            subject: "system:serviceaccount:a:b".to_owned(),
            gcp: cloud("gcp"),
            aws: cloud("aws"),
            azure: cloud("azure"),
        }),
    }
}

fn expected(metadata: &Value) -> Value {
    json!({
        "apiVersion": "v1-preview", "kind": "meshBuildingBlockRunner", "metadata": metadata,
        "spec": { "displayName": "Runner", "publicKey": "-----BEGIN CERTIFICATE-----…",
            "implementationType": "GITLAB_PIPELINE",
            "workloadIdentityFederation": { "issuer": "https://issuer.example.com", "subject": "system:serviceaccount:a:b",
                "gcp": { "audience": "aud-gcp", "tokenPath": "/var/run/secrets/gcp/token" },
                "aws": { "audience": "aud-aws", "tokenPath": "/var/run/secrets/aws/token" },
                "azure": { "audience": "aud-azure", "tokenPath": "/var/run/secrets/azure/token" } } },
    })
}

#[tokio::test]
async fn a_runner_is_created_without_a_uuid_and_gets_one() {
    let server = MockServer::start().await;
    let created = ResponseTemplate::new(201).set_body_json(json!({ "metadata": { "uuid": "given" } }));
    answer(&server, "POST", PATH, created).await;
    assert_eq!(client(&server.uri()).create_runner(&runner()).await.unwrap(), "given");

    let request = &requests(&server).await[0];
    let sent: Value = serde_json::from_slice(&request.body).unwrap();
    assert_eq!(sent, expected(&json!({ "ownedByWorkspace": "platform-team" })));
    assert_eq!((header(request, "accept"), header(request, "content-type")), (Some(MEDIA), Some(MEDIA)));
    assert_eq!(header(request, "authorization"), Some("Basic dXNlcjpiYXNpYy1wYXNzd29yZA=="));
    assert_eq!(header(request, "x-block-runner-node-id"), None, "it is of run endpoints");
}

#[tokio::test]
async fn a_creation_that_gives_no_uuid_is_a_broken_answer() {
    let server = MockServer::start().await;
    answer(&server, "POST", PATH, ResponseTemplate::new(201)).await;
    let error = client(&server.uri()).create_runner(&runner()).await.unwrap_err();
    assert!(error.to_string().contains("no `metadata.uuid`"), "{error}");
}

#[tokio::test]
async fn an_update_names_the_runner_in_path_and_body() {
    let server = MockServer::start().await;
    answer(&server, "PUT", &format!("{PATH}/r-1"), ResponseTemplate::new(200)).await;
    let client = client(&server.uri());
    client.update_runner("r-1", &runner()).await.unwrap();
    let sent: Value = serde_json::from_slice(&requests(&server).await[0].body).unwrap();
    assert_eq!(sent, expected(&json!({ "uuid": "r-1", "ownedByWorkspace": "platform-team" })));

    let error = client.update_runner("r-2", &runner()).await.unwrap_err();
    assert!(matches!(error.problem, Problem::Gone { .. }), "{error}");
}

#[tokio::test]
async fn clouds_that_are_not_used_are_left_out() {
    let server = MockServer::start().await;
    answer(&server, "PUT", &format!("{PATH}/r-1"), ResponseTemplate::new(200)).await;
    let client = client(&server.uri());
    let mut runner = runner();
    if let Some(federation) = &mut runner.workload_identity_federation {
        (federation.gcp, federation.aws) = (None, None);
    }
    client.update_runner("r-1", &runner).await.unwrap();
    runner.workload_identity_federation = None;
    client.update_runner("r-1", &runner).await.unwrap();
    let sent: Vec<Value> =
        requests(&server).await.iter().map(|request| serde_json::from_slice(&request.body).unwrap()).collect();
    let federation = sent[0]["spec"]["workloadIdentityFederation"].as_object().unwrap();
    assert_eq!(federation.keys().collect::<Vec<_>>(), ["issuer", "subject", "azure"]);
    assert_eq!(sent[1]["spec"].get("workloadIdentityFederation"), None);
}

#[test]
fn the_words_of_registrations_are_their_own() {
    let words = ["MANUAL", "TERRAFORM", "GITHUB_WORKFLOW", "GITLAB_PIPELINE", "AZURE_DEVOPS_PIPELINE", "ALL", "NEW"];
    for word in words {
        assert_eq!(RunnerType::from(word).as_str(), word);
    }
    assert_eq!(RunnerType::from("NEW"), RunnerType::Other("NEW".to_owned()));
    assert_eq!(RunnerType::from("AZURE_DEVOPS_PIPELINE"), RunnerType::AzureDevopsPipeline);
}
