//! One workspace per building block.
//!
//! Source: `protocol/terraform.md`, "Init, backend, workspace".

use std::time::{Duration, Instant};

use runner_core::{Failure, Run, Step};

use crate::hints;
use crate::init::not_run;
use crate::process::{CommandError, Finished};
use crate::terraform::Terraform;

/// The workspaces of a module.
#[derive(Debug, PartialEq, Eq)]
struct Workspaces {
    current: Option<String>,
    all: Vec<String>,
}

impl Workspaces {
    /// Reads `terraform workspace list`: a name per line, the current one behind a star.
    fn read(listing: &str) -> Self {
        let mut found = Self { current: None, all: Vec::new() };
        for line in listing.lines() {
            let (current, name) = match line.trim_start().strip_prefix("* ") {
                Some(name) => (true, name.trim()),
                None => (false, line.trim()),
            };
            if name.is_empty() {
                continue;
            }
            if current {
                found.current = Some(name.to_owned());
            }
            found.all.push(name.to_owned());
        }
        found
    }
}

/// What has to be done.
#[derive(Debug, PartialEq, Eq)]
enum Way {
    Stay(String),
    Select(String),
    New(String),
}

/// The current workspace if it is the building block's, else an existing one that is, else a new one.
fn way(workspaces: Workspaces, run: &Run, building_block: &str) -> Way {
    if let Some(current) = workspaces.current.filter(|name| name.ends_with(building_block)) {
        return Way::Stay(current);
    }
    match workspaces.all.into_iter().find(|name| name.ends_with(building_block)) {
        Some(name) => Way::Select(name),
        None => Way::New(format!(
            "{}.{}.{}:{building_block}",
            run.workspace().unwrap_or_default(),
            run.project().unwrap_or_default(),
            run.platform().unwrap_or_default(),
        )),
    }
}

/// Selects the building block's workspace within `limit`, and gives its name.
pub(crate) async fn select(
    terraform: &Terraform<'_>,
    run: &Run,
    limit: Duration,
    step: &Step,
) -> Result<String, Failure> {
    let began = Instant::now();
    let building_block = run.building_block_uuid().ok_or_else(|| {
        Failure::new("The run names no building block, so its state cannot be found. Tell the platform team.")
    })?;
    let listed = call(terraform, &["workspace", "list", "-no-color"], true, limit, limit, step).await?;
    let listing = String::from_utf8_lossy(&listed.stdout);
    let (subcommand, name) = match way(Workspaces::read(&listing), run, building_block) {
        Way::Stay(name) => {
            step.log_line(format!("Workspace: {name}"));
            return Ok(name);
        }
        Way::Select(name) => ("select", name),
        Way::New(name) => ("new", name),
    };
    let left = limit.saturating_sub(began.elapsed());
    call(terraform, &["workspace", subcommand, "-no-color", &name], false, left, limit, step).await?;
    Ok(name)
}

/// Removes the workspace of a building block that is gone. What does not work is logged: the
/// building block is gone all the same.
pub(crate) async fn delete(terraform: &Terraform<'_>, name: &str, limit: Duration, step: &Step) {
    let commands: [&[&str]; 2] =
        [&["workspace", "select", "-no-color", "default"], &["workspace", "delete", "-no-color", "-force", name]];
    for args in commands {
        match terraform.run(args, Some(limit), step).await {
            Ok(finished) if finished.success() => {}
            Ok(finished) => {
                let how = finished.how_it_ended();
                step.log_line(format!("The workspace {name} is left over: terraform workspace ended with {how}."));
                return;
            }
            Err(error) => {
                step.log_line(format!("The workspace {name} is left over: {error}."));
                return;
            }
        }
    }
}

async fn call(
    terraform: &Terraform<'_>,
    args: &[&str],
    ask: bool,
    left: Duration,
    limit: Duration,
    step: &Step,
) -> Result<Finished, Failure> {
    let called =
        if ask { terraform.ask(args, Some(left), step).await } else { terraform.run(args, Some(left), step).await };
    let finished = called.map_err(|error| match error {
        CommandError::TimeLimit { .. } => Failure::because(
            format!(
                "Terraform could not select the workspace within {} s. Start the run again; if it stays slow, ask the \
                 platform team to raise the limit (wsTimeoutMins).",
                limit.as_secs()
            ),
            error,
        ),
        other => not_run(other),
    })?;
    if finished.success() {
        return Ok(finished);
    }
    Err(hints::failed(
        "Terraform could not select the building block's workspace. Read its message, correct the module's backend, \
         and start the run again.",
        &format!("terraform workspace {}", args[1]),
        &finished,
    ))
}

#[cfg(test)]
mod tests {
    use runner_core::meshstack_client::RunObject;
    use serde_json::json;

    use super::*;

    fn run(spec: &serde_json::Value) -> Run {
        let run =
            json!({ "metadata": { "uuid": "run" }, "spec": { "buildingBlock": { "uuid": "bb-1", "spec": spec } } });
        Run::undecrypted(RunObject::from_value(run).unwrap())
    }

    fn way_of(listing: &str, spec: &serde_json::Value) -> Way {
        way(Workspaces::read(listing), &run(spec), "bb-1")
    }

    #[test]
    fn the_current_workspace_is_kept_if_it_is_the_building_blocks() {
        assert_eq!(way_of("  default\n* w.p.f:bb-1\n\n", &json!({})), Way::Stay("w.p.f:bb-1".into()));
    }

    #[test]
    fn an_existing_workspace_is_taken_under_whatever_name_it_was_made() {
        assert_eq!(
            way_of("* default\n  old-name.bb-1\n  w.p.f:bb-2\n", &json!({})),
            Way::Select("old-name.bb-1".into())
        );
    }

    #[test]
    fn a_new_workspace_is_named_after_all_there_is() {
        let spec = json!({ "workspaceIdentifier": "w", "projectIdentifier": "p", "fullPlatformIdentifier": "aws.eu" });
        assert_eq!(way_of("* default\n", &spec), Way::New("w.p.aws.eu:bb-1".into()));
        let spec = json!({ "workspaceIdentifier": "ws", "projectIdentifier": null });
        assert_eq!(way_of("* default\n", &spec), Way::New("ws..:bb-1".into()));
    }
}
