//! Debug mode: a manual run that takes its time and ends at random, to see how meshStack shows that.
//!
//! Source: `protocol/executors.md`, "Debug mode of the manual runner".

use std::time::Duration;

use runner_core::{Failure, Outcome, RunContext, StepSpec};

const STEP: &str = "additionalDebugStep";

/// The second step.
pub(crate) fn step() -> StepSpec {
    StepSpec::new(STEP, "Additional Debug Step")
}

/// Four reports, `pause` apart.
pub(crate) async fn execute(ctx: &RunContext, pause: Duration) -> Result<Outcome, Failure> {
    let (first, second) = (ctx.step(crate::STEP), ctx.step(STEP));
    first.start();
    first.user_message("This runner is in debug mode: the run ends at random.");
    ctx.or_stopped(tokio::time::sleep(pause)).await?;
    first.user_message("This runner is in debug mode: the inputs are handed back with the next report.");
    ctx.or_stopped(tokio::time::sleep(pause)).await?;
    crate::hand_back(ctx);
    first.succeed();
    second.start();
    ctx.or_stopped(tokio::time::sleep(pause)).await?;
    if rand::random() {
        second.succeed();
        return Ok(Outcome::Succeeded);
    }
    let message = "The run failed at random, since this runner is in debug mode. \
                   Turn `debugMode` off, or start the run again.";
    Err(Failure::new(message).on_step(STEP))
}
