//! The calls of the run API.
//!
//! Source: `protocol/run-api.md`.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use bytes::Bytes;
use reqwest::Url;
use reqwest::header::HeaderValue;
use serde::Serialize;
use serde_json::Value;

use crate::address::{self, segment};
use crate::answer::Answer;
use crate::auth::{Auth, Authorization};
use crate::http::{Http, Limits, Request, header};
use crate::{
    ApiError, ClientConfig, ClientConfigError, PatchAnswer, Problem, RunAccess, RunObject, RunnerObject,
    SourceRegistration, StatusPatch,
};

const RUN: &str = "application/vnd.meshcloud.api.meshbuildingblockrun.v1.hal+json";
const RUNNER: &str = "application/vnd.meshcloud.api.meshbuildingblockrunner.v1-preview.hal+json";
const RUNS_PATH: &str = "/api/meshobjects/meshbuildingblockruns";
const RUNNERS_PATH: &str = "/api/meshobjects/meshbuildingblockrunners";

/// A client of one meshStack, as one runner. Cheap to clone: clones share connections and the API's token.
///
/// Time limits: 10 s for a connection, 30 s for a call (and a second more for each 256 KiB that are sent), 60 s between two
/// signs of life of a plan's transfer.
#[derive(Clone)]
pub struct Client(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) base: Option<Url>,
    pub(crate) strict_origins: bool,
    pub(crate) http: Http,
    /// Whether the operator knows already that plans come from another origin.
    pub(crate) warned_of_origin: AtomicBool,
    runner_uuid: String,
    node: HeaderValue,
    claiming_node: HeaderValue,
    auth: Auth,
}

impl Client {
    /// Checks the configuration. Nothing is sent, and no certificate is loaded yet.
    pub fn new(config: ClientConfig) -> Result<Self, ClientConfigError> {
        Self::with_limits(config, Limits::default())
    }

    pub(crate) fn with_limits(config: ClientConfig, limits: Limits) -> Result<Self, ClientConfigError> {
        let claiming = if config.node_id.starts_with("run-controller") {
            config.node_id.clone()
        } else {
            format!("{}-worker-1", config.node_id)
        };
        Ok(Self(Arc::new(Inner {
            base: config.base_url()?,
            strict_origins: config.strict_origins,
            http: Http::new(&config, limits)?,
            warned_of_origin: AtomicBool::new(false),
            node: header("the node id", &config.node_id)?,
            claiming_node: header("the node id", &claiming)?,
            runner_uuid: config.runner_uuid,
            auth: Auth::new(config.credentials),
        })))
    }

    /// Claims a run; `None` if there is none (404), or somebody else was faster (409).
    ///
    /// A run that comes back is ours: it must be ended, also one that is [unreadable](RunObject::unreadable). A future that
    /// is dropped may take one with it. Needs API credentials.
    pub async fn claim(&self) -> Result<Option<RunObject>, ApiError> {
        let mut url = self.api("POST", &format!("{RUNS_PATH}/create"))?;
        url.query_pairs_mut().append_pair("forRunnerUuid", &self.0.runner_uuid);
        let mut request = Request::new("POST", url, RUN);
        request.node = Some(self.0.claiming_node.clone());
        let answer = self.call_as_api(&request).await?;
        if matches!(answer.status, 404 | 409) {
            return Ok(None);
        }
        let answer = answer.checked()?;
        if !matches!(answer.status, 200 | 201) {
            return Err(answer.broken("neither 200 nor 201, so there is no run in it"));
        }
        run_in(&answer)
            .or_else(|error| RunObject::salvage(&answer.body, error.problem.to_string()).ok_or(error))
            .map(Some)
    }

    /// Registers this runner as a source of a run. Having done so before (409) is a success.
    pub async fn register(&self, run: &RunAccess, body: &SourceRegistration) -> Result<(), ApiError> {
        let path = run_path(run).map(|base| format!("{base}/status/source"));
        let link = run.register_link.clone();
        let answer = self.call_run(run, "POST", path, link, to_bytes("POST", body)?).await?;
        if answer.status == 409 { Ok(()) } else { answer.checked().map(drop) }
    }

