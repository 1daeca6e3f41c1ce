//! meshStack as a person with a browser would try it: one request at a time, a few seconds each, everything that was seen.
//!
//! What a runner needs to work is in `meshstack-client`. Here is what `register` and `doctor` want to know besides: the date
//! that meshStack has, and the registration as it is stored. Source: `protocol/run-api.md`, "Authentication" and "Runner
//! objects". That a runner object can be read under the path that it is updated under is what meshStack's public Terraform
//! provider relies on; where it cannot, the caller does without.

use std::time::{Duration, SystemTime};

use meshstack_client::{CloudIdentity, Connections, Credentials, RunnerType, Secret, WorkloadIdentityFederation};
use reqwest::{Method, Url};
use serde_json::Value;

const RUNNER: &str = "application/vnd.meshcloud.api.meshbuildingblockrunner.v1-preview.hal+json";
/// Most of an answer that is read, in bytes.
const MAX_BODY: usize = 1 << 20;

/// meshStack, and who asks.
pub(crate) struct RunnerApi {
    connections: Connections,
    base: Url,
    credentials: Option<Credentials>,
    limit: Duration,
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) status: u16,
    /// The `Date` header.
    pub(crate) date: Option<SystemTime>,
    pub(crate) html: bool,
    pub(crate) location: Option<String>,
    body: Vec<u8>,
}

impl Answered {
    pub(crate) fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }

    pub(crate) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unanswered {
    /// Not in time.
    #[error("there was no answer within {} seconds", .0.as_secs())]
    TooSlow(Duration),
    /// The network, or TLS.
    #[error("no connection came about")]
    Network(#[source] reqwest::Error),
    /// No credentials, or such as no header can carry.
    #[error("there are no usable credentials")]
    NoCredentials,
}

impl Unanswered {
    /// The whole chain of causes, on one line. No part of it holds an address with a password.
    pub(crate) fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(next) = cause {
            let next_text = next.to_string();
            if !text.ends_with(&next_text) {
                text.push_str(": ");
                text.push_str(&next_text);
            }
            cause = next.source();
        }
        text
    }
}

/// How a login went.
#[derive(Debug)]
pub(crate) enum Login {
    /// Basic credentials are sent with every call, without a login.
    NotNeeded,
    Token(Secret),
    Refused(Answered),
}

/// A registration, as it was read.
#[derive(Debug, Clone)]
pub(crate) struct Registered(Value);

/// What reading a registration gave.
#[derive(Debug)]
pub(crate) enum Reading {
    Found(Registered),
    /// 404: it was never created, or objects cannot be read here.
    NotFound,
    /// Another status.
    Refused(u16),
}

impl RunnerApi {
    /// `base`: the checked `api.url`. `limit`: how long each request may take.
    pub(crate) fn new(
        base: Url,
        credentials: Option<Credentials>,
        ca_paths: Vec<std::path::PathBuf>,
        limit: Duration,
    ) -> Self {
        Self { connections: Connections::new(ca_paths, limit), base, credentials, limit }
    }

