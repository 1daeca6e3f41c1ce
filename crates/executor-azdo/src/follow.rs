//! Follows a pipeline run to its end.
//!
//! Source: `protocol/executors.md`, `AZURE_DEVOPS`, 2 and 3.

use std::time::{Duration, Instant};

use runner_core::{Backoff, Failure, Outcome, RunContext, Step, StopReason, Stopped};

use crate::AzdoSettings;
use crate::answer::{ApiError, SlowDown};
use crate::api::Api;
use crate::cancel::cancel;
use crate::checkpoint::{self, left};
use crate::model::{PipelineRun, RunEnd, RunState};
use crate::patience::Patience;
use crate::problems;
use crate::stages::{Stages, failed_stages};
use crate::timeline::{State, Timeline};

/// The slowest that a pipeline is looked at while Azure DevOps is in trouble.
const SLOWEST: Duration = Duration::from_secs(60);

/// How often something is asked that only the end of a run needs.
const LAST_TRIES: usize = 3;

/// The longest pause between two of these.
const LAST_PAUSE: Duration = Duration::from_secs(2);

/// A pipeline run that was started, seen from our side.
pub(crate) struct Started<'a> {
    pub(crate) ctx: &'a RunContext,
    pub(crate) api: &'a Api,
    pub(crate) settings: &'a AzdoSettings,
    /// The step that carries the run's final status.
    pub(crate) step: Step,
    pub(crate) run: u64,
    pub(crate) link: String,
    /// When it was started, in seconds since 1970.
    pub(crate) at: u64,
    /// No request is wanted before this time, in seconds since 1970.
    pub(crate) quiet_until: Option<u64>,
}

impl Started<'_> {
    /// Waits until Azure DevOps wants to be asked, if it said when, but not longer than `most`.
    pub(crate) async fn wait_for_quiet(&self, most: Duration) -> Result<(), Stopped> {
        let Some(time) = self.quiet_until else { return Ok(()) };
        self.ctx.or_stopped(tokio::time::sleep(checkpoint::until(time).min(most))).await
    }
}

/// Whether a run has ended.
pub(crate) enum Over {
    /// It goes on.
    No,
    /// Pipelines says that it has ended and not how, and for Build it goes on: one of them lags behind.
    Unsettled,
    /// It has ended.
    Yes,
}

/// Whether a run has ended: Build is asked where Pipelines does not say everything.
pub(crate) async fn is_over(started: &Started<'_>, pipeline: &PipelineRun) -> Over {
    match pipeline.state {
        RunState::Completed if pipeline.end() != RunEnd::NotSaid => Over::Yes,
        RunState::Completed => match started.api.build(pipeline.id).await {
            Ok(build) if !build.completed && build.end == RunEnd::NotSaid => Over::Unsettled,
            // What cannot be read now is asked for again with the end.
            _ => Over::Yes,
        },
        RunState::Unknown if started.api.build(pipeline.id).await.is_ok_and(|build| build.completed) => Over::Yes,
        RunState::InProgress | RunState::Unknown => Over::No,
    }
}

/// What one look at a run gave.
enum Look {
    /// It goes on.
    GoesOn(Option<SlowDown>),
    /// It has ended.
    Ended(PipelineRun),
}

/// Follows one run.
pub(crate) struct Follow<'a> {
    started: &'a Started<'a>,
    stages: Stages,
    patience: Patience,
    /// For an end that is not settled.
    unsettled: Patience,
    backoff: Backoff,
    /// The last message of the trigger step.
    message: String,
    /// Whether the last timeline could be read.
    timeline_read: bool,
}

impl<'a> Follow<'a> {
    pub(crate) fn new(started: &'a Started<'a>) -> Self {
        let interval = started.settings.poll_interval;
        Self {
            started,
            stages: Stages::default(),
            patience: Patience::new(started.settings.patience),
            unsettled: Patience::new(started.settings.patience),
            backoff: Backoff::new(interval, SLOWEST.max(interval)),
            message: String::new(),
            timeline_read: true,
        }
    }