    /// Changes the status of a run and its steps, and learns whether somebody aborted it.
    ///
    /// [`Problem::Conflict`]: the run is over. Sending the same again is harmless.
    pub async fn patch(&self, run: &RunAccess, change: &StatusPatch) -> Result<PatchAnswer, ApiError> {
        let source = &self.0.runner_uuid;
        let path = run_path(run).and_then(|base| Ok(format!("{base}/status/source/{}", segment(source)?)));
        let link = run.update_link.as_deref().and_then(|link| address::fill_source(link, source).ok());
        let answer = self.call_run(run, "PATCH", path, link, to_bytes("PATCH", change)?).await?;
        if answer.status == 409 && answer.json().is_ok_and(|body| PatchAnswer::read(&body) == PatchAnswer::Aborted) {
            return Ok(PatchAnswer::Aborted);
        }
        let answer = answer.checked()?;
        answer.whole()?;
        // Any 2xx is an acknowledgement. Only JSON that breaks off is none: its rest may have been an abort.
        if answer.is_other_text() {
            return Ok(PatchAnswer::Accepted);
        }
        Ok(PatchAnswer::read(&answer.json()?))
    }

    /// Reads a run as meshStack has it now: with the run token, or where that is refused, with the API credentials.
    pub async fn read_run(&self, run: &RunAccess) -> Result<RunObject, ApiError> {
        let link = run.self_link.clone();
        let answer = self.call_run(run, "GET", run_path(run), link.clone(), Bytes::new()).await?;
        if matches!(answer.status, 401 | 403) && !run.token.is_empty() && self.0.auth.has_credentials() {
            let without_token = RunAccess { token: crate::Secret::default(), ..run.clone() };
            let answer = self.call_run(&without_token, "GET", run_path(run), link, Bytes::new()).await?;
            return run_in(&answer.checked()?);
        }
        run_in(&answer.checked()?)
    }

    /// Proves an API key by logging in anew.
    ///
    /// Basic credentials have no login: nothing is sent for them, the first call tells.
    pub async fn login(&self) -> Result<(), ApiError> {
        self.0.auth.forget().await;
        let url = self.api("POST", "/api/login")?;
        let request = Request::new("POST", url, "application/json");
        self.0.auth.api(&self.0.http, self.0.base.as_ref(), &request, None).await.map(drop)
    }

    /// Registers a runner, and returns the UUID that meshStack gave it.
    pub async fn create_runner(&self, runner: &RunnerObject) -> Result<String, ApiError> {
        let url = self.api("POST", RUNNERS_PATH)?;
        let request = Request::new("POST", url, RUNNER).body(to_bytes("POST", &runner.to_json(None))?);
        let answer = self.call_as_api(&request).await?.checked()?;
        let uuid = answer.json()?.pointer("/metadata/uuid").and_then(Value::as_str).unwrap_or_default().to_owned();
        if uuid.is_empty() {
            return Err(answer.broken("the runner that was created has no `metadata.uuid`"));
        }
        Ok(uuid)
    }

    /// Changes the registration of a runner. [`Problem::Gone`]: it was never created.
    pub async fn update_runner(&self, uuid: &str, runner: &RunnerObject) -> Result<(), ApiError> {
        let path = segment(uuid).map(|uuid| format!("{RUNNERS_PATH}/{uuid}")).map_err(|p| local("PUT", p))?;
        let url = self.api("PUT", &path)?;
        let request = Request::new("PUT", url, RUNNER).body(to_bytes("PUT", &runner.to_json(Some(uuid)))?);
        self.call_as_api(&request).await?.checked().map(drop)
    }

    /// An address of the API.
    fn api(&self, method: &'static str, path: &str) -> Result<Url, ApiError> {
        let without = || Problem::Local { reason: "there is no address of meshStack: configure `api.url`".to_owned() };
        let url = self.0.base.as_ref().ok_or_else(without).and_then(|base| address::under(base, path));
        url.map_err(|problem| ApiError { path: path.to_owned(), ..local(method, problem) })
    }

