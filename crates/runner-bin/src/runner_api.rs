//! meshStack as a person with a browser would try it: one request at a time, a few seconds each, everything that was seen.
//!
//! What a runner needs to work is in `meshstack-client`. Here is what `register` and `doctor` want to know besides: the date
//! that meshStack has, and the registration as it is stored. Source: `protocol/run-api.md`, "Authentication" and "Runner
//! objects". That a runner object can be read under the path that it is updated under is what meshStack's public Terraform
//! provider relies on; where it cannot, the caller does without.

use std::time::{Duration, SystemTime};

use meshstack_client::{ApiError, Connections, Credentials, Problem, RunnerType, Secret};
use reqwest::{Method, Url};
use runner_core::mask::Masker;
use serde_json::Value;

const LOGIN: &str = "/api/login";
const RUNNERS: &str = "/api/meshobjects/meshbuildingblockrunners";
const RUNNER: &str = "application/vnd.meshcloud.api.meshbuildingblockrunner.v1-preview.hal+json";
/// The runner's name, as `meshstack_client::ClientConfig` has it.
const NAME: &str = "bb-runner";
/// Most of an answer that is read, in bytes.
const MAX_BODY: usize = 1 << 20;
/// Most of an answer that is shown, in characters.
const MAX_EXCERPT: usize = 300;

/// meshStack, and who asks.
pub(crate) struct RunnerApi {
    connections: Connections,
    base: Url,
    credentials: Option<Credentials>,
    limit: Duration,
    /// The version that is told, if meshStack is to know who asks.
    version: Option<String>,
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

    /// What an answer that is no success means, in the words of the client.
    fn error(&self, method: &'static str, path: &str, masker: &Masker) -> ApiError {
        let status = self.status;
        let text: String = masker
            .mask(&String::from_utf8_lossy(&self.body))
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .take(MAX_EXCERPT)
            .collect();
        let excerpt = text.trim().to_owned();
        let broken = |reason: &str| Problem::BrokenAnswer { status, reason: reason.to_owned(), excerpt: String::new() };
        let problem = match status {
            _ if self.html => broken("a web page was answered"),
            401 | 403 => Problem::Unauthorised { status, excerpt },
            404 => Problem::Gone { excerpt },
            409 => Problem::Conflict { excerpt },
            408 | 425 | 429 | 500.. => Problem::TryAgain { status, retry_after: None, excerpt },
            400.. => Problem::Refused { status, excerpt },
            300.. => broken("a redirect was answered, which is not followed"),
            _ => broken("there is no token in the answer"),
        };
        ApiError { method, path: path.to_owned(), problem, source: None }
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
    /// The same as an error of the client.
    fn of(self, method: &'static str, path: &str) -> ApiError {
        let connect = matches!(&self, Self::Network(error) if error.is_connect());
        let problem = match &self {
            Self::NoCredentials => Problem::Local { reason: self.to_string() },
            _ => Problem::NoAnswer { connect },
        };
        ApiError { method, path: path.to_owned(), problem, source: Some(Box::new(self)) }
    }

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

/// What is no UUID cannot be a path either.
fn is_path_segment(uuid: &str) -> bool {
    !uuid.is_empty() && uuid.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
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
    /// A web page, or a success without a runner object, with this status: it may not be meshStack that answers.
    Unreadable(u16),
}

impl RunnerApi {
    /// `base`: the checked `api.url`. `limit`: how long each request may take.
    pub(crate) fn new(
        base: Url,
        credentials: Option<Credentials>,
        ca_paths: Vec<std::path::PathBuf>,
        limit: Duration,
    ) -> Self {
        Self { connections: Connections::new(ca_paths, limit), base, credentials, limit, version: None }
    }

    /// The same with the headers that every request to meshStack has (`protocol/run-api.md`, "Base URL, media types,
    /// headers"). They are for nobody else.
    pub(crate) fn named(self, version: &str) -> Self {
        Self { version: Some(version.to_owned()), ..self }
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
            let mut request = client.request(method, url.clone());
            if let Some(version) = &self.version {
                request = request
                    .header("User-Agent", format!("meshcloud-{NAME}/{version}"))
                    .header("X-Meshcloud-Runner-Name", NAME)
                    .header("X-Meshcloud-Runner-Version", version);
            }
            let mut response = build(request).send().await?;
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
            .send(Method::POST, LOGIN, |request| request.header("Accept", json).header("Content-Type", json).body(body))
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
        if !is_path_segment(uuid) {
            return Ok(Reading::NotFound);
        }
        let path = format!("{RUNNERS}/{uuid}");
        let answered =
            self.send(Method::GET, &path, |request| self.authorised(request.header("Accept", RUNNER), login)).await?;
        Ok(match (answered.status, answered.json()) {
            (200, Some(object)) if object.get("spec").is_some_and(Value::is_object) => {
                Reading::Found(Registered(object))
            }
            (status, _) if answered.html || answered.is_success() => Reading::Unreadable(status),
            (404, _) => Reading::NotFound,
            (status, _) => Reading::Refused(status),
        })
    }

    /// Replaces a registration. The errors are those of [`meshstack_client::Client::update_runner`], which sends no other
    /// fields than it knows.
    pub(crate) async fn update_runner(&self, uuid: &str, object: &Value) -> Result<(), ApiError> {
        let (login, _) = self.login().await.map_err(|error| error.of("POST", LOGIN))?;
        if let Login::Refused(answered) = &login {
            return Err(answered.error("POST", LOGIN, &self.masker(&login)));
        }
        let path = format!("{RUNNERS}/{uuid}");
        if !is_path_segment(uuid) {
            let problem = Problem::Local { reason: "the UUID of the runner cannot be a part of a path".to_owned() };
            return Err(ApiError { method: "PUT", path, problem, source: None });
        }
        let body = object.to_string();
        let sent = self.send(Method::PUT, &path, |request| {
            let request = request.header("Accept", RUNNER).header("Content-Type", RUNNER).body(body);
            self.authorised(request, &login)
        });
        let answered = sent.await.map_err(|error| error.of("PUT", &path))?;
        if answered.is_success() && !answered.html {
            Ok(())
        } else {
            Err(answered.error("PUT", &path, &self.masker(&login)))
        }
    }

    /// An answer may echo what it was asked with.
    fn masker(&self, login: &Login) -> Masker {
        let ours = match &self.credentials {
            Some(Credentials::ApiKey { client_secret, .. }) => Some(client_secret),
            Some(Credentials::Basic { password, .. }) => Some(password),
            None => None,
        };
        let token = match login {
            Login::Token(token) => Some(token),
            _ => None,
        };
        Masker::new(ours.into_iter().chain(token).map(Secret::expose))
    }

    fn authorised(&self, request: reqwest::RequestBuilder, login: &Login) -> reqwest::RequestBuilder {
        match (login, &self.credentials) {
            (Login::Token(token), _) => request.bearer_auth(token.expose()),
            (_, Some(Credentials::Basic { username, password })) => {
                request.basic_auth(username, Some(password.expose()))
            }
            _ => request,
        }
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

    /// The object as it was answered.
    pub(crate) fn json(&self) -> &Value {
        &self.0
    }
}
