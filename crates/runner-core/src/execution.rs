//! Calls the executor, and keeps it within its limits.

use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures_util::FutureExt as _;
use serde_json::Value;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument as _;

use crate::access::Access;
use crate::executors::panic_text;
use crate::journal::{Entry, Stage};
use crate::reporter::Reporter;
use crate::{Executor, Failure, Outcome, RunContext, Stop, StopReason, token};

/// The execution of one run.
pub(crate) struct Execution {
    pub(crate) executor: Arc<dyn Executor>,
    pub(crate) access: Arc<Access>,
    pub(crate) stop: Stop,
}

/// How an executor is called.
pub(crate) enum Start {
    /// From the beginning.
    Anew,
    /// From its last checkpoint.
    From(Value),
}

impl Start {
    /// What may be done with a run after a restart. `None`: nothing, it is interrupted.
    pub(crate) fn after_restart(entry: &Entry, executor: &dyn Executor) -> Option<Self> {
        match (&entry.checkpoint, entry.stage) {
            (Some(checkpoint), _) => Some(Self::From(checkpoint.clone())),
            (None, Stage::Claimed) => Some(Self::Anew),
            (None, _) if executor.repeatable() => Some(Self::Anew),
            (None, _) => None,
        }
    }
}

type Finished = Result<Result<Outcome, Failure>, Box<dyn Any + Send>>;

impl Execution {
    /// Calls the executor and reports what it says until it is done.
    ///
    /// It is polled once right here: one that is done at once, as a manual run is, is reported with
    /// a single patch. All others get a task of their own.
    pub(crate) async fn follow(
        self,
        start: Start,
        ctx: Arc<RunContext>,
        reporter: &mut Reporter,
    ) -> Result<Outcome, Failure> {
        let executor = Arc::clone(&self.executor);
        let call = AssertUnwindSafe(async move {
            match start {
                Start::Anew => executor.execute(&ctx).await,
                Start::From(checkpoint) => executor.resume(&ctx, checkpoint).await,
            }
        });
        let mut call = Box::pin(call.catch_unwind());
        let finished = match futures_util::poll!(call.as_mut()) {
            Poll::Ready(finished) => finished,
            Poll::Pending => {
                let task = AbortOnDropHandle::new(tokio::spawn(call.in_current_span()));
                let task = async { task.await.unwrap_or_else(|lost| Err(Box::new(lost.to_string()) as _)) };
                reporter.report_until(self.within_limits(task), &self.stop).await
            }
        };
        let result = finished.unwrap_or_else(|panic| {
            Err(Failure::because(
                "The runner failed while carrying out this run, through a mistake of its own. \
                 Check the result, and tell the platform team.",
                panic_text(panic.as_ref()),
            ))
        });
        // What the executor says of a stop is a consequence; the person who ordered wants the reason.
        match (result, self.stop.reason()) {
            (Err(failure), Some(reason)) => Err(failure.overridden_by(reason.user_message())),
            (result, _) => result,
        }
    }

    /// Waits for the executor; asks it to stop at its limits, and goes on without it when it does not.
    async fn within_limits(&self, work: impl Future<Output = Finished>) -> Finished {
        let mut work = std::pin::pin!(work);
        let limit = self.executor.time_limit();
        tokio::select! {
            biased;
            finished = &mut work => return finished,
            _ = self.stop.requested() => {}
            () = after(limit) => self.stop.request(StopReason::TimeLimit(limit.unwrap_or_default())),
            () = token::about_to_end(&self.access) => self.stop.request(StopReason::TokenExpires),
        }
        let reason = self.stop.requested().await;
        let grace = self.executor.stop_grace();
        tracing::info!(%reason, ?grace, "the run is asked to stop");
        tokio::time::timeout(grace, work).await.unwrap_or_else(|_| {
            tracing::warn!(%reason, "the executor did not stop in time; the run goes on without it");
            Ok(Err(Failure::because(
                reason.user_message(),
                format!("it did not stop within {}", crate::stop::human(grace)),
            )))
        })
    }
}

/// Waits this long; for ever without a limit.
async fn after(limit: Option<Duration>) {
    match limit {
        Some(limit) => tokio::time::sleep(limit).await,
        None => std::future::pending().await,
    }
}
