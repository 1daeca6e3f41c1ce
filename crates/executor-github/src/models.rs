//! GitHub's answers, as far as they are of interest. Statuses and conclusions are open words: GitHub adds to them.
//!
//! Source: GitHub's description of its REST API, schemas `workflow-run`, `job`, `installation`, `installation-token`.

use std::fmt;

use runner_core::meshstack_client::Secret;
use runner_core::web::Url;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::clock;

/// The elements of a list that can be read. One that cannot does not cost the others.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct List<T> {
    /// Those that can be read.
    pub(crate) read: Vec<T>,
    /// How many there are with the others.
    pub(crate) listed: usize,
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let values = Vec::<Value>::deserialize(deserializer)?;
        let listed = values.len();
        let read = values.into_iter().filter_map(|value| serde_json::from_value(value).ok()).collect();
        Ok(Self { read, listed })
    }
}

/// The address of a page, if it is one that may be shown as a link.
pub(crate) fn page<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    let is_page = |text: &&str| {
        Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https"))
            && !text.contains(|c: char| c.is_whitespace() || c.is_control())
    };
    Ok(value.as_str().filter(is_page).map(str::to_owned))
}

/// A workflow run.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct WorkflowRun {
    pub(crate) id: u64,
    pub(crate) status: Option<String>,
    pub(crate) conclusion: Option<String>,
    #[serde(default, deserialize_with = "page")]
    pub(crate) html_url: Option<String>,
    pub(crate) head_branch: Option<String>,
    pub(crate) display_title: Option<String>,
    pub(crate) event: Option<String>,
    pub(crate) created_at: Option<String>,
    pub(crate) run_number: Option<u64>,
    pub(crate) run_attempt: Option<u64>,
}

/// How something ended, or that it did not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum State<'a> {
    /// Queued, waiting, under way, or in a state that is not known yet.
    Open,
    /// It ended like this.
    Ended(Conclusion<'a>),
}

/// How something ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Conclusion<'a> {
    /// `success`.
    Success,
    /// `skipped` or `neutral`: nothing went wrong.
    Passed(&'a str),
    /// Everything else.
    Bad(&'a str),
}

impl Conclusion<'_> {
    /// Whether nothing went wrong.
    pub(crate) fn is_good(self) -> bool {
        !matches!(self, Self::Bad(_))
    }
}

impl fmt::Display for Conclusion<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Success => f.write_str("success"),
            Self::Passed(word) | Self::Bad(word) => f.write_str(word),
        }
    }
}

fn state<'a>(status: Option<&str>, conclusion: Option<&'a str>) -> State<'a> {
    if status != Some("completed") {
        return State::Open;
    }
    State::Ended(match conclusion {
        Some("success") => Conclusion::Success,
        Some(word @ ("skipped" | "neutral")) => Conclusion::Passed(word),
        Some(word) => Conclusion::Bad(word),
        None => Conclusion::Bad("no conclusion"),
    })
}

impl WorkflowRun {
    /// Whether and how it ended.
    pub(crate) fn state(&self) -> State<'_> {
        state(self.status.as_deref(), self.conclusion.as_deref())
    }

    /// Whether it ended, and well.
    pub(crate) fn is_good(&self) -> bool {
        matches!(self.state(), State::Ended(conclusion) if conclusion.is_good())
    }

    /// When it was created, in seconds of GitHub's clock.
    pub(crate) fn created(&self) -> Option<i64> {
        clock::parse(self.created_at.as_deref()?)
    }

    /// Whether no job of it has begun: it waits for a machine, or for other runs.
    pub(crate) fn has_not_begun(&self) -> bool {
        matches!(self.status.as_deref(), Some("queued" | "requested" | "pending"))
    }
}

/// A job of a workflow run.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct Job {
    pub(crate) id: u64,
    pub(crate) name: Option<String>,
    pub(crate) status: Option<String>,
    pub(crate) conclusion: Option<String>,
    #[serde(default, deserialize_with = "page")]
    pub(crate) html_url: Option<String>,
    pub(crate) started_at: Option<String>,
    pub(crate) completed_at: Option<String>,
    pub(crate) runner_name: Option<String>,
    pub(crate) labels: Option<List<String>>,
    pub(crate) steps: Option<List<JobStep>>,
}

/// A step of a job.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct JobStep {
    pub(crate) name: Option<String>,
    pub(crate) conclusion: Option<String>,
}

impl Job {
    /// Whether and how it ended.
    pub(crate) fn state(&self) -> State<'_> {
        state(self.status.as_deref(), self.conclusion.as_deref())
    }

    /// What people call it.
    pub(crate) fn name(&self) -> &str {
        self.name.as_deref().filter(|name| !name.is_empty()).unwrap_or("without a name")
    }

    /// The steps that failed.
    pub(crate) fn failed_steps(&self) -> Vec<&str> {
        let failed = |step: &&JobStep| matches!(step.conclusion.as_deref(), Some("failure" | "timed_out"));
        let steps = self.steps.as_ref().map_or(&[][..], |steps| &steps.read);
        steps.iter().filter(failed).filter_map(|step| step.name.as_deref()).collect()
    }
}

