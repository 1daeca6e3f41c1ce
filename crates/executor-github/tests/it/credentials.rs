//! The App's key, its installation, and its token.

use std::sync::Arc;

use meshstack_local::Options;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::{Value, json};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::fake::{Fake, Fault, Reply, Script};
use crate::world::{APP_KEY, World, brief, log, message};

/// A run that ends FAILED before anything was started; its message.
async fn refused(fields: Value, prepare: impl FnOnce(&World)) -> String {
    let mut world = World::new().await;
    world.settings.times.patience = std::time::Duration::from_millis(200);
    prepare(&world);
    let view = world.carry_out(&fields).await;
    assert_eq!(view.status, "FAILED", "{}", brief(&view));
    assert!(world.github.runs().is_empty());
    let message = message(&view, "gh-trigger").to_owned();
    assert!(message.ends_with('.') && !message.contains("BEGIN"), "{message}");
    message
}

#[tokio::test]
async fn a_token_is_fetched_once_for_many_runs_and_renewed_when_it_has_run_out() {
    let world = World::new().await;
    world.script(Script::endless());
    let running = world.start();
    let mut runs = Vec::new();
    for _ in 0..10 {
        runs.push(world.order(&json!({})).await);
    }
    world.github.asked("get_run", 30).await;
    assert_eq!(world.github.seen("create_token").len(), 1);
    // It runs out, for all of them at once.
    world.github.state().tokens.clear();
    let seen = world.github.seen("get_run").len();
    world.github.asked("get_run", seen + 40).await;
    assert_eq!(world.github.seen("create_token").len(), 2);
    assert_eq!(world.github.seen("repo_installation").len(), 1, "the installation is known");
    world.github.state().runs.values_mut().for_each(|run| run.script = Script::ending("success"));
    for run in &runs {
        let view = world.end_of(run).await;
        assert_eq!(view.status, "SUCCEEDED", "{}", brief(&view));
    }
    running.drain().await;
}

#[tokio::test]
async fn a_token_is_renewed_before_it_expires() {
    let world = World::new().await;
    // One that lives for a second is renewed after half a second.
    world.github.state().token_life = 2;
    world.script(Script::endless());
    let run = world.order(&json!({})).await;
    let running = world.start();
    world.github.asked("create_token", 3).await;
    let refused = world.github.state().seen.iter().filter(|seen| seen.status == Some(401)).count();
    assert_eq!(refused, 0, "GitHub never saw one that had expired");
    world.mesh.abort(&run).await;
    world.end_of(&run).await;
    running.drain().await;
}

#[tokio::test]
async fn a_token_that_github_does_not_take_is_renewed_once_and_not_for_ever() {
    let world = World::new().await;
    let bad = Fault::Answer(Reply::error(401, "Bad credentials"));
    world.github.fault("dispatch", bad.clone());
    let view = world.carry_out(&json!({})).await;
    assert_eq!(view.status, "SUCCEEDED", "{}", brief(&view));
    assert_eq!((world.github.seen("dispatch").len(), world.github.seen("create_token").len()), (2, 2));

    let world = World::new().await;
    world.github.faults("get_run", 1, 1000, bad.clone());
    world.script(Script::endless());
    let view = world.carry_out(&json!({})).await;
    assert_eq!(view.status, "FAILED");
    let end = message(&view, "gh-trigger");
    assert!(end.contains("no longer lets the runner see the workflow, which may still be running"), "{end}");
    assert!(world.github.seen("create_token").len() < 10, "{}", world.github.seen("create_token").len());

    let message = refused(json!({}), |world| world.github.faults("dispatch", 0, 1000, bad)).await;
    assert!(message.contains("does not take the App's token any more"), "{message}");
}

