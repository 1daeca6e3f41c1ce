//! GitHub's own description of its API, and whether requests and answers keep to it.

use std::sync::LazyLock;

use serde_json::Value;

static DESCRIPTION: LazyLock<Value> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../../fixtures/github-api.json")).expect("the description is JSON")
});

/// What GitHub's description shows as an example of an object.
pub(crate) fn example(name: &str) -> Value {
    let mut example = DESCRIPTION["examples"][name].clone();
    if name == "job" {
        // Required by the schema, and missing in the example.
        example["created_at"] = "2020-01-20T17:42:30Z".into();
    }
    example
}

/// An operation of the description, with the values of its path's parameters.
pub(crate) struct Operation {
    /// Its name in the description.
    pub(crate) name: &'static str,
    /// In the order of the path.
    pub(crate) parameters: Vec<String>,
}

/// The operation of a request; the path's segments are decoded.
pub(crate) fn operation(method: &str, segments: &[String]) -> Option<Operation> {
    let operations = DESCRIPTION["ops"].as_object().expect("operations");
    operations.iter().find_map(|(name, operation)| {
        if operation["method"] != method {
            return None;
        }
        let template: Vec<&str> = operation["path"].as_str()?.split('/').skip(1).collect();
        if template.len() != segments.len() {
            return None;
        }
        let mut parameters = Vec::new();
        for (part, segment) in template.iter().zip(segments) {
            if part.starts_with('{') {
                parameters.push(segment.clone());
            } else if part != segment {
                return None;
            }
        }
        Some(Operation { name: name.as_str(), parameters })
    })
}

/// What is wrong with a request.
pub(crate) fn judge_request(name: &str, parameters: &[String], query: &[(String, String)], body: &[u8]) -> Vec<String> {
    let operation = &DESCRIPTION["ops"][name];
    let mut wrong = Vec::new();
    let described = operation["path_params"].as_object().expect("path parameters");
    for (value, (parameter, schema)) in parameters.iter().zip(described) {
        if schema["type"] == "integer" && value.parse::<u64>().is_err() {
            wrong.push(format!("{name}: `{parameter}` is no number: {value}"));
        }
    }
    for (key, value) in query {
        let schema = &operation["query"][key];
        match schema["type"].as_str() {
            None => wrong.push(format!("{name}: there is no parameter `{key}`")),
            Some("integer") if value.parse::<u64>().is_err() => wrong.push(format!("{name}: `{key}={value}`")),
            Some(_) => {}
        }
    }
    match (&operation["body"], body.is_empty()) {
        (Value::Null, false) => wrong.push(format!("{name} has a body")),
        (Value::Null, true) => {}
        (description, true) if description["required"] == true => wrong.push(format!("{name} lacks its body")),
        (_, true) => {}
        (description, false) => match serde_json::from_slice::<Value>(body) {
            Ok(value) => {
                let schema = &description["schema"];
                check(schema, &value, &format!("{name} body"), &mut wrong);
                let known = |key: &String| schema["properties"].get(key).is_some();
                let fields = value.as_object().into_iter().flat_map(|object| object.keys());
                wrong.extend(fields.filter(|key| !known(key)).map(|key| format!("{name}: unknown field `{key}`")));
            }
            Err(error) => wrong.push(format!("{name}: the body is no JSON: {error}")),
        },
    }
    wrong
}

/// What is wrong with an answer of the fake. Statuses that GitHub does not describe carry an error object.
pub(crate) fn judge_answer(name: &str, status: u16, body: &[u8]) -> Vec<String> {
    let mut wrong = Vec::new();
    let responses = &DESCRIPTION["ops"][name]["responses"];
    let schema = match responses.get(status.to_string()) {
        Some(schema) => schema.clone(),
        None if status == 304 => Value::Null,
        None if status >= 300 => serde_json::json!({ "$ref": "#/schemas/basic-error" }),
        None => {
            wrong.push(format!("{name} is never answered with {status}"));
            return wrong;
        }
    };
    if schema.is_null() {
        if !body.is_empty() {
            wrong.push(format!("{name} {status} has no body"));
        }
        return wrong;
    }
    match serde_json::from_slice::<Value>(body) {
        Ok(value) => check(&schema, &value, &format!("{name} {status}"), &mut wrong),
        Err(error) => wrong.push(format!("{name} {status}: {error}")),
    }
    wrong
}