    /// An address below the base.
    fn url(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("{}{path}", self.base.path().trim_end_matches('/')));
        url
    }

    /// Sends a request, and reads the answer within the limit.
    async fn send(
        &self,
        method: Method,
        path: &str,
        build: impl FnOnce(reqwest::RequestBuilder) -> reqwest::RequestBuilder,
    ) -> Result<Answered, Unanswered> {
        let url = self.url(path);
        let exchange = async {
            let client = self.connections.client_for(&url).await?;
            let mut response = build(client.request(method, url.clone())).send().await?;
            let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
            let mut answered = Answered {
                status: response.status().as_u16(),
                date: header("date").and_then(|date| httpdate::parse_http_date(&date).ok()),
                html: header("content-type").is_some_and(|media| media.to_ascii_lowercase().starts_with("text/html")),
                location: header("location"),
                body: Vec::new(),
            };
            while let Some(chunk) = response.chunk().await? {
                answered.body.extend_from_slice(&chunk);
                if answered.body.len() > MAX_BODY {
                    break;
                }
            }
            Ok::<_, reqwest::Error>(answered)
        };
        match tokio::time::timeout(self.limit, exchange).await {
            Ok(Ok(answered)) => Ok(answered),
            Ok(Err(error)) => Err(Unanswered::Network(error.without_url())),
            Err(_) => Err(Unanswered::TooSlow(self.limit)),
        }
    }

    /// Asks for nothing at the base address, without credentials: whether somebody answers, and what the time is there.
    pub(crate) async fn look(&self) -> Result<Answered, Unanswered> {
        self.send(Method::HEAD, "", |request| request).await
    }

    /// Logs in with the API key.
    pub(crate) async fn login(&self) -> Result<(Login, Option<SystemTime>), Unanswered> {
        let (id, secret) = match &self.credentials {
            None => return Err(Unanswered::NoCredentials),
            Some(Credentials::Basic { .. }) => return Ok((Login::NotNeeded, None)),
            Some(Credentials::ApiKey { client_id, client_secret }) => (client_id, client_secret),
        };
        let body = serde_json::json!({ "clientId": id, "clientSecret": secret.expose() }).to_string();
        let json = "application/json";
        let answered = self
            .send(Method::POST, "/api/login", |request| {
                request.header("Accept", json).header("Content-Type", json).body(body)
            })
            .await?;
        let date = answered.date;
        let token = answered.json().and_then(|body| Some(body.get("access_token")?.as_str()?.trim().to_owned()));
        let login = match token.filter(|token| answered.is_success() && !token.is_empty()) {
            Some(token) => Login::Token(Secret::new(token)),
            None => Login::Refused(answered),
        };
        Ok((login, date))
    }

    /// Reads a registration.
    pub(crate) async fn read_runner(&self, uuid: &str, login: &Login) -> Result<Reading, Unanswered> {
        // What is no UUID cannot be a path either.
        if !uuid.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') || uuid.is_empty() {
            return Ok(Reading::NotFound);
        }
        let path = format!("/api/meshobjects/meshbuildingblockrunners/{uuid}");
        let answered = self
            .send(Method::GET, &path, |request| {
                let request = request.header("Accept", RUNNER);
                match (login, &self.credentials) {
                    (Login::Token(token), _) => request.bearer_auth(token.expose()),
                    (_, Some(Credentials::Basic { username, password })) => {
                        request.basic_auth(username, Some(password.expose()))
                    }
                    _ => request,
                }
            })
            .await?;
        Ok(match (answered.status, answered.json()) {
            (200, Some(object)) if object.get("spec").is_some() => Reading::Found(Registered(object)),
            (404, _) => Reading::NotFound,
            (status, _) => Reading::Refused(status),
        })
    }
}

impl Registered {
    fn text(&self, pointer: &str) -> Option<String> {
        self.0.pointer(pointer).and_then(Value::as_str).map(str::to_owned)
    }

    /// The certificate, PEM.
    pub(crate) fn public_key(&self) -> Option<String> {
        self.text("/spec/publicKey")
    }

    /// Its name for people.
    pub(crate) fn display_name(&self) -> Option<String> {
        self.text("/spec/displayName")
    }

    /// Its owner.
    pub(crate) fn workspace(&self) -> Option<String> {
        self.text("/metadata/ownedByWorkspace")
    }

    /// What it serves.
    pub(crate) fn implementation_type(&self) -> Option<RunnerType> {
        self.text("/spec/implementationType").map(|word| RunnerType::from(word.as_str()))
    }

    /// When it last asked for a run, as meshStack writes it.
    pub(crate) fn last_seen(&self) -> Option<String> {
        self.text("/metadata/lastSeen")
    }

    /// Trust of clouds; `None` too where it is not whole.
    pub(crate) fn federation(&self) -> Option<WorkloadIdentityFederation> {
        let cloud = |name: &str| {
            let at = |field: &str| self.text(&format!("/spec/workloadIdentityFederation/{name}/{field}"));
            Some(CloudIdentity { audience: at("audience")?, token_path: at("tokenPath")? })
        };
        let federation = WorkloadIdentityFederation {
            issuer: self.text("/spec/workloadIdentityFederation/issuer")?,
            subject: self.text("/spec/workloadIdentityFederation/subject")?,
            gcp: cloud("gcp"),
            aws: cloud("aws"),
            azure: cloud("azure"),
        };
        (federation.gcp.is_some() || federation.aws.is_some() || federation.azure.is_some()).then_some(federation)
    }
}
