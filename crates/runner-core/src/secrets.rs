//! The secrets of one run: decrypted for the executor, masked everywhere else.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use meshstack_client::{Input, InputType, KeyRing, RunObject, Secret};
use serde_json::Value;

use crate::{Failure, Run, SecretsWanted};

/// A run as its executor wants it.
pub(crate) struct Opened {
    pub(crate) run: Run,
    /// Everything that must not be read in texts.
    pub(crate) secrets: Vec<Secret>,
    /// For the operator, about inputs that are not as they should be.
    pub(crate) warnings: Vec<String>,
}

/// The fields of an implementation that are secret. Source: `protocol/encryption.md`, "What is
/// encrypted in a run".
const IMPLEMENTATION_SECRETS: [&str; 4] = ["sshPrivateKey", "appPem", "pipelineTriggerToken", "personalAccessToken"];

/// How the secrets in a run object are kept.
#[derive(Debug, Clone)]
pub(crate) enum Sealed {
    /// Encrypted, as meshStack gives them to a runner that polls.
    With(KeyRing),
    /// In plain text already, as a run controller writes them for single-run mode.
    Open,
}

/// Decrypts what the executor wants decrypted. RSA work: not for a thread of the runtime.
pub(crate) fn open(object: RunObject, sealed: &Sealed, wanted: SecretsWanted) -> Result<Opened, Failure> {
    let mut secrets = vec![object.run_token()];
    let (run, warnings) = match (sealed, wanted) {
        (Sealed::With(keys), SecretsWanted::Decrypted) => {
            // The error says what happened and what to do, and names keys, never values.
            let opened = object.decrypted(keys).map_err(|error| Failure::new(sentence(&error.to_string())))?;
            secrets.extend(opened.secrets);
            (Run::new(opened.run, object), opened.warnings)
        }
        _ => (Run::undecrypted(object), Vec::new()),
    };
    // In plain text in single-run mode; else decrypted above, or as they came.
    secrets.extend(IMPLEMENTATION_SECRETS.iter().filter_map(|field| run.implementation_text(field)).map(Secret::new));
    for input in run.inputs().iter().filter(|input| input.sensitive) {
        collect(input, &mut secrets);
    }
    Ok(Opened { run, secrets, warnings })
}

/// An error as a sentence for people.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(char::to_uppercase).into_iter().flatten();
    let end = if text.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{}{}{end}", first.collect::<String>(), letters.as_str())
}

/// What of a sensitive input must not be read: the text, the parts of a list, the content of a file.
fn collect(input: &Input, secrets: &mut Vec<Secret>) {
    match &input.value {
        Value::String(text) => {
            secrets.push(Secret::new(text.as_str()));
            if input.kind == InputType::File {
                let content = text.split_once(";base64,").and_then(|(_, body)| STANDARD.decode(body.trim()).ok());
                secrets.extend(content.and_then(|bytes| String::from_utf8(bytes).ok()).map(Secret::new));
            }
            if let Ok(parsed @ (Value::Array(_) | Value::Object(_))) = serde_json::from_str::<Value>(text) {
                collect_texts(&parsed, secrets);
            }
        }
        other => collect_texts(other, secrets),
    }
}

fn collect_texts(value: &Value, secrets: &mut Vec<Secret>) {
    match value {
        Value::Null | Value::Bool(_) => {}
        Value::Number(number) => secrets.push(Secret::new(number.to_string())),
        Value::String(text) => secrets.push(Secret::new(text.as_str())),
        Value::Array(items) => items.iter().for_each(|item| collect_texts(item, secrets)),
        Value::Object(fields) => fields.values().for_each(|field| collect_texts(field, secrets)),
    }
}
