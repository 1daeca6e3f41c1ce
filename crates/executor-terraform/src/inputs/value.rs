//! Which value a variable gets, by the type of the input and what the module declares.
//!
//! Source: `protocol/terraform.md`, "Inputs".

use runner_core::meshstack_client::{Input, InputType};
use serde_json::Value;

use super::{constant, go_json};

/// The value of a variable.
pub(super) struct VariableValue {
    pub(super) value: Value,
    /// The input holds code, but neither JSON nor constant HCL: its text is passed instead.
    pub(super) unread_code: bool,
}

/// The value for the variable of this input. `wants_text`: it is declared with `type = string`.
pub(super) fn for_variable(input: &Input, wants_text: bool) -> VariableValue {
    let (value, unread_code) = match &input.kind {
        InputType::String | InputType::SingleSelect => return read(text_of(&input.value)),
        InputType::Code | InputType::List => match &input.value {
            Value::String(code) => match evaluate_code(code) {
                Some(value) => (value, false),
                // Text is what such a variable wants: no JSON quotes, and nothing to warn of.
                None if wants_text => return read(Value::String(code.clone())),
                None => (Value::String(code.clone()), true),
            },
            other => (other.clone(), false),
        },
        // A type that this version does not know: its texts are texts.
        InputType::Other(_) if input.value.is_string() => return read(input.value.clone()),
        kind => (undo_text(kind, input), false),
    };
    let value = if wants_text && !value.is_null() { Value::String(go_json::encode(&value)) } else { value };
    VariableValue { value, unread_code }
}

fn read(value: Value) -> VariableValue {
    VariableValue { value, unread_code: false }
}

/// Valid JSON is that value, to the letter; then constant HCL.
fn evaluate_code(code: &str) -> Option<Value> {
    serde_json::from_str(code).ok().or_else(|| constant::parse(code))
}

/// A text stays, null stays null, and everything else becomes the text that people would write.
pub(super) fn text_of(value: &Value) -> Value {
    match value {
        Value::Null | Value::String(_) => value.clone(),
        Value::Bool(_) | Value::Number(_) => Value::String(value.to_string()),
        Value::Array(_) | Value::Object(_) => Value::String(go_json::encode(value)),
    }
}

/// A secret is encrypted as text, so a secret number comes out of decryption as one.
fn undo_text(kind: &InputType, input: &Input) -> Value {
    let parsed = match &input.value {
        Value::String(text) if input.sensitive => serde_json::from_str::<Value>(text).ok(),
        _ => None,
    };
    let fits = |value: &Value| match kind {
        InputType::Integer => value.is_number(),
        InputType::Boolean => value.is_boolean(),
        InputType::MultiSelect => value.is_array(),
        _ => false,
    };
    parsed.filter(fits).unwrap_or_else(|| input.value.clone())
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use runner_core::meshstack_client::{Input, InputType};
    use serde_json::{Value, json};

    use super::{VariableValue, for_variable};
    use crate::inputs::hcl;

    fn input(kind: &str, value: Value) -> Input {
        Input { key: "x".to_owned(), value, kind: InputType::from(kind), sensitive: false, environment: false }
    }

    #[test]
    fn the_table_of_input_types_and_declared_types() {
        let rows = [
            ("STRING", json!("text ${x}")),
            ("STRING", json!("")),
            ("STRING", json!(null)),
            ("STRING", json!(5)),
            ("SINGLE_SELECT", json!("gold")),
            ("INTEGER", json!(3)),
            ("INTEGER", serde_json::from_str("12345678901234567890").unwrap()),
            ("INTEGER", json!(null)),
            ("BOOLEAN", json!(true)),
            ("MULTI_SELECT", json!(["a", "b<c>"])),
            ("MULTI_SELECT", json!([])),
            ("CODE", json!(r#"{"b": [1, 2.50, null], "a": "${x} <&>"}"#)),
            ("CODE", json!("{ b = 1, a = [\"x\"] }")),
            ("CODE", json!("\"quoted\"")),
            ("CODE", json!("7")),
            ("CODE", json!("null")),
            ("CODE", json!(null)),
            ("CODE", json!("")),
            ("CODE", json!("hello, world {")),
            ("CODE", json!("2024-05-01")),
            ("CODE", json!("\"${file(\"/etc/passwd\")}\"")),
            ("CODE", json!({"b": 1, "a": 2})),
            ("LIST", json!("[\"a\", \"b\"]")),
            ("LATER_TYPE", json!("text")),
            ("LATER_TYPE", json!([1])),
        ];
        let mut table = String::new();
        for (kind, value) in rows {
            let input = input(kind, value);
            let _ = writeln!(table, "{kind} {}", input.value);
            for (declared, wants_text) in [("string", true), ("other", false)] {
                let VariableValue { value, unread_code } = for_variable(&input, wants_text);
                let note = if unread_code { "   (warning)" } else { "" };
                let _ = writeln!(table, "    {declared}: {}{note}", hcl::encode(&value));
            }
        }
        assert_eq!(table, include_str!("value_table.txt"), "the table is now:\n{table}");
    }

    #[test]
    fn a_secret_number_is_a_number_again() {
        for (kind, text, value) in [
            ("INTEGER", "3", json!(3)),
            ("BOOLEAN", "true", json!(true)),
            ("MULTI_SELECT", "[\"a\"]", json!(["a"])),
            ("INTEGER", "[3]", json!("[3]")),
            ("STRING", "3", json!("3")),
        ] {
            let secret = Input { sensitive: true, ..input(kind, json!(text)) };
            assert_eq!(for_variable(&secret, false).value, value, "{kind} {text}");
        }
        assert_eq!(for_variable(&input("INTEGER", json!("3")), false).value, json!("3"));
    }
}
