//! What the run is about: apply, plan or destroy.
//!
//! Source: `protocol/terraform.md`, "Execute".

use std::path::Path;

use runner_core::{Failure, Preview, RunContext, Step};

use crate::hints;
use crate::init::not_run;
use crate::plan;
use crate::process::Finished;
use crate::state_lock::StateLock;
use crate::terraform::Terraform;

/// The saved plan, in the working directory.
const PLAN: &str = "plan.tfplan";

const APPLY: [&str; 4] = ["apply", "-no-color", "-auto-approve", "-input=false"];
const APPLY_PLAN: [&str; 4] = ["apply", "-no-color", "-input=false", PLAN];
const MAKE_PLAN: [&str; 5] = ["plan", "-no-color", "-input=false", "-detailed-exitcode", "-out=plan.tfplan"];
const DESTROY: [&str; 4] = ["destroy", "-no-color", "-auto-approve", "-input=false"];

/// Whether the run must apply an earlier preview's plan, and nothing else.
pub(crate) fn applies_a_saved_plan(ctx: &RunContext) -> bool {
    ctx.run().as_received().link("planArtifact").is_some()
}

/// Creates or changes what the module describes.
pub(crate) async fn apply(terraform: &Terraform<'_>, lock: &StateLock, step: &Step) -> Result<(), Failure> {
    let finished = lock.run(terraform, &APPLY, step).await.map_err(not_run)?;
    succeeded("Terraform could not apply the module.", "terraform apply", &finished)
}

/// Carries out an earlier preview. Nothing is planned anew: what was agreed on is what is done.
pub(crate) async fn apply_saved_plan(
    ctx: &RunContext,
    terraform: &Terraform<'_>,
    lock: &StateLock,
    step: &Step,
) -> Result<(), Failure> {
    let path = terraform.dir.join(PLAN);
    let downloaded = ctx.or_stopped(ctx.download_plan(&path)).await?;
    let bytes = downloaded.map_err(|error| {
        Failure::because("The saved plan could not be fetched. Run the preview again, then apply it.", error)
    })?;
    step.log_line(format!("Fetched the saved plan, {} bytes.", bytes.unwrap_or_default()));
    let finished = lock.run(terraform, &APPLY_PLAN, step).await.map_err(not_run)?;
    if finished.success() {
        return Ok(());
    }
    let sentence = if plan::is_unusable(&finished) {
        "The saved plan no longer fits what is there now. Run the preview again, then apply it."
    } else {
        "Terraform could not apply the saved plan. Read its message, then run the preview again and apply it."
    };
    Err(hints::failed(sentence, "terraform apply", &finished))
}

/// Finds out what would change.
pub(crate) async fn preview(
    ctx: &RunContext,
    terraform: &Terraform<'_>,
    lock: &StateLock,
    step: &Step,
) -> Result<Preview, Failure> {
    let finished = lock.run(terraform, &MAKE_PLAN, step).await.map_err(not_run)?;
    let changes_detected = match finished.code {
        Some(0) => false,
        Some(2) => true,
        _ => {
            let sentence = "Terraform could not plan the changes. Read its message, correct the module or the inputs, \
                            and start the run again.";
            return Err(hints::failed(sentence, "terraform plan", &finished));
        }
    };
    if let Some(summary) = plan::summary(terraform, Path::new(PLAN), changes_detected, step).await? {
        ctx.summary(summary);
    }
    Ok(Preview { plan: terraform.dir.join(PLAN), changes_detected })
}

/// Removes what the module made.
pub(crate) async fn destroy(terraform: &Terraform<'_>, lock: &StateLock, step: &Step) -> Result<(), Failure> {
    let finished = lock.run(terraform, &DESTROY, step).await.map_err(not_run)?;
    succeeded("Terraform could not remove everything.", "terraform destroy", &finished)
}

fn succeeded(what: &str, command: &str, finished: &Finished) -> Result<(), Failure> {
    if finished.success() {
        return Ok(());
    }
    let sentence = format!("{what} Read its message, correct the module or the inputs, and start the run again.");
    Err(hints::failed(&sentence, command, finished))
}