#[tokio::test]
async fn who_does_not_have_the_apps_key_does_not_get_its_token() {
    let world = World::new().await;
    let running = world.start();
    let first = world.order(&json!({})).await;
    assert_eq!(world.end_of(&first).await.status, "SUCCEEDED");
    let other = include_str!("../fixtures/unrelated-2048.key.pem");
    let second = world.order(&json!({ "appPem": other })).await;
    let view = world.end_of(&second).await;
    running.drain().await;
    assert_eq!(view.status, "FAILED");
    let end = message(&view, "gh-trigger");
    assert!(end.contains("private key does not belong to the GitHub App 12345"), "{end}");
    assert_eq!(world.github.runs().len(), 1);
}

#[tokio::test]
async fn what_is_wrong_with_the_app_is_said_in_a_sentence() {
    let message = refused(json!({}), |world| world.github.state().installed = false).await;
    assert!(message.contains("App 12345 is not installed on the repository likvid/infra"), "{message}");

    let message = refused(json!({ "appId": "999" }), |_| {}).await;
    assert!(message.contains("GitHub knows no App with the id 999"), "{message}");

    let message = refused(json!({}), |world| world.github.state().suspended = true).await;
    assert!(message.contains("is suspended"), "{message}");

    let message = refused(json!({}), |world| world.github.state().permissions = json!({ "actions": "read" })).await;
    assert!(message.contains("lacks the permission `actions: write`"), "{message}");

    let message = refused(json!({}), |world| world.github.state().permissions = json!({})).await;
    assert!(message.contains("lacks the permission `actions: write`"), "{message}");

    let message = refused(json!({ "appPem": "no key at all" }), |_| {}).await;
    assert!(message.contains("private key of the GitHub App 12345 cannot be used: it holds no PEM block"), "{message}");

    let message = refused(json!({ "appPem": include_str!("../fixtures/ec.key.pem") }), |_| {}).await;
    assert!(message.contains("it is no RSA key"), "{message}");
}

#[tokio::test]
async fn the_permissions_that_are_there_are_shown_to_the_platform_team() {
    let world = World::new().await;
    world.github.state().permissions = json!({ "actions": "read", "contents": "write" });
    let view = world.carry_out(&json!({})).await;
    let shown = log(&view, "gh-trigger");
    assert!(shown.contains("the installation's permissions are: actions: read, contents: write"), "{shown}");
}

#[tokio::test]
async fn permissions_that_are_not_told_and_an_installation_that_is_a_text_are_fine() {
    let world = World::new().await;
    world.github.state().permissions = Value::Null;
    world.github.state().text_id = true;
    let view = world.carry_out(&json!({})).await;
    assert_eq!(view.status, "SUCCEEDED", "{}", brief(&view));
}

#[tokio::test]
async fn a_clock_that_is_off_is_named_with_both_times() {
    for ahead in [-400, 400] {
        let message = refused(json!({}), |world| world.github.state().ahead = ahead).await;
        assert!(message.contains("their clocks differ: the runner's shows 20"), "{message}");
        assert!(message.contains(", GitHub's 20") && message.contains("synchronise the clock"), "{message}");
    }
    // Half a minute is forgiven: the token is dated back.
    let world = World::new().await;
    world.github.state().ahead = -45;
    let view = world.carry_out(&json!({})).await;
    assert_eq!(view.status, "SUCCEEDED", "{}", brief(&view));
}

#[tokio::test]
async fn a_key_with_line_ends_written_out_works() {
    let world = World::new().await;
    for pem in [APP_KEY.replace('\n', "\\n"), APP_KEY.replace('\n', "\r\n")] {
        let view = world.carry_out(&json!({ "appPem": pem })).await;
        assert_eq!(view.status, "SUCCEEDED", "{}", brief(&view));
    }
}

