//! What a building block definition says about its workflow.
//!
//! Source: `protocol/executors.md`, `GITHUB_WORKFLOW`, "Fields".

use runner_core::Failure;
use runner_core::meshstack_client::{Behavior, RunObject, Secret};
use runner_core::web::Url;

/// The fields of an implementation, checked.
pub(crate) struct Definition {
    /// The API's root; its path never ends with `/`.
    pub(crate) base: Url,
    pub(crate) owner: String,
    pub(crate) repository: String,
    pub(crate) app_id: String,
    pub(crate) app_pem: Secret,
    /// A branch or a tag, as it was entered.
    pub(crate) branch: String,
    /// The workflow file of this run's behavior.
    pub(crate) workflow: String,
    pub(crate) is_async: bool,
    pub(crate) omit_run_object: bool,
}

impl Definition {
    /// Reads the definition of a run; the failure says which field is wrong and who can mend it.
    pub(crate) fn read(run: &RunObject) -> Result<Self, Failure> {
        Ok(Self {
            base: base_url(run)?,
            owner: name(run, "owner", "the organisation or user that owns the repository")?,
            repository: name(run, "repository", "the repository")?,
            app_id: app_id(run)?,
            app_pem: Secret::new(required(run, "appPem", "the private key of the GitHub App")?),
            branch: branch(run)?,
            workflow: workflow(run)?,
            is_async: run.implementation_flag("async"),
            omit_run_object: run.implementation_flag("omitRunObjectInput"),
        })
    }

    /// `owner/repository`.
    pub(crate) fn full_name(&self) -> String {
        format!("{}/{}", self.owner, self.repository)
    }

    /// The branch or tag as a workflow run's `head_branch` has it.
    pub(crate) fn head_branch(&self) -> &str {
        let branch = self.branch.as_str();
        branch.strip_prefix("refs/heads/").or_else(|| branch.strip_prefix("refs/tags/")).unwrap_or(branch)
    }
}

impl Definition {
    /// Where people see the runs of the workflow, as far as that can be told from the API's root.
    pub(crate) fn page(&self) -> Option<String> {
        let host = self.base.host_str()?;
        let port = self.base.port().map_or_else(String::new, |port| format!(":{port}"));
        let host = match self.base.path().trim_end_matches('/') {
            "/api/v3" => host,
            "" => host.strip_prefix("api.")?,
            _ => return None,
        };
        let mut page = Url::parse(&format!("{}://{host}{port}", self.base.scheme())).ok()?;
        page.path_segments_mut().ok()?.extend([
            self.owner.as_str(),
            &self.repository,
            "actions",
            "workflows",
            &self.workflow,
        ]);
        Some(page.into())
    }
}

/// A sentence about a field of the definition.
fn wrong(what: &str) -> Failure {
    Failure::new(format!("{what} Ask the platform team to correct the building block definition."))
}

fn required(run: &RunObject, field: &str, what: &str) -> Result<String, Failure> {
    match run.implementation_text(field).map(str::trim).filter(|text| !text.is_empty()) {
        Some(text) => Ok(text.to_owned()),
        None => Err(wrong(&format!("The building block definition does not name {what} (`{field}`)."))),
    }
}

fn base_url(run: &RunObject) -> Result<Url, Failure> {
    let text = required(run, "githubBaseUrl", "the address of GitHub's API")?;
    let text = text.strip_suffix('/').unwrap_or(&text);
    let no_address = || {
        // What stands before an `@` may be a password.
        let entered = if text.contains('@') { String::new() } else { format!(", `{}`,", shown(text)) };
        wrong(&format!(
            "The address of GitHub's API (`githubBaseUrl`){entered} is no plain http or https address such as \
             `https://api.github.com` or `https://github.example.com/api/v3`.",
        ))
    };
    let url = Url::parse(text).map_err(|_| no_address())?;
    let plain = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) || !plain {
        return Err(no_address());
    }
    if url.host_str() == Some("github.com") {
        return Err(wrong(
            "The address of GitHub's API (`githubBaseUrl`) is `https://api.github.com`, not `https://github.com`.",
        ));
    }
    Ok(url)
}

/// The name of an owner or repository: what GitHub allows, so that it cannot lead elsewhere in a path.
fn name(run: &RunObject, field: &str, what: &str) -> Result<String, Failure> {
    let text = required(run, field, what)?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if text.chars().all(allowed) && !matches!(text.as_str(), "." | "..") && text.len() <= 100 {
        return Ok(text);
    }
    Err(wrong(&format!("`{}` cannot be the name of {what} (`{field}`).", shown(&text))))
}

/// A number, or a text: a client id serves as well.
fn app_id(run: &RunObject) -> Result<String, Failure> {
    let number = run.implementation().and_then(|fields| fields.get("appId")).filter(|value| value.is_number());
    match number {
        Some(number) => Ok(number.to_string()),
        None => required(run, "appId", "the id of the GitHub App"),
    }
}

/// By git's rules for names: what they forbid is no branch, whatever the server.
fn branch(run: &RunObject) -> Result<String, Failure> {
    let text = required(run, "branch", "the branch or tag")?;
    let forbidden = |c: char| c.is_whitespace() || c.is_control() || "~^:?*[\\".contains(c);
    if text.contains(forbidden) || text.contains("..") || text.len() > 1000 {
        return Err(wrong(&format!("`{}` cannot be the name of a branch or tag (`branch`).", shown(&text))));
    }
    Ok(text)
}

