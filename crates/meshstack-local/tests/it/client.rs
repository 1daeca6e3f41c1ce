//! A client written by hand: every header and field is spelled out here once more.

use meshstack_local::{LocalMeshStack, Options, Order, RunnerSpec};
use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

pub(crate) const RUN: &str = "application/vnd.meshcloud.api.meshbuildingblockrun.v1.hal+json";
pub(crate) const RUNNER: &str = "application/vnd.meshcloud.api.meshbuildingblockrunner.v1-preview.hal+json";
pub(crate) const CERTIFICATE: &str = include_str!("../fixtures/current.cert.pem");

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }
}

pub(crate) async fn send(request: RequestBuilder) -> Reply {
    try_send(request).await.expect("an answer")
}

pub(crate) async fn try_send(request: RequestBuilder) -> Result<Reply, reqwest::Error> {
    let answer = request.send().await?;
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    Ok(Reply { status, headers, text: answer.text().await? })
}

/// A server with one registered runner, and the runner's side of HTTP.
pub(crate) struct Scene {
    pub(crate) mesh: LocalMeshStack,
    pub(crate) runner: String,
    pub(crate) http: reqwest::Client,
    pub(crate) api_token: String,
}

/// A claimed run.
pub(crate) struct Claimed {
    pub(crate) uuid: String,
    pub(crate) token: String,
    pub(crate) object: Value,
}

impl Scene {
    pub(crate) async fn new() -> Self {
        Self::with(Options::default()).await
    }

    pub(crate) async fn with(options: Options) -> Self {
        let mesh = LocalMeshStack::start_with(options).await.unwrap();
        let runner = mesh.register_runner(RunnerSpec::new("ALL").certificate(CERTIFICATE)).await;
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let (id, secret) = mesh.api_key();
        let mut scene = Self { mesh, runner, http, api_token: String::new() };
        let login = send(scene.login(&id, &secret)).await;
        login.json()["access_token"].as_str().unwrap().clone_into(&mut scene.api_token);
        scene
    }

    pub(crate) fn request(&self, method: &str, path: &str) -> RequestBuilder {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        self.http.request(method, format!("{}{path}", self.mesh.url()))
    }

    pub(crate) fn login(&self, id: &str, secret: &str) -> RequestBuilder {
        self.request("POST", "/api/login")
            .header("Accept", "application/json")
            .header("Content-Type", "application/json")
            .body(json!({ "clientId": id, "clientSecret": secret }).to_string())
    }

    /// A claim without credentials.
    pub(crate) fn bare_claim(&self) -> RequestBuilder {
        let path = format!("/api/meshobjects/meshbuildingblockruns/create?forRunnerUuid={}", self.runner);
        self.request("POST", &path).header("Accept", RUN).header("Content-Type", RUN)
    }

    pub(crate) fn claim(&self) -> RequestBuilder {
        self.bare_claim().bearer_auth(&self.api_token)
    }

    /// Claims a run that must be there.
    pub(crate) async fn claimed(&self) -> Claimed {
        let reply = send(self.claim()).await;
        assert_eq!(reply.status, 200, "{}", reply.text);
        let object = reply.json();
        Claimed {
            uuid: object["metadata"]["uuid"].as_str().unwrap().to_owned(),
            token: object["spec"]["runToken"].as_str().unwrap_or_default().to_owned(),
            object,
        }
    }

    /// Orders and claims.
    pub(crate) async fn started(&self, order: Order) -> Claimed {
        self.mesh.order(&self.runner, order).await;
        self.claimed().await
    }

    /// Orders, claims and registers the runner with one step, `build`.
    pub(crate) async fn registered(&self, order: Order) -> Claimed {
        let run = self.started(order).await;
        let reply = send(self.register(&run, &self.one_step())).await;
        assert_eq!(reply.status, 200, "{}", reply.text);
        run
    }

    pub(crate) fn one_step(&self) -> Value {
        json!({ "source": { "id": self.runner }, "steps": [{ "id": "build", "displayName": "Build", "status": "PENDING" }] })
    }

    pub(crate) fn register(&self, run: &Claimed, body: &Value) -> RequestBuilder {
        self.request("POST", &format!("/api/meshobjects/meshbuildingblockruns/{}/status/source", run.uuid))
            .header("Accept", RUN)
            .header("Content-Type", RUN)
            .bearer_auth(&run.token)
            .body(body.to_string())
    }

    pub(crate) fn patch(&self, run: &Claimed, body: &Value) -> RequestBuilder {
        self.patch_as(&self.runner, run, body)
    }

    pub(crate) fn patch_as(&self, source: &str, run: &Claimed, body: &Value) -> RequestBuilder {
        self.request("PATCH", &format!("/api/meshobjects/meshbuildingblockruns/{}/status/source/{source}", run.uuid))
            .header("Accept", RUN)
            .header("Content-Type", RUN)
            .bearer_auth(&run.token)
            .body(body.to_string())
    }

    pub(crate) fn read(&self, run: &Claimed) -> RequestBuilder {
        self.request("GET", &format!("/api/meshobjects/meshbuildingblockruns/{}", run.uuid))
            .header("Accept", RUN)
            .bearer_auth(&run.token)
    }

    /// Asserts that nothing broke the protocol.
    pub(crate) fn assert_no_violation(&self) {
        assert_eq!(self.mesh.violations(), Vec::<String>::new());
    }

    /// Asserts that exactly one request broke the protocol, for this reason.
    pub(crate) fn assert_violation(&self, reason: &str) {
        let violations = self.mesh.violations();
        assert_eq!(violations.len(), 1, "{violations:?}");
        assert!(violations[0].contains(reason), "{violations:?} does not say {reason:?}");
    }
}

/// The same request with a header replaced, or taken away.
pub(crate) fn with_header(request: RequestBuilder, name: &'static str, value: Option<&str>) -> RequestBuilder {
    let (client, request) = request.build_split();
    let mut request = request.unwrap();
    match value {
        Some(value) => drop(request.headers_mut().insert(name, HeaderValue::from_str(value).unwrap())),
        None => drop(request.headers_mut().remove(name)),
    }
    RequestBuilder::from_parts(client, request)
}
