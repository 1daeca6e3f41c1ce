//! Checks JSON against the few keywords of JSON Schema that the description uses.

use serde_json::Value;

/// Adds to `wrong` what of `value` is not as `schema` wants it. `root` holds what `$ref` refers to.
pub(super) fn check(root: &Value, schema: &Value, value: &Value, place: &str, wrong: &mut Vec<String>) {
    if let Some(target) = schema["$ref"].as_str() {
        let target = root.pointer(target.trim_start_matches('#')).unwrap_or_else(|| panic!("no {target}"));
        return check(root, target, value, place, wrong);
    }
    for keyword in schema.as_object().expect("a schema").keys() {
        let known = ["type", "required", "properties", "additionalProperties", "items", "enum"];
        assert!(known.contains(&keyword.as_str()), "the checker does not know `{keyword}`");
    }
    let types: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    if !types.is_empty() && !types.iter().any(|kind| is_of(kind, value)) {
        wrong.push(format!("{place} is {value}, not {types:?}"));
        return;
    }
    if let Some(words) = schema["enum"].as_array()
        && !words.contains(value)
    {
        wrong.push(format!("{place} is {value}, not one of {words:?}"));
    }
    if let Some(fields) = value.as_object() {
        for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if !fields.contains_key(name) {
                wrong.push(format!("{place} has no `{name}`"));
            }
        }
        for (name, field) in fields {
            let inner = match (&schema["properties"][name.as_str()], &schema["additionalProperties"]) {
                (Value::Null, Value::Null) => continue,
                (Value::Null, more) => more,
                (known, _) => known,
            };
            check(root, inner, field, &format!("{place}.{name}"), wrong);
        }
    }
    if let (Some(items), false) = (value.as_array(), schema["items"].is_null()) {
        for (at, item) in items.iter().enumerate() {
            check(root, &schema["items"], item, &format!("{place}[{at}]"), wrong);
        }
    }
}

fn is_of(kind: &str, value: &Value) -> bool {
    match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("the checker does not know the type {other}"),
    }
}
