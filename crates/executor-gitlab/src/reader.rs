//! What a read token is for: one request per function. When to ask again is said elsewhere.
//!
//! Source: GitLab's REST API, pipelines and jobs.

use std::time::{Duration, SystemTime};

use runner_core::meshstack_client::{RunObject, Secret};
use runner_core::web::header::HeaderValue;
use runner_core::web::{Answer, Method, StatusCode, Web, WebError};
use serde_json::Value;

use crate::clock::timestamp;
use crate::definition::Project;
use crate::message::{Refusal, with_causes};
use crate::pipeline::{FailedJob, Pipeline};

/// So many entries are on a page; GitLab gives no more.
const PAGE: &str = "100";

/// A pipeline with more failed jobs than fit on these pages is described well enough by them.
const MOST_PAGES: usize = 10;

/// Reads a project's pipelines with a token.
pub(crate) struct Reader<'a> {
    pub(crate) web: &'a Web,
    pub(crate) project: &'a Project,
    pub(crate) token: &'a Secret,
}

/// Pipelines, and the time at GitLab when it told of them.
pub(crate) struct Listed {
    pub(crate) pipelines: Vec<Pipeline>,
    pub(crate) clock: Option<SystemTime>,
}

/// Why something could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    /// GitLab does not want this token to do it.
    #[error("{0}")]
    Refused(Refusal),
    /// GitLab wants fewer requests.
    #[error("GitLab wants fewer requests (429)")]
    Busy {
        /// How long it wants to be left alone.
        wait: Option<Duration>,
    },
    /// No answer, or none that can be used: another time perhaps.
    #[error("{0}")]
    Unavailable(String),
}

impl ReadError {
    /// The status of a refusal.
    pub(crate) fn refused(&self) -> Option<StatusCode> {
        match self {
            Self::Refused(refusal) => Some(refusal.status),
            _ => None,
        }
    }

    /// How long GitLab wants to be left alone.
    pub(crate) fn wait(&self) -> Option<Duration> {
        match self {
            Self::Busy { wait } => *wait,
            _ => None,
        }
    }
}

impl From<WebError> for ReadError {
    fn from(error: WebError) -> Self {
        Self::Unavailable(with_causes(&error))
    }
}

impl Reader<'_> {
    /// One pipeline.
    pub(crate) async fn pipeline(&self, id: u64) -> Result<Pipeline, ReadError> {
        let answer = self.ask(Method::GET, &format!("pipelines/{id}"), &[]).await?;
        Pipeline::read(&answer.json::<Value>()?)
            .ok_or_else(|| ReadError::Unavailable("the answer holds no pipeline".to_owned()))
    }

    /// The jobs because of which a pipeline failed; those that start other pipelines too.
    pub(crate) async fn failed_jobs(&self, id: u64) -> Result<Vec<FailedJob>, ReadError> {
        let mut failed = Vec::new();
        for kind in ["jobs", "bridges"] {
            let (jobs, _) = self.pages(&format!("pipelines/{id}/{kind}"), &[("scope", "failed")]).await?;
            failed.extend(jobs.iter().filter_map(FailedJob::read));
        }
        Ok(failed)
    }

    /// Pipelines that trigger tokens have started on a branch or tag around a time of GitLab's clock, the oldest first.
    pub(crate) async fn triggered(&self, reference: &str, at: u64, around: Duration) -> Result<Listed, ReadError> {
        let (after, before) = (at.saturating_sub(around.as_secs()), at.saturating_add(around.as_secs()));
        let (after, before) = (timestamp(after), timestamp(before));
        let query = [
            ("ref", reference),
            ("source", "trigger"),
            ("created_after", after.as_str()),
            ("created_before", before.as_str()),
            // Older servers know only this one.
            ("updated_after", after.as_str()),
            ("order_by", "id"),
            ("sort", "asc"),
        ];
        let (pipelines, clock) = self.pages("pipelines", &query).await?;
        let triggered = |pipeline: &Pipeline| pipeline.source.as_deref().is_none_or(|source| source == "trigger");
        Ok(Listed { pipelines: pipelines.iter().filter_map(Pipeline::read).filter(triggered).collect(), clock })
    }

    /// Whether a pipeline was started for this run: its variable `MESHSTACK_RUN` is this run's object, or (an environment
    /// input may have taken its place) `MESHSTACK_SELF_URL` is this run's address.
    pub(crate) async fn belongs_to(&self, id: u64, run: &RunObject) -> Result<bool, ReadError> {
        let (variables, _) = self.pages(&format!("pipelines/{id}/variables"), &[]).await?;
        let value = |key: &str| variables.iter().find(|variable| variable["key"] == key)?["value"].as_str();
        let object = value("MESHSTACK_RUN").and_then(|text| serde_json::from_str::<Value>(text).ok());
        let uuid = object.as_ref().and_then(|object| object["metadata"]["uuid"].as_str());
        let link = value("MESHSTACK_SELF_URL");
        Ok(uuid == Some(run.uuid()) || (link.is_some() && link == run.link("self")))
    }

    /// Cancels a pipeline. GitLab takes it whatever the pipeline's status.
    pub(crate) async fn cancel(&self, id: u64) -> Result<(), ReadError> {
        self.ask(Method::POST, &format!("pipelines/{id}/cancel"), &[]).await.map(drop)
    }

    /// The entries of all pages, and GitLab's clock.
    async fn pages(&self, rest: &str, query: &[(&str, &str)]) -> Result<(Vec<Value>, Option<SystemTime>), ReadError> {
        let (mut entries, mut clock) = (Vec::new(), None);
        let mut page = "1".to_owned();
        for _ in 0..MOST_PAGES {
            let mut query = query.to_vec();
            query.extend([("per_page", PAGE), ("page", page.as_str())]);
            let answer = self.ask(Method::GET, rest, &query).await?;
            clock = answer.date();
            entries.extend(answer.json::<Vec<Value>>()?);
            match answer.header("x-next-page").map(str::trim) {
                Some(next) if !next.is_empty() => next.clone_into(&mut page),
                _ => break,
            }
        }
        Ok((entries, clock))
    }

    async fn ask(&self, method: Method, rest: &str, query: &[(&str, &str)]) -> Result<Answer, ReadError> {
        let mut url = self.project.url(rest);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let mut token = HeaderValue::from_str(self.token.expose())
            .map_err(|_| ReadError::Unavailable("the read token has characters that no token has".to_owned()))?;
        token.set_sensitive(true);
        let request = self.web.request(method, url).await?.header("PRIVATE-TOKEN", token);
        let answer = self.web.send(request).await?;
        match answer.status {
            status if status.is_success() => Ok(answer),
            StatusCode::TOO_MANY_REQUESTS => Err(ReadError::Busy { wait: answer.retry_after() }),
            status if status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT => {
                Err(ReadError::Unavailable(Refusal::of(&answer).to_string()))
            }
            _ => Err(ReadError::Refused(Refusal::of(&answer))),
        }
    }
}
