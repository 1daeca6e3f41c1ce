//! `bb-runner doctor`.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use meshstack_local::{LocalMeshStack, Order};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa};
use serde_json::Value;
use tempfile::TempDir;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use crate::keys::{Said, bb};
use crate::support::{PATIENCE, UUID, fixture, fixture_path, local};

/// Answers every request on a port of this machine with the same text.
fn answering(answer: String) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n == 1) {
                head.push(byte[0]);
            }
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    address
}

fn mirror() -> SocketAddr {
    answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_owned())
}

/// A configuration that is in order, in a folder of its own.
fn folder(more: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let (at, mirror) = (folder.path().display(), mirror());
    let config = format!(
        "runnerUuid: {UUID}\nprivateKeyFile: private.pem\nworkingDir: {at}/wd\ntfInstallDir: {at}/tfbin\n\
         terraform: {{mirrors: {{terraform: 'http://{mirror}/tf', opentofu: 'http://{mirror}/tofu'}}}}\n{more}"
    );
    fs::write(folder.path().join("runner-config.yml"), config).unwrap();
    fs::write(folder.path().join("private.pem"), fixture("crypto/current.key.pem")).unwrap();
    fs::set_permissions(folder.path().join("private.pem"), fs::Permissions::from_mode(0o600)).unwrap();
    folder
}

