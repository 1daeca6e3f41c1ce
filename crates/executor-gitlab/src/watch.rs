//! Watches a pipeline that was handed over: it reports its end itself, and somebody must speak up if it cannot.

use std::time::Duration;

use runner_core::web::StatusCode;
use runner_core::{Backoff, Failure, Pace, RunContext, StopReason};

use crate::executor::STEP;
use crate::message::{one_line, sentence, shown};
use crate::pipeline::{FailedJob, Pipeline, Stand};
use crate::reader::{ReadError, Reader};

/// A read token may see a new pipeline a moment later than the trigger's answer.
const TRIES_UNTIL_GONE: u32 = 3;

/// How often a cancel is tried.
const CANCEL_TRIES: u32 = 5;

/// Failed jobs that a message names.
const NAMED: usize = 5;

/// How often to look.
pub(crate) struct Rhythm {
    pub(crate) usual: Duration,
    pub(crate) slowest: Duration,
}

/// Watches until the pipeline is at its end, or the run is. An error: it died without a word.
pub(crate) async fn watch(reader: &Reader<'_>, ctx: &RunContext, id: u64, rhythm: &Rhythm) -> Result<(), Failure> {
    let mut pace = Pace::new(rhythm.usual, rhythm.slowest);
    let mut backoff = Backoff::new(rhythm.usual, rhythm.slowest);
    let (mut status, mut not_found) = (String::new(), 0);
    loop {
        let Ok(looked) = ctx.or_stopped(reader.pipeline(id)).await else { break };
        let wait = match looked {
            Ok(pipeline) => {
                backoff.reset();
                not_found = 0;
                match pipeline.stand() {
                    Stand::Succeeded => return Ok(()),
                    Stand::Failed | Stand::Canceled => {
                        let Ok(failure) = ctx.or_stopped(died(reader, &pipeline)).await else { break };
                        return Err(failure);
                    }
                    Stand::UnderWay if pipeline.status == status => pace.unchanged(),
                    Stand::UnderWay => pace.changed(),
                }
                status = pipeline.status;
                pace.wait()
            }
            Err(error) => {
                if error.refused() == Some(StatusCode::NOT_FOUND) {
                    not_found += 1;
                }
                let gives_up = match error.refused() {
                    Some(StatusCode::NOT_FOUND) => not_found >= TRIES_UNTIL_GONE,
                    other => other.is_some(),
                };
                if gives_up {
                    say_given_up(ctx, id, &error);
                    return Ok(());
                }
                let cause = ctx.masker().mask(&error.to_string()).into_owned();
                tracing::debug!(pipeline = id, cause, "a watched pipeline could not be looked at; trying again");
                backoff.wait(error.wait())
            }
        };
        if ctx.or_stopped(tokio::time::sleep(wait)).await.is_err() {
            break;
        }
    }
    // The run is over, or nothing could be reported any more; only an abort asks for something.
    if ctx.stop().reason() == Some(StopReason::Aborted) {
        cancel(reader, ctx, id).await;
    }
    Ok(())
}

fn say_given_up(ctx: &RunContext, id: u64, error: &ReadError) {
    tracing::warn!(
        pipeline = id,
        cause = %ctx.masker().mask(&error.to_string()),
        "a pipeline is no longer watched: GitLab refused the read token, which needs the scope `read_api` and access to \
         the project. The run goes on, and ends when the pipeline reports"
    );
}

/// Cancels a pipeline whose run was aborted.
pub(crate) async fn cancel(reader: &Reader<'_>, ctx: &RunContext, id: u64) {
    let mut backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(5));
    for attempt in 1..=CANCEL_TRIES {
        let error = match reader.cancel(id).await {
            Ok(()) => {
                tracing::info!(pipeline = id, "the pipeline of an aborted run was canceled");
                return;
            }
            Err(error) => error,
        };
        if error.refused().is_some() || attempt == CANCEL_TRIES {
            tracing::warn!(
                pipeline = id,
                cause = %ctx.masker().mask(&error.to_string()),
                "the pipeline of an aborted run could not be canceled and may go on: the read token needs the scope `api` \
                 and the role Developer in the project. Cancel it in GitLab"
            );
            return;
        }
        tokio::time::sleep(backoff.wait(error.wait())).await;
    }
}

/// The failure of a run whose pipeline is at its end and has not said so.
async fn died(reader: &Reader<'_>, pipeline: &Pipeline) -> Failure {
    let jobs = match pipeline.stand() {
        Stand::Canceled => Ok(Vec::new()),
        _ => reader.failed_jobs(pipeline.id).await,
    };
    let place = pipeline.web_url.as_deref().map_or_else(|| format!("number {}", pipeline.id), str::to_owned);
    let end = if pipeline.stand() == Stand::Canceled { "was canceled in GitLab" } else { "failed" };
    let cause = match &jobs {
        Ok(jobs) => format!("pipeline {} has the status {}; failed jobs: {}", pipeline.id, pipeline.status, jobs.len()),
        Err(error) => format!("the failed jobs of pipeline {} could not be read: {error}", pipeline.id),
    };
    let sentences = [
        Some(format!("The GitLab pipeline {end} and has not reported an end to meshStack.")),
        jobs.ok().filter(|jobs| !jobs.is_empty()).map(|jobs| named(&jobs)),
        (pipeline.yaml_errors.as_deref())
            .map(|errors| format!("Its configuration is wrong: {}", sentence(&one_line(errors, 200)))),
        Some(format!("Look at the pipeline ({place}), then start the run again.")),
    ];
    let message = sentences.into_iter().flatten().collect::<Vec<_>>().join(" ");
    Failure::because(message, cause).on_step(STEP)
}

fn named(jobs: &[FailedJob]) -> String {
    let one = |job: &FailedJob| {
        let details: Vec<String> =
            (job.reason.iter().map(|reason| one_line(reason, 60))).chain(job.web_url.iter().cloned()).collect();
        if details.is_empty() { shown(&job.name) } else { format!("{} ({})", shown(&job.name), details.join(", ")) }
    };
    let first: Vec<String> = jobs.iter().take(NAMED).map(one).collect();
    let more = jobs.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let word = if jobs.len() == 1 { "Failed job" } else { "Failed jobs" };
    format!("{word}: {}{more}.", first.join("; "))
}
