//! The daemon: claims runs while there is room, one task each, until it is asked to end.

use std::sync::Arc;
use std::time::Duration;

use meshstack_client::{ApiError, Problem, RunAccess, RunObject, Secret};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument as _;

use crate::directory;
use crate::executors::short;
use crate::journal::Found;
use crate::one_run::{Mode, OneRun};
use crate::report::report_lost;
use crate::reporter::cause;
use crate::retry::{Backoff, jittered};
use crate::runner::{Runner, Shared};
use crate::secrets::Sealed;
use crate::{Failure, Run, Shutdown, StopReason};

/// meshStack calls a runner silent after five minutes without a claim. When everything is full for
/// this long, one more run is claimed and waits. Source: `protocol/run-api.md`, "Claim a run".
const SHOW_LIFE: Duration = Duration::from_secs(4 * 60);

const FIRST_BACKOFF: Duration = Duration::from_secs(2);
const LONGEST_BACKOFF: Duration = Duration::from_secs(60);

/// Refused credentials are tried again, and said loudly, after a minute and in the end this often.
const REFUSED_AGAIN: Duration = Duration::from_secs(5 * 60);

/// How long ends may still be delivered after the last run was stopped.
const DELIVERY_GRACE: Duration = Duration::from_secs(10);

/// How long the directories of runs that have ended may take to be removed.
const REMOVAL_GRACE: Duration = Duration::from_secs(10);

/// How often directories that killed processes left behind are looked at.
const SWEEP_AGAIN: Duration = Duration::from_secs(1);

/// How a runner ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Drained {
    /// Runs that were cut off without a report, and that a journal may hold.
    pub left_behind: usize,
}

/// The claim loop, and the tasks it started.
struct Daemon {
    shared: Arc<Shared>,
    tasks: JoinSet<()>,
    backoff: Backoff,
    last_claim: Instant,
    refused: Backoff,
}

impl Runner {
    /// Polls and carries out runs until `shutdown` is asked for, and then ends in order.
    ///
    /// First takes up what an earlier process left in the journal.
    pub async fn run(&self, shutdown: &Shutdown) -> Drained {
        let mut daemon = Daemon {
            shared: Arc::clone(&self.shared),
            tasks: JoinSet::new(),
            backoff: Backoff::new(FIRST_BACKOFF, LONGEST_BACKOFF),
            last_claim: Instant::now(),
            refused: Backoff::new(LONGEST_BACKOFF, REFUSED_AGAIN),
        };
        self.gather_randomness();
        daemon.recover().await;
        let _sweeping = daemon.sweep();
        daemon.claim_until(shutdown).await;
        let drained = daemon.drain(shutdown).await;
        tokio::select! {
            biased;
            () = self.shared.removed() => {}
            () = shutdown.at_once() => {}
            () = tokio::time::sleep(REMOVAL_GRACE) => tracing::warn!("directories of runs are left to the next start"),
        }
        drained
    }

    /// The cryptographic library takes about 30 ms for its first random numbers: beside the first claim, so that the first
    /// run with secrets need not wait for them.
    fn gather_randomness(&self) {
        if !self.shared.keys.keys().is_empty() {
            tokio::task::spawn_blocking(|| aws_lc_rs::rand::fill(&mut [0]));
        }
    }
}

impl Daemon {
    async fn recover(&mut self) {
        let found = self.shared.journal.load().await.unwrap_or_else(|error| {
            tracing::error!(%error, cause = cause(&error), "the journal cannot be read; runs of an earlier process are lost");
            Vec::new()
        });
        let mut entries = Vec::new();
        for found in found {
            match found {
                Found::Entry(entry) => match RunObject::from_value(entry.run.clone()) {
                    Ok(object) => entries.push((object, entry)),
                    Err(error) => self.lost(entry.run_uuid, error.to_string()),
                },
                Found::Damaged { run_uuid, reason } => self.lost(run_uuid, reason),
            }
        }
        // All of them, before any goes on.
        for (object, entry) in &entries {
            let run = Run::undecrypted(object.clone());
            entry.checkpoint.iter().chain(&entry.watch).for_each(|noted| self.shared.executors.recall(&run, noted));
        }
        for (object, entry) in entries {
            tracing::info!(run = object.uuid(), stage = ?entry.stage, "taking up a run of an earlier process");
            self.start(object, Mode::Recovered(entry));
        }
    }

    /// Removes the directories that killed processes left behind, once what these had started is gone or had its time
    /// to stop.
    fn sweep(&self) -> AbortOnDropHandle<()> {
        let shared = Arc::clone(&self.shared);
        let deadline = Instant::now() + shared.executors.longest_stop_grace();
        AbortOnDropHandle::new(tokio::spawn(async move {
            let working_dir = shared.working_dir.clone();
            let mut left = shared.removals.spawn_blocking(move || directory::left_behind(&working_dir)).await;
            while let Ok(directories) = left
                && !directories.is_empty()
            {
                let too_late = Instant::now() >= deadline;
                let removing = shared.removals.spawn_blocking(move || {
                    if too_late {
                        directory::remove(&directories);
                        return Vec::new();
                    }
                    directory::remove_quiet(directories)
                });
                left = removing.await;
                tokio::time::sleep(SWEEP_AGAIN).await;
            }
        }))
    }

