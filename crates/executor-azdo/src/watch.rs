//! Watches a pipeline that reports for itself: speaks up only if it died without a word.

use runner_core::{Backoff, Failure, Pace, StopReason, Stopped};

use crate::answer::{ApiError, LONGEST_WAIT, SlowDown};
use crate::cancel::cancel;
use crate::follow::{Over, Started, end_of, failed, is_over, last_timeline, masked};
use crate::model::{PipelineRun, RunEnd};
use crate::patience::Patience;

/// How much slower it is looked at while nothing changes.
const SLOWER: u32 = 4;

/// Watches until the pipeline has ended, or nothing could be said any more. A pipeline that waits for an approval is
/// alive, however long it waits.
pub(crate) async fn watch(started: &Started<'_>) -> Result<(), Failure> {
    let Started { ctx, api, settings, run, .. } = started;
    let interval = settings.watch_interval;
    let mut pace = Pace::new(interval, interval * SLOWER);
    let mut backoff = Backoff::new(interval, interval * SLOWER);
    let mut patience = Patience::new(settings.patience.max(interval));
    let mut unsettled = Patience::new(settings.patience.max(interval));
    let mut seen_before: Option<PipelineRun> = None;
    if let Err(Stopped(reason)) = started.wait_for_quiet(LONGEST_WAIT).await {
        return stopped(started, reason).await;
    }
    loop {
        let wait = match ctx.or_stopped(api.run(*run)).await {
            Err(Stopped(reason)) => return stopped(started, reason).await,
            Ok(Ok(seen)) => {
                patience.restore();
                backoff.reset();
                if let Some(pipeline) = &seen.value {
                    match is_over(started, pipeline).await {
                        Over::Yes => return ended(started, pipeline).await,
                        Over::Unsettled if !unsettled.lasts() => return ended(started, pipeline).await,
                        Over::Unsettled => {}
                        Over::No => unsettled.restore(),
                    }
                }
                if seen.value == seen_before {
                    pace.unchanged();
                } else {
                    pace.changed();
                }
                seen_before = seen.value;
                SlowDown::wait(seen.slow_down, pace.wait())
            }
            Ok(Err(error)) if !error.is_transient() && !patience.lasts() => return given_up(started, error),
            Ok(Err(error)) => {
                let shown = masked(ctx, &error);
                tracing::debug!(pipeline_run = run, error = shown, "a pipeline cannot be watched at the moment");
                backoff.wait(error.wait())
            }
        };
        if let Err(Stopped(reason)) = ctx.or_stopped(tokio::time::sleep(wait)).await {
            return stopped(started, reason).await;
        }
    }
}

async fn ended(started: &Started<'_>, pipeline: &PipelineRun) -> Result<(), Failure> {
    let Started { link, step, .. } = started;
    let end = end_of(started, pipeline).await;
    if matches!(end, RunEnd::Succeeded | RunEnd::PartiallySucceeded) {
        // It may have started another pipeline that reports.
        return Ok(());
    }
    let timeline = last_timeline(started).await;
    let message = format!("{} It had not reported an end by itself.", failed(&end, timeline.as_ref(), link));
    Err(Failure::new(message).on_step(step.id()))
}

/// It cannot be watched any more. Without the token that is no sign of death; a run that was deleted will not report.
fn given_up(started: &Started<'_>, error: ApiError) -> Result<(), Failure> {
    let Started { ctx, step, link, run, .. } = started;
    if matches!(error, ApiError::NotFound { .. }) {
        let message = format!(
            "The pipeline run is gone: it was deleted in Azure DevOps before it reported its end ({link}). Look at what it has \
             done, then start the run again."
        );
        return Err(Failure::because(message, error).on_step(step.id()));
    }
    let error = masked(ctx, &error);
    tracing::warn!(
        pipeline_run = run,
        error,
        "a pipeline that was handed over cannot be watched any more; its own report is waited for"
    );
    Ok(())
}

async fn stopped(started: &Started<'_>, reason: StopReason) -> Result<(), Failure> {
    if reason == StopReason::Aborted {
        cancel(started).await;
    }
    Ok(())
}
