//! Tells meshStack how a run is getting on: the difference between what it has acknowledged and what
//! is now, one request at a time. What is not taken is simply sent again with what came since.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use meshstack_client::{ApiError, PatchAnswer, Problem, RunStatus, Source, SourceRegistration, StatusPatch};
use tokio::time::Instant;

use crate::access::Access;
use crate::api::RunApi;
use crate::journal::{NotedStep, RunJournal};
use crate::progress::{Acknowledged, Pending, Progress};
use crate::retry::Backoff;
use crate::{Stop, StopReason};

/// A sign of life is due this long after the last report was sent, and asks whether the run was aborted. meshStack
/// wants one every 10 s at least, and a request takes its time. Source: `protocol/run-api.md`, "Patch status".
const SIGN_OF_LIFE: Duration = Duration::from_secs(9);

/// So long the registration of a run waits for the link to where its work goes on, where the executor
/// [names one](crate::Executor::names_external_run).
pub const REGISTRATION_WAITS: Duration = Duration::from_secs(5);

const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(60);

/// Reports one run.
pub(crate) struct Reporter {
    api: Arc<dyn RunApi>,
    access: Arc<Access>,
    progress: Arc<Progress>,
    journal: RunJournal,
    /// The steps as they were last noted in the journal.
    noted: Vec<NotedStep>,
    runner_uuid: String,
    /// What meshStack has.
    acknowledged: Acknowledged,
    /// What it was offered last, and took or refused: that is not sent again for its own sake.
    offered: Acknowledged,
    /// The renewal of the access under which the steps were registered; `None`: they are not.
    registered: Option<u64>,
    backoff: Backoff,
    /// Until then the registration waits for the link to the external run.
    waits_for_link_until: Option<Instant>,
    /// When it was sent.
    last_sent: Instant,
    /// When it was answered.
    last_report: Instant,
    not_before: Instant,
    /// Until then meshStack asked for peace.
    asked_until: Instant,
    /// A report was refused; its logs may be why.
    leaves_out_logs: bool,
    /// meshStack wants nothing more of this run: it was aborted, or is over.
    silent: bool,
    complained: bool,
}

/// How a registration came out.
#[derive(Debug)]
pub(crate) enum Registration {
    /// Registered, now or earlier.
    Done,
    /// Put off until the executor names the external run.
    PutOff,
    /// meshStack will not have it.
    Refused(ApiError),
    /// meshStack did not answer for as long as it was waited for.
    Unreachable,
    /// A stop was asked for before meshStack answered.
    Stopped(StopReason),
}

/// The end of a run.
#[derive(Clone)]
pub(crate) enum End {
    /// Of a run that this process carried out: what is left to say, with this status.
    Now {
        status: RunStatus,
        /// A saved plan, base64.
        artifact: Option<String>,
        changes_detected: Option<bool>,
    },
    /// Of a run that an earlier process carried out: to be sent as it was noted.
    Earlier(StatusPatch),
    /// Of a run whose real end meshStack refused, for this reason: FAILED, and nothing else in it.
    Refused(String),
}

impl End {
    pub(crate) fn new(status: RunStatus) -> Self {
        Self::Now { status, artifact: None, changes_detected: None }
    }
}

/// How the delivery of an end came out.
#[derive(Debug)]
pub(crate) enum Delivery {
    /// meshStack has it.
    Accepted,
    /// The run was aborted meanwhile: no end is wanted.
    Aborted,
    /// meshStack says that the run is over, or not ours any more.
    Dropped(ApiError),
}

impl Reporter {
    pub(crate) fn new(
        api: Arc<dyn RunApi>,
        access: Arc<Access>,
        progress: Arc<Progress>,
        journal: RunJournal,
        runner_uuid: impl Into<String>,
    ) -> Self {
        let now = Instant::now();
        Self {
            api,
            access,
            progress,
            journal,
            noted: Vec::new(),
            runner_uuid: runner_uuid.into(),
            acknowledged: Acknowledged::default(),
            offered: Acknowledged::default(),
            registered: None,
            backoff: Backoff::new(FIRST_RETRY, LONGEST_RETRY),
            waits_for_link_until: None,
            last_sent: now,
            last_report: now,
            not_before: now,
            asked_until: now,
            leaves_out_logs: false,
            silent: false,
            complained: false,
        }
    }

    /// Puts the registration off until the external run is named, or a first report is due.
    pub(crate) fn put_off_registration(&mut self) -> Registration {
        self.waits_for_link_until = Some(Instant::now() + REGISTRATION_WAITS);
        Registration::PutOff
    }

