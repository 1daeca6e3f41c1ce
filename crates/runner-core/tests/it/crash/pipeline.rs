//! A platform whose pipelines must not be started twice, and an executor that starts them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use runner_core::meshstack_client::{ImplementationType, Output, OutputType};
use runner_core::{Executor, Failure, Outcome, Run, RunContext, Serves, StepSpec};
use serde_json::{Value, json};

/// The platform: outlives every runner, and counts.
#[derive(Clone, Default)]
pub(super) struct Platform(Arc<Mutex<HashMap<String, Vec<String>>>>);

impl Platform {
    /// Starts a pipeline for a run.
    fn trigger(&self, run: &str) -> String {
        let mut pipelines = self.0.lock().expect("the platform");
        let started = pipelines.entry(run.to_owned()).or_default();
        let id = format!("pipeline-{}", started.len() + 1);
        started.push(id.clone());
        id
    }

    /// The pipelines of a run.
    pub(super) fn pipelines_of(&self, run: &str) -> Vec<String> {
        self.0.lock().expect("the platform").get(run).cloned().unwrap_or_default()
    }
}

/// Starts a pipeline and follows it; after a crash it looks for the pipeline first.
pub(super) struct PipelineExecutor(pub(super) Platform);

pub(super) const TYPE: &str = "TEST_PIPELINE";

#[async_trait]
impl Executor for PipelineExecutor {
    fn serves(&self) -> Serves {
        Serves::Type(ImplementationType::Other(TYPE.to_owned()))
    }

    fn steps(&self, _run: &Run) -> Vec<StepSpec> {
        vec![StepSpec::new("trigger", "Trigger"), StepSpec::new("follow", "Follow"), StepSpec::new("end", "End")]
    }

    fn resumes(&self) -> bool {
        true
    }

    async fn execute(&self, ctx: &RunContext) -> Result<Outcome, Failure> {
        ctx.step("trigger").start();
        pause(ctx, 3).await?;
        ctx.checkpoint(&json!("intent")).await?;
        pause(ctx, 2).await?;
        // Blindly: called twice for one run, this would start it twice.
        let pipeline = self.0.trigger(ctx.run().uuid());
        pause(ctx, 2).await?;
        ctx.checkpoint(&json!(pipeline)).await?;
        follow(ctx, &pipeline).await
    }

    async fn resume(&self, ctx: &RunContext, checkpoint: Value) -> Result<Outcome, Failure> {
        let run = ctx.run().uuid();
        let started = self.0.pipelines_of(run).first().cloned();
        let pipeline = started.unwrap_or_else(|| {
            assert_eq!(checkpoint, json!("intent"), "a pipeline that was noted is there");
            self.0.trigger(run)
        });
        ctx.checkpoint(&json!(pipeline)).await?;
        follow(ctx, &pipeline).await
    }
}

async fn follow(ctx: &RunContext, pipeline: &str) -> Result<Outcome, Failure> {
    ctx.step("trigger").succeed();
    let step = ctx.step("follow");
    step.start();
    for line in 0..5 {
        step.log_line(format!("line {line} of {pipeline}"));
        pause(ctx, 4).await?;
    }
    if wanted(ctx, "fail") {
        return Err(Failure::because("The pipeline failed. Look at it.", "exit code 1"));
    }
    step.succeed();
    assert!(!wanted(ctx, "panic"), "as ordered");
    let end = ctx.step("end");
    end.output("pipeline", &Output { value: json!(pipeline), kind: OutputType::String, is_sensitive: false });
    end.succeed();
    Ok(Outcome::Succeeded)
}

/// Whether the order asks for this end.
fn wanted(ctx: &RunContext, end: &str) -> bool {
    ctx.run().inputs().iter().any(|input| input.key == "end" && input.value == json!(end))
}

/// Work that a crash may cut off.
async fn pause(ctx: &RunContext, milliseconds: u64) -> Result<(), Failure> {
    Ok(ctx.or_stopped(tokio::time::sleep(Duration::from_millis(milliseconds))).await?)
}
