//! The trait that a platform implements.

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use meshstack_client::ImplementationType;
use serde_json::Value;

use crate::{Failure, Run, RunContext};

/// Carries out the runs of one implementation type.
///
/// Written for the implementer: the core claims a run, decrypts it, registers its steps and calls
/// [`execute`](Self::execute) once. What the executor says through the [`RunContext`] is reported
/// for it; an executor never talks to meshStack, and a report that fails never fails an executor.
///
/// An executor is shared by all runs of its type that run at the same time.
#[async_trait]
pub trait Executor: Send + Sync + 'static {
    /// Which runs it carries out.
    fn serves(&self) -> Serves;

    /// The steps of this run, in the order people see them. Called before
    /// [`execute`](Self::execute), also for runs that then fail to start; the first step is the one
    /// that carries the message of such a failure. At least one.
    fn steps(&self, run: &Run) -> Vec<StepSpec>;

    /// How it wants secret inputs.
    fn secrets(&self) -> SecretsWanted {
        SecretsWanted::Decrypted
    }

    /// How long a run may take, counted from the call of [`execute`](Self::execute). After it the
    /// core asks the run to stop, with [`StopReason::TimeLimit`](crate::StopReason::TimeLimit).
    fn time_limit(&self) -> Option<Duration> {
        None
    }

    /// How long a run needs at most to stop in order once it was asked to. After it the core drops
    /// the future and ends the run without it.
    fn stop_grace(&self) -> Duration {
        Duration::from_secs(10)
    }

    /// Does the work of one run.
    ///
    /// When [`RunContext::stop`] is cancelled it should leave things in order and return soon, best
    /// with the error that [`RunContext::or_stopped`] gives; a return value after an abort is not
    /// reported. A panic fails this run and no other.
    ///
    /// Before something that must not happen twice (a pipeline is triggered) it calls
    /// [`RunContext::checkpoint`]: after a crash, a run with a checkpoint goes to
    /// [`resume`](Self::resume). One without ends FAILED as interrupted, unless it was still waiting
    /// for this call or is [`repeatable`](Self::repeatable): then it is started anew.
    ///
    /// It must not block the thread: work of more than a millisecond belongs into
    /// `tokio::task::spawn_blocking`, or the run cannot be reported meanwhile.
    async fn execute(&self, ctx: &RunContext) -> Result<Outcome, Failure>;

    /// Takes up a run after a restart of the runner, from the last checkpoint.
    ///
    /// [`RunContext::stop`] may be cancelled already: the run was aborted while no runner was there, and what it had
    /// started is to be cancelled. The default ends the run with the truth: it was interrupted.
    async fn resume(&self, ctx: &RunContext, checkpoint: Value) -> Result<Outcome, Failure> {
        let _ = (ctx, checkpoint);
        Err(Failure::interrupted())
    }

    /// Watches over a run that was handed over with [`Outcome::HandedOver`] and a checkpoint, without
    /// taking up a slot: again after every restart of the runner, from that checkpoint.
    ///
    /// `Ok`: there is nothing to say, the pipeline ended well or the run is over. An error: the
    /// pipeline is dead, and the run is reported FAILED with it, unless meshStack knows an end by then.
    /// Nothing else that is said meanwhile is reported.
    ///
    /// [`RunContext::stop`] is cancelled with [`Aborted`](crate::StopReason::Aborted) or
    /// [`RunOver`](crate::StopReason::RunOver) when meshStack says so, and with
    /// [`TokenExpires`](crate::StopReason::TokenExpires) shortly before nothing could be reported any
    /// more. A shutdown drops the future.
    async fn watch(&self, ctx: &RunContext, checkpoint: Value) -> Result<(), Failure> {
        let _ = (ctx, checkpoint);
        Ok(())
    }

    /// Told at start of each run of an earlier process that has a checkpoint, before any of them goes
    /// on: so that it knows which of the platform's runs are taken.
    fn recall(&self, run: &Run, checkpoint: &Value) {
        let _ = (run, checkpoint);
    }

    /// Whether it says soon after its start where the work goes on
    /// ([`RunContext::external_run`]). meshStack takes that link with the registration only, so then
    /// the registration waits for it, for [5 s](crate::REGISTRATION_WAITS) at most.
    fn names_external_run(&self) -> bool {
        false
    }

    /// Whether carrying a run out twice is as good as once, so that after a crash it is simply
    /// started anew. Such runs need no checkpoint.
    fn repeatable(&self) -> bool {
        false
    }

    /// Whether [`resume`](Self::resume) can carry a run on, so that a shutdown leaves it to the
    /// next start instead of stopping it.
    fn resumes(&self) -> bool {
        false
    }
}

/// Which runs an executor carries out.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Serves {
    /// Those of one implementation type.
    Type(ImplementationType),
    /// All for which no other executor is there.
    Any,
}

/// How an executor wants secret inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SecretsWanted {
    /// In plain text. A run whose secrets cannot be decrypted fails before it starts.
    Decrypted,
    /// As they came, encrypted: nothing is decrypted, so no key is needed.
    AsTheyCame,
}

/// A step known up front.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepSpec {
    /// Id, unique within the run; pipelines and meshStack refer to it.
    pub id: String,
    /// What people see.
    pub display_name: String,
}

impl StepSpec {
    /// A step with this id and display name.
    pub fn new(id: impl Into<String>, display_name: impl Into<String>) -> Self {
        Self { id: id.into(), display_name: display_name.into() }
    }
}

/// How a run that did not fail came out.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// Done.
    Succeeded,
    /// A preview is made; nothing was changed.
    Previewed(Preview),
    /// A pipeline has taken over and reports the end itself: our last word is `IN_PROGRESS`.
    HandedOver {
        /// A checkpoint for [`Executor::watch`], which then speaks up if the pipeline dies without a
        /// word. `None`: nobody watches.
        watch: Option<Value>,
    },
    /// The same for a preview: plan and finding are reported together with the last word.
    HandedOverPreview(Preview),
}

/// What a preview found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preview {
    /// The saved plan, in the run's working directory.
    pub plan: PathBuf,
    /// Whether something would change.
    pub changes_detected: bool,
}
