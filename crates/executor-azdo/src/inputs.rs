//! What a pipeline is given: its template parameters and variables.
//!
//! Source: `protocol/executors.md`, `AZURE_DEVOPS`, 1.

use runner_core::meshstack_client::{Input, RunObject};
use serde_json::{Map, Value, json};

use crate::implementation::Implementation;

/// The parameter that says what is to be done: `APPLY`, `DETECT` or `DESTROY`.
const BEHAVIOR: &str = "MESHSTACK_BEHAVIOR";

/// The input that becomes the run's own address, so that a pipeline can report for itself. Opt-in by its name; the name
/// is the one of GitLab's variable.
pub(crate) const SELF_URL: &str = "MESHSTACK_SELF_URL";

/// The values of one run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Values {
    parameters: Vec<Given>,
    variables: Vec<Given>,
}

#[derive(Clone)]
struct Given {
    name: String,
    value: String,
    sensitive: bool,
}

/// Without the value, which may be a secret.
impl std::fmt::Debug for Given {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Given").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Values {
    /// The values of a decrypted run. Of equal keys the last stands; an input that is null is an absent one.
    pub(crate) fn of(run: &RunObject) -> Self {
        let mut values = Self::default();
        for input in run.inputs() {
            let Some(value) = value_of(&input, run) else { continue };
            let given = Given { value, name: input.key, sensitive: input.sensitive };
            set(if input.environment { &mut values.variables } else { &mut values.parameters }, given);
        }
        let value = run.behavior().as_str().to_owned();
        set(&mut values.parameters, Given { name: BEHAVIOR.to_owned(), value, sensitive: false });
        values
    }

    /// The body of the request that starts the pipeline.
    pub(crate) fn body(&self, implementation: &Implementation) -> Value {
        let mut body = Map::new();
        if let Some(name) = &implementation.ref_name {
            body.insert("resources".to_owned(), json!({ "repositories": { "self": { "refName": name } } }));
        }
        let parameters: Map<String, Value> =
            self.parameters.iter().map(|given| (given.name.clone(), json!(given.value))).collect();
        body.insert("templateParameters".to_owned(), Value::Object(parameters));
        if !self.variables.is_empty() {
            let variable = |given: &Given| json!({ "value": given.value, "isSecret": given.sensitive });
            let variables: Map<String, Value> =
                self.variables.iter().map(|given| (given.name.clone(), variable(given))).collect();
            body.insert("variables".to_owned(), Value::Object(variables));
        }
        Value::Object(body)
    }

    /// Names of the variables.
    pub(crate) fn variables(&self) -> impl Iterator<Item = &str> {
        self.variables.iter().map(|given| given.name.as_str())
    }

    /// Leaves these variables out; gives their names.
    pub(crate) fn leave_out(&mut self, refused: &[String]) -> Vec<String> {
        let known = |name: &str| refused.iter().any(|refused| refused.eq_ignore_ascii_case(name));
        let left_out = self.variables().filter(|name| known(name)).map(str::to_owned).collect();
        self.variables.retain(|given| !known(&given.name));
        left_out
    }

    /// Secret inputs that Azure DevOps will show, since parameters cannot be secret.
    pub(crate) fn exposed(&self) -> impl Iterator<Item = &str> {
        self.parameters.iter().filter(|given| given.sensitive).map(|given| given.name.as_str())
    }

    /// Values that Azure DevOps shows again and that name the run: what proves that a pipeline was started for it.
    /// Names in lower case, since Azure DevOps does not tell them apart by their case.
    pub(crate) fn proof(&self, run_uuid: &str) -> Vec<(String, String)> {
        let shown = self.parameters.iter().chain(self.variables.iter().filter(|given| !given.sensitive));
        let naming = shown.filter(|given| given.value.contains(run_uuid));
        naming.map(|given| (given.name.to_ascii_lowercase(), given.value.clone())).collect()
    }
}

/// Sets a value in place of one that has this name already.
fn set(list: &mut Vec<Given>, given: Given) {
    list.retain(|known| known.name != given.name);
    list.push(given);
}

