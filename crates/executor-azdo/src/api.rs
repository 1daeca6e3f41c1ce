//! The requests that are made of Azure DevOps. When to repeat one is not decided here.
//!
//! Source: `protocol/executors.md`, `AZURE_DEVOPS`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use runner_core::meshstack_client::Secret;
use runner_core::web::{Method, Url, Web, header, reqwest};
use serde_json::{Value, json};

use crate::address::Address;
use crate::answer::{Answered, ApiError, SlowDown, judge, judge_json};
use crate::implementation::Implementation;
use crate::model::{Build, PipelineRun};
use crate::timeline::Timeline;

/// So much of a log is kept.
const LOG_TAIL: usize = 16 << 10;

/// Azure DevOps, as the owner of one token sees one pipeline.
#[derive(Clone)]
pub(crate) struct Api {
    web: Web,
    pub(crate) address: Address,
    /// The token as the header carries it.
    credentials: Secret,
}

/// Something that was asked for, and whether to slow down.
pub(crate) struct Seen<T> {
    pub(crate) value: T,
    pub(crate) slow_down: Option<SlowDown>,
}

impl Api {
    pub(crate) fn new(web: Web, implementation: &Implementation) -> Self {
        let credentials = STANDARD.encode(format!(":{}", implementation.token.expose()));
        Self { web, address: implementation.address.clone(), credentials: Secret::new(credentials) }
    }

    /// The token as it goes over the wire: nothing that a run says may show it.
    pub(crate) fn credentials(&self) -> &Secret {
        &self.credentials
    }

    /// Starts the pipeline. Not to be repeated unless it was certainly refused.
    pub(crate) async fn start(&self, body: &Value) -> Result<Answered, ApiError> {
        self.json(Method::POST, self.address.runs(), Some(body)).await
    }

    /// A run.
    pub(crate) async fn run(&self, id: u64) -> Result<Seen<Option<PipelineRun>>, ApiError> {
        let seen = self.json(Method::GET, self.address.run(id), None).await?;
        Ok(Seen { value: PipelineRun::read(&seen.value), slow_down: seen.slow_down })
    }

    /// The pipeline's runs, in the order of Azure DevOps.
    pub(crate) async fn runs(&self) -> Result<Vec<PipelineRun>, ApiError> {
        let seen = self.json(Method::GET, self.address.runs(), None).await?;
        Ok(crate::model::runs(&seen.value))
    }

    /// A run as Build shows it.
    pub(crate) async fn build(&self, id: u64) -> Result<Build, ApiError> {
        let seen = self.json(Method::GET, self.address.build(id), None).await?;
        Ok(Build::read(&seen.value))
    }

    /// Stages, jobs and tasks of a run; none before it has a plan.
    pub(crate) async fn timeline(&self, id: u64) -> Result<Seen<Timeline>, ApiError> {
        let seen = self.json(Method::GET, self.address.timeline(id), None).await?;
        Ok(Seen { value: Timeline::read(&seen.value), slow_down: seen.slow_down })
    }

    /// Asks to cancel a run. `cancelling` here, though a run says `canceling`.
    pub(crate) async fn cancel(&self, id: u64) -> Result<Answered, ApiError> {
        self.json(Method::PATCH, self.address.build(id), Some(&json!({ "status": "cancelling" }))).await
    }

    /// The end of a log. Its address is made here: that in a record may be on another host, where the token must not go.
    pub(crate) async fn log_tail(&self, id: u64, log: u64) -> Result<String, ApiError> {
        let request = self.request(Method::GET, self.address.log(id, log), "text/plain", None).await?;
        let answer = judge(self.web.send_tail(request, LOG_TAIL).await?)?;
        // A log may well begin with `<`, so only what says that it is a page is one.
        if answer.header(header::CONTENT_TYPE.as_str()).is_some_and(|kind| kind.contains("html")) {
            return Err(ApiError::Page { title: answer.excerpt() });
        }
        let text = answer.text();
        // The first line of what was kept is a part of one.
        let whole = if answer.cut { text.split_once('\n').map_or(&*text, |(_, rest)| rest) } else { &text };
        Ok(whole.trim_end().to_owned())
    }

    async fn json(&self, method: Method, url: Url, body: Option<&Value>) -> Result<Answered, ApiError> {
        let request = self.request(method, url, "application/json", body).await?;
        judge_json(self.web.send(request).await?)
    }

    async fn request(
        &self,
        method: Method,
        url: Url,
        accept: &str,
        body: Option<&Value>,
    ) -> Result<reqwest::RequestBuilder, ApiError> {
        let mut authorization = header::HeaderValue::from_str(&format!("Basic {}", self.credentials.expose()))
            // Base64 is always a header value.
            .unwrap_or_else(|_| header::HeaderValue::from_static("Basic"));
        authorization.set_sensitive(true);
        let request = self.web.request(method, url).await?;
        let request = request.header(header::ACCEPT, accept).header(header::AUTHORIZATION, authorization);
        Ok(match body {
            Some(body) => request.header(header::CONTENT_TYPE, "application/json").body(body.to_string()),
            None => request,
        })
    }
}