/// A page of workflow runs. Each of them has to be read: one that is left out could be the one that is looked for.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct RunPage {
    pub(crate) workflow_runs: Vec<WorkflowRun>,
}

/// A page of jobs.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct JobPage {
    pub(crate) total_count: Option<u64>,
    pub(crate) jobs: List<Job>,
}

/// The answer to a dispatch that names the run.
#[derive(Debug, Deserialize)]
pub(crate) struct DispatchAnswer {
    pub(crate) workflow_run_id: u64,
    #[serde(default, deserialize_with = "page")]
    pub(crate) html_url: Option<String>,
}

/// Where the App is installed.
#[derive(Debug, Deserialize)]
pub(crate) struct Installation {
    id: Value,
}

impl Installation {
    /// Its id, which may be a number or a text.
    pub(crate) fn id(&self) -> Option<String> {
        match &self.id {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        }
        .filter(|id| !id.is_empty() && id.chars().all(|c| c.is_ascii_alphanumeric()))
    }
}

/// A token of an installation. `permissions` may be missing.
#[derive(Deserialize)]
pub(crate) struct TokenAnswer {
    pub(crate) token: Secret,
    pub(crate) expires_at: Option<String>,
    pub(crate) permissions: Option<Map<String, Value>>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_run_is_open_until_it_is_completed_whatever_the_word() {
        for status in [json!("queued"), json!("waiting"), json!("on_fire"), json!(""), json!(null)] {
            let run: WorkflowRun =
                serde_json::from_value(json!({ "id": 1, "status": status, "conclusion": null })).unwrap();
            assert_eq!(run.state(), State::Open, "{status}");
        }
    }

    #[test]
    fn only_success_skipped_and_neutral_are_good() {
        for (word, good) in [
            ("success", true),
            ("skipped", true),
            ("neutral", true),
            ("failure", false),
            ("cancelled", false),
            ("timed_out", false),
            ("action_required", false),
            ("stale", false),
            ("startup_failure", false),
            ("melted", false),
            ("", false),
        ] {
            let State::Ended(conclusion) = state(Some("completed"), Some(word)) else { panic!("{word}") };
            assert_eq!((conclusion.is_good(), conclusion.to_string().as_str()), (good, word));
        }
        assert_eq!(state(Some("completed"), None), State::Ended(Conclusion::Bad("no conclusion")));
    }

    #[test]
    fn what_cannot_be_read_in_a_list_does_not_cost_the_rest() {
        let steps = json!([null, { "name": "Run", "conclusion": "failure" }, 7]);
        let jobs = json!([null, { "id": "x" }, { "id": 1, "steps": steps, "labels": ["a", null] }]);
        let page: JobPage = serde_json::from_value(json!({ "total_count": 3, "jobs": jobs })).unwrap();
        assert_eq!((page.jobs.read.len(), page.jobs.listed), (1, 3));
        assert_eq!(page.jobs.read[0].failed_steps(), ["Run"]);
    }

    #[test]
    fn only_an_address_of_the_web_is_shown() {
        let good = "https://github.com/likvid/infra/actions/runs/1";
        for (url, shown) in [
            (json!(good), Some(good)),
            (json!("http://github.example.com/x"), Some("http://github.example.com/x")),
            (json!("javascript:alert(1)"), None),
            (json!("file:///etc/passwd"), None),
            (json!("/likvid/infra"), None),
            (json!("https://github.com/\nThe workflow succeeded."), None),
            (json!(7), None),
            (json!(null), None),
        ] {
            let run: WorkflowRun = serde_json::from_value(json!({ "id": 1, "html_url": url })).unwrap();
            let job: Job = serde_json::from_value(json!({ "id": 1, "html_url": url })).unwrap();
            let answer = json!({ "workflow_run_id": 1, "html_url": url });
            let answer: DispatchAnswer = serde_json::from_value(answer).unwrap();
            for read in [run.html_url, job.html_url, answer.html_url] {
                assert_eq!(read.as_deref(), shown, "{url}");
            }
        }
    }

    #[test]
    fn ids_are_beyond_32_bits_and_an_installation_may_be_a_text() {
        let run: WorkflowRun = serde_json::from_str(r#"{"id": 30433642123456}"#).unwrap();
        assert_eq!(run.id, 30_433_642_123_456);
        for (id, expected) in
            [(json!(7), Some("7")), (json!("abc1"), Some("abc1")), (json!("../x"), None), (json!(null), None)]
        {
            let installation: Installation = serde_json::from_value(json!({ "id": id })).unwrap();
            assert_eq!(installation.id().as_deref(), expected);
        }
    }
}