fn workflow(run: &RunObject) -> Result<String, Failure> {
    let field = match run.behavior() {
        Behavior::Destroy => "destroyWorkflow",
        Behavior::Apply | Behavior::Detect => "applyWorkflow",
        other => {
            return Err(Failure::new(format!(
                "The runner does not know how to carry out `{}`. Ask the platform team for a newer runner.",
                shown(other.as_str())
            )));
        }
    };
    let Some(text) = run.implementation_text(field).map(str::trim).filter(|text| !text.is_empty()) else {
        return Err(Failure::new(format!(
            "The building block definition names no workflow for {} (`{field}`). Ask the platform team to add one{}.",
            run.behavior(),
            if field == "destroyWorkflow" { ", or purge the building block instead of deleting it" } else { "" }
        )));
    };
    if text.chars().any(char::is_control) || matches!(text, "." | "..") || text.len() > 500 {
        return Err(wrong(&format!("`{}` cannot be the name of a workflow file (`{field}`).", shown(text))));
    }
    Ok(text.to_owned())
}

/// A value of the definition in a sentence: without control characters, and short.
fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(100).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn run(change: impl FnOnce(&mut Value)) -> RunObject {
        let mut run: Value = serde_json::from_str(include_str!("../tests/fixtures/github-sync.json")).unwrap();
        run["spec"]["buildingBlockDefinition"]["spec"]["implementation"]["githubBaseUrl"] =
            json!("https://api.github.com");
        change(&mut run);
        RunObject::from_value(run).unwrap()
    }

    fn with(field: &str, value: Value) -> Result<Definition, Failure> {
        Definition::read(&run(|run| run["spec"]["buildingBlockDefinition"]["spec"]["implementation"][field] = value))
    }

    #[test]
    fn the_fields_of_a_definition_are_read() {
        let definition = Definition::read(&run(|_| {})).unwrap();
        assert_eq!(definition.full_name(), "likvid/infra");
        assert_eq!((definition.app_id.as_str(), definition.branch.as_str()), ("12345", "main"));
        assert_eq!((definition.is_async, definition.omit_run_object), (false, false));
        assert_eq!(with("appId", json!(12345)).unwrap().app_id, "12345");
        assert_eq!(with("owner", json!(" likvid ")).unwrap().owner, "likvid");
    }

    #[test]
    fn an_enterprise_servers_root_is_used_as_it_is() {
        for (entered, used) in [
            ("https://api.github.com", "https://api.github.com/"),
            (" https://github.example.com/api/v3/ ", "https://github.example.com/api/v3"),
            ("http://10.0.0.1:8080/api/v3", "http://10.0.0.1:8080/api/v3"),
        ] {
            assert_eq!(with("githubBaseUrl", json!(entered)).unwrap().base.as_str(), used);
        }
    }

    #[test]
    fn the_page_of_the_workflow_is_told_from_the_api_root() {
        for (base, page) in [
            ("https://api.github.com", Some("https://github.com/likvid/infra/actions/workflows/apply.yml")),
            ("https://api.likvid.ghe.com", Some("https://likvid.ghe.com/likvid/infra/actions/workflows/apply.yml")),
            ("https://ghes:8443/api/v3", Some("https://ghes:8443/likvid/infra/actions/workflows/apply.yml")),
            ("http://127.0.0.1:1234", None),
        ] {
            assert_eq!(with("githubBaseUrl", json!(base)).unwrap().page().as_deref(), page);
        }
    }

    #[test]
    fn each_behavior_has_its_workflow() {
        for (behavior, workflow) in [("APPLY", "apply.yml"), ("DETECT", "apply.yml"), ("DESTROY", "destroy.yml")] {
            let run = run(|run| run["spec"]["behavior"] = json!(behavior));
            assert_eq!(Definition::read(&run).unwrap().workflow, workflow);
        }
    }

    #[test]
    fn a_branch_is_compared_by_its_short_name() {
        for (branch, short) in [("main", "main"), ("refs/heads/a/b", "a/b"), ("refs/tags/v1", "v1")] {
            assert_eq!(with("branch", json!(branch)).unwrap().head_branch(), short);
        }
    }

    #[test]
    fn nonsense_is_refused_with_a_sentence_that_names_the_field() {
        let cases = [
            ("githubBaseUrl", json!("")),
            ("githubBaseUrl", json!("   ")),
            ("githubBaseUrl", json!("/")),
            ("githubBaseUrl", json!("api.github.com")),
            ("githubBaseUrl", json!("ftp://api.github.com")),
            ("githubBaseUrl", json!("https://api.github.com?x=1")),
            ("githubBaseUrl", json!("https://user:secret@api.github.com")),
            ("githubBaseUrl", json!("https://github.com")),
            ("owner", json!("../..")),
            ("owner", json!("..")),
            ("owner", json!(null)),
            ("repository", json!("likvid/infra")),
            ("repository", json!("a?b")),
            ("repository", json!("a b")),
            ("repository", json!("")),
            ("branch", json!("")),
            ("branch", json!("a b")),
            ("branch", json!("a..b")),
            ("branch", json!("a\nb")),
            ("branch", json!("what?")),
            ("applyWorkflow", json!("..")),
            ("applyWorkflow", json!(" ")),
            ("applyWorkflow", json!("a\r\nb.yml")),
            ("appId", json!(null)),
            ("appPem", json!("")),
        ];
        for (field, value) in cases {
            let failure = with(field, value.clone()).err().unwrap_or_else(|| panic!("{field} {value} is taken"));
            let message = failure.user_message();
            assert!(message.contains(field), "{message}");
            assert!(message.contains("Ask the platform team"), "{message}");
            assert!(!message.contains("secret") && !message.contains(['\r', '\n']), "{message}");
        }
    }
}