/// The words of JSON Schema that the description uses.
fn check(schema: &Value, value: &Value, at: &str, wrong: &mut Vec<String>) {
    if let Some(reference) = schema["$ref"].as_str() {
        let name = reference.rsplit('/').next().unwrap_or_default();
        return check(&DESCRIPTION["schemas"][name], value, at, wrong);
    }
    for word in ["anyOf", "oneOf"] {
        if let Some(options) = schema[word].as_array() {
            let fits = |option: &Value| {
                let mut wrong = Vec::new();
                check(option, value, at, &mut wrong);
                wrong.is_empty()
            };
            if !options.iter().any(fits) {
                wrong.push(format!("{at} fits none of its forms: {value}"));
            }
            return;
        }
    }
    if !has_type(&schema["type"], value) {
        wrong.push(format!("{at} is no {}: {value}", schema["type"]));
        return;
    }
    if let Some(words) = schema["enum"].as_array()
        && !words.contains(value)
    {
        wrong.push(format!("{at} is none of the known words: {value}"));
    }
    if schema["format"] == "date-time"
        && let Some(text) = value.as_str()
        && (text.len() < 20 || text.as_bytes()[10] != b'T')
    {
        wrong.push(format!("{at} is no time: {text}"));
    }
    if let (Some(most), Some(object)) = (schema["maxProperties"].as_u64(), value.as_object())
        && object.len() as u64 > most
    {
        wrong.push(format!("{at} has {} fields", object.len()));
    }
    if let Some(object) = value.as_object() {
        for required in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if !object.contains_key(required) {
                wrong.push(format!("{at} lacks `{required}`"));
            }
        }
        for (key, value) in object {
            match (&schema["properties"][key], &schema["additionalProperties"]) {
                (Value::Null, Value::Object(_)) => {
                    check(&schema["additionalProperties"], value, &format!("{at}.{key}"), wrong);
                }
                (Value::Null, Value::Bool(false)) => wrong.push(format!("{at} has `{key}`")),
                (Value::Null, _) => {}
                (schema, _) => check(schema, value, &format!("{at}.{key}"), wrong),
            }
        }
    }
    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
        if !schema["items"].is_null() {
            check(&schema["items"], item, &format!("{at}[{index}]"), wrong);
        }
    }
}

fn has_type(wanted: &Value, value: &Value) -> bool {
    let is = |word: &str| match word {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("the description has an unknown type {other}"),
    };
    match wanted {
        Value::Null => true,
        Value::String(word) => is(word),
        Value::Array(words) => words.iter().filter_map(Value::as_str).any(is),
        other => panic!("the description has a strange type {other}"),
    }
}

#[test]
fn the_descriptions_own_examples_keep_to_it() {
    for (name, schema) in
        [("run", "workflow-run"), ("job", "job"), ("installation", "installation"), ("workflow", "workflow")]
    {
        let mut wrong = Vec::new();
        check(&DESCRIPTION["schemas"][schema], &example(name), name, &mut wrong);
        assert_eq!(wrong, Vec::<String>::new());
    }
}

#[test]
fn a_wrong_field_is_noticed() {
    let mut run = example("run");
    run["id"] = "seven".into();
    run.as_object_mut().expect("an object").remove("event");
    let mut wrong = Vec::new();
    check(&DESCRIPTION["schemas"]["workflow-run"], &run, "run", &mut wrong);
    assert_eq!(wrong, ["run lacks `event`", "run.id is no \"integer\": \"seven\""]);
    let body = br#"{"ref":"main","input":{},"inputs":{}}"#;
    assert_eq!(judge_request("dispatch", &[], &[], body), ["dispatch: unknown field `input`"]);
}
