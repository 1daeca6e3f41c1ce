//! What a saved plan says.

use std::path::Path;

use runner_core::{Failure, Step};
use serde_json::Value;

use crate::process::{CommandError, Finished};
use crate::terraform::Terraform;

/// Words of Terraform for a plan that was made for another state, module or version.
const UNUSABLE: [&str; 5] = [
    "Saved plan is stale",
    "Saved plan does not match the given state",
    "as a plan file",
    "Invalid plan file",
    "Can't read plan",
];

/// Whether a saved plan could not be applied because it is not, or no longer, one for what is there.
pub(crate) fn is_unusable(finished: &Finished) -> bool {
    finished.first_error.as_ref().is_some_and(|error| UNUSABLE.iter().any(|words| error.contains(words)))
}

/// One sentence on the plan for people: `2 to add, 1 to change, 0 to destroy`. None if Terraform
/// cannot tell; the plan is good all the same. Only a stop is an error.
pub(crate) async fn summary(
    terraform: &Terraform<'_>,
    plan: &Path,
    changes: bool,
    step: &Step,
) -> Result<Option<String>, Failure> {
    if !changes {
        return Ok(Some("No changes".to_owned()));
    }
    let shown = terraform.ask(&["show", "-no-color", "-json", &plan.to_string_lossy()], None, step).await;
    match shown {
        Ok(finished) if finished.success() => {
            Ok(serde_json::from_slice(&finished.stdout).ok().map(|plan| count(&plan)))
        }
        Ok(_) => Ok(None),
        Err(error @ CommandError::Stopped { .. }) => Err(crate::init::not_run(error)),
        Err(error) => {
            step.log_line(format!("The changes could not be counted: {error}."));
            Ok(None)
        }
    }
}

/// Counts as `terraform plan` does: a replacement is one to add and one to destroy.
fn count(plan: &Value) -> String {
    let (mut add, mut change, mut destroy) = (0_usize, 0_usize, 0_usize);
    for actions in actions(plan, "resource_changes") {
        match actions.as_slice() {
            ["create"] => add += 1,
            ["update"] => change += 1,
            ["delete"] => destroy += 1,
            ["create", "delete"] | ["delete", "create"] => {
                add += 1;
                destroy += 1;
            }
            _ => {}
        }
    }
    let counted = format!("{add} to add, {change} to change, {destroy} to destroy");
    let outputs = plan.get("output_changes").and_then(Value::as_object).into_iter().flatten();
    let outputs = outputs.filter(|(_, change)| names(change.get("actions")) != ["no-op"]).count();
    match (add + change + destroy, outputs) {
        (0, 1..) => format!("{counted}; outputs change"),
        _ => counted,
    }
}

fn actions<'p>(plan: &'p Value, list: &str) -> impl Iterator<Item = Vec<&'p str>> {
    let changes = plan.get(list).and_then(Value::as_array).into_iter().flatten();
    changes.map(|change| names(change.pointer("/change/actions")))
}

fn names(actions: Option<&Value>) -> Vec<&str> {
    actions.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn plan(resources: &[&[&str]], outputs: &[&str]) -> Value {
        let resources: Vec<Value> = resources.iter().map(|a| json!({ "change": { "actions": a } })).collect();
        let outputs: serde_json::Map<String, Value> =
            outputs.iter().enumerate().map(|(i, action)| (format!("o{i}"), json!({ "actions": [action] }))).collect();
        json!({ "resource_changes": resources, "output_changes": outputs })
    }

    #[test]
    fn a_replacement_counts_twice_and_reads_do_not_count() {
        let plan = plan(&[&["create"], &["delete", "create"], &["update"], &["no-op"], &["read"]], &["create"]);
        assert_eq!(count(&plan), "2 to add, 1 to change, 1 to destroy");
    }

    #[test]
    fn a_plan_that_changes_outputs_only_says_so() {
        assert_eq!(
            count(&plan(&[&["no-op"]], &["no-op", "update"])),
            "0 to add, 0 to change, 0 to destroy; outputs change"
        );
        assert_eq!(count(&json!({})), "0 to add, 0 to change, 0 to destroy");
    }
}