/// Text as it is, anything else as JSON; null is nothing.
fn value_of(input: &Input, run: &RunObject) -> Option<String> {
    let text = match &input.value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    };
    match run.link("self") {
        // A definition cannot know the run: whatever stands there that is no address is a place to fill.
        Some(link) if input.key == SELF_URL && !text.as_ref().is_some_and(|text| text.starts_with("http")) => {
            Some(link.to_owned())
        }
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "27efa863-58cc-45bd-b8bc-c0a99a4f95fb";

    fn run(inputs: &Value) -> RunObject {
        let implementation = json!({
            "type": "AZURE_DEVOPS", "azureDevOpsBaseUrl": "https://dev.azure.com", "organization": "o", "project": "p",
            "pipelineId": "1", "personalAccessToken": "pat", "refName": "main",
        });
        RunObject::from_value(json!({
            "metadata": { "uuid": UUID },
            "spec": {
                "behavior": "DESTROY",
                "buildingBlock": { "spec": { "inputs": inputs } },
                "buildingBlockDefinition": { "spec": { "implementation": implementation } },
            },
            "_links": { "self": { "href": format!("https://mesh.example/runs/{UUID}") } },
        }))
        .unwrap()
    }

    fn body(inputs: &Value) -> Value {
        let run = run(inputs);
        Values::of(&run).body(&Implementation::read(&run).unwrap())
    }

    fn input(key: &str, value: impl Into<Value>) -> Value {
        let value = value.into();
        json!({ "key": key, "value": value, "type": "STRING", "isSensitive": false, "isEnvironment": false })
    }

    #[test]
    fn parameters_are_text_or_json_text_without_nulls_and_the_behavior_is_ours() {
        let big: Value = serde_json::from_str("123456789012345678901234567890").unwrap();
        let body = body(&json!([
            input("name", json!("grüße \"x\"")),
            input("size", big),
            input("on", json!(true)),
            input("none", Value::Null),
            input("zones", json!(["a", { "b": 1.5 }])),
            input("MESHSTACK_BEHAVIOR", json!("APPLY")),
        ]));
        assert_eq!(
            body,
            json!({
                "resources": { "repositories": { "self": { "refName": "refs/heads/main" } } },
                "templateParameters": {
                    "name": "grüße \"x\"", "size": "123456789012345678901234567890", "on": "true",
                    "zones": r#"["a",{"b":1.5}]"#, "MESHSTACK_BEHAVIOR": "DESTROY",
                },
            })
        );
    }

    #[test]
    fn environment_inputs_are_variables_and_secret_if_they_are_sensitive() {
        let body = body(&json!([
            { "key": "REGION", "value": "eu", "isEnvironment": true },
            { "key": "KEY", "value": "old", "isEnvironment": true },
            { "key": "KEY", "value": { "a": 1 }, "isEnvironment": true, "isSensitive": true },
            { "key": "KEY", "value": null, "isEnvironment": true },
            { "key": "NONE", "value": null, "isEnvironment": true },
        ]));
        let expected = json!({
            "REGION": { "value": "eu", "isSecret": false }, "KEY": { "value": "{\"a\":1}", "isSecret": true },
        });
        assert_eq!(body["variables"], expected);
        assert_eq!(body["templateParameters"], json!({ "MESHSTACK_BEHAVIOR": "DESTROY" }));
    }

    #[test]
    fn an_input_called_self_url_becomes_the_address_of_the_run_unless_it_is_an_address() {
        let link = format!("https://mesh.example/runs/{UUID}");
        for (value, expected) in [
            (json!("run"), link.as_str()),
            (json!(""), &link),
            (Value::Null, &link),
            (json!("https://own.example"), "https://own.example"),
        ] {
            assert_eq!(body(&json!([input(SELF_URL, value)]))["templateParameters"][SELF_URL], json!(expected));
        }
        assert_eq!(body(&json!([input("OTHER", json!("run"))]))["templateParameters"]["OTHER"], json!("run"));
    }

    #[test]
    fn only_what_names_the_run_and_is_shown_again_is_a_proof() {
        let secret = json!({ "key": "S", "value": UUID, "isEnvironment": true, "isSensitive": true });
        let of = |inputs: Value| Values::of(&run(&inputs)).proof(UUID);
        assert!(of(json!([input("name", json!("demo")), secret])).is_empty());
        let link = format!("https://mesh.example/runs/{UUID}");
        assert_eq!(of(json!([input(SELF_URL, json!("run"))])), [("meshstack_self_url".to_owned(), link)]);
    }

    #[test]
    fn variables_are_left_out_by_name_whatever_the_case() {
        let mut values = Values::of(&run(&json!([
            { "key": "A", "value": "1", "isEnvironment": true }, { "key": "B", "value": "1", "isEnvironment": true },
        ])));
        assert_eq!(values.leave_out(&["a".to_owned(), "x".to_owned()]), ["A"]);
        assert_eq!(values.variables().collect::<Vec<_>>(), ["B"]);
    }
}
