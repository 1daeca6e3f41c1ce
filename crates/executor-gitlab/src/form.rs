//! The form that starts a pipeline: which fields, in which order, with which values.
//!
//! Source: `protocol/executors.md`, `GITLAB_CICD`.

use reqwest::multipart;
use runner_core::meshstack_client::{Input, RunObject};
use serde_json::Value;

use crate::definition::Definition;
use crate::message::{listed, shown};

/// Words in the name of an implementation's field that holds a secret.
const SECRET_WORDS: [&str; 6] = ["token", "secret", "password", "privatekey", "pem", "credential"];

/// Links of the run that a pipeline needs to report, and the variables they go into.
const LINKS: [(&str, &str); 4] = [
    ("self", "MESHSTACK_SELF_URL"),
    ("registerSource", "MESHSTACK_REGISTER_SOURCE_URL"),
    ("updateSource", "MESHSTACK_UPDATE_SOURCE_URL"),
    ("meshstackBaseUrl", "MESHSTACK_BASE_URL"),
];

/// The fields, and what is worth saying about them. It holds the trigger token and the run's secrets.
pub(crate) struct Form {
    fields: Vec<(String, String)>,
    warnings: Vec<String>,
    facts: Facts,
}

/// What an explanation of a refusal needs to know of a form.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts {
    /// Keys of the inputs that were sent as `inputs[…]`.
    pub(crate) inputs: Vec<String>,
    /// Of these, the ones longer than GitLab takes.
    pub(crate) long_inputs: Vec<String>,
    /// Size of the largest variable in bytes, and its name.
    pub(crate) largest: (String, usize),
}

impl Form {
    pub(crate) fn of(run: &RunObject, definition: &Definition) -> Self {
        let mut form = Self { fields: Vec::new(), warnings: Vec::new(), facts: Facts::default() };
        form.push("token".to_owned(), definition.token.expose().to_owned());
        form.push("ref".to_owned(), definition.reference.clone());
        form.variable("MESHSTACK_BEHAVIOR", run.behavior().as_str().to_owned());
        form.variable("MESHSTACK_RUN", run_object(run).to_string());
        let given: Vec<Input> = run.inputs().into_iter().filter(|input| !input.value.is_null()).collect();
        given.iter().filter(|input| input.environment).for_each(|input| form.environment_input(input));
        given.iter().filter(|input| !input.environment).for_each(|input| form.input(input));
        for (link, name) in LINKS {
            match run.link(link) {
                Some(href) => form.variable(name, href.to_owned()),
                None => form.warnings.push(format!(
                    "The run has no link `{link}`, so the pipeline gets no variable `{name}`. A pipeline that needs it \
                     cannot report to meshStack."
                )),
            }
        }
        form.facts.inputs.retain(|key| form.fields.iter().any(|(name, _)| *name == format!("inputs[{key}]")));
        form
    }

    /// What was left out or taken the place of, for the platform team.
    pub(crate) fn warnings(&self) -> &[String] {
        &self.warnings
    }

    pub(crate) fn facts(&self) -> &Facts {
        &self.facts
    }

    /// What is sent, without any value.
    pub(crate) fn summary(&self) -> String {
        let inside = |kind: &str| {
            let names = self.fields.iter().filter_map(move |(name, _)| name.strip_prefix(kind)?.strip_suffix(']'));
            let names = listed(names);
            if names.is_empty() { "none".to_owned() } else { names }
        };
        format!("variables: {}; inputs: {}", inside("variables["), inside("inputs["))
    }

    /// The request's body.
    pub(crate) fn body(&self) -> multipart::Form {
        // Names that would need an encoding are left out: GitLab reads none here.
        self.fields.iter().fold(multipart::Form::new().percent_encode_noop(), |form, (name, value)| {
            form.text(name.clone(), value.clone())
        })
    }

    /// GitLab takes the last of several fields of one name; so only that one is sent.
    fn push(&mut self, name: String, value: String) -> bool {
        let before = self.fields.len();
        self.fields.retain(|(known, _)| *known != name);
        let replaced = self.fields.len() < before;
        self.fields.push((name, value));
        replaced
    }

    /// A variable of the runner's own.
    fn variable(&mut self, name: &str, value: String) {
        self.note_size(name, value.len());
        if self.push(format!("variables[{name}]"), value) {
            self.warnings.push(format!(
                "The environment input `{name}` is left out: the runner sends a variable of this name. Give the input \
                 another key."
            ));
        }
    }

