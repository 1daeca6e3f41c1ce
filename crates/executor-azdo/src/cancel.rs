//! Cancels a pipeline run, and waits until it has stopped.
//!
//! Source: `protocol/executors.md`, `AZURE_DEVOPS`, 5.

use std::time::Duration;

use runner_core::Backoff;

use crate::answer::ApiError;
use crate::api::Api;
use crate::follow::{Started, masked};
use crate::model::RunState;
use crate::patience::Patience;

/// Cancels the run. It gives up in time for the grace that a stop has. What came of it is a line in the step's log and in
/// the operator's: nobody waits for an answer.
pub(crate) async fn cancel(started: &Started<'_>) {
    let Started { ctx, settings, step, run, .. } = started;
    let said = match tokio::time::timeout(settings.stop_grace.mul_f64(0.9), try_to(started)).await {
        Ok(Ok(())) => "The pipeline was cancelled in Azure DevOps, or had ended.".to_owned(),
        Ok(Err(error)) if matches!(error, ApiError::Denied { .. }) => format!(
            "The pipeline goes on: the personal access token may not cancel it; it needs the scope \"Build (read and \
             execute)\". {}",
            masked(ctx, &error)
        ),
        Ok(Err(error)) => format!("The pipeline could not be cancelled and may go on: {}", masked(ctx, &error)),
        Err(_) => "The pipeline was told to stop and has not stopped yet.".to_owned(),
    };
    tracing::info!(pipeline_run = run, "{said}");
    step.log_line(said);
}

async fn try_to(started: &Started<'_>) -> Result<(), ApiError> {
    let Started { api, settings, .. } = started;
    let run = started.run;
    let pause = Duration::from_secs(2).min(settings.poll_interval);
    let mut backoff = Backoff::new(pause, settings.poll_interval);
    let mut patience = Patience::new(settings.patience);
    loop {
        match api.cancel(run).await {
            Ok(_) => break,
            Err(error) if error.is_transient() => tokio::time::sleep(backoff.wait(error.wait())).await,
            Err(error @ (ApiError::SignIn { .. } | ApiError::Denied { .. })) => return Err(error),
            // A run that has ended is not cancelled: that is told by an error.
            Err(_) if has_ended(api, run).await => return Ok(()),
            Err(error) if !patience.lasts() => return Err(error),
            Err(_) => tokio::time::sleep(backoff.wait(None)).await,
        }
    }
    let mut backoff = Backoff::new(pause, settings.poll_interval);
    while !has_ended(api, run).await {
        tokio::time::sleep(backoff.wait(None)).await;
    }
    Ok(())
}

async fn has_ended(api: &Api, run: u64) -> bool {
    let seen = api.run(run).await;
    seen.is_ok_and(|seen| seen.value.is_some_and(|run| run.state == RunState::Completed))
}
