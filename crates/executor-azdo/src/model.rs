//! Runs and builds as Azure DevOps sends them. Read field by field: a field that is missing, null or of another type is
//! absent, and a word that is not known is kept, so that nothing new fails the parse.

use std::collections::BTreeMap;

use runner_core::web::Url;
use serde_json::Value;

/// A run of a pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PipelineRun {
    pub(crate) id: u64,
    pub(crate) state: RunState,
    /// As it is spelled; empty where there is none.
    pub(crate) result: String,
    /// Its page for people.
    pub(crate) link: Option<String>,
    /// Template parameters, and variables that are no secrets, that are text.
    pub(crate) values: BTreeMap<String, String>,
}

/// Where a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RunState {
    /// At work: also every word that is not known.
    InProgress,
    /// At its end.
    Completed,
    /// Pipelines does not say; Build may know.
    Unknown,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RunEnd {
    /// All went well.
    Succeeded,
    /// Well, with something that went wrong on the way.
    PartiallySucceeded,
    /// Stopped by somebody.
    Canceled,
    /// Failed; anything that is not known counts as this.
    Failed,
    /// It has ended, and Azure DevOps does not say how.
    NotSaid,
}

impl PipelineRun {
    /// Reads a run; `None` without an id.
    pub(crate) fn read(value: &Value) -> Option<Self> {
        Some(Self {
            id: number(value, "id")?,
            state: match text(value, "state") {
                "completed" => RunState::Completed,
                "unknown" => RunState::Unknown,
                _ => RunState::InProgress,
            },
            result: text(value, "result").to_owned(),
            link: link(value),
            values: values(value),
        })
    }

    /// How it ended, as far as Pipelines says.
    pub(crate) fn end(&self) -> RunEnd {
        match self.result.as_str() {
            "succeeded" => RunEnd::Succeeded,
            "canceled" => RunEnd::Canceled,
            "" | "unknown" => RunEnd::NotSaid,
            _ => RunEnd::Failed,
        }
    }
}

/// The same run as Build shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Build {
    pub(crate) completed: bool,
    pub(crate) end: RunEnd,
}

impl Build {
    /// Reads a build.
    pub(crate) fn read(value: &Value) -> Self {
        Self {
            completed: text(value, "status") == "completed",
            end: match text(value, "result") {
                "succeeded" => RunEnd::Succeeded,
                "partiallySucceeded" => RunEnd::PartiallySucceeded,
                "canceled" => RunEnd::Canceled,
                "" | "none" => RunEnd::NotSaid,
                _ => RunEnd::Failed,
            },
        }
    }
}

/// The runs of a list.
pub(crate) fn runs(value: &Value) -> Vec<PipelineRun> {
    let list = value.get("value").and_then(Value::as_array);
    list.map(|list| list.iter().filter_map(PipelineRun::read).collect()).unwrap_or_default()
}

/// `_links.web.href`, else `url`; only what a browser can open.
fn link(value: &Value) -> Option<String> {
    let web = value.pointer("/_links/web/href").and_then(Value::as_str);
    web.into_iter().chain([text(value, "url")]).find(|link| is_link(link)).map(str::to_owned)
}

fn is_link(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https"))
}

fn values(value: &Value) -> BTreeMap<String, String> {
    let mut values = BTreeMap::new();
    for (name, variable) in value.get("variables").and_then(Value::as_object).into_iter().flatten() {
        if let Some(text) = variable.get("value").and_then(Value::as_str) {
            values.insert(name.to_ascii_lowercase(), text.to_owned());
        }
    }
    for (name, parameter) in value.get("templateParameters").and_then(Value::as_object).into_iter().flatten() {
        if let Some(text) = parameter.as_str() {
            values.insert(name.to_ascii_lowercase(), text.to_owned());
        }
    }
    values
}

/// A text field; empty where there is none.
pub(crate) fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// A field that is a whole number, or text of digits.
pub(crate) fn number(value: &Value, field: &str) -> Option<u64> {
    let value = value.get(field)?;
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_run_is_read_whatever_is_missing_null_or_new() {
        assert_eq!(PipelineRun::read(&json!({ "state": "completed" })), None);
        let run =
            PipelineRun::read(&json!({ "id": "9007199254740993", "state": null, "result": 7, "_links": [] })).unwrap();
        assert_eq!(
            (run.id, run.state, run.end(), run.link),
            (9_007_199_254_740_993, RunState::InProgress, RunEnd::NotSaid, None)
        );
    }

    #[test]
    fn every_state_and_result_of_a_run_has_a_meaning() {
        let read = |state: &str, result: &str| {
            let run = PipelineRun::read(&json!({ "id": 1, "state": state, "result": result })).unwrap();
            (run.state, run.end())
        };
        assert_eq!(read("completed", "succeeded"), (RunState::Completed, RunEnd::Succeeded));
        assert_eq!(read("completed", "failed"), (RunState::Completed, RunEnd::Failed));
        assert_eq!(read("completed", "canceled"), (RunState::Completed, RunEnd::Canceled));
        assert_eq!(read("completed", "unknown"), (RunState::Completed, RunEnd::NotSaid));
        assert_eq!(read("completed", "somethingNew"), (RunState::Completed, RunEnd::Failed));
        assert_eq!(read("unknown", ""), (RunState::Unknown, RunEnd::NotSaid));
        for state in ["inProgress", "canceling", "", "somethingNew"] {
            assert_eq!(read(state, "").0, RunState::InProgress, "{state}");
        }
    }

    #[test]
    fn a_build_knows_more_results() {
        let read = |status: &str, result: &str| {
            let build = Build::read(&json!({ "status": status, "result": result }));
            (build.completed, build.end)
        };
        assert_eq!(read("completed", "partiallySucceeded"), (true, RunEnd::PartiallySucceeded));
        assert_eq!(read("completed", "none"), (true, RunEnd::NotSaid));
        assert_eq!(read("completed", "somethingNew"), (true, RunEnd::Failed));
        for status in ["none", "inProgress", "cancelling", "postponed", "notStarted", "somethingNew"] {
            assert!(!read(status, "").0, "{status}");
        }
    }

    #[test]
    fn the_link_is_the_page_else_the_address_and_nothing_that_is_no_link() {
        let read = |value: Value| PipelineRun::read(&value).unwrap().link;
        let both = json!({ "id": 1, "url": "https://a/api", "_links": { "web": { "href": "https://a/page" } } });
        assert_eq!(read(both).as_deref(), Some("https://a/page"));
        assert_eq!(read(json!({ "id": 1, "url": "https://a/api" })).as_deref(), Some("https://a/api"));
        assert_eq!(read(json!({ "id": 1, "url": "javascript:alert(1)" })), None);
    }
}