    /// A call about one run: to the API's address, or where there is none or no connection to it, to the run's link.
    async fn call_run(
        &self,
        run: &RunAccess,
        method: &'static str,
        path: Result<String, Problem>,
        link: Option<String>,
        body: Bytes,
    ) -> Result<Answer, ApiError> {
        let path = path.map_err(|problem| local(method, problem))?;
        let link = link.and_then(|link| address::link(&link).ok());
        let request = |url| {
            let mut request = Request::new(method, url, RUN).body(body.clone());
            request.node = Some(self.0.node.clone());
            request
        };
        let (Some(_), Some(link)) = (&self.0.base, &link) else {
            let url = link.map_or_else(|| self.api(method, &path), Ok)?;
            return self.call_about(run, &request(url)).await;
        };
        let first = request(self.api(method, &path)?);
        let unreachable = match self.call_about(run, &first).await {
            Err(error) if error.problem == (Problem::NoAnswer { connect: true }) && *link != first.url => error,
            result => return result,
        };
        tracing::debug!(%path, "no connection to the configured address, so the link of the run is tried");
        self.call_about(run, &request(link.clone())).await.map_err(|error| match error.problem {
            // There is no way there either, and the configured address is the one to look at.
            Problem::NoAnswer { connect: true } => unreachable,
            _ => error,
        })
    }

    async fn call_about(&self, run: &RunAccess, request: &Request) -> Result<Answer, ApiError> {
        if run.token.is_empty() {
            return self.call_as_api(request).await;
        }
        match as_run(run, request) {
            Ok(auth) => self.0.http.call(request, Some(&auth)).await,
            // meshStack takes either, and the run would hang without a report.
            Err(_) if self.0.auth.has_credentials() => self.call_as_api(request).await,
            Err(error) => Err(error),
        }
    }

    /// A call with the API's credentials.
    async fn call_as_api(&self, request: &Request) -> Result<Answer, ApiError> {
        let Inner { http, base, auth, .. } = &*self.0;
        let granted = auth.api(http, base.as_ref(), request, None).await?;
        let answer = http.call(request, Some(&granted.authorization)).await?;
        if answer.status != 401 || !granted.from_earlier {
            return Ok(answer);
        }
        let fresh = auth.api(http, base.as_ref(), request, Some(&granted.authorization)).await?;
        http.call(request, Some(&fresh.authorization)).await
    }

    /// What a transfer of a run's plan is sent with.
    pub(crate) async fn authorization(&self, run: &RunAccess, request: &Request) -> Result<Authorization, ApiError> {
        if !run.token.is_empty() {
            return as_run(run, request);
        }
        let granted = self.0.auth.api(&self.0.http, self.0.base.as_ref(), request, None).await?;
        Ok(granted.authorization)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("api_url", &self.0.base.as_ref().map(Url::as_str))
            .field("runner_uuid", &self.0.runner_uuid)
            .finish_non_exhaustive()
    }
}

fn run_path(run: &RunAccess) -> Result<String, Problem> {
    Ok(format!("{RUNS_PATH}/{}", segment(&run.uuid)?))
}

fn run_in(answer: &Answer) -> Result<RunObject, ApiError> {
    answer.whole()?;
    RunObject::parse(&answer.body).map_err(|error| answer.broken(error.to_string()))
}

fn as_run(run: &RunAccess, request: &Request) -> Result<Authorization, ApiError> {
    Authorization::bearer(&run.token).map_err(|problem| request.error(problem))
}

/// A body, written once: it is sent again as it is.
fn to_bytes(method: &'static str, body: &impl Serialize) -> Result<Bytes, ApiError> {
    serde_json::to_vec(body).map(Bytes::from).map_err(|error| {
        let problem = Problem::Local { reason: "the body cannot be written as JSON".to_owned() };
        ApiError { source: Some(error.into()), ..local(method, problem) }
    })
}

/// An error before there is an address.
fn local(method: &'static str, problem: Problem) -> ApiError {
    ApiError { method, path: String::new(), problem, source: None }
}