    /// Ends a run whose entry in the journal cannot be read. Its token is lost with it, so the
    /// runner's own credentials are used.
    fn lost(&mut self, run_uuid: String, reason: String) {
        tracing::error!(run = run_uuid, reason, "a run in the journal cannot be read; it is ended FAILED");
        let access = RunAccess {
            uuid: run_uuid.clone(),
            token: Secret::default(),
            register_link: None,
            update_link: None,
            self_link: None,
        };
        let Some((handle, in_hand)) = self.shared.active.take(access) else { return };
        let shared = Arc::clone(&self.shared);
        let span = tracing::info_span!("run", run = run_uuid);
        let task = async move {
            let _in_hand = in_hand;
            let failure = Failure::because(
                "The runner was restarted and its notes of this run are damaged, so it cannot say how the run ended. \
                 Check the result and start the run again.",
                reason,
            );
            report_lost(&shared, &handle, &run_uuid, &failure).await;
        };
        self.tasks.spawn(task.instrument(span));
    }

    async fn claim_until(&mut self, shutdown: &Shutdown) {
        loop {
            while self.tasks.try_join_next().is_some() {}
            tokio::select! {
                biased;
                () = shutdown.draining() => return,
                () = self.shared.room.is_free() => {}
                () = tokio::time::sleep_until(self.last_claim + SHOW_LIFE) => {}
            }
            // A claim under way is not dropped, but to end at once: the run it brings would be lost.
            let wait = tokio::select! {
                biased;
                wait = self.claim() => wait,
                () = shutdown.at_once() => return,
            };
            if let Some(wait) = wait {
                tokio::select! {
                    biased;
                    () = shutdown.draining() => return,
                    () = tokio::time::sleep(wait) => {}
                }
            }
        }
    }

    /// Claims once. Gives the wait before the next claim; none while there is a backlog.
    async fn claim(&mut self) -> Option<Duration> {
        let claimed = self.shared.api.claim().await;
        if claimed.is_ok() {
            self.last_claim = Instant::now();
            self.backoff.reset();
            self.refused.reset();
        }
        match claimed {
            Ok(Some(object)) => {
                self.start(object, Mode::Claimed);
                None
            }
            Ok(None) => {
                tracing::debug!("nothing is queued");
                Some(jittered(self.shared.idle_poll))
            }
            Err(error) => Some(self.complain(&error)),
        }
    }

    fn complain(&mut self, error: &ApiError) -> Duration {
        if matches!(error.problem, Problem::Unauthorised { .. }) {
            let wait = self.refused.wait(None);
            tracing::error!(
                %error,
                ?wait,
                "meshStack refuses this runner's credentials; check the API key and the runner's UUID"
            );
            return wait;
        }
        let wait = self.backoff.wait(error.problem.retry_after());
        if matches!(error.problem, Problem::BrokenAnswer { .. }) {
            tracing::error!(%error, ?wait, "claiming failed: the answer makes no sense, trying again");
        } else {
            tracing::warn!(%error, cause = cause(error), ?wait, "claiming failed, trying again");
        }
        wait
    }

    /// Gives a run a task of its own.
    fn start(&mut self, object: RunObject, mode: Mode) {
        let span = tracing::info_span!("run", run = object.uuid(), kind = short(object.implementation_type().as_str()));
        let Some((handle, in_hand)) = self.shared.active.take(RunAccess::of(&object)) else {
            span.in_scope(|| tracing::warn!("meshStack gave this run again; it goes on under its new token"));
            return;
        };
        span.in_scope(|| tracing::info!(behavior = short(object.behavior().as_str()), "run claimed"));
        let leave = handle.leave.clone();
        let run = OneRun {
            shared: Arc::clone(&self.shared),
            handle,
            object,
            sealed: Sealed::With(self.shared.keys.clone()),
            mode,
            room: Some(self.shared.room.take()),
            context: None,
            repeatable: false,
        };
        let task = async move {
            let _in_hand = in_hand;
            tokio::select! {
                biased;
                () = leave.cancelled() => tracing::info!("the run is left to the next start of the runner"),
                _ = run.carry_out() => {}
            }
        };
        self.tasks.spawn(task.instrument(span));
    }

    /// Gives running work its grace period, then stops what cannot be carried on by the next start.
    async fn drain(mut self, shutdown: &Shutdown) -> Drained {
        if self.tasks.is_empty() {
            return Drained { left_behind: 0 };
        }
        tracing::info!(runs = self.shared.active.busy(), grace = ?self.shared.shutdown_grace, "shutting down");
        // Nothing can be done for runs that wait to be given again, and those that are watched wait for the next start.
        for handle in self.shared.active.handles().iter().filter(|handle| handle.state().parked()) {
            handle.leave.cancel();
        }
        let grace = self.shared.shutdown_grace;
        if self.all_done_within(grace, shutdown).await {
            return Drained { left_behind: 0 };
        }
        // Counted before they are told to leave: those that can may be gone at once.
        let cut_off = self.shared.active.busy();
        let durable = self.shared.journal.is_durable();
        for handle in self.shared.active.handles() {
            if durable && handle.state().resumable {
                handle.leave.cancel();
            } else {
                handle.stop.request(StopReason::Shutdown);
            }
        }
        // Each executor's own grace bounds its stop; what is left after it is the delivery of ends.
        let longest = self.shared.executors.longest_stop_grace();
        let at_once = shutdown.is_at_once();
        let all_done = self.all_done_within(longest + DELIVERY_GRACE, shutdown).await;
        let left_behind = match (at_once, all_done) {
            (true, _) => cut_off,
            (false, true) => 0,
            (false, false) => self.shared.active.busy(),
        };
        if left_behind > 0 {
            tracing::error!(runs = left_behind, durable, "runs are left without a report of their end");
        }
        Drained { left_behind }
    }

    /// Waits for all tasks; gives up after `limit` or when everything is to end at once.
    async fn all_done_within(&mut self, limit: Duration, shutdown: &Shutdown) -> bool {
        let all_done = async { while self.tasks.join_next().await.is_some() {} };
        tokio::select! {
            biased;
            () = all_done => true,
            () = shutdown.at_once() => false,
            () = tokio::time::sleep(limit) => false,
        }
    }
}
