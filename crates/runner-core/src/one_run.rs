//! One run, from the claim to the end that meshStack acknowledges. Every way out after a claim comes
//! through [`OneRun::carry_out`].

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::FutureExt as _;
use meshstack_client::{Problem, RunObject, RunStatus, Secret};
use serde_json::Value;

use crate::active::Handle;
use crate::execution::{Execution, Start};
use crate::executors::{Registered, panic_text};
use crate::journal::{Entry, RunJournal, Stage};
use crate::lifecycle::{Event, Phase};
use crate::mask::Masker;
use crate::progress::Progress;
use crate::report::{Ended, Note, Report, mistake, report_lost};
use crate::reporter::{End, Registration, Reporter, cause};
use crate::room::RoomTaken;
use crate::runner::Shared;
use crate::secrets::{self, Opened, Sealed};
use crate::watching::Watch;
use crate::{Failure, Outcome, Preview, Run, RunContext, SecretsWanted, StopReason, Stopped, token};

/// One claimed run.
pub(crate) struct OneRun {
    pub(crate) shared: Arc<Shared>,
    pub(crate) handle: Handle,
    pub(crate) object: RunObject,
    pub(crate) sealed: Sealed,
    pub(crate) mode: Mode,
    pub(crate) room: Option<RoomTaken>,
    /// Lives until the end is made: a saved plan lies in its directory.
    pub(crate) context: Option<Arc<RunContext>>,
    /// Whether it was given to an executor whose runs may simply be repeated.
    pub(crate) repeatable: bool,
}

/// Where a run comes from.
pub(crate) enum Mode {
    /// Claimed just now.
    Claimed,
    /// From a file, as in a pod of a run controller: meshStack is asked first whether it still wants it.
    Single {
        /// How long meshStack may be out of reach before anything was started.
        patience: Duration,
    },
    /// Left behind by an earlier process.
    Recovered(Box<Entry>),
}

impl OneRun {
    /// Carries the run out and reports its end. A mistake of our own ends it too.
    pub(crate) async fn carry_out(self) -> Ended {
        let (shared, handle, uuid) = (Arc::clone(&self.shared), self.handle.clone(), self.object.uuid().to_owned());
        match AssertUnwindSafe(self.go()).catch_unwind().await {
            Ok(ended) => ended,
            Err(panic) => {
                tracing::error!("the runner made a mistake of its own; the run is ended FAILED");
                report_lost(&shared, &handle, &uuid, &mistake(panic_text(panic.as_ref()))).await
            }
        }
    }

    async fn go(mut self) -> Ended {
        let run = Run::undecrypted(self.object.clone());
        let assignment = self.shared.executors.assign(&run);
        let token = self.object.run_token();
        let known = self.shared.secrets.iter().chain([&token]);
        let progress = Arc::new(Progress::new(Masker::new(known.map(Secret::expose)), &assignment.steps));
        let journal = RunJournal::new(Arc::clone(&self.shared.journal), self.entry());
        let mut reporter = Reporter::new(
            Arc::clone(&self.shared.api),
            Arc::clone(&self.handle.access),
            Arc::clone(&progress),
            journal.clone(),
            self.shared.runner_uuid.as_str(),
        );
        let keeps = !matches!(self.mode, Mode::Single { .. });
        let report = Report { shared: Arc::clone(&self.shared), handle: self.handle.clone(), progress, journal, keeps };

        if let Mode::Recovered(entry) = &self.mode {
            report.progress.restore(&entry.steps);
            report.progress.set_external(entry.external_run.clone());
            if let Some(end) = entry.end.clone() {
                let watch = entry.watch.clone();
                let earlier = End::Earlier(end);
                return match report.deliver(&mut reporter, earlier, &mut self.room, Note::Needless, watch).await {
                    Ended::ToWatch(checkpoint) => {
                        self.watch(assignment.executor, checkpoint, &report, &mut reporter).await
                    }
                    ended => ended,
                };
            }
            if let (Stage::HandedOver, Some(checkpoint)) = (entry.stage, entry.watch.clone()) {
                self.handle.set_phase(Phase::HandedOver);
                return self.watch(assignment.executor, checkpoint, &report, &mut reporter).await;
            }
        }

        let waits_for_link = assignment.executor.as_ref().is_ok_and(|r| r.executor.names_external_run());
        // The disk, the network and RSA take milliseconds each: side by side.
        let wanted = assignment.executor.as_ref().map_or(SecretsWanted::AsTheyCame, |r| r.executor.secrets());
        let (mut registered, opened, ()) = tokio::join!(
            self.register(&mut reporter, waits_for_link),
            self.open(wanted),
            self.note_claim(&report.journal)
        );
        while let Registration::Refused(error) = &registered
            && matches!(self.mode, Mode::Recovered(_))
            && report.given_again(error, "everything", &reporter, &mut self.room).await
        {
            registered = self.register(&mut reporter, false).await;
        }
        // What may be repeated, or is not carried out at all, need not be asked about: the answer to its end tells.
        let harmless = assignment.executor.as_ref().map_or(true, |r| r.executor.repeatable());
        if let Some(ended) = self.judge_registration(registered, harmless, &report, &mut reporter).await {
            return ended;
        }

        if let Ok(opened) = &opened {
            let known = opened.secrets.iter().chain(&self.shared.secrets);
            report.progress.set_masker(Masker::new(known.map(Secret::expose)));
        }
        let watcher = assignment.executor.as_ref().ok().cloned();
        let result = match (assignment.executor, opened) {
            (Ok(registered), Ok(opened)) => self.execute(registered, opened, &report, &mut reporter).await,
            (Err(failure), _) | (_, Err(failure)) => Err(failure),
        };
        match report.finish(result, &mut self, &mut reporter).await {
            Ended::ToWatch(checkpoint) => {
                let watcher = watcher.ok_or_else(Failure::interrupted);
                self.watch(watcher, checkpoint, &report, &mut reporter).await
            }
            Ended::Undelivered(reason) if harmless && matches!(self.mode, Mode::Single { .. }) => {
                Ended::NotStarted(reason)
            }
            ended => ended,
        }
    }

