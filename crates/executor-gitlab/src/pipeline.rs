//! Pipelines and jobs as GitLab tells of them. What is missing or of another type is passed over, never an error.

use runner_core::web::Url;
use serde_json::Value;

/// A pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pipeline {
    pub(crate) id: u64,
    pub(crate) web_url: Option<String>,
    pub(crate) status: String,
    /// How it was started: `trigger` with a trigger token.
    pub(crate) source: Option<String>,
    /// What is wrong with its configuration.
    pub(crate) yaml_errors: Option<String>,
}

/// Where a pipeline stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stand {
    /// Every word that is not known to mean an end. `skipped` and `manual` are among them: a person may start what is
    /// left of such a pipeline.
    UnderWay,
    Succeeded,
    Failed,
    Canceled,
}

impl Pipeline {
    pub(crate) fn read(value: &Value) -> Option<Self> {
        let text = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
        Some(Self {
            id: id(value)?,
            web_url: link(value, "web_url"),
            status: text("status").unwrap_or_default(),
            source: text("source"),
            yaml_errors: text("yaml_errors").filter(|text| !text.is_empty()),
        })
    }

    pub(crate) fn stand(&self) -> Stand {
        match self.status.as_str() {
            "success" => Stand::Succeeded,
            "failed" => Stand::Failed,
            "canceled" => Stand::Canceled,
            _ => Stand::UnderWay,
        }
    }
}

/// A job that has failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FailedJob {
    pub(crate) name: String,
    /// Its page; of a job that starts another pipeline, the page of that one.
    pub(crate) web_url: Option<String>,
    /// GitLab's word for why, such as `script_failure`.
    pub(crate) reason: Option<String>,
}

impl FailedJob {
    /// `None` for a job that did not fail, or was allowed to.
    pub(crate) fn read(value: &Value) -> Option<Self> {
        if value.get("status").and_then(Value::as_str) != Some("failed")
            || value.get("allow_failure").and_then(Value::as_bool) == Some(true)
        {
            return None;
        }
        let child = value.get("downstream_pipeline").and_then(|child| link(child, "web_url"));
        Some(Self {
            name: value.get("name").and_then(Value::as_str).unwrap_or("(without a name)").to_owned(),
            web_url: child.or_else(|| link(value, "web_url")),
            reason: value.get("failure_reason").and_then(Value::as_str).map(str::to_owned),
        })
    }
}

/// An id. Numbers beyond 32 bits are normal; a text of digits is taken too.
pub(crate) fn id(value: &Value) -> Option<u64> {
    let id = value.get("id")?;
    id.as_u64().or_else(|| id.as_str()?.parse().ok())
}

/// An address that a person may be sent to.
pub(crate) fn link(value: &Value, name: &str) -> Option<String> {
    let text = value.get(name)?.as_str()?;
    let url = Url::parse(text).ok()?;
    (matches!(url.scheme(), "https" | "http") && text.len() <= 2000).then(|| url.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{FailedJob, Pipeline, Stand};

    #[test]
    fn only_three_words_are_an_end() {
        for (word, stand) in [
            ("success", Stand::Succeeded),
            ("failed", Stand::Failed),
            ("canceled", Stand::Canceled),
            ("canceling", Stand::UnderWay),
            ("skipped", Stand::UnderWay),
            ("manual", Stand::UnderWay),
            ("scheduled", Stand::UnderWay),
            ("waiting_for_resource", Stand::UnderWay),
            ("a_word_of_tomorrow", Stand::UnderWay),
            ("", Stand::UnderWay),
        ] {
            let pipeline = Pipeline::read(&json!({ "id": 1, "status": word })).expect("a pipeline");
            assert_eq!(pipeline.stand(), stand, "{word}");
        }
    }

    #[test]
    fn whatever_is_missing_or_odd_is_no_error() {
        let large: Value = serde_json::from_str(r#"{"id":9007199254740993,"web_url":7,"status":null}"#).expect("JSON");
        let pipeline = Pipeline::read(&large).expect("a pipeline");
        assert_eq!((pipeline.id, pipeline.web_url), (9_007_199_254_740_993, None));
        assert_eq!(Pipeline::read(&json!({ "id": "12", "web_url": "https://h/1" })).expect("one").id, 12);
        for (value, why) in
            [(json!({}), "no id"), (json!({ "id": -1 }), "negative"), (json!([]), "a list"), (json!(null), "null")]
        {
            assert_eq!(Pipeline::read(&value), None, "{why}");
        }
        let script = Pipeline::read(&json!({ "id": 1, "web_url": "javascript:alert(1)" })).expect("a pipeline");
        assert_eq!(script.web_url, None);
    }

    #[test]
    fn a_job_that_may_fail_is_not_why() {
        let job = |status: &str, allowed: bool| json!({ "name": "j", "status": status, "allow_failure": allowed });
        assert!(FailedJob::read(&job("failed", false)).is_some());
        assert!(FailedJob::read(&job("failed", true)).is_none());
        assert!(FailedJob::read(&job("success", false)).is_none());
        let bridge = json!({ "name": "b", "status": "failed", "web_url": "https://h/b",
            "downstream_pipeline": { "id": 2, "web_url": "https://h/child" } });
        assert_eq!(FailedJob::read(&bridge).expect("failed").web_url.as_deref(), Some("https://h/child"));
    }
}