#[tokio::test]
async fn an_app_that_was_installed_anew_is_found_again() {
    let world = World::new().await;
    let running = world.start();
    let first = world.order(&json!({})).await;
    assert_eq!(world.end_of(&first).await.status, "SUCCEEDED");
    world.github.state().tokens.clear();
    world.github.fault("create_token", Fault::Answer(Reply::error(404, "Not Found")));
    let second = world.order(&json!({})).await;
    let view = world.end_of(&second).await;
    running.drain().await;
    assert_eq!(view.status, "SUCCEEDED", "{}", brief(&view));
    assert_eq!(world.github.seen("repo_installation").len(), 2);
}

#[tokio::test]
async fn a_repository_that_was_renamed_is_followed_on_the_same_host() {
    let world = World::new().await;
    world.github.state().former = Some("old-name".to_owned());
    let view = world.carry_out(&json!({ "repository": "old-name" })).await;
    assert_eq!(view.status, "SUCCEEDED", "{}", brief(&view));
    assert_eq!(world.github.runs().len(), 1);
    let redirects = world.github.state().seen.iter().filter(|seen| matches!(seen.status, Some(301 | 307))).count();
    assert_eq!(redirects, 1, "where it has moved to is remembered");
    assert!(world.github.state().seen.iter().all(|seen| seen.headers.contains_key("authorization")));
}

#[tokio::test]
async fn a_redirect_to_another_host_is_not_followed() {
    let elsewhere = crate::fake::Fake::start().await;
    for (operation, status) in [("repo_installation", 301), ("dispatch", 307), ("create_token", 308)] {
        let to = format!("{}/repositories/42/installation", elsewhere.url());
        let message = refused(json!({}), |world| {
            let redirect = Reply::error(status, "Moved").header("location", &to);
            world.github.fault(operation, Fault::Answer(redirect));
        })
        .await;
        assert!(message.contains(&format!("elsewhere, to {}", elsewhere.url())), "{message}");
        assert!(elsewhere.state().seen.is_empty(), "{operation}: the token went elsewhere");
    }
}

#[tokio::test]
async fn errors_that_pass_are_waited_out_before_the_start() {
    for operation in ["repo_installation", "create_token"] {
        for fault in [
            Fault::CutBefore,
            Fault::CutAfter,
            Fault::Answer(Reply::error(500, "Server Error")),
            Fault::Answer(Reply::page(503)),
            Fault::Answer(Reply::page(200)),
            Fault::Answer(Reply::odd(if operation == "create_token" { 201 } else { 200 }, "{ no JSON")),
        ] {
            let world = World::new().await;
            world.github.faults(operation, 0, 2, fault.clone());
            let view = world.carry_out(&json!({})).await;
            assert_eq!(view.status, "SUCCEEDED", "{operation} {fault:?}: {}", brief(&view));
        }
    }
}

/// A server's certificate of an authority of its own, and the authority's certificate.
fn tls() -> (TlsAcceptor, String) {
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().expect("a key")).expect("an authority");
    let key = KeyPair::generate().expect("a key");
    let server = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("parameters");
    let server = server.signed_by(&key, &authority).expect("a certificate");
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![server.der().clone()], key);
    (TlsAcceptor::from(Arc::new(config.expect("a configuration"))), authority.pem())
}

#[tokio::test]
async fn an_enterprise_server_whose_authority_is_not_known_is_told_and_works_once_it_is() {
    let (acceptor, authority) = tls();
    let github = Fake::start_with("/api/v3", Some(acceptor)).await;
    let mut world = World::with(github, Options::default()).await;
    let view = world.carry_out(&json!({})).await;
    assert_eq!(view.status, "FAILED");
    let end = message(&view, "gh-trigger");
    assert!(end.contains("does not trust the certificate") && end.contains("CUSTOM_CA_CERTS_PATH"), "{end}");
    assert!(world.github.state().seen.is_empty());

    let file = world.dir.path().join("authority.crt");
    std::fs::write(&file, authority).expect("a file");
    world.settings.ca_paths = vec![file];
    let view = world.carry_out(&json!({})).await;
    assert_eq!(view.status, "SUCCEEDED", "{}", brief(&view));
}