    fn entry(&self) -> Entry {
        match &self.mode {
            Mode::Recovered(entry) => (**entry).clone(),
            _ => Entry::new(self.object.uuid(), self.object.raw().clone()),
        }
    }

    async fn note_claim(&self, journal: &RunJournal) {
        if matches!(self.mode, Mode::Claimed)
            && let Err(error) = journal.claimed().await
        {
            tracing::error!(%error, cause = cause(&error), "a claimed run could not be noted; a crash would lose it");
        }
    }

    async fn register(&self, reporter: &mut Reporter, waits_for_link: bool) -> Registration {
        match self.mode {
            Mode::Claimed if waits_for_link => reporter.put_off_registration(),
            Mode::Single { patience } => {
                let register = reporter.register(&self.handle.stop);
                tokio::time::timeout(patience, register).await.unwrap_or(Registration::Unreachable)
            }
            _ => reporter.register(&self.handle.stop).await,
        }
    }

    async fn open(&self, wanted: SecretsWanted) -> Result<secrets::Opened, Failure> {
        let (object, sealed) = (self.object.clone(), self.sealed.clone());
        if matches!(wanted, SecretsWanted::AsTheyCame) {
            return secrets::open(object, &sealed, wanted);
        }
        let work = tokio::task::spawn_blocking(move || secrets::open(object, &sealed, wanted));
        work.await.unwrap_or_else(|panic| Err(Failure::because("The runner failed to read this run.", panic)))
    }

    /// What a registration that did not work means. `None`: go on.
    async fn judge_registration(
        &mut self,
        registered: Registration,
        harmless: bool,
        report: &Report,
        reporter: &mut Reporter,
    ) -> Option<Ended> {
        let stopped = self.handle.stop.reason().is_some();
        let refused = match registered {
            Registration::PutOff => {
                report.advance(Event::Register);
                return None;
            }
            Registration::Done if matches!(self.mode, Mode::Claimed) || (harmless && !stopped) => {
                report.advance(Event::Register);
                return None;
            }
            // Somebody may have carried it out before us: ask before anything is started.
            Registration::Done => {
                report.advance(Event::Register);
                return self.ask_first(report, reporter).await;
            }
            Registration::Unreachable => return Some(Ended::NotStarted("meshStack cannot be reached".to_owned())),
            Registration::Stopped(reason) if matches!(self.mode, Mode::Single { .. }) => {
                return Some(Ended::NotStarted(reason.to_string()));
            }
            Registration::Stopped(reason) => Failure::from(Stopped(reason)),
            Registration::Refused(error) => {
                tracing::error!(%error, "meshStack refused the registration; the run is ended FAILED");
                Failure::because("The runner could not announce this run to meshStack. Start the run again.", error)
            }
        };
        let ended = report.finish(Err(refused), self, reporter).await;
        Some(match (ended, &self.mode) {
            (Ended::Undelivered(reason), Mode::Single { .. }) => Ended::NotStarted(reason),
            (ended, _) => ended,
        })
    }

    fn has_checkpoint(&self) -> bool {
        matches!(&self.mode, Mode::Recovered(entry) if entry.checkpoint.is_some())
    }

    /// Asks whether the run is still wanted. `None`: it is.
    async fn ask_first(&mut self, report: &Report, reporter: &mut Reporter) -> Option<Ended> {
        let stop = self.handle.stop.clone();
        let asked = match self.mode {
            Mode::Single { patience } => tokio::time::timeout(patience, reporter.ask(&stop)).await,
            _ => Ok(reporter.ask(&stop).await),
        };
        let single = matches!(self.mode, Mode::Single { .. });
        match (stop.reason(), asked) {
            // What it has started is still to be cancelled: its executor finds the stop already asked for.
            (Some(StopReason::Aborted), _) if self.has_checkpoint() => None,
            (Some(StopReason::Aborted | StopReason::RunOver), _) => Some(report.give_up().await),
            (Some(reason), _) if single => Some(Ended::NotStarted(reason.to_string())),
            (_, Err(_)) => Some(Ended::NotStarted("meshStack cannot be reached".to_owned())),
            (_, Ok(Err(error)))
                if single && matches!(error.problem, Problem::Unauthorised { .. } | Problem::Gone { .. }) =>
            {
                Some(Ended::NotStarted(error.to_string()))
            }
            _ => None,
        }
    }