    /// Follows it until it ends, the limit is reached, or a stop is asked for.
    pub(crate) async fn until_it_ends(mut self) -> Result<Outcome, Failure> {
        let Started { ctx, settings, at, .. } = self.started;
        let until = Instant::now() + left(settings.pipeline_timeout, *at);
        if let Err(Stopped(reason)) = self.started.wait_for_quiet(left(settings.pipeline_timeout, *at)).await {
            return Err(self.stopped(reason).await);
        }
        loop {
            let wait = match ctx.or_stopped(self.look()).await {
                Err(Stopped(reason)) => return Err(self.stopped(reason).await),
                Ok(Ok(Look::Ended(run))) => return self.ended(&run).await,
                Ok(Ok(Look::GoesOn(asked))) => SlowDown::wait(asked, settings.poll_interval),
                Ok(Err(error)) => self.wait_after(error)?,
            };
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(self.out_of_time());
            }
            if let Err(Stopped(reason)) = ctx.or_stopped(tokio::time::sleep(wait.min(left))).await {
                return Err(self.stopped(reason).await);
            }
        }
    }

    async fn look(&mut self) -> Result<Look, ApiError> {
        let Started { api, run, .. } = self.started;
        let seen = api.run(*run).await?;
        // A proxy may answer with JSON of its own.
        let Some(pipeline) = seen.value else {
            return Err(ApiError::Page { title: "JSON that is no run".to_owned() });
        };
        self.patience.restore();
        self.backoff.reset();
        match is_over(self.started, &pipeline).await {
            Over::Yes => return Ok(Look::Ended(pipeline)),
            Over::Unsettled if !self.unsettled.lasts() => return Ok(Look::Ended(pipeline)),
            Over::Unsettled => {}
            Over::No => self.unsettled.restore(),
        }
        let asked = self.look_at_stages().await;
        Ok(Look::GoesOn(seen.slow_down.max(asked)))
    }

    /// Shows the stages. If that does not work it costs the stages, nothing else.
    async fn look_at_stages(&mut self) -> Option<SlowDown> {
        let Started { ctx, api, run, link, step, .. } = self.started;
        let asked = match api.timeline(*run).await {
            Ok(seen) => {
                self.timeline_read = true;
                self.stages.show(ctx, &seen.value, link);
                seen.slow_down
            }
            Err(error) => {
                if std::mem::replace(&mut self.timeline_read, false) {
                    step.log_line(format!("The stages cannot be read at the moment: {error}."));
                }
                error.wait().map(SlowDown::Asked)
            }
        };
        let message = match (self.stages.waiting(), self.stages.any()) {
            (Some(waiting), _) => format!("The pipeline waits for {waiting}: {link}"),
            (None, true) => format!("The pipeline is running: {link}"),
            (None, false) => format!("The pipeline was started and waits to begin: {link}"),
        };
        if self.stages.any() {
            step.succeed();
        } else {
            step.start();
        }
        if self.message != message {
            step.user_message(&message);
            self.message = message;
        }
        asked
    }

    /// How long to wait after a look that did not work, or the end of all looks.
    fn wait_after(&mut self, error: ApiError) -> Result<Duration, Failure> {
        let Started { ctx, step, run, link, .. } = self.started;
        if !error.is_transient() && !self.patience.lasts() {
            self.stages.give_up(ctx, link);
            return Err(problems::lost_sight(error, link).on_step(step.id()));
        }
        let wait = self.backoff.wait(error.wait());
        let error = masked(ctx, &error);
        tracing::warn!(
            pipeline_run = run,
            error,
            wait_seconds = wait.as_secs(),
            "a pipeline cannot be looked at; this is tried again"
        );
        Ok(wait)
    }

    async fn ended(mut self, pipeline: &PipelineRun) -> Result<Outcome, Failure> {
        let Started { ctx, api, run, link, step, .. } = self.started;
        let end = end_of(self.started, pipeline).await;
        let timeline = last_timeline(self.started).await;
        self.stages.close(ctx, api, *run, timeline.as_ref(), &end).await;
        let message = match &end {
            RunEnd::Succeeded => format!("The pipeline succeeded: {link}"),
            RunEnd::PartiallySucceeded => format!("The pipeline succeeded in part, look at its warnings: {link}"),
            _ => {
                let failure = Failure::new(failed(&end, timeline.as_ref(), link));
                return Err(failure.on_step(step.id()));
            }
        };
        step.user_message(&message);
        step.succeed();
        ctx.summary(message);
        Ok(Outcome::Succeeded)
    }

    fn out_of_time(&self) -> Failure {
        let Started { ctx, settings, link, step, .. } = self.started;
        self.stages.give_up(ctx, link);
        let waiting = self.stages.waiting().map(|what| format!(" It waits for {what}.")).unwrap_or_default();
        Failure::new(format!(
            "The pipeline was still running after {} and is not followed any longer; it may still be running ({link}).{waiting} \
             Look there how it ends. If it needs this long, ask the platform team to raise the limit.",
            in_words(settings.pipeline_timeout),
        ))
        .on_step(step.id())
    }

    /// The run is to stop. Only an abort stops the pipeline.
    async fn stopped(&self, reason: StopReason) -> Failure {
        let Started { ctx, link, step, .. } = self.started;
        match reason {
            StopReason::Aborted => cancel(self.started).await,
            StopReason::RunOver => {}
            _ => {
                self.stages.give_up(ctx, link);
                // The core puts the reason before it.
                let left = format!("The pipeline was not stopped and may still be running: {link}");
                return Failure::new(left).on_step(step.id());
            }
        }
        Failure::from(Stopped(reason)).on_step(step.id())
    }
}

