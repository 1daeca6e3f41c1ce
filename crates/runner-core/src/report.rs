//! The end of a run: made from its result, noted, and delivered.

use std::sync::Arc;
use std::time::Duration;

use meshstack_client::{ApiError, Problem, RunStatus, Secret};
use serde_json::Value;

use crate::active::Handle;
use crate::journal::{Entry, RunJournal};
use crate::lifecycle::Event;
use crate::mask::Masker;
use crate::one_run::OneRun;
use crate::progress::Progress;
use crate::reporter::{Delivery, End, Registration, Reporter, cause};
use crate::room::RoomTaken;
use crate::runner::Shared;
use crate::{Failure, Outcome, StepSpec, StopReason};

/// A run whose end is not taken for this long gives its room to others; the delivery goes on.
const ROOM_HELD_FOR_DELIVERY: Duration = Duration::from_secs(5 * 60);

/// meshStack refuses a token that ran out, and may give the run again under a new one: what is left of
/// it is kept this long, so that it is not carried out twice.
const KEPT_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// More runs than this are not kept; those beyond it are dropped.
const MOST_KEPT: usize = 200;

/// How a run ended, seen from here.
#[derive(Debug)]
pub(crate) enum Ended {
    /// meshStack took this last word.
    Reported(RunStatus),
    /// Aborted in meshStack.
    Aborted,
    /// meshStack had ended it already.
    AlreadyOver,
    /// The end could not be delivered.
    Undelivered(String),
    /// Nothing was started, and meshStack may give the run to somebody else.
    NotStarted(String),
    /// Handed over, as meshStack knows; to be watched from this checkpoint.
    ToWatch(Value),
}

/// Whether an end goes into the journal before it is delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Note {
    /// It must survive a crash.
    Needed,
    /// It is there already, or carrying the run out again gives the same end.
    Needless,
}

/// What is needed to report the end of a run.
pub(crate) struct Report {
    pub(crate) shared: Arc<Shared>,
    pub(crate) handle: Handle,
    pub(crate) progress: Arc<Progress>,
    pub(crate) journal: RunJournal,
    /// Whether this process goes on after the run: it is kept in case it comes again, and watched after a hand-over.
    pub(crate) keeps: bool,
}

impl Report {
    /// Waits for meshStack to give a run again whose token it refuses. `false`: it does not, or the
    /// error is another one.
    pub(crate) async fn given_again(
        &self,
        error: &ApiError,
        undelivered: &str,
        reporter: &Reporter,
        room: &mut Option<RoomTaken>,
    ) -> bool {
        let refused = matches!(error.problem, Problem::Unauthorised { .. });
        if !refused || !self.keeps || self.shared.active.kept() >= MOST_KEPT {
            return false;
        }
        tracing::error!(
            %error,
            undelivered,
            "meshStack refuses the token of this run; what is undelivered is kept for a day, in case the run comes again"
        );
        room.take();
        self.handle.set_kept(true);
        let again = tokio::time::timeout(KEPT_FOR, reporter.given_again()).await.is_ok();
        self.handle.set_kept(false);
        again
    }

    /// Takes the run to its next phase.
    pub(crate) fn advance(&self, event: Event) {
        match self.handle.state().phase.after(event) {
            Ok(phase) => self.handle.set_phase(phase),
            Err(illegal) => tracing::error!(%illegal, "the run is not where it should be"),
        }
    }

    /// meshStack wants nothing more of this run.
    pub(crate) async fn give_up(&self) -> Ended {
        self.advance(Event::Abort);
        self.journal.remove().await;
        match self.handle.stop.reason() {
            Some(StopReason::RunOver) => Ended::AlreadyOver,
            _ => Ended::Aborted,
        }
    }

    /// The run was aborted, or is over, when its executor was done. A pipeline that it had started by then is still to be
    /// cancelled, by whoever would watch it.
    async fn unwanted(&self, watch: Option<Value>) -> Ended {
        match watch {
            Some(checkpoint) => Ended::ToWatch(checkpoint),
            None => self.give_up().await,
        }
    }

    /// Turns the result into the last report and delivers it.
    pub(crate) async fn finish(
        &self,
        mut result: Result<Outcome, Failure>,
        run: &mut OneRun,
        reporter: &mut Reporter,
    ) -> Ended {
        // A run that was given again since has to end again.
        let unwanted = |reporter: &Reporter| {
            matches!(self.handle.stop.reason(), Some(StopReason::Aborted | StopReason::RunOver))
                && !reporter.came_again()
        };
        let mut watch = None;
        if let Ok(Outcome::HandedOver { watch: checkpoint }) = &mut result {
            watch = checkpoint.take().filter(|_| self.keeps);
        }
        if unwanted(reporter) {
            return self.unwanted(watch).await;
        }
        let end = match result {
            Ok(outcome) => self.end_of(outcome, run, reporter).await,
            Err(failure) => Err(failure),
        };
        if unwanted(reporter) {
            return self.unwanted(watch).await;
        }
        let end = end.unwrap_or_else(|failure| self.failed(&failure));
        let note = if run.repeatable { Note::Needless } else { Note::Needed };
        self.deliver(reporter, end, &mut run.room, note, watch).await
    }

