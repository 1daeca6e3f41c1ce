//! Connections that cannot be made.

use std::sync::Arc;
use std::time::Duration;

use executor_gitlab::GitlabSettings;
use meshstack_local::Order;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::json;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::fake::{Fake, Scope};
use crate::world::{READ_TOKEN, World, log, message, settings, told};

/// A server certificate of an authority of our own, and the authority's certificate.
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
async fn an_authority_that_is_not_trusted_is_named_as_the_reason_and_one_that_is_given_works() {
    let (acceptor, authority) = tls();
    let mut world = World::without_runner(Fake::start_with("", Some(acceptor.clone())).await).await;
    world.start(settings());
    let view = world.fails(world.order()).await;
    assert!(message(&view).contains("authority that the runner trusts"), "{}", told(&view));
    assert!(world.fake.requests().is_empty());
    drop(world);

    let mut world = World::without_runner(Fake::start_with("/git", Some(acceptor)).await).await;
    world.fake.with(|gitlab| {
        gitlab.allow_reading(READ_TOKEN, Scope::ReadApi, true);
        gitlab.course = vec!["running", "failed"];
    });
    let file = world.folder.path().join("authority.crt");
    std::fs::write(&file, authority).expect("a file");
    world.start(GitlabSettings { ca_paths: vec![file], ..world.with_read_token() });
    let view = world.fails(world.order()).await;
    assert!(message(&view).contains("The GitLab pipeline failed"), "{}", told(&view));
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_is_tried_again_and_then_said() {
    let mut world = World::without_runner(Fake::start().await).await;
    world.start(GitlabSettings { trigger_patience: Duration::from_millis(200), ..settings() });
    // Bound and not listening any more: nobody else gets the port so soon.
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let mut implementation = world.implementation();
    implementation["gitlabBaseUrl"] = json!(format!("http://{address}"));
    let view = world.fails(Order::new(implementation)).await;
    assert!(
        message(&view).contains("GitLab took no request for too long, so no pipeline was started"),
        "{}",
        told(&view)
    );
    assert!(log(&view).matches("Not accepted: GitLab cannot be reached").count() > 1, "{}", log(&view));
}
