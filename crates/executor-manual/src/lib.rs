#![doc = include_str!("../README.md")]

use async_trait::async_trait;
use runner_core::meshstack_client::{ImplementationType, Input, InputType, Output, OutputType};
use runner_core::{Executor, Failure, Outcome, Run, RunContext, SecretsWanted, Serves, StepSpec};

const STEP: &str = "manual";

/// Executor for `MANUAL` building blocks: succeeds at once and hands every input back as an output.
///
/// Source: `protocol/executors.md`, "MANUAL".
#[derive(Debug, Clone, Copy, Default)]
pub struct ManualExecutor;

impl ManualExecutor {
    /// The executor; it has no settings.
    pub fn new() -> Self {
        Self
    }
}

#[async_trait]
impl Executor for ManualExecutor {
    fn serves(&self) -> Serves {
        Serves::Type(ImplementationType::Manual)
    }

    fn steps(&self, _run: &Run) -> Vec<StepSpec> {
        vec![StepSpec::new(STEP, "Manual Block Run")]
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
        let step = ctx.step(STEP);
        for input in ctx.run().as_received().inputs() {
            step.output(&input.key, &output_of(&input));
        }
        step.succeed();
        Ok(Outcome::Succeeded)
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
