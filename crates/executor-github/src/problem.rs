//! What GitHub refuses, as sentences: what happened, and what to do.

use std::error::Error;

use runner_core::Failure;
use runner_core::web::Answer;
use serde_json::{Map, Value};

use crate::clock;
use crate::definition::Definition;
use crate::inputs::{LONGEST, RUN_OBJECT, RUN_URL};

/// Clocks that differ by more than this many seconds are worth a word.
const SKEW: i64 = 30;

/// Something that will not change by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// For the person who ordered.
    pub(crate) message: String,
    /// For the platform team.
    pub(crate) cause: String,
}

impl Refusal {
    fn new(message: impl Into<String>, answer: &Answer) -> Self {
        Self { message: message.into(), cause: said(answer) }
    }

    pub(crate) fn into_failure(self) -> Failure {
        Failure::because(self.message, self.cause)
    }
}

/// What GitHub said, on one line.
pub(crate) fn said(answer: &Answer) -> String {
    let mut text = format!("GitHub answered {}", answer.status);
    match message(answer) {
        Some(message) => text.extend([": ", &message]),
        None if answer.body.is_empty() => {}
        None => text.extend([": ", &answer.excerpt()]),
    }
    if let Some(id) = answer.header("x-github-request-id").filter(|id| id.len() < 100) {
        text.extend([" (request ", id, ")"]);
    }
    text
}

/// The message of an error answer, with those of its parts.
fn message(answer: &Answer) -> Option<String> {
    let body: Value = serde_json::from_slice(&answer.body).ok()?;
    let mut text = one_line(body.get("message")?.as_str()?);
    for error in body.get("errors").and_then(Value::as_array).into_iter().flatten().take(5) {
        let part = error.as_str().or_else(|| error.get("message").and_then(Value::as_str));
        if let Some(part) = part {
            text.extend(["; ", &one_line(part)]);
        }
    }
    Some(text)
}

fn one_line(text: &str) -> String {
    let words: Vec<&str> =
        text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|w| !w.is_empty()).collect();
    words.join(" ").chars().take(500).collect()
}

/// An error and what lies below it.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        text.extend([": ", &error.to_string()]);
        next = error.source();
    }
    text
}

/// GitHub does not take the App's own credentials, or has no installation for them.
pub(crate) fn refused_credentials(answer: &Answer, app_id: &str, repository: &str) -> Refusal {
    let text = said(answer).to_ascii_lowercase();
    let message = match answer.status.as_u16() {
        401 => return refused_jwt(answer, app_id),
        404 if text.contains("integration not found") => format!(
            "GitHub knows no App with the id {app_id}. Ask the platform team to correct the App id in the building \
             block definition (`appId`); it stands on the App's settings page."
        ),
        404 => format!(
            "The GitHub App {app_id} is not installed on the repository {repository}, or there is no such repository. \
             Ask the platform team to install the App there, and to check `owner` and `repository`."
        ),
        403 if text.contains("suspended") => format!(
            "The installation of the GitHub App {app_id} on {repository} is suspended. Ask the platform team to lift \
             the suspension in the organisation's settings, under GitHub Apps."
        ),
        300..=399 => return moved_elsewhere(answer),
        _ => format!(
            "GitHub gives the App {app_id} no access to {repository}. Ask the platform team to check the App and its \
             installation."
        ),
    };
    Refusal::new(message, answer)
}

/// GitHub does not believe the token that we signed: the clock, the key or the id.
fn refused_jwt(answer: &Answer, app_id: &str) -> Refusal {
    let (ours, theirs) = (clock::now(), answer.date().map(clock::unix));
    if let Some(theirs) = theirs.filter(|theirs| (theirs - ours).abs() > SKEW) {
        let message = format!(
            "GitHub refused the runner's credentials because their clocks differ: the runner's shows {}, GitHub's {}. \
             Ask the platform team to synchronise the clock of the runner's machine.",
            clock::written(ours),
            clock::written(theirs)
        );
        return Refusal::new(message, answer);
    }
    let message = format!(
        "The private key does not belong to the GitHub App {app_id}. Ask the platform team to check `appId` and \
         `appPem` in the building block definition; a key that was deleted in the App's settings is no longer valid."
    );
    Refusal::new(message, answer)
}

/// The App may not start workflows.
pub(crate) fn no_permission(permissions: &Map<String, Value>, app_id: &str, repository: &str) -> Refusal {
    let words = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let has = permissions.iter().map(|(name, value)| format!("{name}: {}", words(value))).collect::<Vec<_>>();
    let has = if has.is_empty() { "none at all".to_owned() } else { one_line(&has.join(", ")) };
    Refusal {
        message: format!(
            "The GitHub App {app_id} lacks the permission `actions: write` on {repository}. Ask the platform team to \
             grant the App \"Actions: Read and write\" and to accept the new permissions in its installation."
        ),
        cause: format!("the installation's permissions are: {has}"),
    }
}

