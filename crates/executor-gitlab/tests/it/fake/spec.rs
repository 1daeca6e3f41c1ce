//! The description of GitLab's API, and what of a request or an answer is not as described.

use std::sync::LazyLock;

use serde_json::{Map, Value, json};

use super::schema::check;
use super::{Operation, Seen};

static SPEC: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(include_str!("../../fixtures/gitlab-api.json")).expect("the description"));

/// The operation of a request, and the decoded parts of its path.
pub(super) fn operation(method: &str, path: &str) -> Option<(Operation, Map<String, Value>)> {
    for (name, described) in SPEC["ops"].as_object().expect("operations") {
        let paths = std::iter::once(&described["path"]).chain(described["aliases"].as_array().into_iter().flatten());
        for template in paths.filter_map(Value::as_str).filter(|_| described["method"] == method) {
            if let Some(parameters) = matched(template, path) {
                return Some((name, parameters));
            }
        }
    }
    None
}

fn matched(template: &str, path: &str) -> Option<Map<String, Value>> {
    let (wanted, given): (Vec<&str>, Vec<&str>) = (template.split('/').collect(), path.split('/').collect());
    if wanted.len() != given.len() {
        return None;
    }
    let mut parameters = Map::new();
    for (wanted, given) in wanted.into_iter().zip(given) {
        match wanted.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
            Some(name) => drop(parameters.insert(name.to_owned(), json!(decoded(given)?))),
            None if wanted == given => {}
            None => return None,
        }
    }
    Some(parameters)
}

/// Percent-encoding undone.
pub(super) fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next()?, rest.next()?];
            bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

/// What of a request is not as described.
pub(super) fn request(seen: &Seen, parameters: &Map<String, Value>) -> Vec<String> {
    let described = &SPEC["ops"][seen.operation];
    let mut wrong = Vec::new();
    for (name, value) in parameters {
        let schema = &described["path_params"][name.as_str()];
        check(&SPEC, schema, &typed(schema, value.as_str().unwrap_or_default()), name, &mut wrong);
    }
    for (at, (name, value)) in seen.query.iter().enumerate() {
        let schema = &described["query"][name.as_str()];
        if schema.is_null() {
            wrong.push(format!("the query has `{name}`"));
        } else {
            check(&SPEC, schema, &typed(schema, value), name, &mut wrong);
        }
        if seen.query[..at].iter().any(|(known, _)| known == name) {
            wrong.push(format!("the query has `{name}` twice"));
        }
    }
    match (described["body"].is_null(), seen.body.is_empty()) {
        (true, false) => wrong.push("there is a body".to_owned()),
        (false, _) => check(&SPEC, &described["body"], &nested(&seen.fields, &mut wrong), "body", &mut wrong),
        _ => {}
    }
    wrong.into_iter().map(|what| format!("{}: {what}", seen.operation)).collect()
}

/// What of an answer is not as described.
pub(super) fn answer(operation: Operation, status: u16, body: &Value) -> Vec<String> {
    if !(200..300).contains(&status) {
        return Vec::new();
    }
    let schema = &SPEC["ops"][operation]["responses"][status.to_string()];
    let mut wrong = Vec::new();
    if schema.is_null() {
        wrong.push(format!("there is no status {status}"));
    } else {
        check(&SPEC, schema, body, "answer", &mut wrong);
    }
    wrong.into_iter().map(|what| format!("answer to {operation}: {what}")).collect()
}

/// A text of an address as the type that is wanted there.
fn typed(schema: &Value, text: &str) -> Value {
    match schema["type"].as_str() {
        Some("integer" | "boolean") => serde_json::from_str(text).unwrap_or_else(|_| json!(text)),
        _ => json!(text),
    }
}

/// `a`, `b[c]` as Rack makes an object of them; what it would read in another way is wrong.
fn nested(fields: &[(String, String)], wrong: &mut Vec<String>) -> Value {
    let mut object = Map::new();
    for (name, value) in fields {
        let parts = name.split_once('[').map(|(outer, inner)| (outer, inner.strip_suffix(']')));
        let (target, key) = match parts {
            None => (&mut object, name.as_str()),
            Some((outer, Some(inner))) if !inner.is_empty() && !inner.contains(['[', ']']) => {
                let target = object.entry(outer).or_insert_with(|| json!({})).as_object_mut().expect("an object");
                (target, inner)
            }
            Some(_) => {
                wrong.push(format!("the field name {name:?} means something else"));
                continue;
            }
        };
        if target.insert(key.to_owned(), json!(value)).is_some() {
            wrong.push(format!("the field {name:?} is there twice"));
        }
    }
    for name in object.keys() {
        if !["token", "ref", "variables", "inputs"].contains(&name.as_str()) {
            wrong.push(format!("there is a field {name:?}"));
        }
    }
    Value::Object(object)
}
