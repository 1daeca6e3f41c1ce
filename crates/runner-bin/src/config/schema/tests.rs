use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::{schema, spellings};
use crate::config::tree::Node;
use crate::config::yaml;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[test]
fn the_schema_in_the_book_is_the_one_of_this_table() {
    let file = root().join("docs/bb-runner.schema.json");
    let checked_in = fs::read_to_string(&file).unwrap_or_default();
    let made = format!("{:#}\n", schema());
    assert!(
        checked_in == made,
        "docs/bb-runner.schema.json is stale: cargo run -p runner-bin -- config schema > docs/bb-runner.schema.json"
    );
}

#[test]
fn springs_spellings_are_one_pattern() {
    assert_eq!(spellings("client-id").as_deref(), Some("^[cC]lient[-_]?[iI]d$"));
    assert_eq!(spellings("wsTimeoutMins").as_deref(), Some("^[wW]s[-_]?[tT]imeout[-_]?[mM]ins$"));
    assert_eq!(spellings("uuid"), None);
}

#[test]
fn every_example_that_is_in_order_is_valid_and_every_wrong_one_is_not() {
    let schema = schema();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/config");
    let mut seen = [0, 0];
    for (kind, valid) in [("good", true), ("wrong", false)] {
        for entry in fs::read_dir(folder.join(kind)).unwrap() {
            let file = entry.unwrap().path();
            let document = yaml::read(&file, &file).unwrap();
            let faults = faults(&schema, &schema, &json_of(&document.root), "");
            assert_eq!(faults.is_empty(), valid, "{}: {faults:?}", file.display());
            seen[usize::from(valid)] += 1;
        }
    }
    assert!(seen[0] >= 4 && seen[1] >= 6, "{seen:?}");
}

#[test]
fn the_schema_uses_only_what_the_check_here_knows() {
    const KNOWN: [&str; 16] = [
        "$schema",
        "title",
        "description",
        "type",
        "if",
        "then",
        "else",
        "anyOf",
        "required",
        "$ref",
        "definitions",
        "properties",
        "patternProperties",
        "additionalProperties",
        "items",
        "default",
    ];
    fn keywords(schema: &Value, out: &mut Vec<String>) {
        let Value::Object(map) = schema else { return };
        for (keyword, value) in map {
            out.push(keyword.clone());
            match keyword.as_str() {
                "properties" | "patternProperties" | "definitions" => {
                    value.as_object().unwrap().values().for_each(|schema| keywords(schema, out));
                }
                "anyOf" => value.as_array().unwrap().iter().for_each(|schema| keywords(schema, out)),
                _ => keywords(value, out),
            }
        }
    }
    let mut found = Vec::new();
    keywords(&schema(), &mut found);
    for keyword in found {
        assert!(KNOWN.contains(&keyword.as_str()) || ["minimum", "maximum"].contains(&keyword.as_str()), "{keyword}");
    }
}

/// What a YAML reader of an editor makes of the file, as if nothing stood in quotes.
fn json_of(node: &Node) -> Value {
    match node {
        Node::Null => Value::Null,
        Node::Scalar(text) => match text.as_str() {
            "true" | "True" | "TRUE" => true.into(),
            "false" | "False" | "FALSE" => false.into(),
            text => serde_json::from_str::<serde_json::Number>(text).map_or_else(|_| text.into(), Value::Number),
        },
        Node::List(items) => items.iter().map(|(_, node)| json_of(node)).collect(),
        Node::Mapping(pairs) => {
            Value::Object(pairs.iter().map(|pair| (pair.key.clone(), json_of(&pair.node))).collect::<Map<_, _>>())
        }
    }
}

/// Where a value is not what the schema wants. Draft 7, as far as our schema uses it.
fn faults(root: &Value, schema: &Value, value: &Value, at: &str) -> Vec<String> {
    let mut found = Vec::new();
    let Value::Object(rules) = schema else {
        return if *schema == Value::Bool(false) { vec![format!("{at}: nothing may stand here")] } else { found };
    };
    if let Some(reference) = rules.get("$ref").and_then(Value::as_str) {
        return faults(root, root.pointer(reference.trim_start_matches('#')).unwrap(), value, at);
    }
    if let Some(types) = rules.get("type").and_then(Value::as_array)
        && !types.iter().any(|name| is(value, name.as_str().unwrap()))
    {
        found.push(format!("{at}: must be one of {types:?}"));
    }
    let number = |rule: &str| rules.get(rule).and_then(Value::as_f64);
    if let Some(number_here) = value.as_f64()
        && (number("minimum").is_some_and(|least| number_here < least)
            || number("maximum").is_some_and(|most| number_here > most))
    {
        found.push(format!("{at}: is out of range"));
    }
    if let Some(condition) = rules.get("if") {
        let branch = if faults(root, condition, value, at).is_empty() { "then" } else { "else" };
        found.extend(faults(root, &rules[branch], value, at));
    }
    if let Some(any) = rules.get("anyOf").and_then(Value::as_array)
        && !any.iter().any(|schema| faults(root, schema, value, at).is_empty())
    {
        found.push(format!("{at}: fits none"));
    }
    match value {
        Value::Object(map) => found.extend(faults_of_keys(root, schema, map, at)),
        Value::Array(items) => {
            let rule = rules.get("items").unwrap_or(&Value::Bool(true));
            found
                .extend(items.iter().enumerate().flat_map(|(i, item)| faults(root, rule, item, &format!("{at}[{i}]"))));
        }
        _ => {}
    }
    found
}

fn faults_of_keys(root: &Value, schema: &Value, map: &Map<String, Value>, at: &str) -> Vec<String> {
    let mut found = Vec::new();
    for name in schema.get("required").and_then(Value::as_array).into_iter().flatten() {
        if !map.contains_key(name.as_str().unwrap()) {
            found.push(format!("{at}: {name} is missing"));
        }
    }
    for (key, value) in map {
        let at = format!("{at}.{key}");
        let exact = schema.get("properties").and_then(|known| known.get(key));
        let patterns = schema.get("patternProperties").and_then(Value::as_object).into_iter().flatten();
        let by_pattern = patterns.filter(|(pattern, _)| regex::Regex::new(pattern).unwrap().is_match(key));
        let mut rules: Vec<&Value> = exact.into_iter().chain(by_pattern.map(|(_, rule)| rule)).collect();
        if rules.is_empty() {
            rules.extend(schema.get("additionalProperties"));
        }
        found.extend(rules.into_iter().flat_map(|rule| faults(root, rule, value, &at)));
    }
    found
}

fn is(value: &Value, name: &str) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("{other}"),
    }
}
