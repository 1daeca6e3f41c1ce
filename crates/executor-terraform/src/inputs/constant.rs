//! Constant HCL expressions as JSON values.

use hcl_edit::expr::{Expression, Object, ObjectKey, UnaryOperator};
use hcl_edit::template::{Element, Template};
use serde_json::{Map, Number, Value};

/// The value of an HCL text, if it is a constant.
///
/// Constant are literals, strings and heredocs without interpolation, tuples, objects, parentheses,
/// and a sign. A text with operators is not taken for a formula: `2024-05-01` in a `CODE` input is a
/// date to whoever wrote it, not 2018.
pub(crate) fn parse(text: &str) -> Option<Value> {
    // Inside parentheses HCL allows line breaks and comments around the expression. What closes
    // them early, such as `1) + (2`, does not give a single pair of parentheses.
    let expression: Expression = format!("({text}\n)").parse().ok()?;
    match expression {
        Expression::Parenthesis(inner) => evaluate(inner.inner()),
        _ => None,
    }
}

/// The value of a parsed expression, if it is a constant.
pub(crate) fn evaluate(expression: &Expression) -> Option<Value> {
    match expression {
        Expression::Null(_) => Some(Value::Null),
        Expression::Bool(value) => Some(Value::Bool(*value.value())),
        Expression::Number(number) => {
            // The parser's own number is a float where it is large; its text has all digits.
            let text = number.as_repr().map_or_else(|| number.value().to_string(), |repr| repr.to_string());
            literal_number(&text).map(Value::Number)
        }
        Expression::String(text) => Some(Value::String(text.value().clone())),
        Expression::StringTemplate(template) => literal_template(template),
        Expression::HeredocTemplate(heredoc) => literal_template(&heredoc.template),
        Expression::Array(items) => items.iter().map(evaluate).collect::<Option<_>>().map(Value::Array),
        Expression::Object(object) => evaluate_object(object),
        Expression::Parenthesis(inner) => evaluate(inner.inner()),
        Expression::UnaryOp(operation) => match (operation.operator.value(), evaluate(&operation.expr)?) {
            (UnaryOperator::Not, Value::Bool(value)) => Some(Value::Bool(!value)),
            (UnaryOperator::Neg, Value::Number(number)) => {
                let text = number.to_string();
                let negated = text.strip_prefix('-').map_or_else(|| format!("-{text}"), str::to_owned);
                literal_number(&negated).map(Value::Number)
            }
            _ => None,
        },
        _ => None,
    }
}

fn literal_template(template: &Template) -> Option<Value> {
    let mut text = String::new();
    for element in template {
        match element {
            Element::Literal(literal) => text.push_str(literal),
            Element::Interpolation(_) | Element::Directive(_) => return None,
        }
    }
    Some(Value::String(text))
}

fn evaluate_object(object: &Object) -> Option<Value> {
    let mut fields = Map::new();
    for (key, value) in object {
        let key = match key {
            ObjectKey::Ident(name) => name.to_string(),
            // HCL takes these words for names when they stand in front of `=`.
            ObjectKey::Expression(Expression::Null(_)) => "null".to_owned(),
            ObjectKey::Expression(expression) => match evaluate(expression)? {
                Value::String(text) => text,
                Value::Number(number) => number.to_string(),
                Value::Bool(value) => value.to_string(),
                Value::Null | Value::Array(_) | Value::Object(_) => return None,
            },
        };
        fields.insert(key, evaluate(value.expr())?);
    }
    Some(Value::Object(fields))
}

/// An HCL number as a JSON one: HCL allows leading zeros and a blank after the sign.
fn literal_number(text: &str) -> Option<Number> {
    let (sign, digits) = text.strip_prefix('-').map_or(("", text), |rest| ("-", rest.trim_start()));
    let digits = digits.trim();
    let significant = digits.trim_start_matches('0');
    let zero = if significant.starts_with(|c: char| c.is_ascii_digit()) { "" } else { "0" };
    format!("{sign}{zero}{significant}").parse().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::parse;

    #[test]
    fn constants_have_their_value() {
        for (text, value) in [
            ("{ a = 1, b = [\"x\"] }", json!({"a": 1, "b": ["x"]})),
            (
                "{\n  # note\n  a = 1\n  \"b c\" : true\n  (\"d\") = null\n  5 = 6\n}",
                json!({"a": 1, "b c": true, "d": null, "5": 6}),
            ),
            ("  [1, -2, - 3, 007, 1.5e3,]  // end", json!([1, -2, -3, 7]).append("1.5e+3")),
            ("\"a $${b} %%{c} \\u00fc\\n\"", json!("a ${b} %{c} ü\n")),
            ("<<EOT\n a\n  b $${c}\nEOT\n", json!(" a\n  b ${c}\n")),
            ("<<-EOT\n    a\n      b\n    EOT", json!("a\n  b\n")),
            ("(((\"x\")))", json!("x")),
            ("!true", json!(false)),
            ("{ true = 1, null = 2 }", json!({"true": 1, "null": 2})),
            ("{}", json!({})),
        ] {
            assert_eq!(parse(text), Some(value), "{text}");
        }
        assert_eq!(parse("123456789012345678901234567890").unwrap().to_string(), "123456789012345678901234567890");
    }

    #[test]
    fn what_has_to_be_computed_is_no_constant() {
        for text in [
            "",
            "hello",
            "hello, world {",
            "var.x",
            "{ a = var.x }",
            "\"${1}\"",
            "\"%{ if true }x%{ endif }\"",
            "<<E\n${a}\nE\n",
            "file(\"/etc/passwd\")",
            "[upper(\"a\")]",
            "2024-05-01",
            "1 + 1",
            "1) + (2",
            "1), (2",
            "1)(2",
            "[1][0]",
            "true ? 1 : 2",
            "[for x in [1] : x]",
            "{ (null) = 1 }",
            "{ [1] = 1 }",
            "-\"a\"",
            "a.b",
            "10.0.0.0/8",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn deep_nesting_is_refused_and_does_not_overflow_the_stack() {
        for (open, close) in [("[", "]"), ("{a=", "}"), ("(", ")"), ("-", ""), ("!", ""), ("\"${", "}\""), ("a(", ")")]
        {
            let text = format!("{}1{}", open.repeat(100_000), close.repeat(100_000));
            assert_eq!(parse(&text), None, "{open}");
        }
        assert_eq!(parse(&format!("1{}", "+1".repeat(100_000))), None);
    }

    trait Append {
        fn append(self, number: &str) -> Value;
    }

    impl Append for Value {
        fn append(mut self, number: &str) -> Value {
            self.as_array_mut().unwrap().push(Value::Number(number.parse().unwrap()));
            self
        }
    }
}
