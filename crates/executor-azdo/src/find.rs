//! Finds the pipeline run of a start whose answer was lost, or that a crash cut off.
//!
//! Azure DevOps cannot be told an id of ours, so a run is known as ours only if one of its values names our run, as the
//! input `MESHSTACK_SELF_URL` does. Anything less (the same values, about the same time) would also fit the run of somebody
//! who ordered the same a moment earlier.

use std::time::{Duration, Instant};

use runner_core::{Backoff, RunContext, StopReason, Stopped};

use crate::AzdoSettings;
use crate::answer::ApiError;
use crate::api::Api;
use crate::follow::masked;
use crate::model::PipelineRun;

/// So many of the newest runs are looked at. More are not started in the time that a run is looked for.
const NEWEST: usize = 30;

/// The first wait between two looks; they get longer.
const FIRST_WAIT: Duration = Duration::from_secs(2);

/// The part of the stop grace that an aborted run's pipeline is looked for; the rest is for cancelling it.
const SEARCH_SHARE: f64 = 0.5;

/// Looks for the run that has all of these values. `None` if there is no such run, or none that is certain; it may take a
/// while to show up, so that it is looked for repeatedly. An abort does not end the search, it only makes it short: the
/// pipeline is to be cancelled, and for that it must be known.
pub(crate) async fn find(
    ctx: &RunContext,
    api: &Api,
    settings: &AzdoSettings,
    proof: &[(String, String)],
) -> Result<Option<PipelineRun>, Stopped> {
    if proof.is_empty() {
        return Ok(None);
    }
    match ctx.or_stopped(search(ctx, api, settings, proof)).await {
        Err(Stopped(StopReason::Aborted)) => {
            let search = search(ctx, api, settings, proof);
            let found = tokio::time::timeout(settings.stop_grace.mul_f64(SEARCH_SHARE), search).await;
            Ok(found.unwrap_or_default())
        }
        done => done,
    }
}

async fn search(
    ctx: &RunContext,
    api: &Api,
    settings: &AzdoSettings,
    proof: &[(String, String)],
) -> Option<PipelineRun> {
    let until = Instant::now() + settings.patience;
    let mut backoff = Backoff::new(FIRST_WAIT.min(settings.poll_interval), settings.poll_interval);
    loop {
        let found = match look(api, proof).await {
            Ok(mut found) if found.len() == 1 => return found.pop(),
            Ok(found) => found,
            Err(error) => {
                let error = masked(ctx, &error);
                tracing::warn!(error, "the runs of a pipeline cannot be listed, to find the one that was started");
                Vec::new()
            }
        };
        let wait = backoff.wait(None);
        if found.len() > 1 || Instant::now() + wait >= until {
            return None;
        }
        tokio::time::sleep(wait).await;
    }
}

async fn look(api: &Api, proof: &[(String, String)]) -> Result<Vec<PipelineRun>, ApiError> {
    let mut runs = api.runs().await?;
    runs.sort_by_key(|run| std::cmp::Reverse(run.id));
    let mut found = Vec::new();
    for run in runs.into_iter().take(NEWEST) {
        // A list leaves the values out.
        let run = if has(&run, proof) { Some(run) } else { api.run(run.id).await?.value };
        found.extend(run.filter(|run| has(run, proof)));
    }
    Ok(found)
}

fn has(run: &PipelineRun, proof: &[(String, String)]) -> bool {
    proof.iter().all(|(name, value)| run.values.get(name) == Some(value))
}
