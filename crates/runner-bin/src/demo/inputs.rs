//! `--input key=value`: values with the types that meshStack would give them.

use std::path::Path;

use meshstack_local::OrderInput;
use serde_json::Value;

/// Reads one `key=value`. The error is a sentence that never holds the value.
pub(super) fn parse(argument: &str, sensitive: bool) -> Result<OrderInput, String> {
    let option = if sensitive { "--sensitive" } else { "--input" };
    let Some((key, text)) = argument.split_once('=').filter(|(key, _)| !key.trim().is_empty()) else {
        return Err(format!("{option} needs KEY=VALUE, like {option} region=eu-1."));
    };
    let key = key.trim();
    let text = match text.strip_prefix('@') {
        None => text.to_owned(),
        Some(file) => std::fs::read_to_string(Path::new(file)).map_err(|error| {
            format!("The file for the input {key} cannot be read ({error}). Check the path behind `@`.")
        })?,
    };
    let (value, kind) = typed(text, sensitive);
    Ok(OrderInput { key: key.to_owned(), value, kind: kind.to_owned(), sensitive, environment: false })
}

/// A secret stays text, since only text is encrypted: a number in quotes suits a `number` variable as well.
fn typed(text: String, sensitive: bool) -> (Value, &'static str) {
    match serde_json::from_str::<Value>(&text) {
        Ok(Value::String(quoted)) => (Value::String(quoted), "STRING"),
        Ok(Value::Array(_) | Value::Object(_)) if sensitive => (Value::String(text), "CODE"),
        _ if sensitive => (Value::String(text), "STRING"),
        // Fractions have no type of their own in meshStack; as code they stay numbers.
        Ok(number @ Value::Number(_)) if number.as_i64().is_some() || number.as_u64().is_some() => (number, "INTEGER"),
        Ok(Value::Bool(flag)) => (Value::Bool(flag), "BOOLEAN"),
        Ok(Value::Array(items)) if items.iter().all(Value::is_string) => (Value::Array(items), "MULTI_SELECT"),
        Ok(_) => (Value::String(text), "CODE"),
        Err(_) => (Value::String(text), "STRING"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::parse;

    #[test]
    fn json_decides_the_type_of_an_input() {
        for (text, value, kind) in [
            ("eu-1", json!("eu-1"), "STRING"),
            ("", json!(""), "STRING"),
            ("a=b", json!("a=b"), "STRING"),
            ("3", json!(3), "INTEGER"),
            ("\"3\"", json!("3"), "STRING"),
            ("2.5", json!("2.5"), "CODE"),
            ("true", json!(true), "BOOLEAN"),
            ("[\"a\",\"b\"]", json!(["a", "b"]), "MULTI_SELECT"),
            ("[1, 2]", json!("[1, 2]"), "CODE"),
            ("{\"a\": 1}", json!("{\"a\": 1}"), "CODE"),
            ("null", json!("null"), "CODE"),
        ] {
            let input = parse(&format!("key={text}"), false).unwrap();
            assert_eq!((&input.value, input.kind.as_str()), (&value, kind), "{text}");
            assert!(!input.sensitive);
        }
    }

    #[test]
    fn a_secret_is_text_so_that_it_is_encrypted() {
        for (text, value, kind) in
            [("3", "3", "STRING"), ("true", "true", "STRING"), ("[\"a\"]", "[\"a\"]", "CODE"), ("\"q\"", "q", "STRING")]
        {
            let input = parse(&format!("key={text}"), true).unwrap();
            assert_eq!((input.value, input.kind.as_str(), input.sensitive), (json!(value), kind, true), "{text}");
        }
    }

    #[test]
    fn a_value_may_come_from_a_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "two\nlines\n").unwrap();
        let input = parse(&format!("key=@{}", file.path().display()), false).unwrap();
        assert_eq!(input.value, json!("two\nlines\n"));
    }

    #[test]
    fn mistakes_are_said_without_the_value() {
        insta::assert_snapshot!(parse("hush-hush", true).unwrap_err(), @"--sensitive needs KEY=VALUE, like --sensitive region=eu-1.");
        insta::assert_snapshot!(parse("=x", false).unwrap_err(), @"--input needs KEY=VALUE, like --input region=eu-1.");
        insta::assert_snapshot!(parse("key=@/nowhere", false).unwrap_err(), @"The file for the input key cannot be read (No such file or directory (os error 2)). Check the path behind `@`.");
    }
}