    /// Registers the steps, until meshStack takes or refuses them.
    pub(crate) async fn register(&mut self, stop: &Stop) -> Registration {
        loop {
            let generation = self.access.generation();
            match self.try_register().await {
                Ok(()) => return Registration::Done,
                // What was said of the old token means nothing for the new one.
                Err(_) if generation != self.access.generation() => {}
                Err(error) if !error.problem.is_transient() => {
                    self.registered = Some(generation);
                    return Registration::Refused(error);
                }
                Err(error) => {
                    let wait = self.backoff.wait(error.problem.retry_after());
                    tracing::warn!(%error, cause = cause(&error), ?wait, "registering the run failed, trying again");
                    tokio::select! {
                        biased;
                        reason = stop.requested() => return Registration::Stopped(reason),
                        () = tokio::time::sleep(wait) => {}
                    }
                }
            }
        }
    }

    async fn try_register(&mut self) -> Result<(), ApiError> {
        let (steps, acknowledged) = self.progress.registration();
        let external = self.progress.external();
        let source =
            Source { id: self.runner_uuid.clone(), external_run_id: external.id, external_run_url: external.url };
        self.waits_for_link_until = None;
        let generation = self.access.generation();
        self.last_sent = Instant::now();
        self.api.register(&self.access.current(), &SourceRegistration { source, steps }).await?;
        self.registered = Some(generation);
        self.offered = acknowledged.clone();
        self.acknowledged = acknowledged;
        self.backoff.reset();
        self.last_report = Instant::now();
        Ok(())
    }

    /// Reports until `done` is: changes at once, logs at most once a second, a sign of life
    /// otherwise. An abort that meshStack tells of is passed on to `stop`.
    pub(crate) async fn report_until<T>(&mut self, done: impl Future<Output = T>, stop: &Stop) -> T {
        let mut done = pin!(done);
        let (progress, access) = (Arc::clone(&self.progress), Arc::clone(&self.access));
        loop {
            let due = self.due();
            tokio::select! {
                biased;
                value = &mut done => return value,
                () = access.renewed() => self.not_before = Instant::now(),
                () = progress.changed(), if !self.silent => {}
                () = tokio::time::sleep_until(due), if !self.silent => {
                    // What went wrong is dealt with; the next turn sees when to try again.
                    let _ = self.report(stop).await;
                }
            }
        }
    }

    /// When the next report is to be sent.
    fn due(&self) -> Instant {
        if self.came_again() {
            return self.not_before;
        }
        if let Some(until) = self.waits_for_link_until {
            let named = self.progress.external().url.is_some();
            return if named { self.not_before } else { until };
        }
        let sign_of_life = self.last_sent + SIGN_OF_LIFE;
        let due = match self.progress.pending(&self.offered) {
            Pending::Urgent => self.last_report,
            Pending::Log(interval) => (self.last_report + interval).min(sign_of_life),
            Pending::Nothing => sign_of_life,
        };
        due.max(self.not_before)
    }

    /// Tells meshStack once more where the run is.
    pub(crate) async fn tell(&mut self, stop: &Stop) -> Result<(), ApiError> {
        self.silent = false;
        self.report(stop).await
    }

    /// Asks whether the run is still wanted, until meshStack says so or a stop is asked for. An
    /// error is an answer too: it will not hear of this run.
    pub(crate) async fn ask(&mut self, stop: &Stop) -> Result<(), ApiError> {
        loop {
            match self.report(stop).await {
                Err(error) if error.problem.is_transient() => {}
                answered => return answered,
            }
            tokio::select! {
                biased;
                _ = stop.requested() => return Ok(()),
                () = tokio::time::sleep_until(self.not_before) => {}
            }
        }
    }

    async fn report(&mut self, stop: &Stop) -> Result<(), ApiError> {
        let generation = self.access.generation();
        self.last_sent = Instant::now();
        let registered = self.register_if_needed().await;
        let (mut patch, mut next) = self.progress.difference(&self.acknowledged, RunStatus::InProgress);
        let offered = next.clone();
        if self.leaves_out_logs {
            leave_out_logs(&mut patch);
            next.keep_logs_of(&self.acknowledged);
        }
        let answer = match registered {
            Ok(()) => {
                self.note_steps().await;
                self.api.patch(&self.access.current(), &patch).await
            }
            Err(error) => Err(error),
        };
        self.last_report = Instant::now();
        match answer {
            Ok(PatchAnswer::Accepted) => {
                self.acknowledged = next;
                self.offered = offered;
                self.backoff.reset();
                self.complained = false;
                Ok(())
            }
            Ok(PatchAnswer::Aborted) => {
                tracing::info!("the run was aborted in meshStack");
                self.silent = true;
                stop.request(StopReason::Aborted);
                Ok(())
            }
            // What was said of the old token means nothing for the new one.
            Err(error) if generation != self.access.generation() => Err(error),
            Err(error) => {
                self.not_taken(&error, offered, stop);
                Err(error)
            }
        }
    }

    /// Notes the steps before meshStack is told, so that none goes back after a crash.
    async fn note_steps(&mut self) {
        let steps = self.progress.noted();
        if steps == self.noted {
            return;
        }
        if let Err(error) = self.journal.reporting(steps.clone()).await {
            tracing::warn!(%error, cause = cause(&error), "the progress of the run could not be noted");
        }
        self.noted = steps;
    }

