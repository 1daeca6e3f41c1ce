//! What to do about a refusal: GitLab's words are known, their cure is ours.
//!
//! Source: `protocol/executors.md`, `GITLAB_CICD`.

use runner_core::Failure;
use runner_core::web::{Answer, StatusCode};

use crate::definition::Definition;
use crate::form::Facts;
use crate::message::{Refusal, listed, one_line, sentence, shown};

/// Characters of GitLab's words in the message for the person who ordered; the step's log has more.
const SAID: usize = 300;

/// GitLab.com takes no larger value of a variable; other servers mostly three times as much.
const LARGE: usize = 120 * 1024;

/// GitLab takes no more inputs.
const MOST_INPUTS: usize = 20;

/// The failure of a run whose trigger was refused.
pub(crate) fn refused(answer: &Answer, definition: &Definition, facts: &Facts) -> Failure {
    let refusal = Refusal::of(answer);
    let project = definition.project.for_people();
    let message = if answer.status.is_redirection() {
        redirected(answer, definition)
    } else if answer.is_html() && answer.status != StatusCode::PAYLOAD_TOO_LARGE {
        format!(
            "Instead of GitLab's API, a web page answered ({}, \"{}\"), so no pipeline was started. Ask the platform team \
             to check `gitlabBaseUrl` in the building block definition ({}), and proxies and sign-in pages in between.",
            answer.status.as_u16(),
            one_line(&answer.excerpt(), 80),
            definition.project.base()
        )
    } else if answer.status == StatusCode::NOT_FOUND {
        format!(
            "GitLab did not start the pipeline: it does not know {project}, or the trigger token is not one of this \
             project. Ask the platform team to check `projectId`, `gitlabBaseUrl` and `pipelineTriggerToken` in the \
             building block definition."
        )
    } else {
        let advice = advice(&refusal.said, answer.status, definition, facts);
        match one_line(&refusal.said, SAID) {
            words if words.is_empty() => {
                format!("GitLab did not start the pipeline and answered {}. {advice}", answer.status)
            }
            words => format!("GitLab did not start the pipeline: {} {advice}", sentence(&words)),
        }
    };
    Failure::because(message, refusal)
}

fn redirected(answer: &Answer, definition: &Definition) -> String {
    let base = definition.project.base();
    let to = answer.redirect();
    let https = to
        .as_ref()
        .is_some_and(|to| base.scheme() == "http" && to.scheme() == "https" && to.host_str() == base.host_str());
    if https {
        return "GitLab wants https and redirected the trigger, so no pipeline was started. Ask the platform team to \
                begin `gitlabBaseUrl` in the building block definition with `https://`, and to renew the trigger token: \
                it was sent unencrypted."
            .to_owned();
    }
    // No more than the place: what is behind it may be meant for one browser only.
    let place = to
        .map_or_else(|| "elsewhere".to_owned(), |to| format!("to {}{}", to.origin().ascii_serialization(), to.path()));
    format!(
        "GitLab's address redirected the trigger {}, so no pipeline was started. Ask the platform team to correct \
         `gitlabBaseUrl` in the building block definition (now {base}): a project that moved, a server that moved, or a \
         sign-in page in front of it.",
        one_line(&place, 120)
    )
}

fn advice(said: &str, status: StatusCode, definition: &Definition, facts: &Facts) -> String {
    let lower = said.to_lowercase();
    if let Some(advice) = about_the_project(&lower, definition).or_else(|| about_inputs(said, &lower, facts)) {
        return advice;
    }
    let (largest, size) = (&facts.largest.0, facts.largest.1);
    if status == StatusCode::PAYLOAD_TOO_LARGE || size > LARGE {
        return format!(
            "The largest variable is `{largest}` with {} KiB; GitLab.com takes up to 120 KiB, other servers what their \
             administrator allows. Make the inputs of the building block smaller, or ask the administrator of GitLab to \
             raise the limit (and that of a proxy in front of it).",
            size.div_ceil(1024)
        );
    }
    match status.as_u16() {
        401 => "Ask the platform team to renew `pipelineTriggerToken` in the building block definition.".to_owned(),
        403 => {
            "Ask the platform team whether the owner of the trigger token may still run pipelines in the project, and \
                whether GitLab accepts requests from the runner's address."
                .to_owned()
        }
        _ => "Ask the platform team to look at GitLab's answer in the log of this step.".to_owned(),
    }
}