    fn environment_input(&mut self, input: &Input) {
        let key = input.key.as_str();
        if !is_variable_key(key) {
            self.warnings.push(format!(
                "The environment input {} is left out: GitLab takes only letters, digits and `_` in the name of a \
                 variable, 255 at most. Give the input another key.",
                shown(key)
            ));
            return;
        }
        let value = text(&input.value);
        self.note_size(key, value.len());
        if self.push(format!("variables[{key}]"), value) && matches!(key, "MESHSTACK_BEHAVIOR" | "MESHSTACK_RUN") {
            self.warnings.push(format!(
                "The environment input `{key}` takes the place of the runner's own variable of this name. Give the input \
                 another key."
            ));
        }
    }

    fn input(&mut self, input: &Input) {
        /// GitLab's limit of a text.
        const LONGEST: usize = 1024;
        let key = input.key.as_str();
        if !is_input_key(key) {
            self.warnings.push(format!(
                "The input {} is left out: its key cannot be sent in a form. Give the input a key of letters, digits, `-` \
                 and `_`.",
                shown(key)
            ));
            return;
        }
        let value = text(&input.value);
        self.facts.long_inputs.retain(|known| known != key);
        if value.len() > LONGEST {
            self.facts.long_inputs.push(key.to_owned());
        }
        if !self.push(format!("inputs[{key}]"), value) {
            self.facts.inputs.push(key.to_owned());
        }
    }

    fn note_size(&mut self, name: &str, size: usize) {
        if size > self.facts.largest.1 {
            self.facts.largest = (name.to_owned(), size);
        }
    }
}

/// A value in a form: a text as it is, everything else as JSON.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn is_variable_key(key: &str) -> bool {
    (1..=255).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Brackets would change what the field means, quotes, backslashes and line ends what the form means.
fn is_input_key(key: &str) -> bool {
    !key.is_empty() && key.len() <= 255 && !key.contains(|c: char| c.is_control() || "[]\"\\".contains(c))
}

/// The run object as pipelines get it: all of it, but for the secrets of `implementation`.
fn run_object(run: &RunObject) -> Value {
    let mut object = run.raw().clone();
    let fields = object.pointer_mut("/spec/buildingBlockDefinition/spec/implementation").and_then(Value::as_object_mut);
    if let Some(fields) = fields {
        fields.retain(|name, _| !is_secret(name));
    }
    object
}

fn is_secret(field: &str) -> bool {
    let name: String = field.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    SECRET_WORDS.iter().any(|word| name.contains(word))
}

#[cfg(test)]
mod tests {
    use runner_core::meshstack_client::{RunObject, Secret};
    use serde_json::{Value, json};

    use super::Form;
    use crate::definition::{Definition, Project};

    fn form(inputs: &Value, links: &Value) -> Form {
        let run = RunObject::from_value(json!({
            "metadata": { "uuid": "a-run" },
            "spec": {
                "behavior": "APPLY", "runToken": "run-token",
                "buildingBlock": { "spec": { "inputs": inputs } },
                "buildingBlockDefinition": { "spec": { "implementation": {
                    "type": "GITLAB_CICD", "gitlabBaseUrl": "https://h", "projectId": 1, "refName": "main",
                    "pipelineTriggerToken": "trigger-token", "appPem": "p", "sshPrivateKey": "s", "new_secret": "n",
                    "personalAccessToken": "t", "somethingNew": { "kept": true },
                } } },
            },
            "_links": links, "unknown": serde_json::from_str::<Value>("[1.50]").expect("JSON"),
        }))
        .expect("a run");
        let project = Project::of(&run).expect("a project");
        let token = Secret::new("trigger-token");
        Form::of(&run, &Definition { project, reference: "main".to_owned(), token })
    }

    fn input(key: &str, value: impl Into<Value>, environment: bool) -> Value {
        json!({ "key": key, "value": value.into(), "type": "STRING", "isSensitive": false, "isEnvironment": environment })
    }

    fn names(form: &Form) -> Vec<&str> {
        form.fields.iter().map(|(name, _)| name.as_str()).collect()
    }

