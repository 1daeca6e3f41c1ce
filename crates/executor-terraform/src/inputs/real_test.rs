//! Values on their way through the real Terraform. Part of the integration tests.

use std::fmt::Write as _;

use libtest_mimic::Trial;
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;
use serde_json::{Number, Value};

use crate::world::{World, is_long};

#[path = "any_value.rs"]
mod any_value;

/// With `BB_TEST_LONG=1`, and without.
const VALUES: [usize; 2] = [2000, 300];

pub(crate) fn tests() -> Vec<Trial> {
    trials![real: random_values_come_back_unchanged]
}

async fn random_values_come_back_unchanged() {
    let count = if is_long() { VALUES[0] } else { VALUES[1] };
    let mut random = TestRunner::deterministic();
    let strategy = any_value::value(any_value::tricky_text().boxed());
    let values: Vec<Value> =
        std::iter::repeat_with(|| strategy.new_tree(&mut random).expect("a value").current()).take(count).collect();
    let mut module = String::new();
    for index in 0..count {
        // In a list, or an output that is null would be left out.
        let _ = writeln!(module, "variable \"v{index}\" {{}}\noutput \"v{index}\" {{ value = [var.v{index}] }}");
    }

    let world = World::new().await;
    let mut order = world.order(&[("main.tf", &module)]);
    for (index, value) in values.iter().enumerate() {
        order = order.input(&format!("v{index}"), value.to_string(), "CODE");
    }
    let view = world.carry_out(order).await;

    assert_eq!(view.status, "SUCCEEDED", "{view:#?}");
    for (index, value) in values.into_iter().enumerate() {
        let output = view.outputs[&format!("v{index}")].value.as_str().expect("text").to_owned();
        let came_back: Value = serde_json::from_str(&output).expect("JSON");
        assert_eq!(canonical(came_back), canonical(Value::Array(vec![value])), "v{index}");
    }
}

/// The same value with each number in one spelling: digits without zeros at either end, and where
/// the point is. Keys in their order.
fn canonical(value: Value) -> Value {
    match value {
        Value::Number(number) => Value::String(spelled(&number)),
        Value::Array(items) => items.into_iter().map(canonical).collect(),
        Value::Object(fields) => {
            let mut fields: Vec<(String, Value)> =
                fields.into_iter().map(|(key, item)| (key, canonical(item))).collect();
            fields.sort_by(|a, b| a.0.cmp(&b.0));
            fields.into_iter().collect()
        }
        other => other,
    }
}

fn spelled(number: &Number) -> String {
    let text = number.to_string().to_lowercase();
    let (sign, text) = text.strip_prefix('-').map_or(("", text.as_str()), |rest| ("-", rest));
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let digits = digits.trim_start_matches('0');
    let leading = format!("{whole}{fraction}").len() - digits.len();
    if digits.is_empty() {
        return "0".to_owned();
    }
    let exponent: i64 = exponent.parse().expect("an exponent");
    let point = exponent + i64::try_from(whole.len()).expect("short") - i64::try_from(leading).expect("short");
    format!("{sign}0.{}e{point}", digits.trim_end_matches('0'))
}
