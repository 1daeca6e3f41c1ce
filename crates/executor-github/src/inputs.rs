//! What a workflow is given.
//!
//! Source: `protocol/executors.md`, `GITHUB_WORKFLOW`, 5.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use runner_core::Failure;
use runner_core::meshstack_client::RunObject;
use serde_json::{Map, Value};

/// The input that holds the run object.
pub(crate) const RUN_OBJECT: &str = "buildingBlockRun";

/// The input that holds the run's address.
pub(crate) const RUN_URL: &str = "buildingBlockRunUrl";

const API_TOKEN: &str = "MESHSTACK_API_TOKEN";
const RUN_TOKEN: &str = "MESHSTACK_RUN_TOKEN";
const ENDPOINT: &str = "MESHSTACK_ENDPOINT";

/// So many characters of inputs GitHub takes, all together.
pub(crate) const LONGEST: usize = 65_535;

/// The inputs of the workflow. All are texts.
pub(crate) fn inputs(run: &RunObject, omit_run_object: bool) -> Result<Map<String, Value>, Failure> {
    let mut inputs = Map::new();
    if !omit_run_object {
        let object = run.without_implementation_secrets();
        inputs.insert(RUN_OBJECT.to_owned(), STANDARD.encode(object.raw().to_string()).into());
        return Ok(inputs);
    }
    let Some(href) = run.link("self") else {
        return Err(Failure::new(
            "meshStack sent no address of this run, which its workflow needs. Start the run again, and tell the \
             platform team if it happens again.",
        ));
    };
    inputs.insert(RUN_URL.to_owned(), href.into());
    for key in [API_TOKEN, RUN_TOKEN] {
        inputs.extend(input(run, key));
    }
    if inputs.contains_key(API_TOKEN) {
        inputs.extend(input(run, ENDPOINT));
    }
    Ok(inputs)
}

/// The input of this key; of several the last. A null is none.
fn input(run: &RunObject, key: &str) -> Option<(String, Value)> {
    let value = run.inputs().into_iter().rfind(|input| input.key == key && !input.value.is_null())?.value;
    let text = match value {
        Value::String(text) => text,
        other => other.to_string(),
    };
    Some((key.to_owned(), text.into()))
}

/// How many characters the inputs have, all together.
pub(crate) fn length(inputs: &Map<String, Value>) -> usize {
    inputs.values().filter_map(Value::as_str).map(|text| text.chars().count()).sum()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn run(name: &str, change: impl FnOnce(&mut Value)) -> RunObject {
        let mut run: Value = serde_json::from_str(name).unwrap();
        change(&mut run);
        RunObject::from_value(run).unwrap()
    }

    const SYNC: &str = include_str!("../tests/fixtures/github-sync.json");
    const URL: &str = include_str!("../tests/fixtures/github-async-url.json");

    #[test]
    fn the_run_object_keeps_everything_but_the_fields_of_the_implementation() {
        let run = run(SYNC, |_| {});
        let inputs = inputs(&run, false).unwrap();
        assert_eq!(inputs.keys().collect::<Vec<_>>(), [RUN_OBJECT]);
        let sent = STANDARD.decode(inputs[RUN_OBJECT].as_str().unwrap()).unwrap();
        let sent: Value = serde_json::from_slice(&sent).unwrap();
        let mut expected = run.raw().clone();
        expected["spec"]["buildingBlockDefinition"]["spec"]["implementation"] = json!({ "type": "GITHUB_WORKFLOW" });
        assert_eq!(sent, expected);
        assert_eq!(sent["somethingNew"], json!({ "kept": true }));
    }

    #[test]
    fn without_the_run_object_the_address_and_the_tokens_go() {
        let run = run(URL, |_| {});
        let inputs = inputs(&run, true).unwrap();
        assert_eq!(inputs.keys().collect::<Vec<_>>(), [RUN_URL, API_TOKEN, ENDPOINT]);
        assert_eq!(inputs[RUN_URL].as_str(), run.link("self"));
        assert_eq!(inputs[ENDPOINT], json!("https://api.example.com"));
    }

    #[test]
    fn the_endpoint_goes_only_with_an_api_token() {
        let inputs_of = |list: Value| {
            let run = run(URL, |run| run["spec"]["buildingBlock"]["spec"]["inputs"] = list);
            Value::Object(inputs(&run, true).unwrap()).as_object().unwrap().keys().cloned().collect::<Vec<_>>()
        };
        let input = |key: &str, value: Value| json!({ "key": key, "value": value, "type": "STRING" });
        assert_eq!(inputs_of(json!([input(ENDPOINT, json!("e")), input(RUN_TOKEN, json!("r"))])), [RUN_URL, RUN_TOKEN]);
        assert_eq!(inputs_of(json!([input(ENDPOINT, json!("e")), input(API_TOKEN, json!(null))])), [RUN_URL]);
        let all = json!([input(ENDPOINT, json!("e")), input(RUN_TOKEN, json!(7)), input(API_TOKEN, json!("a"))]);
        assert_eq!(inputs_of(all), [RUN_URL, API_TOKEN, RUN_TOKEN, ENDPOINT]);
        assert_eq!(inputs_of(json!(null)), [RUN_URL]);
    }

    #[test]
    fn all_inputs_are_texts_and_of_two_with_one_key_the_last_goes() {
        let list = json!([
            { "key": RUN_TOKEN, "value": "first", "type": "STRING" },
            { "key": RUN_TOKEN, "value": {"a": 1}, "type": "CODE" },
            { "key": RUN_TOKEN, "value": null, "type": "CODE" },
        ]);
        let run = run(URL, |run| run["spec"]["buildingBlock"]["spec"]["inputs"] = list);
        assert_eq!(inputs(&run, true).unwrap()[RUN_TOKEN], json!("{\"a\":1}"));
    }

    #[test]
    fn a_run_without_an_address_is_refused() {
        let run = run(URL, |run| run["_links"]["self"] = json!(null));
        assert!(inputs(&run, true).unwrap_err().user_message().contains("no address"));
    }

    #[test]
    fn the_length_is_counted_in_characters() {
        let inputs = json!({ "a": "äö", "b": "😀" });
        assert_eq!(length(inputs.as_object().unwrap()), 3);
    }
}
