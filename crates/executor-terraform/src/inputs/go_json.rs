//! JSON as Go's encoder writes it.
//!
//! A variable of type `string` that gets a list holds it as JSON text. That text is in the state, so
//! text that differs in a blank from what the public runner wrote would show as a change in every
//! plan. Source: `protocol/terraform.md`, "Inputs".

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value;

/// The value as JSON: no blanks, keys sorted by their bytes, `<`, `>`, `&` and the two line
/// separators of Unicode escaped, numbers in plain decimal notation.
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
        Value::Number(number) => out.push_str(&plain_number(&number.to_string())),
        Value::String(text) => write_string(out, text),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_value(out, item);
            }
            out.push(']');
        }
        Value::Object(fields) => {
            let sorted: BTreeMap<&str, &Value> = fields.iter().map(|(key, item)| (key.as_str(), item)).collect();
            out.push('{');
            for (index, (key, item)) in sorted.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_string(out, key);
                out.push(':');
                write_value(out, item);
            }
            out.push('}');
        }
    }
}

fn write_string(out: &mut String, text: &str) {
    out.push('"');
    for char in text.chars() {
        match char {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\0'..='\u{1f}' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                let _ = write!(out, "\\u{:04x}", u32::from(char));
            }
            other => out.push(other),
        }
    }
    out.push('"');
}

/// Digits that a number may grow to when its exponent is written out; beyond, it stays as it is.
const MAX_DIGITS: i64 = 512;

/// A JSON number without exponent and without zeros that say nothing: `1.50` is `1.5`, `2e3` is
/// `2000`, as Terraform's own JSON has them.
fn plain_number(text: &str) -> String {
    let (sign, digits) = text.strip_prefix('-').map_or(("", text), |rest| ("-", rest));
    let (mantissa, exponent) = digits.split_once(['e', 'E']).unwrap_or((digits, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let Ok(exponent) = exponent.trim_start_matches('+').parse::<i64>() else { return text.to_owned() };
    let length = i64::try_from(digits.len()).unwrap_or(i64::MAX);
    if !(-MAX_DIGITS..=MAX_DIGITS).contains(&exponent) || length > MAX_DIGITS {
        return text.to_owned();
    }

    let mut all = format!("{whole}{fraction}");
    let mut point = i64::try_from(whole.len()).unwrap_or(i64::MAX).saturating_add(exponent);
    if point < 1 {
        let missing = usize::try_from(1 - point).unwrap_or(0);
        all.insert_str(0, &"0".repeat(missing));
        point = 1;
    }
    let point = usize::try_from(point).unwrap_or(0);
    if all.len() < point {
        all.push_str(&"0".repeat(point - all.len()));
    }
    let (whole, fraction) = all.split_at(point);
    let whole = match whole.trim_start_matches('0') {
        "" => "0",
        significant => significant,
    };
    match fraction.trim_end_matches('0') {
        "" => format!("{sign}{whole}"),
        fraction => format!("{sign}{whole}.{fraction}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{encode, plain_number};

    #[test]
    fn the_text_is_the_one_gos_encoder_writes() {
        let value = json!({ "b": [1, null], "a": "<x> & \"y\"\u{2028}\n\u{1}\u{8}ü", "B": {} });
        assert_eq!(encode(&value), r#"{"B":{},"a":"\u003cx\u003e \u0026 \"y\"\u2028\n\u0001\bü","b":[1,null]}"#);
    }

    #[test]
    fn numbers_are_plain_decimals() {
        for (given, plain) in [
            ("1.50", "1.5"),
            ("1.0", "1"),
            ("2e3", "2000"),
            ("2.5E+1", "25"),
            ("25e-3", "0.025"),
            ("-0", "-0"),
            ("100", "100"),
            ("0.10e1", "1"),
            ("12345678901234567890", "12345678901234567890"),
            ("1e99999999999999999999", "1e99999999999999999999"),
            ("1e999999999", "1e999999999"),
        ] {
            assert_eq!(plain_number(given), plain, "{given}");
        }
    }
}