    /// Waits for room and calls the executor.
    async fn execute(
        &mut self,
        registered: Registered,
        opened: Opened,
        report: &Report,
        reporter: &mut Reporter,
    ) -> Result<Outcome, Failure> {
        for warning in &opened.warnings {
            tracing::warn!(warning, "an input is not as it should be");
        }
        let start = match &self.mode {
            Mode::Recovered(entry) => match Start::after_restart(entry, registered.executor.as_ref()) {
                Some(start) => start,
                None => return Err(Failure::interrupted()),
            },
            _ => Start::Anew,
        };
        let waiting = self.shared.wait_for_place(&registered, &report.progress);
        let stop = self.handle.stop.clone();
        let cancels = self.has_checkpoint() && stop.reason() == Some(StopReason::Aborted);
        let waited = reporter.report_until(
            async {
                tokio::select! {
                    biased;
                    () = std::future::ready(()), if cancels => Ok(None),
                    reason = stop.requested() => Err(Stopped(reason)),
                    place = waiting => Ok(Some(place)),
                    () = token::about_to_end(&self.handle.access) => Err(Stopped(StopReason::TokenExpires)),
                }
            },
            &stop,
        );
        let _place = waited.await?;

        self.repeatable = registered.executor.repeatable();
        if !self.repeatable
            && let Err(error) = report.journal.started().await
        {
            return Err(Failure::because(
                "The runner could not note the start of this run on its disk, so nothing was started. \
                 Ask the platform team to look at the runner's disk, then start the run again.",
                error,
            ));
        }
        self.handle.set_resumable(self.repeatable || (self.has_checkpoint() && registered.executor.resumes()));
        report.advance(Event::Start);
        let ctx = self.context_for(opened, &registered, report);
        let access = Arc::clone(&self.handle.access);
        Execution { executor: registered.executor, access, stop }.follow(start, ctx, reporter).await
    }
}

impl OneRun {
    fn context_for(&mut self, opened: Opened, registered: &Registered, report: &Report) -> Arc<RunContext> {
        let mut secrets = opened.secrets;
        secrets.extend(self.shared.secrets.iter().cloned());
        let ctx = Arc::new(RunContext::new(
            opened.run,
            secrets,
            self.handle.clone(),
            registered.executor.resumes(),
            Arc::clone(&report.progress),
            report.journal.clone(),
            Arc::clone(&self.shared),
        ));
        self.context = Some(Arc::clone(&ctx));
        ctx
    }

    /// Watches over the run that was handed over.
    async fn watch(
        mut self,
        registered: Result<Registered, Failure>,
        checkpoint: Value,
        report: &Report,
        reporter: &mut Reporter,
    ) -> Ended {
        self.room.take();
        let opened = match (&registered, &self.context) {
            (Ok(_), Some(_)) | (Err(_), _) => None,
            (Ok(registered), None) => Some(self.open(registered.executor.secrets()).await),
        };
        let (ctx, registered) = match (registered, opened, self.context.clone()) {
            (Ok(registered), None, Some(ctx)) => (ctx, registered),
            (Ok(registered), Some(Ok(opened)), _) => {
                let known = opened.secrets.iter().chain(&self.shared.secrets);
                report.progress.set_masker(Masker::new(known.map(Secret::expose)));
                (self.context_for(opened, &registered, report), registered)
            }
            (Err(failure), _, _) | (_, Some(Err(failure)), _) => {
                tracing::warn!(
                    reason = failure.user_message(),
                    "a run that was handed over cannot be watched any more"
                );
                report.journal.remove().await;
                return Ended::Reported(RunStatus::InProgress);
            }
            (Ok(_), None, None) => return Ended::Reported(RunStatus::InProgress),
        };
        let watch = Watch {
            executor: registered.executor,
            shared: Arc::clone(&self.shared),
            handle: self.handle.clone(),
            checkpoint,
        };
        watch.over(ctx, report, reporter).await
    }

    /// Hands a saved plan in: to where meshStack asks for it, else as text for the last report.
    pub(crate) async fn hand_in(&self, preview: &Preview) -> Result<Option<String>, Failure> {
        const MESSAGE: &str = "The saved plan could not be handed to meshStack. Start the preview again.";
        if let Some(href) = self.object.link("planArtifactUpload") {
            let access = self.handle.access.current();
            let upload = self.shared.api.upload_plan(&access, href, &preview.plan);
            return upload.await.map(|()| None).map_err(|e| Failure::because(MESSAGE, e));
        }
        let plan = tokio::fs::read(&preview.plan).await.map_err(|e| Failure::because(MESSAGE, e))?;
        Ok(Some(STANDARD.encode(plan)))
    }
}
