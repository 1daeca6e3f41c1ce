//! The outputs of a module.
//!
//! Source: `protocol/terraform.md`, "Execute".

use runner_core::meshstack_client::{Output, OutputType};
use runner_core::{Failure, Step};
use serde_json::{Map, Value};

use crate::hints;
use crate::init::not_run;
use crate::terraform::Terraform;

/// Reads the outputs from the state and reports them on the step.
pub(crate) async fn report(terraform: &Terraform<'_>, step: &Step) -> Result<(), Failure> {
    let finished = terraform.ask(&["output", "-no-color", "-json"], None, step).await.map_err(not_run)?;
    if !finished.success() {
        return Err(hints::failed(
            "The work is done, but Terraform could not read the outputs. Read its message, and start the run again.",
            "terraform output",
            &finished,
        ));
    }
    let outputs: Map<String, Value> = serde_json::from_slice(&finished.stdout).map_err(|error| {
        Failure::because(
            "The work is done, but what Terraform gave as outputs cannot be read. Tell the platform team.",
            error,
        )
    })?;
    for (key, output) in &outputs {
        if let Some(output) = convert(output) {
            step.output(key, &output);
        }
    }
    step.log_line(format!("Outputs: {}", if outputs.is_empty() { "none".to_owned() } else { names(&outputs) }));
    Ok(())
}

fn names(outputs: &Map<String, Value>) -> String {
    outputs.keys().map(String::as_str).collect::<Vec<_>>().join(", ")
}

/// `{"sensitive": …, "type": …, "value": …}` as Terraform gives it. None without a value.
fn convert(output: &Value) -> Option<Output> {
    let value = output.get("value").filter(|value| !value.is_null())?;
    let is_sensitive = output.get("sensitive").and_then(Value::as_bool).unwrap_or(false);
    let kind = match output.get("type").and_then(Value::as_str) {
        Some("string") => OutputType::String,
        Some("number") => OutputType::Integer,
        Some("bool") => OutputType::Boolean,
        _ => OutputType::Code,
    };
    let value = match kind {
        OutputType::Code => Value::String(format!("{value:#}")),
        _ => value.clone(),
    };
    Some(Output { value, kind, is_sensitive })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn converted(output: &Value) -> Option<(Value, OutputType, bool)> {
        convert(output).map(|output| (output.value, output.kind, output.is_sensitive))
    }

    #[test]
    fn simple_types_keep_their_value() {
        let text = json!({ "sensitive": true, "type": "string", "value": "a" });
        assert_eq!(converted(&text), Some((json!("a"), OutputType::String, true)));
        let number = json!({ "sensitive": false, "type": "number", "value": 12 });
        assert_eq!(converted(&number), Some((json!(12), OutputType::Integer, false)));
        let yes = json!({ "type": "bool", "value": false });
        assert_eq!(converted(&yes), Some((json!(false), OutputType::Boolean, false)));
    }

    #[test]
    fn a_large_number_keeps_every_digit() {
        let output = serde_json::from_str(r#"{"type":"number","value":123456789012345678901234567890.5}"#).unwrap();
        let (value, ..) = converted(&output).unwrap();
        assert_eq!(value.to_string(), "123456789012345678901234567890.5");
    }

    #[test]
    fn everything_else_is_pretty_printed_json() {
        let list = json!({ "type": ["list", "string"], "value": ["a", "b"] });
        assert_eq!(converted(&list), Some((json!("[\n  \"a\",\n  \"b\"\n]"), OutputType::Code, false)));
        let object = json!({ "type": ["object", { "b": "number" }], "value": { "b": 1 } });
        assert_eq!(converted(&object), Some((json!("{\n  \"b\": 1\n}"), OutputType::Code, false)));
    }

    #[test]
    fn an_output_without_a_value_is_left_out() {
        assert_eq!(converted(&json!({ "type": "string", "value": null })), None);
        assert_eq!(converted(&json!({ "type": "dynamic" })), None);
    }
}
