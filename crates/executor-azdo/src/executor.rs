//! The executor: the parts of a run in their order.

use std::time::Duration;

use async_trait::async_trait;
use runner_core::meshstack_client::ImplementationType;
use runner_core::web::{Web, WebSettings};
use runner_core::{Executor, Failure, Outcome, Run, RunContext, Serves, StepSpec, StopReason};
use serde_json::Value;

use crate::AzdoSettings;
use crate::answer::SlowDown;
use crate::api::Api;
use crate::cancel::cancel;
use crate::checkpoint::{self, Checkpoint, after, now};
use crate::follow::{Follow, Started};
use crate::implementation::Implementation;
use crate::inputs::Values;
use crate::trigger::{Begun, Trigger};
use crate::watch::watch;

/// The step of the start; the run's final status, message and link are on it too.
const TRIGGER: &str = "azure-devops-trigger";

/// Executor for `AZURE_DEVOPS` building blocks: runs a pipeline, and follows it to its end unless it reports for itself.
///
/// Source: `protocol/executors.md`, `AZURE_DEVOPS`.
pub struct AzdoExecutor {
    settings: AzdoSettings,
    web: Web,
}

impl AzdoExecutor {
    /// The executor. Nothing is loaded and no connection made before the first run.
    pub fn new(settings: AzdoSettings) -> Self {
        let web = WebSettings { ca_paths: settings.ca_paths.clone(), timeout: settings.request_timeout };
        Self { settings, web: Web::new(web) }
    }

    /// Reads the definition, and hides its token.
    fn prepare(&self, ctx: &RunContext) -> Result<(Implementation, Api), Failure> {
        let implementation = Implementation::read(ctx.run())?;
        let api = Api::new(self.web.clone(), &implementation);
        ctx.hide(&implementation.token);
        ctx.hide(api.credentials());
        Ok((implementation, api))
    }

    /// Notes a pipeline that was started, and hands it over or follows it.
    async fn go_on(
        &self,
        ctx: &RunContext,
        implementation: &Implementation,
        api: &Api,
        pipeline: &Begun,
    ) -> Result<Outcome, Failure> {
        let Begun { run: pipeline, asked } = pipeline;
        let quiet_until = asked.map(|asked| after(SlowDown::wait(Some(asked), self.settings.poll_interval)));
        let link = pipeline.link.clone().unwrap_or_else(|| api.address.run_page(pipeline.id).to_string());
        let checkpoint = Checkpoint::Started { at: now(), run: pipeline.id, link: link.clone(), quiet_until };
        // Noted with the checkpoint.
        ctx.external_run(Some(&pipeline.id.to_string()), Some(&link));
        if let Err(failure) = ctx.checkpoint(&checkpoint).await {
            // The pipeline runs: a disk that is full must not make it look as if it did not.
            tracing::error!(
                cause = failure.causes(),
                "a started pipeline could not be noted; after a crash it would not be known"
            );
        }
        ctx.step(TRIGGER).log_line(format!("Pipeline run {}: {link}", pipeline.id));
        tracing::info!(pipeline_run = pipeline.id, link, "a pipeline was started");
        self.follow_or_hand_over(ctx, implementation, api, checkpoint).await
    }

    async fn follow_or_hand_over(
        &self,
        ctx: &RunContext,
        implementation: &Implementation,
        api: &Api,
        checkpoint: Checkpoint,
    ) -> Result<Outcome, Failure> {
        let Checkpoint::Started { at, run, link, quiet_until } = &checkpoint else { return Err(unreadable()) };
        ctx.external_run(Some(&run.to_string()), Some(link));
        let step = ctx.step(TRIGGER);
        let started = Started {
            ctx,
            api,
            settings: &self.settings,
            step,
            run: *run,
            link: link.clone(),
            at: *at,
            quiet_until: *quiet_until,
        };
        if !implementation.asynchronous {
            return Follow::new(&started).until_it_ends().await;
        }
        if ctx.stop().reason() == Some(StopReason::Aborted) {
            cancel(&started).await;
        }
        started.step.user_message(format!("The pipeline was started and reports for itself: {link}"));
        started.step.succeed();
        let watch = self.settings.watch_handed_over.then(|| serde_json::to_value(&checkpoint).unwrap_or_default());
        Ok(Outcome::HandedOver { watch })
    }
}

#[async_trait]
impl Executor for AzdoExecutor {
    fn serves(&self) -> Serves {
        Serves::Type(ImplementationType::AzureDevops)
    }

    fn steps(&self, _run: &Run) -> Vec<StepSpec> {
        vec![StepSpec::new(TRIGGER, "Trigger Azure DevOps Pipeline")]
    }

    fn stop_grace(&self) -> Duration {
        self.settings.stop_grace
    }

    fn resumes(&self) -> bool {
        true
    }

    fn names_external_run(&self) -> bool {
        true
    }

    async fn execute(&self, ctx: &RunContext) -> Result<Outcome, Failure> {
        let step = ctx.step(TRIGGER);
        step.start();
        let (implementation, api) = self.prepare(ctx)?;
        let values = Values::of(ctx.run());
        let trigger =
            Trigger { ctx, api: &api, settings: &self.settings, implementation: &implementation, step: &step };
        let pipeline = trigger.start(values).await?;
        self.go_on(ctx, &implementation, &api, &pipeline).await
    }

    async fn resume(&self, ctx: &RunContext, checkpoint: Value) -> Result<Outcome, Failure> {
        let (implementation, api) = self.prepare(ctx)?;
        match Checkpoint::read(&checkpoint) {
            Some(checkpoint @ Checkpoint::Started { .. }) => {
                self.follow_or_hand_over(ctx, &implementation, &api, checkpoint).await
            }
            Some(Checkpoint::NotAccepted { until }) => {
                ctx.step(TRIGGER).start();
                ctx.or_stopped(tokio::time::sleep(checkpoint::until(until))).await?;
                self.execute(ctx).await
            }
            Some(Checkpoint::Intended { .. }) => {
                let step = ctx.step(TRIGGER);
                let trigger =
                    Trigger { ctx, api: &api, settings: &self.settings, implementation: &implementation, step: &step };
                let pipeline = trigger.look_for_it(&Values::of(ctx.run()), None, None).await?;
                self.go_on(ctx, &implementation, &api, &pipeline).await
            }
            None => Err(unreadable()),
        }
    }

    async fn watch(&self, ctx: &RunContext, checkpoint: Value) -> Result<(), Failure> {
        let (_, api) = self.prepare(ctx)?;
        let Some(Checkpoint::Started { at, run, link, quiet_until }) = Checkpoint::read(&checkpoint) else {
            return Err(unreadable());
        };
        let step = ctx.step(TRIGGER);
        watch(&Started { ctx, api: &api, settings: &self.settings, step, run, link, at, quiet_until }).await
    }
}

/// A checkpoint of another version.
fn unreadable() -> Failure {
    Failure::new(
        "The runner does not understand what it noted about this run, so it cannot be followed; a pipeline may have been \
         started. Look in Azure DevOps, and start this run again only if there is none.",
    )
}
