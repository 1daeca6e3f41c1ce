//! Servers and objects that the tests share.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use meshstack_client::{Client, ClientConfig, Credentials, RunAccess, RunObject, Secret, Source, SourceRegistration};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

pub(crate) const RUNNER: &str = "runner-1";
pub(crate) const RUN: &str = "run-1";
pub(crate) const RUN_PATH: &str = "/api/meshobjects/meshbuildingblockruns/run-1";
pub(crate) const CLAIM_PATH: &str = "/api/meshobjects/meshbuildingblockruns/create";
pub(crate) const RUN_MEDIA: &str = "application/vnd.meshcloud.api.meshbuildingblockrun.v1.hal+json";

/// A closed port: no test listens there, and nobody else may.
pub(crate) const NOBODY: &str = "http://127.0.0.1:1";

pub(crate) fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

pub(crate) fn read(name: &str) -> String {
    let file = fixture(name);
    std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

pub(crate) fn run_fixture(name: &str) -> RunObject {
    RunObject::parse(read(&format!("runs/{name}.json")).as_bytes()).unwrap()
}

pub(crate) fn config(url: &str) -> ClientConfig {
    let mut config = ClientConfig::new(RUNNER);
    config.api_url = Some(url.to_owned());
    "1.2.3".clone_into(&mut config.version);
    config.credentials = Some(basic());
    config
}

pub(crate) fn basic() -> Credentials {
    Credentials::Basic { username: "user".to_owned(), password: Secret::new("basic-password") }
}

pub(crate) fn api_key() -> Credentials {
    Credentials::ApiKey { client_id: "key-id".to_owned(), client_secret: Secret::new("key-secret") }
}

pub(crate) fn client(url: &str) -> Client {
    Client::new(config(url)).unwrap()
}

/// Access to [`RUN`] with a token and without links.
pub(crate) fn access() -> RunAccess {
    RunAccess {
        uuid: RUN.to_owned(),
        token: Secret::new("run-token"),
        register_link: None,
        update_link: None,
        self_link: None,
    }
}

pub(crate) fn registration() -> SourceRegistration {
    let source = Source { id: RUNNER.to_owned(), external_run_id: None, external_run_url: None };
    SourceRegistration { source, steps: Vec::new() }
}

/// A small run.
pub(crate) fn run_json() -> Value {
    json!({ "metadata": { "uuid": RUN }, "spec": { "runToken": "run-token", "behavior": "APPLY" } })
}

/// Answers one method and path with one answer.
pub(crate) async fn answer(server: &MockServer, verb: &str, at: &str, with: ResponseTemplate) {
    Mock::given(method(verb)).and(path(at)).respond_with(with).mount(server).await;
}

pub(crate) async fn requests(server: &MockServer) -> Vec<Request> {
    server.received_requests().await.unwrap()
}

pub(crate) fn header<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    request.headers.get(name).map(|value| value.to_str().unwrap())
}

pub(crate) fn html() -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_raw("<html><body>Please sign in</body></html>", "text/html; charset=utf-8")
}

/// A server that says bytes, not HTTP: it answers each connection with the same bytes and then closes it.
pub(crate) struct RawServer {
    pub(crate) url: String,
    /// The requests as they came, one per connection.
    pub(crate) seen: Arc<Mutex<Vec<String>>>,
}

impl RawServer {
    pub(crate) async fn answering(answer: impl Into<Vec<u8>>) -> Self {
        let answer = answer.into();
        Self::serving(move |mut stream| {
            let answer = answer.clone();
            async move {
                stream.write_all(&answer).await.ok();
                stream.shutdown().await.ok();
                // Not dropped with bytes unread, which would make the answer a reset.
                stream.read_to_end(&mut Vec::new()).await.ok();
            }
        })
        .await
    }

    /// Hands each connection over once the request has been read.
    pub(crate) async fn serving<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let record = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let request = read_request(&mut stream).await;
                record.lock().unwrap().push(request);
                tokio::spawn(serve(stream));
            }
        });
        Self { url, seen }
    }

    pub(crate) fn requests(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

/// Reads a head, and as much of a body as it announces.
async fn read_request(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let announced = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
            });
            if body.len() >= announced.unwrap_or(0) {
                return text;
            }
        }
        let mut chunk = [0; 8192];
        match stream.read(&mut chunk).await {
            Ok(0) | Err(_) => return text,
            Ok(length) => bytes.extend_from_slice(&chunk[..length]),
        }
    }
}
