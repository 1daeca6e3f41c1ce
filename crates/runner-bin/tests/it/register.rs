//! `bb-runner register`.

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use meshstack_local::{Effect, Fault, LocalMeshStack, Operation, Recorded};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::keys::{Said, bb};
use crate::support::{UUID, fixture, fixture_path, local};

pub(crate) const NEW: [&str; 4] = ["--display-name", "Runner of ours", "--workspace", "platform-team"];

/// A folder with a configuration and the pair `current`.
pub(crate) fn folder(config: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("runner-config.yml"), config).unwrap();
    fs::copy(fixture_path("crypto/current.key.pem"), folder.path().join("runner-private.pem")).unwrap();
    fs::copy(fixture_path("crypto/current.cert.pem"), folder.path().join("runner-certificate.pem")).unwrap();
    folder
}

fn config(folder: &TempDir) -> String {
    fs::read_to_string(folder.path().join("runner-config.yml")).unwrap()
}

/// `bb-runner register` with the API key of `local` in variables.
pub(crate) fn register(local: &LocalMeshStack, folder: &Path, arguments: &[&str]) -> Said {
    let (url, (id, secret)) = (local.url(), local.api_key());
    let variables =
        [("RUNNER_API_URL", url.as_str()), ("RUNNER_API_CLIENT_ID", &id), ("RUNNER_API_CLIENT_SECRET", &secret)];
    bb(folder, &[&["register"], arguments].concat(), &variables)
}

/// What was sent about runner objects, but for reading them.
pub(crate) fn sent(local: &LocalMeshStack) -> Vec<Recorded> {
    let all = local.requests().into_iter();
    all.filter(|request| request.operation == Operation::Runner && request.method != "GET").collect()
}

