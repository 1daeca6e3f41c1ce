//! After a hand-over: the pipeline reports the end, and somebody watches that it does.
//!
//! Nothing is reported meanwhile, and no room is taken up. meshStack is only asked now and then whether the run is over.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use meshstack_client::{Problem, RunStatus};
use serde_json::Value;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument as _;

use crate::active::Handle;
use crate::executors::panic_text;
use crate::report::{Ended, Note, Report};
use crate::reporter::{Reporter, cause};
use crate::retry::jittered;
use crate::runner::Shared;
use crate::{Executor, Failure, RunContext, StopReason, token};

/// How often meshStack is asked whether the run is over.
const ASK: Duration = Duration::from_secs(15);

/// What meshStack says of a run that ended. Source: `protocol/run-api.md`, "Read a run".
const OVER: [&str; 2] = ["SUCCEEDED", "FAILED"];

/// The watch over one run.
pub(crate) struct Watch {
    pub(crate) executor: Arc<dyn Executor>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) handle: Handle,
    pub(crate) checkpoint: Value,
}

impl Watch {
    /// Watches until there is nothing to watch, and reports the end if nobody else can.
    pub(crate) async fn over(self, ctx: Arc<RunContext>, report: &Report, reporter: &mut Reporter) -> Ended {
        self.handle.set_watched(true);
        tracing::info!("the run is handed over, and watched");
        let stop = self.handle.stop.clone();
        let (executor, checkpoint) = (Arc::clone(&self.executor), self.checkpoint.clone());
        let work = AssertUnwindSafe(async move { executor.watch(&ctx, checkpoint).await }).catch_unwind();
        let mut work = AbortOnDropHandle::new(tokio::spawn(work.in_current_span()));
        let mut asking = std::pin::pin!(self.ask());
        let mut token_ends = std::pin::pin!(token::about_to_end(&self.handle.access));
        let mut overdue = std::pin::pin!(async {
            stop.requested().await;
            tokio::time::sleep(self.executor.stop_grace()).await;
        });
        let (mut asked, mut expired) = (false, false);
        let watched = loop {
            tokio::select! {
                biased;
                watched = &mut work => break Some(watched),
                () = &mut overdue => break None,
                () = self.handle.access.renewed() => {
                    // meshStack gave it again: it is told once more who carries it out.
                    if let Err(error) = reporter.tell(&stop).await {
                        tracing::warn!(%error, cause = cause(&error), "meshStack did not take the hand-over of a run that it gave again");
                    }
                }
                reason = &mut asking, if !asked => {
                    asked = true;
                    if let Some(reason) = reason {
                        stop.request(reason);
                    }
                }
                () = &mut token_ends, if !expired => {
                    expired = true;
                    stop.request(StopReason::TokenExpires);
                }
            }
        };
        let failure = match watched {
            None | Some(Ok(Ok(Ok(())))) => None,
            Some(Ok(Ok(Err(failure)))) => Some(failure),
            Some(Ok(Err(panic))) => Some(lost(&panic_text(panic.as_ref()))),
            Some(Err(ended)) => Some(lost(&ended.to_string())),
        };
        match (failure, stop.reason()) {
            (_, Some(StopReason::Aborted | StopReason::RunOver)) => {
                tracing::info!("the run is over in meshStack");
                report.give_up().await
            }
            (None, _) => {
                tracing::info!("there is nothing left to watch");
                report.journal.remove().await;
                Ended::Reported(RunStatus::InProgress)
            }
            (Some(failure), _) => {
                let end = report.failed(&failure);
                report.deliver(reporter, end, &mut None, Note::Needed, None).await
            }
        }
    }

    /// Asks meshStack, again and again. `None`: it does not say.
    async fn ask(&self) -> Option<StopReason> {
        loop {
            tokio::time::sleep(jittered(ASK)).await;
            let error = match self.shared.api.read_run(&self.handle.access.current()).await {
                Ok(run) => match run.status() {
                    Some("ABORTED") => return Some(StopReason::Aborted),
                    Some(status) if OVER.contains(&status) => return Some(StopReason::RunOver),
                    _ => continue,
                },
                Err(error) => error,
            };
            match error.problem {
                Problem::Gone { .. } => return Some(StopReason::RunOver),
                Problem::Unauthorised { .. } => {
                    tracing::warn!(%error, "meshStack does not say how a handed-over run is getting on; an abort is not noticed");
                    return None;
                }
                _ => {
                    tracing::debug!(%error, cause = cause(&error), "asking for a handed-over run failed, trying again");
                }
            }
        }
    }
}

/// A watch that broke down says nothing of the pipeline.
fn lost(reason: &str) -> Failure {
    Failure::because(
        "The runner lost sight of the pipeline through a mistake of its own, and cannot say how it ended. \
         Check the pipeline, and tell the platform team.",
        reason.to_owned(),
    )
}
