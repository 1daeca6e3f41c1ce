#![doc = include_str!("../README.md")]

mod debug;

use std::time::Duration;

use async_trait::async_trait;
use runner_core::meshstack_client::{ImplementationType, Input, InputType, Output, OutputType};
use runner_core::{Executor, Failure, Outcome, Run, RunContext, SecretsWanted, Serves, StepSpec};

const STEP: &str = "manual";

/// Executor for `MANUAL` building blocks: succeeds at once and hands every input back as an output.
///
/// Source: `protocol/executors.md`, "MANUAL".
#[derive(Debug, Clone, Copy, Default)]
pub struct ManualExecutor {
    /// In debug mode, the time between two reports.
    debug: Option<Duration>,
}

impl ManualExecutor {
    /// How far apart the reports of a run in debug mode are.
    pub const DEBUG_PAUSE: Duration = Duration::from_secs(5);

    /// The executor; it has no settings.
    pub fn new() -> Self {
        Self { debug: None }
    }

    /// For development: a run has two steps and four reports, `pause` apart, and ends at random.
    ///
    /// Source: `protocol/executors.md`, "Debug mode of the manual runner".
    pub fn in_debug_mode(pause: Duration) -> Self {
        Self { debug: Some(pause) }
    }
}

#[async_trait]
impl Executor for ManualExecutor {
    fn serves(&self) -> Serves {
        Serves::Type(ImplementationType::Manual)
    }

    fn steps(&self, _run: &Run) -> Vec<StepSpec> {
        let mut steps = vec![StepSpec::new(STEP, "Manual Block Run")];
        if self.debug.is_some() {
            steps.push(debug::step());
        }
        steps
    }

    /// Secret inputs go back as they came, so no key is needed and nothing is decrypted.
    fn secrets(&self) -> SecretsWanted {
        SecretsWanted::AsTheyCame
    }

    /// Nothing outside of meshStack is touched.
    fn repeatable(&self) -> bool {
        true
    }

    async fn execute(&self, ctx: &RunContext) -> Result<Outcome, Failure> {
        if let Some(pause) = self.debug {
            return debug::execute(ctx, pause).await;
        }
        hand_back(ctx);
        ctx.step(STEP).succeed();
        Ok(Outcome::Succeeded)
    }
}

/// Every input becomes an output of the step.
fn hand_back(ctx: &RunContext) {
    let step = ctx.step(STEP);
    for input in ctx.run().as_received().inputs() {
        step.output(&input.key, &output_of(&input));
    }
}

/// The output that an input becomes. A null value is left out by the step.
fn output_of(input: &Input) -> Output {
    let kind = match input.kind {
        InputType::Integer => OutputType::Integer,
        InputType::Boolean => OutputType::Boolean,
        InputType::Code | InputType::List | InputType::MultiSelect => OutputType::Code,
        // STRING, FILE, SINGLE_SELECT; and a type that this version does not know goes back as text.
        _ => OutputType::String,
    };
    Output { value: input.value.clone(), kind, is_sensitive: input.sensitive }
}