fn doctor(url: &str, key: &(String, String), folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Said {
    let own = [("RUNNER_API_URL", url), ("RUNNER_API_CLIENT_ID", &key.0), ("RUNNER_API_CLIENT_SECRET", &key.1)];
    bb(folder, &[&["doctor"], arguments].concat(), &[&own, variables].concat())
}

fn of(local: &LocalMeshStack, folder: &Path, arguments: &[&str]) -> Said {
    doctor(&local.url(), &local.api_key(), folder, arguments, &[])
}

/// The checks by name: level, and what was seen and advised. Of several of a name, the worst.
fn checks(said: &Said) -> BTreeMap<String, (String, String)> {
    let report: Value = serde_json::from_str(&said.out).unwrap_or_else(|_| panic!("{}{}", said.out, said.err));
    assert_eq!(report["exitCode"], said.code);
    let rank = |level: &str| ["ok", "note", "warning", "problem"].iter().position(|word| *word == level).unwrap();
    let mut found: BTreeMap<String, (String, String)> = BTreeMap::new();
    for check in report["checks"].as_array().unwrap() {
        let text = |key: &str| check[key].as_str().unwrap_or_default().to_owned();
        let (name, level) = (text("check"), text("level"));
        if found.get(&name).is_none_or(|(known, _)| rank(&level) > rank(known)) {
            found.insert(name, (level, format!("{} {}", text("seen"), text("advice"))));
        }
    }
    found
}

#[track_caller]
fn assert_check(said: &Said, name: &str, level: &str, words: &str) {
    let checks = checks(said);
    let (found, text) = checks.get(name).unwrap_or_else(|| panic!("{name} is not in {checks:#?}"));
    assert!(found == level && text.contains(words), "{name}: {found}, {text}");
}

/// Whether something of this machine that the tests do not set up is a warning: little space, no ssh.
fn is_of_this_machine(name: &str) -> bool {
    name.ends_with("folder") || name == "git" || name == "ssh"
}

#[tokio::test(flavor = "multi_thread")]
async fn with_everything_in_order_the_table_says_so_and_no_run_is_taken() {
    let local = local().await;
    let run = local.order(UUID, Order::manual()).await;
    let folder = folder("");
    let said = of(&local, folder.path(), &["--json"]);
    for (name, (level, text)) in checks(&said) {
        assert!(level == "ok" || level == "note" || is_of_this_machine(&name), "{name}: {level}, {text}");
    }
    for (name, words) in [
        ("configuration", "runner-config.yml"),
        ("DNS", "127.0.0.1"),
        ("TCP", "answers after"),
        ("clock", ""),
        ("login", "takes the API key"),
        ("registration", "Local runner"),
        ("registered key", "current private key"),
        ("Terraform download", "127.0.0.1"),
    ] {
        assert_check(&said, name, "ok", words);
    }
    assert_check(&said, "claim", "note", "HTTP 403");
    let waiting = local.run(&run).await.unwrap();
    assert_eq!((waiting.status.word(), waiting.claims), ("PENDING", 0));
    assert_eq!(local.runner(UUID).await.unwrap().polls, 0, "nobody asked for a run of this runner");
    let table = of(&local, folder.path(), &[]);
    assert!(table.out.starts_with("ok       configuration"), "{}", table.out);
    assert_eq!(table.code, said.code);
    if said.code == 0 {
        assert!(table.out.ends_with("Everything that was checked is in order.\n"), "{}", table.out);
    }
}

#[test]
fn a_warning_ends_with_1_and_a_problem_with_2_and_a_broken_configuration_is_looked_through_all_the_same() {
    let folder = folder("");
    let known_hosts = folder.path().join("known_hosts");
    fs::write(&known_hosts, "not a line of a known_hosts file\n").unwrap();
    let key = ("id".to_owned(), "a-client-secret".to_owned());
    let known_hosts = known_hosts.to_str().unwrap();
    let variables = [("SSH_KNOWN_HOSTS", known_hosts)];
    let said = doctor("http://localhost:1", &key, folder.path(), &["--json", "--offline"], &variables);
    assert_eq!(said.code, 1, "{}", said.out);
    assert_check(&said, "known hosts", "warning", "ssh-keyscan");
    assert_check(&said, "network", "note", "--offline");

    for broken in ["timeoutMins: soon\n", "api: [a]\n", "also: 'open\n"] {
        let folder = self::folder(broken);
        let said = doctor("http://localhost:1", &key, folder.path(), &["--json", "--offline"], &[]);
        assert_eq!(said.code, 2, "{broken}: {}", said.out);
        assert_check(&said, "configuration", "problem", "runner-config.yml:");
        assert!(checks(&said).contains_key("working folder"), "the rest is checked too: {}", said.out);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_broken_configuration_meshstack_is_tried_with_what_can_be_read_of_it() {
    let local = local().await;
    let (id, secret) = local.api_key();
    let folder = folder(&format!(
        "timeoutMins: soon\napi: {{url: '{}', clientId: {id}, clientSecret: {secret}}}\n",
        local.url()
    ));
    let said = bb(folder.path(), &["doctor", "--json"], &[]);
    assert_eq!(said.code, 2);
    assert_check(&said, "configuration", "problem", "timeoutMins");
    assert_check(&said, "login", "ok", "takes the API key");
    assert_check(&said, "registered key", "ok", "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_in_a_file_of_its_own_is_found_with_a_broken_configuration_too() {
    let local = local().await;
    let (id, secret) = local.api_key();
    let folder = folder(&format!(
        "timeoutMins: soon\napi: {{url: '{}', clientId: {id}, clientSecretFile: secret}}\n",
        local.url()
    ));
    fs::write(folder.path().join("secret"), format!("{secret}\n")).unwrap();
    let said = bb(folder.path(), &["doctor", "--json"], &[]);
    assert_check(&said, "configuration", "problem", "timeoutMins");
    assert_check(&said, "login", "ok", "takes the API key");
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_credentials_and_a_runner_that_is_not_there_are_told_apart() {
    let local = local().await;
    let folder = folder("");
    let said = doctor(&local.url(), &("x".into(), "wrong-secret".into()), folder.path(), &["--json"], &[]);
    assert_eq!(said.code, 2);
    assert_check(&said, "login", "problem", "refuses the API key (HTTP 401)");
    assert!(!said.out.contains("wrong-secret"));
    let said =
        doctor(&local.url(), &local.api_key(), folder.path(), &["--json"], &[("RUNNER_UUID", &UUID.replace('7', "8"))]);
    assert_check(&said, "registration", "warning", "bb-runner register");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registered_certificate_of_another_key_is_a_problem_and_of_an_older_one_a_warning() {
    let local = local().await;
    let folder = folder("");
    fs::copy(fixture_path("crypto/previous.key.pem"), folder.path().join("private.pem")).unwrap();
    let said = of(&local, folder.path(), &["--json"]);
    assert_eq!(said.code, 2);
    assert_check(&said, "registered key", "problem", "encrypts for a key that the runner does not have");
    let current = fixture_path("crypto/current.key.pem");
    let variables = [("BB_PRIVATE_KEY_FILES", current.to_str().unwrap())];
    let said = doctor(&local.url(), &local.api_key(), folder.path(), &["--json"], &variables);
    assert_check(&said, "registered key", "warning", "Complete the rotation");
}

#[test]
fn what_is_in_the_way_is_named_step_by_step() {
    let folder = folder("");
    let key = ("id".to_owned(), "secret-of-the-key".to_owned());
    let said = doctor("", &key, folder.path(), &["--json"], &[]);
    assert_check(&said, "meshStack", "problem", "RUNNER_API_URL");
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let said = doctor(&format!("http://{closed}"), &key, folder.path(), &["--json"], &[]);
    assert_eq!(said.code, 2);
    assert_check(&said, "TCP", "problem", "refused");
    assert_check(&said, "login", "note", "not tried");

    // The proxy refuses; the name behind it is never looked up here.
    let proxy = answering("HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n".to_owned());
    let variables = [("HTTPS_PROXY", format!("http://user:proxy-password@{proxy}"))];
    let variables = variables.each_ref().map(|(name, value)| (*name, value.as_str()));
    let said = doctor("https://meshstack.invalid", &key, folder.path(), &["--json"], &variables);
    assert_check(&said, "proxy", "ok", &proxy.to_string());
    assert_check(&said, "TLS", "problem", "HTTPS_PROXY");
    assert!(!said.out.contains("proxy-password") && said.out.contains("407"), "{}", said.out);
}

#[test]
fn a_clock_that_is_off_and_a_sign_in_page_are_recognised() {
    let folder = folder("");
    let key = ("id".to_owned(), "secret".to_owned());
    let head =
        "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Type: text/html\r\nConnection: close\r\n";
    let page = answering(format!("{head}Content-Length: 6\r\n\r\n<html>"));
    let said = doctor(&format!("http://{page}"), &key, folder.path(), &["--json"], &[]);
    assert_check(&said, "clock", "problem", "ahead of meshStack");
    assert_check(&said, "login", "problem", "web page");
    let moved = answering(
        "HTTP/1.1 302 Found\r\nLocation: https://elsewhere.example.com/x\r\nContent-Length: 0\r\n\r\n".to_owned(),
    );
    let said = doctor(&format!("http://{moved}"), &key, folder.path(), &["--json"], &[]);
    assert_check(&said, "login", "problem", "redirected to elsewhere.example.com");
}

#[test]
fn somebody_who_never_answers_is_given_up() {
    let folder = folder("");
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let begun = Instant::now();
    let said = doctor(&url, &("id".into(), "secret".into()), folder.path(), &["--json"], &[]);
    assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
    assert_check(&said, "login", "problem", "no answer within 5 seconds");
}

/// A server that speaks TLS and says nothing else, with a certificate of this authority.
async fn tls_server(authority: &CertifiedIssuer<'static, rcgen::KeyPair>) -> SocketAddr {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().signed_by(&key, authority).unwrap();
    let tls = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let _ = stream.read(&mut [0; 4096]).await;
                let _ =
                    stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await;
                let _ = stream.shutdown().await;
            });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn the_authority_that_is_missing_is_named_and_trusted_once_it_is_configured() {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "Root of Somebody");
    let authority = CertifiedIssuer::self_signed(params, rcgen::KeyPair::generate().unwrap()).unwrap();
    let address = tls_server(&authority).await;
    let folder = folder("");
    let (url, key) = (format!("https://{address}"), ("id".to_owned(), "secret".to_owned()));
    let said = doctor(&url, &key, folder.path(), &["--json"], &[]);
    assert_check(&said, "TLS", "problem", "Root of Somebody");
    assert_check(&said, "TLS", "problem", "CUSTOM_CA_CERTS_PATH");
    assert_check(&said, "login", "note", "not tried");

    let ca = folder.path().join("ca.crt");
    fs::write(&ca, authority.pem()).unwrap();
    let said = doctor(&url, &key, folder.path(), &["--json"], &[("CUSTOM_CA_CERTS_PATH", ca.to_str().unwrap())]);
    assert_check(&said, "TLS", "ok", "trusted");
    assert_check(&said, "CA certificates", "ok", "1 in ");
    assert_check(&said, "login", "problem", "HTTP 404");

    let named = format!("https://localhost:{}", address.port());
    let said = doctor(&named, &key, folder.path(), &["--json"], &[("CUSTOM_CA_CERTS_PATH", ca.to_str().unwrap())]);
    assert_check(&said, "TLS", "problem", "another name");
    let host = format!("http://{}", mirror());
    let said = doctor(&url, &key, folder.path(), &["--json", "--host", &host], &[]);
    assert_check(&said, &format!("host {host}"), "ok", "answers");
}

#[test]
fn the_bundle_holds_the_report_and_not_one_secret() {
    let folder = folder(
        "api: {clientId: the-client-id, password: SecretPassword1}\ngitlab: {readTokens: {gitlab.example.com: SecretToken2}}\n\
         unknownKey: SecretOfAnUnknownKey3\nstateDir: /proc/SecretOfTheApi7/state\n",
    );
    let mirror = "http://user:SecretOfMirror4@127.0.0.1:1/tofu";
    let variables = [
        ("BB_TERRAFORM_MIRRORS_OPENTOFU", mirror),
        ("HTTPS_PROXY", "http://user:SecretOfProxy5@127.0.0.1:1"),
        ("NO_PROXY", "127.0.0.1"),
        ("TF_TOKEN_app_terraform_io", "SecretOfTerraform6"),
    ];
    let key = ("id".to_owned(), "SecretOfTheApi7".to_owned());
    let said = doctor("http://127.0.0.1:1", &key, folder.path(), &["--bundle", "support.zip"], &variables);
    assert_eq!(said.code, 2, "{}", said.out);
    let mut archive = zip::ZipArchive::new(fs::File::open(folder.path().join("support.zip")).unwrap()).unwrap();
    let names: Vec<String> = archive.file_names().map(|name| name.unwrap().into_owned()).collect();
    let mut all = String::new();
    for name in &names {
        archive.by_name(name).unwrap().read_to_string(&mut all).unwrap();
    }
    for name in ["report.txt", "report.json", "configuration.json", "environment.txt", "system.txt", "keys.txt"] {
        assert!(names.contains(&format!("bb-runner-support/{name}")), "{names:?}");
    }
    assert!(all.contains(UUID) && all.contains("HTTPS_PROXY: set") && all.contains("gitlab.example.com"), "{all}");
    let key = fixture("crypto/current.key.pem");
    let lines = key.lines().filter(|line| !line.starts_with('-'));
    let secrets = [
        "SecretPassword1",
        "SecretToken2",
        "SecretOfAnUnknownKey3",
        "SecretOfMirror4",
        "SecretOfProxy5",
        "SecretOfTerraform6",
        "SecretOfTheApi7",
    ];
    for secret in secrets.into_iter().chain(lines) {
        assert!(!all.contains(secret) && !said.out.contains(secret), "{secret} is there");
    }
    assert_eq!(fs::metadata(folder.path().join("support.zip")).unwrap().permissions().mode() & 0o777, 0o600);

    let again = doctor(
        "http://127.0.0.1:1",
        &("id".into(), "x".into()),
        folder.path(),
        &["--offline", "--bundle", "support.zip"],
        &[],
    );
    assert_eq!(again.code, 2);
    assert!(again.err.contains("support.zip cannot be written"), "{}", again.err);
}