    /// The end that an outcome makes.
    async fn end_of(&self, outcome: Outcome, run: &OneRun, reporter: &mut Reporter) -> Result<End, Failure> {
        let (event, status, preview) = match outcome {
            Outcome::Succeeded => (Event::Succeed, RunStatus::Succeeded, None),
            Outcome::Previewed(preview) => (Event::Succeed, RunStatus::Succeeded, Some(preview)),
            Outcome::HandedOver { .. } => (Event::HandOver, RunStatus::InProgress, None),
            Outcome::HandedOverPreview(preview) => (Event::HandOver, RunStatus::InProgress, Some(preview)),
        };
        let (artifact, changes_detected) = match preview {
            None => (None, None),
            Some(preview) => {
                // An upload may take minutes: the run shows life meanwhile.
                let plan = reporter.report_until(run.hand_in(&preview), &self.handle.stop).await?;
                (plan, Some(preview.changes_detected))
            }
        };
        self.progress.succeed_open_steps();
        self.advance(event);
        Ok(End::Now { status, artifact, changes_detected })
    }

    /// The end that a failure makes.
    pub(crate) fn failed(&self, failure: &Failure) -> End {
        let masker = self.progress.masker();
        let causes = failure.causes();
        tracing::warn!(
            message = %masker.mask(failure.user_message()),
            cause = %masker.mask(&causes),
            "the run failed"
        );
        self.progress.fail(failure);
        self.advance(Event::Fail);
        End::new(RunStatus::Failed)
    }

    /// Delivers the end until meshStack takes or refuses it. After a while the room goes to others.
    async fn deliver_once(&self, reporter: &mut Reporter, end: &End, room: &mut Option<RoomTaken>) -> Delivery {
        let mut delivery = std::pin::pin!(reporter.deliver(end));
        if let Ok(delivered) = tokio::time::timeout(ROOM_HELD_FOR_DELIVERY, &mut delivery).await {
            return delivered;
        }
        room.take();
        delivery.await
    }

    /// Notes the end, and delivers it for as long as it takes. `watch`: what comes after a hand-over.
    pub(crate) async fn deliver(
        &self,
        reporter: &mut Reporter,
        end: End,
        room: &mut Option<RoomTaken>,
        note: Note,
        watch: Option<Value>,
    ) -> Ended {
        self.handle.set_resumable(true);
        let patch = reporter.last_patch(&end);
        let status = patch.status;
        if note == Note::Needed
            && let Err(error) = self.journal.ended(patch, watch.clone()).await
        {
            tracing::error!(%error, cause = cause(&error), "the end of the run could not be noted");
            self.handle.set_resumable(false);
        }
        let mut end = end;
        let delivered = loop {
            let delivered = self.deliver_once(reporter, &end, room).await;
            match &delivered {
                Delivery::Dropped(error) if error.problem.is_refusal() && !matches!(end, End::Refused(_)) => {
                    tracing::error!(%error, ?status, "meshStack refused the end of the run; it is ended FAILED with that as the reason");
                    end = End::Refused(format!("{}.", error.problem));
                }
                Delivery::Dropped(error)
                    if self.given_again(error, &format!("the end, {status:?}"), reporter, room).await => {}
                _ => break delivered,
            }
        };
        if let (Delivery::Accepted | Delivery::Aborted, Some(checkpoint)) = (&delivered, watch) {
            if matches!(delivered, Delivery::Aborted) {
                self.handle.stop.request(StopReason::Aborted);
            }
            if let Err(error) = self.journal.handed_over().await {
                tracing::warn!(%error, cause = cause(&error), "the hand-over of the run could not be noted");
            }
            return Ended::ToWatch(checkpoint);
        }
        self.journal.remove().await;
        match delivered {
            Delivery::Accepted => {
                tracing::info!(?status, "the run is reported");
                Ended::Reported(status)
            }
            Delivery::Dropped(error) if self.handle.state().watched => {
                tracing::info!(%error, "the pipeline had reported an end of its own");
                Ended::AlreadyOver
            }
            Delivery::Aborted => Ended::Aborted,
            Delivery::Dropped(error) => {
                tracing::error!(%error, ?status, "the end of the run was not delivered: meshStack does not want it");
                match error.problem {
                    Problem::Conflict { .. } => Ended::AlreadyOver,
                    _ => Ended::Undelivered(error.to_string()),
                }
            }
        }
    }
}

/// The failure of a run that a mistake of our own tore down.
pub(crate) fn mistake(cause: String) -> Failure {
    Failure::because(
        "The runner made a mistake of its own and cannot say how this run ended. \
         Check the result, and tell the platform team.",
        cause,
    )
}

/// Ends a run of which nothing is known but its uuid and its access.
pub(crate) async fn report_lost(shared: &Arc<Shared>, handle: &Handle, uuid: &str, failure: &Failure) -> Ended {
    let token = handle.access.current().token;
    let masker = Masker::new(shared.secrets.iter().chain([&token]).map(Secret::expose));
    let progress = Arc::new(Progress::new(masker, &[StepSpec::new("validation", "Validation")]));
    let journal = RunJournal::new(Arc::clone(&shared.journal), Entry::new(uuid, Value::Null));
    let mut reporter = Reporter::new(
        Arc::clone(&shared.api),
        Arc::clone(&handle.access),
        Arc::clone(&progress),
        journal.clone(),
        shared.runner_uuid.as_str(),
    );
    // Without a token of its own there is nothing that a new one could mend.
    let keeps = !token.is_empty();
    let report = Report { shared: Arc::clone(shared), handle: handle.clone(), progress, journal, keeps };
    // It may be registered already; if it cannot be, the last report is tried all the same.
    if let Registration::Refused(error) = reporter.register(&handle.stop).await {
        tracing::warn!(%error, "meshStack refused the registration of a run that was lost here");
    }
    let end = report.failed(failure);
    report.deliver(&mut reporter, end, &mut None, Note::Needed, None).await
}