/// A redirect to somewhere that the token must not go.
fn moved_elsewhere(answer: &Answer) -> Refusal {
    let to = answer
        .redirect()
        .map_or_else(|| "an address that cannot be read".to_owned(), |to| to.origin().ascii_serialization());
    Refusal {
        message: format!(
            "GitHub's address sends the runner elsewhere, to {to}, where it does not follow with its credentials. Ask \
             the platform team to correct `githubBaseUrl` in the building block definition."
        ),
        cause: said(answer),
    }
}

/// GitHub cannot be reached, so nothing was started.
pub(crate) fn unreachable(cause: &str, certificate: bool) -> Refusal {
    let message = if certificate {
        "The runner does not trust the certificate of the GitHub server, so nothing was started. Ask the platform team \
         to give the runner the certificate of the authority that issued it (`CUSTOM_CA_CERTS_PATH`)."
    } else {
        "GitHub could not be reached, so nothing was started. Start the run again later; if it happens again, ask the \
         platform team to check the connection to GitHub and `githubBaseUrl`."
    };
    Refusal { message: message.to_owned(), cause: cause.to_owned() }
}

/// A rate limit lasts longer than a run can wait.
pub(crate) fn limited(reason: &str) -> Refusal {
    Refusal {
        message: "GitHub's rate limit for this App stayed used up for too long, so nothing was started. Start the run \
                  again later, and ask the platform team what else uses the App."
            .to_owned(),
        cause: reason.to_owned(),
    }
}

/// GitHub refuses to start the workflow: why, as far as it can be read.
pub(crate) fn refused_dispatch(answer: &Answer, definition: &Definition, length: usize) -> Refusal {
    let status = answer.status.as_u16();
    let text = message(answer).unwrap_or_default();
    let lower = text.to_ascii_lowercase();
    let (workflow, name, branch) = (&definition.workflow, definition.full_name(), &definition.branch);
    let message = match status {
        300..=399 => return moved_elsewhere(answer),
        401 => format!(
            "GitHub does not take the App's token any more. Ask the platform team to check that the GitHub App {} is \
             still installed on {name}.",
            definition.app_id
        ),
        403 => format!(
            "GitHub does not let the App {} start workflows in {name}. Ask the platform team to grant it \"Actions: \
             Read and write\", and to check that the organisation's rules let it in.",
            definition.app_id
        ),
        404 => format!(
            "There is no workflow file `{workflow}` in {name}. Ask the platform team to check its name in the building \
             block definition (the file's name without its folder); the file must be on the default branch too."
        ),
        _ if lower.contains("no ref found") => format!(
            "There is no branch or tag `{branch}` in {name}. Ask the platform team to correct `branch` in the building \
             block definition; a commit cannot be used."
        ),
        _ if lower.contains("workflow_dispatch") && lower.contains("does not have") => format!(
            "The workflow `{workflow}` on `{branch}` cannot be started from outside: it has no `workflow_dispatch` \
             trigger. Ask the platform team to add one."
        ),
        _ if lower.contains("disabled") => format!(
            "The workflow `{workflow}` in {name} is disabled. Ask the platform team to enable it on the repository's \
             Actions page."
        ),
        _ if lower.contains("unexpected inputs") => unexpected_inputs(definition),
        _ if lower.contains("required input") => format!(
            "The workflow `{workflow}` requires an input that the runner does not send: {text}. Ask the platform team \
             to give that input a default or to make it optional."
        ),
        _ if length > LONGEST || lower.contains("too large") || lower.contains("too long") => {
            too_long(definition, length)
        }
        _ => format!(
            "GitHub refused to start the workflow `{workflow}` in {name}{}. Ask the platform team to check the workflow \
             and the building block definition.",
            if text.is_empty() { String::new() } else { format!(": {}", text.trim_end_matches('.')) }
        ),
    };
    Refusal::new(message, answer)
}

fn unexpected_inputs(definition: &Definition) -> String {
    let workflow = &definition.workflow;
    if definition.omit_run_object {
        format!(
            "The workflow `{workflow}` does not declare the inputs it is given. Ask the platform team to declare \
             `{RUN_URL}`, and those of `MESHSTACK_API_TOKEN`, `MESHSTACK_RUN_TOKEN` and `MESHSTACK_ENDPOINT` that the \
             building block has, under `on.workflow_dispatch.inputs`."
        )
    } else {
        format!(
            "The workflow `{workflow}` does not declare the input `{RUN_OBJECT}`. Ask the platform team to declare it \
             under `on.workflow_dispatch.inputs`, or to pass only the API URL (`omitRunObjectInput`)."
        )
    }
}

fn too_long(definition: &Definition, length: usize) -> String {
    let remedy = if definition.omit_run_object {
        "shorten the inputs of the building block"
    } else {
        "pass only the API URL (`omitRunObjectInput`), so that the workflow reads the run itself"
    };
    format!(
        "The inputs for the workflow have {length} characters, and GitHub takes {LONGEST} at most. Ask the platform \
         team to {remedy}."
    )
}