    fn not_taken(&mut self, error: &ApiError, offered: Acknowledged, stop: &Stop) {
        match &error.problem {
            Problem::Conflict { .. } => {
                tracing::warn!(%error, "meshStack has ended this run already; it is stopped here too");
                self.silent = true;
                stop.request(StopReason::RunOver);
                return;
            }
            // The same report would be refused again. What is in it goes along with the next one, but for its logs.
            Problem::Refused { .. } | Problem::Local { .. } => {
                tracing::error!(%error, cause = cause(error), "meshStack refused a report; the run goes on");
                if self.leaves_out_logs {
                    self.offered = offered;
                }
                self.leaves_out_logs = true;
            }
            // The run goes on: its end may be delivered under a new token, should it be queued again.
            Problem::Unauthorised { .. } | Problem::Gone { .. } if !self.complained => {
                tracing::error!(%error, "meshStack does not take reports of this run any more; the run goes on");
                self.complained = true;
            }
            _ => tracing::warn!(%error, cause = cause(error), "a report was not taken, trying again"),
        }
        self.not_before = Instant::now() + self.backoff.wait(error.problem.retry_after());
        if error.problem.retry_after().is_some() {
            self.asked_until = self.not_before;
        }
    }

    /// Waits until meshStack has given this run again since it was registered.
    pub(crate) async fn given_again(&self) {
        if let Some(generation) = self.registered {
            self.access.newer_than(generation).await;
        }
    }

    /// Whether meshStack gave this run again, and was told nothing since.
    pub(crate) fn came_again(&self) -> bool {
        self.registered.is_some_and(|registered| registered != self.access.generation())
    }

    /// Under a new token meshStack is told everything anew. Where it refuses the registration, the
    /// report is tried all the same.
    async fn register_if_needed(&mut self) -> Result<(), ApiError> {
        let generation = self.access.generation();
        if self.registered == Some(generation) {
            return Ok(());
        }
        match self.try_register().await {
            Err(error) if !error.problem.is_transient() => {
                tracing::warn!(%error, cause = cause(&error), "meshStack refused the registration of the run");
                self.registered = Some(generation);
                (self.acknowledged, self.offered) = (Acknowledged::default(), Acknowledged::default());
                Ok(())
            }
            done => done,
        }
    }

    /// The last report of the run: what is left to say, with its end.
    pub(crate) fn last_patch(&self, end: &End) -> StatusPatch {
        match end {
            End::Now { status, artifact, changes_detected } => StatusPatch {
                artifact: artifact.clone(),
                changes_detected: *changes_detected,
                ..self.progress.difference(&self.acknowledged, *status).0
            },
            End::Earlier(patch) => patch.clone(),
            End::Refused(reason) => {
                let summary = format!("The run was carried out, but meshStack did not take its result: {reason}");
                StatusPatch { summary: Some(summary), ..StatusPatch::new(RunStatus::Failed) }
            }
        }
    }

    /// Delivers the end, for as long as it takes.
    pub(crate) async fn deliver(&mut self, end: &End) -> Delivery {
        self.backoff.reset();
        let mut slim = false;
        tokio::select! {
            biased;
            () = tokio::time::sleep_until(self.asked_until) => {}
            () = self.access.renewed() => {}
        }
        loop {
            let generation = self.access.generation();
            let error = match self.try_deliver(end, slim).await {
                Ok(PatchAnswer::Accepted) => return Delivery::Accepted,
                Ok(PatchAnswer::Aborted) => return Delivery::Aborted,
                Err(error) => error,
            };
            match error.problem {
                // The run came again meanwhile: meshStack is told under the new token.
                _ if generation != self.access.generation() => continue,
                Problem::Refused { .. } if !slim => {
                    tracing::error!(%error, "meshStack refused the end of the run; sending it without logs");
                    slim = true;
                    continue;
                }
                _ if !error.problem.is_transient() => return Delivery::Dropped(error),
                _ => {}
            }
            let wait = self.backoff.wait(error.problem.retry_after());
            tracing::warn!(%error, cause = cause(&error), ?wait, "the end of the run was not taken, trying again");
            tokio::select! {
                () = self.access.renewed() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    async fn try_deliver(&mut self, end: &End, slim: bool) -> Result<PatchAnswer, ApiError> {
        self.register_if_needed().await?;
        let mut patch = self.last_patch(end);
        if slim {
            leave_out_logs(&mut patch);
        }
        self.api.patch(&self.access.current(), &patch).await
    }
}

/// Leaves out what a strict reader may choke on; status, messages and outputs stay.
fn leave_out_logs(end: &mut StatusPatch) {
    for step in &mut end.steps {
        step.system_message = None;
    }
}

/// What lies below an error, for a log line.
pub(crate) fn cause(error: &dyn std::error::Error) -> String {
    let mut text = String::new();
    let mut next = error.source();
    while let Some(source) = next {
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&source.to_string());
        next = source.source();
    }
    text
}
