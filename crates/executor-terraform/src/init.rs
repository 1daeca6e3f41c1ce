//! `terraform init`.
//!
//! Source: `protocol/terraform.md`, "Init, backend, workspace".

use std::time::{Duration, Instant};

use runner_core::{Failure, RunContext, Step};

use crate::hints;
use crate::process::CommandError;
use crate::terraform::Terraform;

const ARGS: [&str; 4] = ["init", "-no-color", "-input=false", "-upgrade"];
/// Before the one retry, for flaky proxies.
const PAUSE: Duration = Duration::from_secs(1);

/// Initialises the module within `limit`, with one retry.
pub(crate) async fn init(
    ctx: &RunContext,
    terraform: &Terraform<'_>,
    limit: Duration,
    step: &Step,
) -> Result<(), Failure> {
    let began = Instant::now();
    let first = attempt(terraform, limit, limit, step).await?;
    if first.success() {
        return Ok(());
    }
    step.log_line(format!("terraform init ended with {}; trying once more.", first.how_it_ended()));
    ctx.or_stopped(tokio::time::sleep(PAUSE)).await?;
    let left = limit.saturating_sub(began.elapsed());
    let second = attempt(terraform, left, limit, step).await?;
    if second.success() {
        return Ok(());
    }
    Err(hints::failed(
        "Terraform could not initialise the module. Read its message, correct the module or its surroundings, and \
         start the run again.",
        "terraform init",
        &second,
    ))
}

async fn attempt(
    terraform: &Terraform<'_>,
    left: Duration,
    limit: Duration,
    step: &Step,
) -> Result<crate::process::Finished, Failure> {
    terraform.run(&ARGS, Some(left), step).await.map_err(|error| match error {
        CommandError::TimeLimit { .. } => Failure::because(
            format!(
                "Terraform could not initialise the module within {} s. Start the run again; if it stays slow, ask the \
                 platform team to raise the limit (initTimeoutMins).",
                limit.as_secs()
            ),
            error,
        ),
        other => not_run(other),
    })
}

/// A Terraform that could not be run at all.
pub(crate) fn not_run(error: CommandError) -> Failure {
    error.into_failure(
        "Terraform could not be run. Ask the platform team to look at the runner, then start the run again.",
    )
}