    fn value<'f>(form: &'f Form, name: &str) -> &'f str {
        &form.fields.iter().find(|(known, _)| known == name).unwrap_or_else(|| panic!("no {name}")).1
    }

    fn all_links() -> Value {
        json!({
            "self": { "href": "https://m/run" }, "registerSource": { "href": "https://m/run/source" },
            "updateSource": { "href": "https://m/run/source/{sourceId}", "templated": true },
            "meshstackBaseUrl": { "href": "https://m" },
        })
    }

    #[test]
    fn the_fields_come_in_the_order_of_the_specification() {
        let form =
            form(&json!([input("plain", "a", false), input("ENV", "b", true), input("other", 3, false)]), &all_links());
        assert_eq!(
            names(&form),
            [
                "token",
                "ref",
                "variables[MESHSTACK_BEHAVIOR]",
                "variables[MESHSTACK_RUN]",
                "variables[ENV]",
                "inputs[plain]",
                "inputs[other]",
                "variables[MESHSTACK_SELF_URL]",
                "variables[MESHSTACK_REGISTER_SOURCE_URL]",
                "variables[MESHSTACK_UPDATE_SOURCE_URL]",
                "variables[MESHSTACK_BASE_URL]",
            ]
        );
        assert_eq!(value(&form, "variables[MESHSTACK_UPDATE_SOURCE_URL]"), "https://m/run/source/{sourceId}");
        assert!(form.warnings().is_empty(), "{:?}", form.warnings());
        assert!(!form.summary().contains("trigger-token"));
    }

    #[test]
    fn values_that_are_no_text_are_json_and_nulls_are_left_out() {
        let form = form(
            &json!([
                input("n", json!(3), false),
                input("b", json!(true), false),
                input("l", json!(["a", "b"]), false),
                input("o", json!({ "a": 1.50 }), false),
                input("t", "te xt\n\"", false),
                input("e", "", false),
                input("x", Value::Null, false),
                input("X", Value::Null, true),
                input("kept", "value", false),
                input("kept", Value::Null, false),
            ]),
            &all_links(),
        );
        for (name, text) in
            [("n", "3"), ("b", "true"), ("l", r#"["a","b"]"#), ("t", "te xt\n\""), ("e", ""), ("kept", "value")]
        {
            assert_eq!(value(&form, &format!("inputs[{name}]")), text);
        }
        assert!(value(&form, "inputs[o]").starts_with(r#"{"a":1.5"#));
        assert!(!names(&form).iter().any(|name| name.contains("[x]") || name.contains("[X]")));
    }

    #[test]
    fn the_run_object_keeps_everything_but_the_secrets_of_the_implementation() {
        let form = form(&json!([]), &all_links());
        let object: Value = serde_json::from_str(value(&form, "variables[MESHSTACK_RUN]")).expect("JSON");
        let implementation = &object["spec"]["buildingBlockDefinition"]["spec"]["implementation"];
        let kept: Vec<&String> = implementation.as_object().expect("an object").keys().collect();
        assert_eq!(kept, ["type", "gitlabBaseUrl", "projectId", "refName", "somethingNew"]);
        assert_eq!(object["spec"]["runToken"], "run-token");
        assert_eq!(object["unknown"].to_string(), "[1.50]");
    }

    #[test]
    fn keys_that_gitlab_would_not_take_are_left_out_with_a_warning() {
        let long = "K".repeat(256);
        let (bad_variables, bad_inputs) =
            (["", "a-b", "ä", "a\r\nb", "a]b", long.as_str()], ["", "a[b", "a\"b", "a\r\nb"]);
        let inputs: Vec<Value> = (bad_variables.iter().map(|key| input(key, "v", true)))
            .chain(bad_inputs.iter().map(|key| input(key, "v", false)))
            .chain([input("grüße 🚀", "v", false), input(&"K".repeat(255), "v", true)])
            .collect();
        let form = form(&json!(inputs), &all_links());
        assert_eq!(form.warnings().len(), bad_variables.len() + bad_inputs.len(), "{:?}", form.warnings());
        assert!(form.warnings().iter().all(|warning| warning.len() < 400 && !warning.contains('\r')));
        assert_eq!(names(&form).len(), 4 + 2 + 4);
        assert_eq!(value(&form, "inputs[grüße 🚀]"), "v");
    }

    #[test]
    fn of_several_fields_of_one_name_the_last_is_sent() {
        let form = form(
            &json!([
                input("twice", "first", false),
                input("between", "x", false),
                input("twice", "second", false),
                input("RUN_MODE", "first", true),
                input("RUN_MODE", "second", true),
                input("MESHSTACK_RUN", "mine", true),
                input("MESHSTACK_SELF_URL", "mine", true),
            ]),
            &all_links(),
        );
        assert_eq!(value(&form, "inputs[twice]"), "second");
        assert_eq!(value(&form, "variables[RUN_MODE]"), "second");
        assert_eq!(value(&form, "variables[MESHSTACK_RUN]"), "mine");
        assert_eq!(value(&form, "variables[MESHSTACK_SELF_URL]"), "https://m/run");
        assert_eq!(names(&form).len(), 11);
        assert_eq!(form.warnings().len(), 2, "{:?}", form.warnings());
    }

    #[test]
    fn a_link_that_is_missing_is_left_out_with_a_warning() {
        let form = form(&json!([]), &json!({ "self": { "href": "https://m/run" }, "registerSource": { "href": " " } }));
        assert!(names(&form).contains(&"variables[MESHSTACK_SELF_URL]"));
        assert_eq!(names(&form).len(), 5);
        assert_eq!(form.warnings().len(), 3);
        assert!(form.warnings()[0].contains("MESHSTACK_REGISTER_SOURCE_URL"));
    }
}