/// What has to do with the project, its settings and the owner of the token.
fn about_the_project(said: &str, definition: &Definition) -> Option<String> {
    let any = |words: &[&str]| words.iter().any(|word| said.contains(word));
    let reference = shown(&definition.reference);
    let text = if any(&["identity verification"]) {
        "GitLab.com wants the owner of the trigger token to prove who they are first: they sign in to GitLab and follow \
         \"Verify my account\". Then start the run again."
            .to_owned()
    } else if any(&["set pipeline variables"]) {
        "meshStack hands the run over in pipeline variables, and the project allows them to nobody, which is the default \
         of new projects. Ask the platform team to set \"Minimum role to use pipeline variables\" (Settings, CI/CD, \
         Variables) to a role that the owner of the trigger token has."
            .to_owned()
    } else if any(&["reference not found", "ref is invalid", "ref is empty"]) {
        format!(
            "There is neither a branch nor a tag {reference} in the project. Ask the platform team to correct `refName` in \
             the building block definition, or to create it."
        )
    } else if any(&["workflow rules", "workflow:rules"]) {
        "`workflow: rules` in the project's .gitlab-ci.yml let no pipeline through that is started with a trigger token. \
         Ask the platform team to add a rule such as `if: $CI_PIPELINE_SOURCE == \"trigger\"`."
            .to_owned()
    } else if any(&["selected trigger", "no stages / jobs", "no jobs"]) {
        "No job in the project's .gitlab-ci.yml runs in a pipeline that is started with a trigger token. Ask the platform \
         team to add a job whose `rules` have `if: $CI_PIPELINE_SOURCE == \"trigger\"`."
            .to_owned()
    } else if any(&["missing ci config", "missing .gitlab-ci", "config file not found"]) {
        format!("There is no .gitlab-ci.yml on {reference}. Ask the platform team to add it, or to correct `refName`.")
    } else if any(&["protected ref"]) {
        format!(
            "{reference} is protected, and the owner of the trigger token may not run pipelines there. Ask the platform \
             team to use a token of somebody who may."
        )
    } else if any(&["create a new pipeline", "pipelines are disabled", "pipeline is disabled", "ci/cd is disabled"]) {
        "The owner of the trigger token may not run pipelines in this project any more, or CI/CD is switched off there. \
         Ask the platform team to check both, and to make a new trigger token."
            .to_owned()
    } else {
        return None;
    };
    Some(text)
}

/// What has to do with `inputs[…]`.
fn about_inputs(said: &str, lower: &str, facts: &Facts) -> Option<String> {
    if !lower.contains("input") {
        return None;
    }
    let named = named(said, facts);
    let these =
        if named.is_empty() { "the inputs that GitLab names".to_owned() } else { listed(named.iter().copied()) };
    let any = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    let text = if any(&["unknown input argument", "not defined in the"]) {
        let all = if named.is_empty() { listed(facts.inputs.iter().map(String::as_str)) } else { these };
        format!(
            "The project's .gitlab-ci.yml does not declare what meshStack sends: {all}. Ask the platform team to declare \
             them under `spec: inputs:`, or to turn them into environment inputs in the building block definition."
        )
    } else if any(&["not a string"]) {
        format!(
            "GitLab reads a value that looks like JSON (a number, true, a list, an object) as JSON, and not as text. For \
             {these}, ask the platform team to declare `type: number`, `boolean` or `array` under `spec: inputs:`, or to \
             use a value that is not JSON."
        )
    } else if any(&["not a number", "not a boolean", "not an array", "not a array"]) {
        format!(
            "The value of {these} does not fit the type that .gitlab-ci.yml declares under `spec: inputs:`. Enter another \
             value, or ask the platform team to correct the type."
        )
    } else if any(&["has not been provided"]) {
        format!(
            "The project's .gitlab-ci.yml wants an input without a default that the building block does not have ({}). \
             Ask the platform team to add a default, or the input to the building block definition.",
            one_line(said, 120)
        )
    } else if any(&["allowed options", "regex", "does not match"]) {
        format!("The project's .gitlab-ci.yml does not allow the value of {these}. Enter another one.")
    } else if !facts.long_inputs.is_empty() && any(&["kb", "1024", "too long", "characters", "bytes", "size"]) {
        format!(
            "GitLab takes inputs of up to 1 KB; longer are {}. Ask the platform team to turn them into environment inputs.",
            listed(facts.long_inputs.iter().map(String::as_str))
        )
    } else if facts.inputs.len() > MOST_INPUTS {
        format!(
            "GitLab takes up to {MOST_INPUTS} inputs, and the building block has {}. Ask the platform team to turn some \
             into environment inputs.",
            facts.inputs.len()
        )
    } else {
        "Ask the platform team to compare the inputs of the building block definition with `spec: inputs:` in the \
         project's .gitlab-ci.yml."
            .to_owned()
    };
    Some(text)
}

/// The inputs of ours that GitLab's words name: in backticks, or in a list after a colon.
fn named<'f>(said: &str, facts: &'f Facts) -> Vec<&'f str> {
    let words: Vec<&str> =
        said.split(['`', '\'', '"', ',', ':', ';']).map(|word| word.trim().trim_end_matches('.')).collect();
    facts.inputs.iter().map(String::as_str).filter(|key| words.contains(key)).collect()
}

#[cfg(test)]
mod tests {
    use runner_core::meshstack_client::{RunObject, Secret};
    use runner_core::web::header::{HeaderValue, LOCATION};
    use serde_json::json;

    use super::refused;
    use crate::definition::{Definition, Project};
    use crate::form::Facts;
    use crate::message::tests::answer;

