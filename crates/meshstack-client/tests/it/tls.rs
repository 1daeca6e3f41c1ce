//! https, and authorities that an operator adds.

use std::path::PathBuf;
use std::sync::Arc;

use meshstack_client::{Client, Problem};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, CustomExtension, IsCa, KeyPair};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use crate::debug::Log;
use crate::support::config;

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority(change: impl FnOnce(&mut CertificateParams)) -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    change(&mut params);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A server that says "nothing queued" over TLS, with a certificate of this authority.
async fn serve(authority: &Authority) -> String {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().signed_by(&key, authority).unwrap();
    let tls = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                if stream.read(&mut [0; 4096]).await.is_ok_and(|length| length == 0) {
                    return;
                }
                stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n").await.ok();
                stream.shutdown().await.ok();
            });
        }
    });
    url
}

fn client(url: &str, ca_paths: Vec<PathBuf>) -> Client {
    let mut config = config(url);
    config.ca_paths = ca_paths;
    Client::new(config).unwrap()
}

#[tokio::test]
async fn an_authority_that_nobody_knows_is_not_trusted() {
    let url = serve(&authority(|_| {})).await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("other.crt"), authority(|_| {}).pem()).unwrap();
    let error = client(&url, vec![folder.path().to_owned()]).claim().await.unwrap_err();
    assert_eq!(error.problem, Problem::NoAnswer { connect: true }, "{error:?}");
}

#[tokio::test]
async fn an_authority_is_trusted_from_a_file_and_from_a_folder_whatever_its_file_is_called() {
    let authority = authority(|_| {});
    let url = serve(&authority).await;
    for name in ["ca.crt", "ca.pem", "ca-without-an-ending"] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(name);
        std::fs::write(&file, format!("# our own\n{}", authority.pem())).unwrap();
        assert!(client(&url, vec![file]).claim().await.unwrap().is_none(), "{name}");
        assert!(client(&url, vec![folder.path().to_owned()]).claim().await.unwrap().is_none(), "{name} in a folder");
    }
}

#[tokio::test]
async fn an_authority_that_tls_does_not_take_costs_no_other() {
    let good = authority(|_| {});
    let url = serve(&good).await;
    let bad = authority(|params| {
        let mut unknown = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99_999], vec![4, 0]);
        unknown.set_criticality(true);
        params.custom_extensions.push(unknown);
    });
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("bad.crt"), bad.pem()).unwrap();
    std::fs::write(folder.path().join("good.crt"), good.pem()).unwrap();
    assert!(client(&url, vec![folder.path().to_owned()]).claim().await.unwrap().is_none());
}

#[tokio::test]
async fn certificates_are_not_looked_at_for_plain_http() {
    let server = wiremock::MockServer::start().await;
    let log = Log::default();
    let guard = log.listen();
    assert!(client(&server.uri(), vec!["/nonexistent".into()]).claim().await.unwrap().is_none());
    drop(guard);
    assert_eq!(log.text(), "");
}
