//! Checks requests and answers against the description of the API (`tests/fixtures/azure-devops-api.json`).

use std::sync::LazyLock;

use serde_json::Value;

static API: LazyLock<Value> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../../fixtures/azure-devops-api.json")).expect("the description of the API")
});

/// Name of an operation and the values of its path.
pub(crate) struct Operation {
    pub(crate) name: &'static str,
    pub(crate) values: Vec<(&'static str, String)>,
}

impl Operation {
    /// The operation of a request; the path is that behind the base URL, still encoded.
    pub(crate) fn of(method: &str, path: &str) -> Option<Self> {
        let operations = API["ops"].as_object().expect("operations");
        operations.iter().find_map(|(name, op)| {
            let values = matches(op["path"].as_str().expect("a path"), path)?;
            (op["method"] == method).then_some(Self { name, values })
        })
    }

    pub(crate) fn value(&self, name: &str) -> &str {
        self.values.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value)
    }

    pub(crate) fn id(&self, name: &str) -> u64 {
        self.value(name).parse().unwrap_or_default()
    }

    fn op(&self) -> &'static Value {
        &API["ops"][self.name]
    }

    /// What is wrong with a request.
    pub(crate) fn check_request(&self, query: &[(String, String)], body: Option<&Value>) -> Vec<String> {
        let mut wrong = Vec::new();
        for (name, value) in &self.values {
            if self.op()["path_params"][name]["type"] == "integer" && value.parse::<u64>().is_err() {
                wrong.push(format!("{name} in the path is {value:?}, no integer"));
            }
        }
        for (name, rule) in API["query_everywhere"].as_object().expect("an object") {
            if rule["required"] == true && !query.iter().any(|(known, _)| known == name) {
                wrong.push(format!("the query has no {name}"));
            }
        }
        for (name, value) in query {
            let known = !API["query_everywhere"][name].is_null() || !self.op()["query"][name].is_null();
            if !known {
                wrong.push(format!("the query has {name}={value}, which nobody knows"));
            }
        }
        match (self.op().get("body"), body) {
            (Some(schema), Some(body)) => {
                check(schema, body, "body", &mut wrong);
                // An update of a build says what is to change, not what a build must have.
                wrong.retain(|wrong| self.name != "update_build" || !wrong.starts_with("body has no "));
            }
            (Some(_), None) => wrong.push("there is no body".to_owned()),
            (None, Some(_)) => wrong.push("there is a body".to_owned()),
            (None, None) => {}
        }
        wrong
    }

    /// What is wrong with a good answer.
    pub(crate) fn check_answer(&self, status: u16, body: Option<&Value>) -> Vec<String> {
        let mut wrong = Vec::new();
        let Some(responses) = self.op().get("responses") else { return wrong };
        match (responses.get(status.to_string()), body) {
            (None, _) => wrong.push(format!("status {status} is not described")),
            (Some(Value::Null), Some(_)) => wrong.push(format!("status {status} has a body")),
            (Some(Value::Null), None) => {}
            (Some(_), None) => wrong.push(format!("status {status} has no body")),
            (Some(schema), Some(body)) => check(schema, body, "answer", &mut wrong),
        }
        wrong
    }
}

/// The values of `{…}` in a template, if the path fits it. A base URL may have a path of its own before it.
fn matches(template: &'static str, path: &str) -> Option<Vec<(&'static str, String)>> {
    let template: Vec<&'static str> = template.split('/').skip(1).collect();
    let path: Vec<&str> = path.split('/').skip(1).collect();
    if template.len() != path.len() {
        return None;
    }
    let mut values = Vec::new();
    for (expected, found) in template.iter().zip(path) {
        match expected.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
            Some(name) => values.push((name, found.to_owned())),
            None if *expected == found => {}
            None => return None,
        }
    }
    Some(values)
}

/// The keywords of JSON Schema that the description uses.
fn check(schema: &Value, value: &Value, at: &str, wrong: &mut Vec<String>) {
    if let Some(reference) = schema["$ref"].as_str() {
        let target =
            API.pointer(reference.trim_start_matches('#')).unwrap_or_else(|| panic!("{reference} is not there"));
        return check(target, value, at, wrong);
    }
    if let Some(words) = schema["enum"].as_array() {
        if !words.contains(value) {
            wrong.push(format!("{at} is {value}, none of {words:?}"));
        }
        return;
    }
    let types: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    if !types.is_empty() && !types.iter().any(|kind| is(kind, value)) {
        wrong.push(format!("{at} is {value}, not of type {types:?}"));
        return;
    }
    if schema["pattern"].is_string()
        && let Some(text) = value.as_str()
        && !is_uuid(text)
    {
        wrong.push(format!("{at} is {text}, no UUID"));
    }
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if value.get(name).is_none() {
            wrong.push(format!("{at} has no {name}"));
        }
    }
    for (name, field) in value.as_object().into_iter().flatten() {
        let described = schema["properties"].get(name).or(schema.get("additionalProperties")).filter(|s| s.is_object());
        match described {
            Some(schema) => check(schema, field, &format!("{at}.{name}"), wrong),
            // What is described by its properties has no others.
            None if schema["properties"].is_object() => wrong.push(format!("{at} has {name}, which nobody knows")),
            None => {}
        }
    }
    if let (Some(items), Some(list)) = (schema.get("items"), value.as_array()) {
        for (index, item) in list.iter().enumerate() {
            check(items, item, &format!("{at}[{index}]"), wrong);
        }
    }
}

fn is(kind: &str, value: &Value) -> bool {
    match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("the type {other} is not known to this check"),
    }
}

/// The only pattern of the description.
fn is_uuid(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
    lengths == [8, 4, 4, 4, 12]
        && parts.iter().all(|part| part.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)))
}