    fn definition(base: &str) -> Definition {
        let run = json!({
            "metadata": { "uuid": "a-run" },
            "spec": { "buildingBlockDefinition": { "spec": { "implementation":
                { "gitlabBaseUrl": base, "projectId": "group/project" } } } },
        });
        let project = Project::of(&RunObject::from_value(run).expect("a run")).expect("a project");
        Definition { project, reference: "main".to_owned(), token: Secret::new("t") }
    }

    fn facts() -> Facts {
        Facts {
            inputs: ["name", "size", "config"].map(str::to_owned).to_vec(),
            long_inputs: vec!["config".to_owned()],
            largest: ("MESHSTACK_RUN".to_owned(), 4096),
        }
    }

    /// The message for a 400 with these words.
    fn message(said: &str) -> String {
        let body = json!({ "message": { "base": [said] } }).to_string();
        refused(&answer(400, "application/json", &body), &definition("https://h"), &facts()).user_message().to_owned()
    }

    #[test]
    fn every_known_refusal_says_what_to_do() {
        for (said, to_do) in [
            ("Reference not found", "neither a branch nor a tag `main`"),
            ("Identity verification is required in order to run CI jobs", "Verify my account"),
            ("Insufficient permissions to set pipeline variables", "Minimum role to use pipeline variables"),
            ("Pipeline filtered out by workflow rules.", "`workflow: rules`"),
            ("Pipeline will not run for the selected trigger. The rules configuration prevented any jobs", "No job"),
            ("No stages / jobs for this pipeline.", "No job"),
            ("Missing CI config file", "no .gitlab-ci.yml on `main`"),
            ("Insufficient permissions for protected ref 'main'", "is protected"),
            ("Insufficient permissions to create a new pipeline", "make a new trigger token"),
            ("unknown input arguments: size, name", "sends: `name`, `size`."),
            ("Given inputs not defined in the `spec` section of the included file", "sends: `name`, `size`, `config`."),
            ("`size` input: provided value is not a string", "For `size`, ask"),
            ("`name` input: provided value is not a number", "The value of `name` does not fit"),
            ("`zone` input: required value has not been provided", "`zone'"),
            ("`name` input: `x` cannot be used because it is not in the list of allowed options", "value of `name`"),
            ("Inputs: string must be less than 1 KB", "longer are `config`"),
            ("Something about inputs", "compare the inputs"),
            ("Something else", "log of this step"),
        ] {
            let to_do = to_do.replace('\'', "`");
            let message = message(said);
            assert!(message.contains(&to_do), "{said}: {message}");
            assert!(message.starts_with("GitLab did not start the pipeline: "), "{message}");
        }
    }

    #[test]
    fn too_many_inputs_are_counted() {
        let mut facts = facts();
        facts.inputs = (0..21).map(|number| format!("key{number}")).collect();
        facts.long_inputs.clear();
        let body = r#"{"error":"inputs has too many entries"}"#;
        let failure = refused(&answer(400, "application/json", body), &definition("https://h"), &facts);
        assert!(failure.user_message().contains("the building block has 21"), "{failure}");
    }

    #[test]
    fn a_large_run_object_is_named_as_the_likely_reason() {
        let mut facts = facts();
        facts.largest.1 = 300 * 1024;
        for (status, body) in [(413, ""), (400, "{\"message\":\"Variables value is too long\"}"), (400, "Bad request")]
        {
            let failure = refused(&answer(status, "application/json", body), &definition("https://h"), &facts);
            assert!(failure.user_message().contains("`MESHSTACK_RUN` with 300 KiB"), "{failure}");
        }
    }

    #[test]
    fn a_404_speaks_of_project_and_token_and_a_page_of_the_address() {
        let failure = refused(
            &answer(404, "application/json", r#"{"message":"404 Not Found"}"#),
            &definition("https://h"),
            &facts(),
        );
        assert!(failure.user_message().contains("`group/project` at https://h"), "{failure}");
        let page = "<html><head><title>Sign in</title></head><body>…</body></html>";
        for status in [200, 401, 403, 404, 422] {
            let failure =
                refused(&answer(status, "text/html; charset=utf-8", page), &definition("https://h"), &facts());
            assert!(
                failure.user_message().contains("a web page answered") && failure.user_message().contains("Sign in")
            );
        }
    }

    #[test]
    fn a_redirect_says_where_to_and_what_to_correct() {
        for (base, to, says) in [
            ("http://h", "https://h/api/v4/x", "begin `gitlabBaseUrl`"),
            ("https://h", "https://sso.example.com/login?state=s3cret", "to https://sso.example.com/login,"),
            ("https://h", "::::", "elsewhere"),
        ] {
            let mut answer = answer(302, "text/html", "<html>moved</html>");
            if to.starts_with("http") {
                answer.headers.insert(LOCATION, HeaderValue::from_static(to));
            }
            let failure = refused(&answer, &definition(base), &facts());
            assert!(failure.user_message().contains(says) && !failure.user_message().contains("s3cret"), "{failure}");
        }
    }
}