/// An error as the operator's log may show it: Azure DevOps may say a secret back.
pub(crate) fn masked(ctx: &RunContext, error: &ApiError) -> String {
    ctx.masker().mask(&error.to_string()).into_owned()
}

/// How a run ended: what Pipelines does not say, Build does.
pub(crate) async fn end_of(started: &Started<'_>, pipeline: &PipelineRun) -> RunEnd {
    let Started { ctx, api, settings, .. } = started;
    let end = pipeline.end();
    if end != RunEnd::NotSaid {
        return end;
    }
    for left in (0..LAST_TRIES).rev() {
        match api.build(pipeline.id).await {
            Ok(build) => return build.end,
            Err(error) => {
                let error = masked(ctx, &error);
                tracing::warn!(pipeline_run = pipeline.id, error, "the result of a pipeline cannot be read");
            }
        }
        if left > 0 {
            tokio::time::sleep(settings.poll_interval.min(LAST_PAUSE)).await;
        }
    }
    end
}

/// The timeline of a run that has ended. It may lag behind the run for a moment.
pub(crate) async fn last_timeline(started: &Started<'_>) -> Option<Timeline> {
    let Started { ctx, api, settings, run, .. } = started;
    let mut last = None;
    for left in (0..LAST_TRIES).rev() {
        match api.timeline(*run).await {
            Ok(seen) if seen.value.stages().iter().all(|stage| stage.state == State::Completed) => {
                return Some(seen.value);
            }
            Ok(seen) => last = Some(seen.value),
            Err(error) => {
                let error = masked(ctx, &error);
                tracing::warn!(pipeline_run = run, error, "the stages of a pipeline cannot be read");
            }
        }
        if left > 0 {
            tokio::time::sleep(settings.poll_interval.min(LAST_PAUSE)).await;
        }
    }
    last
}

/// The message of a run whose pipeline did not succeed.
pub(crate) fn failed(end: &RunEnd, timeline: Option<&Timeline>, link: &str) -> String {
    let what = match end {
        RunEnd::Canceled => "The pipeline was cancelled in Azure DevOps",
        RunEnd::NotSaid => "The pipeline ended, and Azure DevOps does not say how",
        _ => "The pipeline failed",
    };
    let stages = timeline.map(failed_stages).filter(|stages| !stages.is_empty());
    let stages = stages.map(|stages| format!(" {stages}")).unwrap_or_default();
    format!("{what} ({link}).{stages} Look there for the reason, then start the run again.")
}

/// A duration as people write it.
fn in_words(duration: Duration) -> String {
    match duration.as_secs() {
        seconds @ 0..120 => format!("{seconds} seconds"),
        seconds => format!("{} minutes", seconds / 60),
    }
}
