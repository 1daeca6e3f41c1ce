//! `bb-runner register`: what is kept of a registration, and when it is left alone.

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use meshstack_local::{Effect, Fault, LocalMeshStack};
use serde_json::{Value, json};

use crate::keys::bb;
use crate::register::{NEW, body, folder, register, sent};
use crate::support::{UUID, fixture, fixture_path, local};

fn answer(code: u16, body: &Value) -> Effect {
    let headers = vec![("Content-Type".to_owned(), "application/json".to_owned())];
    Effect::Status { code, headers, body: body.to_string() }
}

/// The next reads of a registration are answered with this.
fn on_reading(local: &LocalMeshStack, effect: Effect) {
    local.fault(Fault::on_path("GET", "meshbuildingblockrunners", effect).always());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_keeps_what_it_does_not_know() {
    let local = local().await;
    let folder = folder(&format!("runnerUuid: {UUID}\n"));
    let object = json!({
        "apiVersion": "v1-preview", "kind": "meshBuildingBlockRunner",
        "metadata": { "uuid": UUID, "ownedByWorkspace": "w", "lastSeen": "2026-01-01T00:00:00Z", "labels": { "a": "b" } },
        "spec": {
            "displayName": "Old", "publicKey": fixture("crypto/current.cert.pem"), "implementationType": "FUTURE",
            "capacity": { "runs": 1.50 },
            "workloadIdentityFederation": { "issuer": "i", "subject": "s", "oci": { "audience": "a" } },
        },
        "_links": { "self": { "href": "http://x" } },
    });
    on_reading(&local, answer(200, &object));
    // The stand-in refuses fields that it does not know.
    local.fault(Fault::on_path("PUT", "meshbuildingblockrunners", answer(200, &json!({}))));
    let said = register(&local, folder.path(), &["--display-name", "New"]);
    assert_eq!(said.code, 0, "{}", said.err);
    let mut expected = object;
    expected["spec"]["displayName"] = json!("New");
    expected.as_object_mut().unwrap().remove("_links");
    expected["metadata"].as_object_mut().unwrap().remove("lastSeen");
    assert_eq!(body(&sent(&local)[0]), expected);
    let dry = register(&local, folder.path(), &["--display-name", "New", "--dry-run"]);
    assert_eq!(serde_json::from_str::<Value>(&dry.out).unwrap(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_registration_is_not_answered_as_it_should_be_nothing_is_replaced() {
    let local = local().await;
    let folder = folder(&format!("runnerUuid: {UUID}\n"));
    for effect in [
        Effect::status(503),
        Effect::status(429),
        Effect::Html,
        Effect::CutAfter,
        answer(200, &json!({ "half": "an object" })),
        answer(200, &json!({ "spec": "of another kind" })),
    ] {
        on_reading(&local, effect.clone());
        for arguments in [&NEW[..], &["--display-name", "Renamed"], &["--dry-run"]] {
            let said = register(&local, folder.path(), arguments);
            assert_eq!(said.code, 1, "{effect:?}: {}", said.err);
            assert!(said.err.contains("nothing was changed") && said.err.contains("Try again"), "{}", said.err);
        }
        local.clear_faults();
    }
    assert!(sent(&local).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_meshstack_that_shows_no_registration_is_updated_without_one() {
    let local = local().await;
    let folder = folder(&format!("runnerUuid: {UUID}\n"));
    for status in [401, 403, 404, 405] {
        on_reading(&local, Effect::status(status));
        let said = register(&local, folder.path(), &NEW);
        local.clear_faults();
        assert_eq!(said.code, 0, "{status}: {}", said.err);
        assert!(said.err.contains(&format!("cannot be read (HTTP {status})")), "{}", said.err);
    }
    assert_eq!(sent(&local).len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_credentials_and_a_closed_port_are_said_in_place_of_what_could_not_be_read() {
    let local = local().await;
    let folder = folder(&format!("runnerUuid: {UUID}\n"));
    let try_at = |url: &str| {
        let wrong = [("RUNNER_API_URL", url), ("RUNNER_API_CLIENT_ID", "x"), ("RUNNER_API_CLIENT_SECRET", "wrong-one")];
        bb(folder.path(), &["register"], &wrong)
    };
    let said = try_at(&local.url());
    assert_eq!(said.code, 1, "{}", said.err);
    assert!(said.err.contains("refused the credentials (HTTP 401)"), "{}", said.err);
    assert!(!said.err.contains("is missing"), "{}", said.err);
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let said = try_at(&format!("http://{closed}"));
    assert_eq!(said.code, 1, "{}", said.err);
    assert!(said.err.contains("no connection") && !said.err.contains("is missing"), "{}", said.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_creation_that_is_answered_without_a_uuid_may_have_happened() {
    let local = local().await;
    let folder = folder("");
    local.fault(Fault::on_path("POST", "meshbuildingblockrunners", answer(201, &json!({ "metadata": {} }))));
    let said = register(&local, folder.path(), &NEW);
    assert_eq!(said.code, 1, "{}", said.err);
    assert!(said.err.contains("may have been created"), "{}", said.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_request_says_who_asks() {
    let local = local().await;
    let folder = folder(&format!("runnerUuid: {UUID}\n"));
    let mut arguments = NEW.to_vec();
    arguments.push("--wait");
    assert_eq!(register(&local, folder.path(), &arguments).code, 0);
    let requests = local.requests();
    assert!(requests.iter().any(|request| request.path == "/api/login"));
    assert!(requests.iter().any(|request| request.method == "GET"));
    let version = env!("CARGO_PKG_VERSION");
    for request in requests {
        let header = |name: &str| request.headers.get(name).map(|value| value.to_str().unwrap());
        let about = format!("{} {}", request.method, request.path);
        assert_eq!(header("user-agent"), Some(format!("meshcloud-bb-runner/{version}").as_str()), "{about}");
        assert_eq!(header("x-meshcloud-runner-name"), Some("bb-runner"), "{about}");
        assert_eq!(header("x-meshcloud-runner-version"), Some(version), "{about}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_refusal_echoes_of_the_credentials_is_not_shown() {
    let local = local().await;
    let folder = folder(&format!("runnerUuid: {UUID}\n"));
    let (_, secret) = local.api_key();
    local.fault(Fault::on_path(
        "PUT",
        "meshbuildingblockrunners",
        answer(400, &json!({ "sent": secret, "why": "no" })),
    ));
    let said = register(&local, folder.path(), &NEW);
    assert_eq!(said.code, 1, "{}", said.err);
    assert!(said.err.contains("\"why\":\"no\"") && !said.err.contains(&secret), "{}", said.err);
}

/// `bb-runner register` with everything about meshStack in options.
fn by_options(local: &LocalMeshStack, folder: &Path, arguments: &[&str]) -> crate::keys::Said {
    let (url, (id, secret)) = (local.url(), local.api_key());
    fs::write(folder.join("secret"), secret).unwrap();
    let mut all = vec!["register", "--api-url", &url, "--client-id", &id, "--client-secret-file", "secret"];
    all.extend(NEW);
    all.extend(arguments);
    bb(folder, &all, &[])
}

#[tokio::test(flavor = "multi_thread")]
async fn with_options_the_certificate_is_still_held_against_the_configured_keys() {
    let local = local().await;
    let other = fixture_path("crypto/previous.cert.pem");
    let other = ["--cert", other.to_str().unwrap()];
    // In order but for what the options say; and with a mistake.
    for config in ["privateKeyFile: runner-private.pem\n", "privateKeyFile: runner-private.pem\ntimeoutMins: soon\n"] {
        let folder = folder(config);
        let said = by_options(&local, folder.path(), &other);
        assert_eq!(said.code, 2, "{}", said.err);
        assert!(said.err.contains("belongs to none of the configured private keys"), "{}", said.err);
        let said = by_options(&local, folder.path(), &["--cert", "runner-certificate.pem"]);
        assert_eq!((said.code, said.err.as_str()), (0, ""));
    }
    for config in ["privateKeyFile: missing.pem\ntimeoutMins: soon\n", "privateKeyFile: 'runner\n"] {
        let folder = folder(config);
        let before = sent(&local).len();
        let said = by_options(&local, folder.path(), &["--cert", "runner-certificate.pem"]);
        assert_eq!(said.code, 2, "{config}: {}", said.err);
        assert_eq!(sent(&local).len(), before);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_need_not_have_what_comes_by_option() {
    let local = local().await;
    let (url, (id, secret)) = (local.url(), local.api_key());
    let with_url = folder(&format!("api: {{url: '{url}'}}\n"));
    fs::write(with_url.path().join("secret"), &secret).unwrap();
    let key = ["register", "--client-id", &id, "--client-secret-file", "secret"];
    let said = bb(with_url.path(), &[&key[..], &NEW].concat(), &[]);
    assert_eq!((said.code, said.err.as_str()), (0, ""));
    let with_key = folder(&format!("api: {{clientId: {id}, clientSecret: {secret}}}\n"));
    let said = bb(with_key.path(), &[&["register", "--api-url", &url], &NEW[..]].concat(), &[]);
    assert_eq!((said.code, said.err.as_str()), (0, ""));
}
