//! What the building block definition says about the pipeline.
//!
//! Source: `protocol/executors.md`, `GITLAB_CICD`.

use runner_core::Failure;
use runner_core::meshstack_client::{RunObject, Secret};
use runner_core::web::Url;
use serde_json::Value;

use crate::message::shown;

/// A project on a GitLab server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Project {
    /// The server's address, without a slash at its end.
    base: Url,
    /// Its id, or its path as one segment of an address.
    segment: String,
    /// The same for people.
    name: String,
}

/// What is to be started.
#[derive(Debug, Clone)]
pub(crate) struct Definition {
    pub(crate) project: Project,
    /// A branch or a tag.
    pub(crate) reference: String,
    pub(crate) token: Secret,
}

impl Definition {
    pub(crate) fn of(run: &RunObject) -> Result<Self, Failure> {
        let project = Project::of(run)?;
        let reference = run.implementation_text("refName").filter(|name| !name.trim().is_empty());
        let reference = reference.ok_or_else(|| missing("branch or tag (`refName`)"))?.to_owned();
        let token = run.implementation_text("pipelineTriggerToken").unwrap_or_default().trim();
        if token.is_empty() {
            return Err(missing("pipeline trigger token (`pipelineTriggerToken`)"));
        }
        Ok(Self { project, reference, token: Secret::new(token) })
    }
}

impl Project {
    pub(crate) fn of(run: &RunObject) -> Result<Self, Failure> {
        let base = base_url(run.implementation_text("gitlabBaseUrl").unwrap_or_default())?;
        let id = match run.implementation().and_then(|fields| fields.get("projectId")) {
            Some(Value::String(text)) => text.trim().trim_matches('/').to_owned(),
            Some(Value::Number(number)) => number.to_string(),
            _ => String::new(),
        };
        if id.is_empty() {
            return Err(missing("project (`projectId`)"));
        }
        // A path that is encoded already is not encoded again.
        let path = id.replace("%2F", "/").replace("%2f", "/");
        if path.split('/').any(|part| part.is_empty() || part == "." || part == "..") {
            return Err(Failure::new(format!(
                "The building block definition names {} as its GitLab project, which is neither a number nor a path such \
                 as `group/project`. Ask the platform team to correct `projectId`.",
                shown(&id)
            )));
        }
        Ok(Self { base, segment: encoded(&path), name: path })
    }

    /// The server's address.
    pub(crate) fn base(&self) -> &Url {
        &self.base
    }

    /// The project and its server for people.
    pub(crate) fn for_people(&self) -> String {
        format!("the project {} at {}", shown(&self.name), self.base.as_str().trim_end_matches('/'))
    }

    /// An address below this project in GitLab's API.
    pub(crate) fn url(&self, rest: &str) -> Url {
        let mut url = self.base.clone();
        let base = self.base.path().trim_end_matches('/');
        url.set_path(&format!("{base}/api/v4/projects/{}/{rest}", self.segment));
        url
    }
}

fn missing(what: &str) -> Failure {
    Failure::new(format!(
        "The building block definition has no {what} for its GitLab pipeline. Ask the platform team to add it."
    ))
}

fn base_url(text: &str) -> Result<Url, Failure> {
    let text = text.trim();
    if text.is_empty() {
        return Err(missing("GitLab address (`gitlabBaseUrl`)"));
    }
    let wrong = |why: &str| {
        Failure::new(format!(
            "The GitLab address of the building block definition {why}. Ask the platform team to correct \
             `gitlabBaseUrl`; it looks like `https://gitlab.example.com`."
        ))
    };
    let mut url = Url::parse(text).map_err(|_| wrong("cannot be read"))?;
    if !matches!(url.scheme(), "https" | "http") {
        return Err(wrong("does not begin with `https://`"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("holds a user name or a password, which everybody who sees the run could read"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("has a `?` or a `#` in it"));
    }
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&path);
    Ok(url)
}

/// A text as one segment of a path: all but unreserved characters is encoded.
fn encoded(text: &str) -> String {
    use std::fmt::Write as _;
    let mut segment = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            segment.push(char::from(byte));
        } else {
            let _ = write!(segment, "%{byte:02X}");
        }
    }
    segment
}

