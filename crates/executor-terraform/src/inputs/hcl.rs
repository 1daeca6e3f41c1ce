//! JSON values as HCL text.

use std::fmt::Write as _;

use serde_json::Value;

/// The value as an HCL expression on one line.
///
/// JSON is no subset of HCL: in HCL a string is a template, so `${` and `%{` are escaped. Numbers
/// are written with the digits they came with, whatever their size; keys are always quoted.
pub(crate) fn encode(value: &Value) -> String {
    let mut out = String::new();
    write_value(&mut out, value);
    out
}

fn write_value(out: &mut String, value: &Value) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Number(number) => out.push_str(&number.to_string()),
        Value::String(text) => write_string(out, text),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                write_value(out, item);
            }
            out.push(']');
        }
        Value::Object(fields) => {
            out.push('{');
            for (index, (key, item)) in fields.iter().enumerate() {
                out.push_str(if index > 0 { ", " } else { " " });
                write_string(out, key);
                out.push_str(" = ");
                write_value(out, item);
            }
            out.push_str(if fields.is_empty() { "}" } else { " }" });
        }
    }
}

fn write_string(out: &mut String, text: &str) {
    out.push('"');
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            // A doubled introducer is the character itself.
            '$' | '%' if chars.peek() == Some(&'{') => {
                out.push(char);
                out.push(char);
            }
            control if control.is_control() => {
                let _ = write!(out, "\\u{:04x}", u32::from(control));
            }
            other => out.push(other),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::encode;
    use crate::inputs::{any_value, constant};

    #[test]
    fn values_are_written_as_hcl_and_not_as_json() {
        let value = json!({
            "a key": [1, -2.5, null, true],
            "${k}": "say \"${x}\" and %{ if }\\ 100% $5\n\u{1}\u{7f}",
            "none": {}, "empty": []
        });
        assert_eq!(
            encode(&value),
            r#"{ "a key" = [1, -2.5, null, true], "$${k}" = "say \"$${x}\" and %%{ if }\\ 100% $5\n\u0001\u007f", "none" = {}, "empty" = [] }"#
        );
    }

    #[test]
    fn numbers_keep_their_digits() {
        for text in ["12345678901234567890", "-0.10", "1e400", "123456789012345678901234567890.123456789"] {
            let value: Value = serde_json::from_str(text).unwrap();
            assert_eq!(encode(&value), text.replace("1e400", "1e+400"), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back_unchanged(
            value in any_value::value(prop_oneof![any::<String>(), any_value::tricky_text()].boxed())
        ) {
            let written = encode(&value);
            let read = written.parse().map_err(|e| TestCaseError::fail(format!("{written}: {e}")))?;
            prop_assert_eq!(constant::evaluate(&read), Some(value), "{}", written);
        }
    }
}