pub(crate) fn body(request: &Recorded) -> Value {
    request.json().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_prints_to_the_letter_what_is_sent_and_sends_nothing() {
    let local = local().await;
    let folder = folder("");
    let mut arguments = NEW.to_vec();
    arguments.extend([
        "--type",
        "gitlab-pipeline",
        "--wif-issuer",
        "https://issuer.example.com",
        "--wif-subject",
        "system:x",
    ]);
    arguments.extend(["--wif-gcp", "//iam/gcp", "--wif-aws", "sts,/tokens/aws", "--wif-azure"]);
    let dry = register(&local, folder.path(), &[&arguments[..], &["--dry-run"]].concat());
    assert_eq!(dry.code, 0, "{}", dry.err);
    assert!(sent(&local).is_empty());
    let object: Value = serde_json::from_str(&dry.out).unwrap();
    let at = |cloud: &str| format!("/var/run/secrets/workload-identity/{cloud}/token");
    let expected = json!({
        "apiVersion": "v1-preview", "kind": "meshBuildingBlockRunner", "metadata": { "ownedByWorkspace": "platform-team" },
        "spec": {
            "displayName": "Runner of ours", "publicKey": fixture("crypto/current.cert.pem"),
            "implementationType": "GITLAB_PIPELINE",
            "workloadIdentityFederation": {
                "issuer": "https://issuer.example.com", "subject": "system:x",
                "gcp": { "audience": "//iam/gcp", "tokenPath": at("gcp") },
                "aws": { "audience": "sts", "tokenPath": "/tokens/aws" },
                "azure": { "audience": "api://AzureADTokenExchange", "tokenPath": at("azure") },
            },
        },
    });
    assert_eq!(object, expected);
    let real = register(&local, folder.path(), &arguments);
    assert_eq!(real.code, 0, "{}", real.err);
    assert_eq!(body(&sent(&local)[0]), expected);
    assert_eq!(local.violations(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runner_is_created_waited_for_and_its_uuid_written_with_everything_else_kept() {
    let local = local().await;
    let folder = folder("# ours\ntimeoutMins: 9   # nine\r\n\n# end\n");
    let said = register(&local, folder.path(), &[&NEW[..], &["--wait", "--write-config"]].concat());
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    let text = config(&folder);
    let uuid = text.strip_prefix("# ours\ntimeoutMins: 9   # nine\r\n\n# end\nrunnerUuid: ").unwrap().trim();
    let registered = local.runner(uuid).await.unwrap().object;
    assert_eq!(registered["spec"]["implementationType"], "ALL");
    assert_eq!(registered["spec"]["publicKey"], fixture("crypto/current.cert.pem"));
    assert!(said.out.contains("was created") && said.out.contains("Waiting up to 120 seconds"), "{}", said.out);
    assert_eq!(local.violations(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_configuration_file_one_is_made_for_the_uuid() {
    let local = local().await;
    let folder = folder("");
    fs::remove_file(folder.path().join("runner-config.yml")).unwrap();
    let said = register(&local, folder.path(), &[&NEW[..], &["--write-config"]].concat());
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    let text = config(&folder);
    assert!(local.runner(text.trim().strip_prefix("runnerUuid: ").unwrap()).await.is_some(), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_cannot_be_changed_is_said_before_a_runner_is_created() {
    let local = local().await;
    let folder = folder("{timeoutMins: 9}\n");
    let said = register(&local, folder.path(), &[&NEW[..], &["--write-config"]].concat());
    assert_eq!(said.code, 2, "{}{}", said.out, said.err);
    assert!(said.err.contains("runner-config.yml"), "{}", said.err);
    assert!(sent(&local).is_empty());
    assert_eq!(config(&folder), "{timeoutMins: 9}\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_keeps_what_is_not_said() {
    let local = local().await;
    let folder = folder(&format!("runnerUuid: {UUID}\n"));
    let mut first = NEW.to_vec();
    first.extend(["--type", "TERRAFORM", "--wif-issuer", "i", "--wif-subject", "s", "--wif-aws", "sts"]);
    assert_eq!(register(&local, folder.path(), &first).code, 0);
    let said = register(&local, folder.path(), &["--display-name", "Renamed"]);
    assert_eq!(said.code, 0, "{}", said.err);
    let requests = sent(&local);
    assert_eq!(
        (requests[1].method.as_str(), requests[1].path.as_str()),
        ("PUT", format!("/api/meshobjects/meshbuildingblockrunners/{UUID}").as_str())
    );
    let mut expected = body(&requests[0]);
    expected["spec"]["displayName"] = json!("Renamed");
    assert_eq!(body(&requests[1]), expected);
    assert_eq!(register(&local, folder.path(), &["--no-wif"]).code, 0);
    assert_eq!(body(&sent(&local)[2])["spec"].get("workloadIdentityFederation"), None);
    assert_eq!(local.violations(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_registration_cannot_be_read_that_is_said_and_waiting_works_all_the_same() {
    let local = local().await;
    local.fault(Fault::on_path("GET", "meshbuildingblockrunners", Effect::status(403)).always());
    let folder = folder(&format!("runnerUuid: {UUID}\n"));
    let said = register(&local, folder.path(), &["--display-name", "Renamed"]);
    assert_eq!(said.code, 2);
    assert!(said.err.contains("--workspace"), "{}", said.err);
    let said = register(&local, folder.path(), &[&NEW[..], &["--wait"]].concat());
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    assert!(said.err.contains("cannot be read (HTTP 403)"), "{}", said.err);
    assert!(said.out.contains("was taken once more"), "{}", said.out);
    assert_eq!(sent(&local).len(), 2, "the update, and the same again");
    let said = register(&local, folder.path(), &[&NEW[..], &["--wait=active"]].concat());
    assert_eq!(said.code, 1);
    assert!(said.err.contains("cannot be told here"), "{}", said.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_that_is_in_vain_ends_in_time_and_says_what_was_missing() {
    let local = local().await;
    let folder = folder(&format!("runnerUuid: {UUID}\n"));
    let said = register(&local, folder.path(), &[&NEW[..], &["--wait=active", "--wait-timeout", "1"]].concat());
    assert_eq!(said.code, 1);
    assert!(said.err.contains("no runner has asked for work"), "{}", said.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runner_that_meshstack_does_not_have_is_not_updated_and_the_way_to_create_it_is_told() {
    let local = local().await;
    let unknown = UUID.replace('7', "8");
    let folder = folder(&format!("runnerUuid: {unknown}\n"));
    let said = register(&local, folder.path(), &NEW);
    assert_eq!(said.code, 1);
    assert!(said.err.contains(&format!("has no runner {unknown}")) && said.err.contains("--new"), "{}", said.err);
    let said = register(&local, folder.path(), &[&NEW[..], &["--new", "--write-config"]].concat());
    assert_eq!(said.code, 0, "{}", said.err);
    let uuid = config(&folder).trim().strip_prefix("runnerUuid: ").unwrap().to_owned();
    assert!(uuid != unknown && local.runner(&uuid).await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn each_refusal_says_what_to_do() {
    let local = local().await;
    let folder = folder("");
    let status = |code, body: &str| Effect::Status { code, headers: Vec::new(), body: body.to_owned() };
    for (effect, words) in [
        (status(401, ""), &["refused the credentials", "client id"][..]),
        (status(403, ""), &["BUILDINGBLOCKRUNNER_SAVE", "--client-secret-file"]),
        (status(409, "name taken"), &["name taken", "--uuid", "--display-name"]),
        (status(400, "no such workspace"), &["no such workspace", "--dry-run"]),
        (status(404, ""), &["api.url"]),
        (status(503, ""), &["may have been created or not"]),
        (Effect::CutAfter, &["may have been created or not"]),
        (Effect::Html, &["bb-runner doctor"]),
    ] {
        // With a refused token, a new one is tried.
        local.fault(Fault::on(Operation::Runner, effect.clone()).times(2));
        let said = register(&local, folder.path(), &NEW);
        local.clear_faults();
        assert_eq!(said.code, 1, "{effect:?}");
        for word in words {
            assert!(said.err.contains(word), "{word:?} for {effect:?} is not in {}", said.err);
        }
        assert!(!said.err.contains(&local.api_key().1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_credentials_and_a_closed_port_are_told_apart() {
    let local = local().await;
    let folder = folder("");
    let url = local.url();
    let wrong =
        [("RUNNER_API_URL", url.as_str()), ("RUNNER_API_CLIENT_ID", "x"), ("RUNNER_API_CLIENT_SECRET", "wrong-one")];
    let said = bb(folder.path(), &[&["register"], &NEW[..]].concat(), &wrong);
    assert_eq!(said.code, 1);
    assert!(said.err.contains("refused the credentials") && !said.err.contains("wrong-one"), "{}", said.err);
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let closed = format!("http://{closed}");
    let nobody =
        [("RUNNER_API_URL", closed.as_str()), ("RUNNER_API_CLIENT_ID", "x"), ("RUNNER_API_CLIENT_SECRET", "y")];
    let said = bb(folder.path(), &[&["register"], &NEW[..]].concat(), &nobody);
    assert_eq!(said.code, 1);
    assert!(said.err.contains("no connection") && said.err.contains("bb-runner doctor"), "{}", said.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_the_runner_has_no_key_for_is_not_registered() {
    let local = local().await;
    let folder = folder("");
    let other = fixture_path("crypto/previous.cert.pem");
    let said = register(&local, folder.path(), &[&NEW[..], &["--cert", other.to_str().unwrap()]].concat());
    assert_eq!(said.code, 2);
    assert!(said.err.contains("belongs to none of the configured private keys"), "{}", said.err);
    let key = folder.path().join("runner-private.pem");
    let said = register(&local, folder.path(), &[&NEW[..], &["--cert", key.to_str().unwrap()]].concat());
    assert_eq!(said.code, 2);
    assert!(said.err.contains("holds a private key"), "{}", said.err);
    fs::remove_file(folder.path().join("runner-certificate.pem")).unwrap();
    let said = register(&local, folder.path(), &NEW);
    assert_eq!(said.code, 2);
    assert!(said.err.contains("There is no certificate to register"), "{}", said.err);
    assert!(sent(&local).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_key_may_come_from_options_and_a_file_in_place_of_the_configuration() {
    let local = local().await;
    let folder = folder("api: {clientId: other, clientSecret: other, url: 'http://localhost:1'}\n");
    let (id, secret) = local.api_key();
    fs::write(folder.path().join("secret"), format!("{secret}\n")).unwrap();
    let url = local.url();
    let mut arguments = vec!["register", "--api-url", &url, "--client-id", &id, "--client-secret-file", "secret"];
    arguments.extend(NEW);
    let said = bb(folder.path(), &arguments, &[]);
    assert_eq!(said.code, 0, "{}", said.err);
    let said = bb(folder.path(), &[&["register", "--client-id", "x"], &NEW[..]].concat(), &[]);
    assert_eq!(said.code, 2);
    assert!(said.err.contains("--client-secret-file"), "{}", said.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_arguments_and_configurations_end_with_2() {
    let local = local().await;
    for (config, arguments, words) in [
        ("", &["--workspace", "w"][..], "--display-name"),
        ("", &["--display-name", "n"], "--workspace"),
        ("", &["--display-name", "", "--workspace", "w"], "must not be empty"),
        ("", &["--type", "BASH"], "BASH"),
        ("", &["--wif-issuer", "i"], "--wif-subject"),
        ("", &["--display-name", "n", "--workspace", "w", "--wif-issuer", "i", "--wif-subject", "s"], "--wif-gcp"),
        ("timeoutMins: soon\n", &["--display-name", "n", "--workspace", "w"], "timeoutMins"),
        ("a: 'open\n", &["--display-name", "n", "--workspace", "w"], "runner-config.yml"),
    ] {
        let folder = folder(config);
        let said = register(&local, folder.path(), arguments);
        assert_eq!(said.code, 2, "{config:?} {arguments:?}: {}", said.err);
        assert!(said.err.contains(words), "{words:?} is not in {}", said.err);
    }
    assert!(sent(&local).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_jvm_runners_file_gets_its_uuid_under_its_own_key() {
    let local = local().await;
    let folder = folder("# ours\nblockrunner:\n  # where\n  private-key-file: runner-private.pem\n");
    let said = register(&local, folder.path(), &[&NEW[..], &["--write-config"]].concat());
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    let text = config(&folder);
    assert!(
        text.starts_with("# ours\nblockrunner:\n  uuid: ")
            && text.ends_with("\n  # where\n  private-key-file: runner-private.pem\n"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_controllers_file_says_all_of_its_registration() {
    let local = local().await;
    let folder = folder("");
    let (id, secret) = local.api_key();
    let indented = |text: &str| text.trim().replace('\n', "\n    ");
    let file = format!(
        "namespace: n\nuuid: {UUID}\nownedByWorkspace: from-the-file\ndisplayName: Controller\n\
         api: {{url: '{}', clientId: {id}, clientSecret: {secret}}}\n\
         crypto:\n  publicKey: |\n    {}\n  privateKey: |\n    {}\nimplementations: {{MANUAL: {{image: an/image}}}}\n",
        local.url(),
        indented(&fixture("crypto/current.cert.pem")),
        indented(&fixture("crypto/current.key.pem")),
    );
    fs::write(folder.path().join("controller.yml"), file).unwrap();
    let said = bb(folder.path(), &["register", "--config", "controller.yml", "--wait"], &[]);
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    let registered = local.runner(UUID).await.unwrap().object;
    assert_eq!(registered["metadata"]["ownedByWorkspace"], "from-the-file");
    assert_eq!(registered["spec"]["displayName"], "Controller");
    assert_eq!(registered["spec"]["publicKey"], fixture("crypto/current.cert.pem"));
}