#[cfg(test)]
mod tests {
    use runner_core::meshstack_client::RunObject;
    use serde_json::{Value, json};

    use super::{Definition, Project};

    fn run(implementation: &Value) -> RunObject {
        RunObject::from_value(json!({
            "metadata": { "uuid": "a-run" },
            "spec": { "buildingBlockDefinition": { "spec": { "implementation": implementation } } },
        }))
        .expect("a run")
    }

    fn trigger(base: &str, project: impl Into<Value>) -> Result<String, String> {
        let project = project.into();
        Project::of(&run(&json!({ "gitlabBaseUrl": base, "projectId": project })))
            .map(|project| project.url("trigger/pipeline").to_string())
            .map_err(|failure| failure.user_message().to_owned())
    }

    #[test]
    fn a_project_is_a_number_or_an_encoded_path_below_the_base_url() {
        for (base, project, url) in [
            ("https://gitlab.com", json!("4711"), "https://gitlab.com/api/v4/projects/4711/trigger/pipeline"),
            (" https://gitlab.com/ ", json!(4711), "https://gitlab.com/api/v4/projects/4711/trigger/pipeline"),
            ("https://h/sub/path/", json!("a/b"), "https://h/sub/path/api/v4/projects/a%2Fb/trigger/pipeline"),
            ("http://h:8080", json!("a%2Fb%2fc"), "http://h:8080/api/v4/projects/a%2Fb%2Fc/trigger/pipeline"),
            ("https://h", json!(" /a/b/ "), "https://h/api/v4/projects/a%2Fb/trigger/pipeline"),
            ("https://h", json!("ä b/c?d#e%"), "https://h/api/v4/projects/%C3%A4%20b%2Fc%3Fd%23e%25/trigger/pipeline"),
            ("https://h", json!("..a/b.."), "https://h/api/v4/projects/..a%2Fb../trigger/pipeline"),
        ] {
            assert_eq!(trigger(base, project.clone()).as_deref(), Ok(url), "{base} {project}");
        }
    }

    #[test]
    fn a_project_that_would_lead_elsewhere_is_refused() {
        for project in ["../..", "..", ".", "a/../b", "a//b", "%2e%2e/x/..", "..%2F..", "a/./b"] {
            let message = trigger("https://h", project).expect_err(project);
            assert!(message.contains("`projectId`"), "{project}: {message}");
        }
        for project in [json!(""), json!("  "), json!("/"), json!(null), json!(["a"])] {
            let message = trigger("https://h", project).expect_err("nothing");
            assert!(message.contains("has no project"), "{message}");
        }
    }

    #[test]
    fn an_address_that_is_none_is_refused_with_what_is_wrong() {
        for (base, why) in [
            ("", "has no GitLab address"),
            ("  ", "has no GitLab address"),
            ("gitlab.example.com", "cannot be read"),
            ("gitlab.example.com:8443", "does not begin with `https://`"),
            ("file:///etc", "does not begin with `https://`"),
            ("https://user:pw@h", "user name or a password"),
            ("https://h/?a=b", "`?` or a `#`"),
            ("https://", "cannot be read"),
        ] {
            let message = trigger(base, "1").expect_err(base);
            assert!(message.contains(why) && !message.contains("pw"), "{base}: {message}");
        }
    }

    #[test]
    fn a_definition_without_a_ref_or_a_token_says_so() {
        let definition = |reference: Value, token: Value| {
            Definition::of(&run(&json!({
                "gitlabBaseUrl": "https://h", "projectId": 1, "refName": reference, "pipelineTriggerToken": token,
            })))
        };
        let whole = definition(json!("a&b=c"), json!(" token\n")).expect("a definition");
        assert_eq!((whole.reference.as_str(), whole.token.expose()), ("a&b=c", "token"));
        for (reference, token, what) in [
            (json!(null), json!("t"), "refName"),
            (json!(" "), json!("t"), "refName"),
            (json!("main"), json!(""), "Token"),
        ] {
            let message = definition(reference, token).expect_err("incomplete").user_message().to_owned();
            assert!(message.contains(what), "{message}");
        }
    }
}
