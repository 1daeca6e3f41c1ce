//! Single-run mode: one run from a file, as in a pod of a run controller.
//!
//! Source: `protocol/run-controller.md`, "Single-run mode".

use std::sync::Arc;
use std::time::Duration;

use meshstack_client::{RunAccess, RunObject, RunStatus};
use tracing::Instrument as _;

use crate::executors::short;
use crate::lifecycle::Phase;
use crate::one_run::{Mode, OneRun};
use crate::report::Ended;
use crate::runner::Runner;
use crate::secrets::Sealed;
use crate::{Shutdown, StopReason};

/// How long meshStack may be out of reach before anything was started.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long the removal of the run's directory may take.
const REMOVAL_GRACE: Duration = Duration::from_secs(10);

/// How a single run came out.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RunOnce {
    /// Carried out and reported, well or badly.
    Ended {
        /// Whether it succeeded.
        succeeded: bool,
    },
    /// A pipeline reports the end.
    HandedOver,
    /// Aborted in meshStack.
    Aborted,
    /// meshStack had ended it already; it was not carried out again.
    AlreadyOver,
    /// It was carried out, but meshStack did not take the report. To try again would carry it out twice.
    Unreported {
        /// What meshStack said.
        reason: String,
    },
    /// Nothing was started, so it may be tried again.
    NotStarted {
        /// What is wrong.
        reason: String,
    },
}

impl Runner {
    /// Carries one run out and reports it with its run token. Nothing in it is decrypted: a run
    /// controller has done that.
    pub async fn run_once(&self, object: RunObject, shutdown: &Shutdown) -> RunOnce {
        let span = tracing::info_span!("run", run = object.uuid(), kind = short(object.implementation_type().as_str()));
        let Some((handle, _in_hand)) = self.shared.active.take(RunAccess::of(&object)) else {
            return RunOnce::NotStarted { reason: "the run is in hand already".to_owned() };
        };
        let of_run = handle.clone();
        let run = OneRun {
            shared: Arc::clone(&self.shared),
            handle,
            object,
            sealed: Sealed::Open,
            mode: Mode::Single { patience: PATIENCE },
            room: None,
            context: None,
            repeatable: false,
        };
        let mut run = std::pin::pin!(run.carry_out().instrument(span));
        let ended = tokio::select! {
            biased;
            ended = &mut run => ended,
            () = shutdown.draining() => {
                of_run.stop.request(StopReason::Shutdown);
                tokio::select! {
                    biased;
                    ended = &mut run => ended,
                    () = shutdown.at_once() => cut_off(of_run.state().phase),
                }
            }
        };
        let cleaned = tokio::time::timeout(REMOVAL_GRACE, self.shared.removed());
        tokio::select! {
            biased;
            _ = cleaned => {}
            () = shutdown.at_once() => {}
        }
        match ended {
            Ended::Reported(RunStatus::InProgress) | Ended::ToWatch(_) => RunOnce::HandedOver,
            Ended::Reported(status) => RunOnce::Ended { succeeded: status == RunStatus::Succeeded },
            Ended::Aborted => RunOnce::Aborted,
            Ended::AlreadyOver => RunOnce::AlreadyOver,
            Ended::Undelivered(reason) => RunOnce::Unreported { reason },
            Ended::NotStarted(reason) => RunOnce::NotStarted { reason },
        }
    }
}

/// How a run that is dropped in this phase came out.
fn cut_off(phase: Phase) -> Ended {
    let reason = "the runner was told to end at once".to_owned();
    match phase {
        Phase::Claimed | Phase::Registered => Ended::NotStarted(reason),
        _ => Ended::Undelivered(reason),
    }
}
