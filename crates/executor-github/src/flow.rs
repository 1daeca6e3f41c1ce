//! One run: from its definition to the workflow run that it owns.

use std::sync::Arc;
use std::time::Duration;

use runner_core::{Failure, RunContext, StopReason, Stopped};
use serde_json::{Map, Value};
use tokio::time::Instant;

use crate::call::Call;
use crate::checkpoint::{Checkpoint, Phase};
use crate::clock;
use crate::definition::Definition;
use crate::dispatch::Dispatch;
use crate::github::Github;
use crate::host::{Details, Host};
use crate::inputs;
use crate::lookup::{Choice, Wanted, choose};
use crate::models::{RunPage, WorkflowRun};
use crate::owned::Lane;
use crate::problem::{chain, refused_dispatch};
use crate::session::{Session, Trouble};
use crate::steps::TRIGGER;

/// A dispatch may be under way for so many seconds before GitHub takes it.
const UNDER_WAY: i64 = 60;

/// One run, on its way to a workflow run.
pub(crate) struct Flow<'a> {
    pub(crate) github: &'a Github,
    pub(crate) definition: Definition,
    pub(crate) host: Arc<Host>,
    pub(crate) session: Session<'a>,
    pub(crate) checkpoint: Checkpoint,
}

/// What the workflow runs that GitHub lists are good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Proof {
    /// The dispatch was taken, and no other of ours is on its way: the only new one is it.
    Only,
    /// Whatever is new may be another's: only a title that names the run counts.
    Title,
}

/// What came of a look-up.
enum Found {
    Run(Box<WorkflowRun>),
    Several(Vec<String>),
    Nothing,
}

impl<'a> Flow<'a> {
    /// Reads the run's definition.
    pub(crate) fn new(github: &'a Github, ctx: &'a RunContext) -> Result<Self, Failure> {
        let definition = Definition::read(ctx.run())?;
        let host = github.host(definition.base.as_str());
        let installation = github.installations.get(&definition, &host)?;
        let checkpoint = Checkpoint {
            phase: Phase::Waiting,
            base: definition.base.to_string(),
            repository: definition.full_name(),
            workflow: definition.workflow.clone(),
            branch: definition.head_branch().to_owned(),
            not_before: 0,
            triggered_at: 0,
            details: None,
            run_id: None,
            url: None,
        };
        let session = Session::new(github, installation, ctx);
        Ok(Self { github, definition, host, session, checkpoint })
    }

    pub(crate) fn ctx(&self) -> &'a RunContext {
        self.session.ctx
    }

    /// Starts the workflow, and finds its run. In the checkpoint there is then the run's id; for an asynchronous run it
    /// may be missing.
    pub(crate) async fn start(&mut self) -> Result<(), Failure> {
        let inputs = inputs::inputs(self.ctx().run(), self.definition.omit_run_object)?;
        self.note().await?;
        let lane = self.lane();
        let mut turn = None;
        let dispatch = self.dispatch(&lane, &mut turn, &inputs).await?;
        self.session.be_patient();
        match dispatch {
            Dispatch::Named { id, url } => self.owns(id, url).await,
            Dispatch::Taken => {
                self.checkpoint.phase = Phase::Dispatched;
                lane.doubt(self.ctx().run().uuid(), self.github.settings.times.lookup_limit);
                self.note().await?;
                self.look_up(&lane, if turn.is_some() { Proof::Only } else { Proof::Title }).await
            }
            Dispatch::Unknown(cause) => {
                lane.doubt(self.ctx().run().uuid(), self.github.settings.times.lookup_limit);
                self.look_up_after_doubt(&lane, &cause).await
            }
        }
    }

    /// Goes on after a restart, from a checkpoint that names no workflow run.
    pub(crate) async fn find_again(&mut self, earlier: Checkpoint) -> Result<(), Failure> {
        let lane = self.lane();
        let phase = earlier.phase;
        self.checkpoint = Checkpoint { base: self.checkpoint.base.clone(), ..earlier };
        self.session.be_patient();
        if phase == Phase::Dispatching {
            let cause = "the runner was restarted while the workflow was being started";
            return self.look_up_after_doubt(&lane, cause).await;
        }
        let _turn = self.ctx().or_stopped(lane.turn.lock()).await?;
        let alone = lane.in_doubt_until(self.ctx().run().uuid()).is_none();
        let one_by_one = self.checkpoint.details == Some(false);
        self.look_up(&lane, if alone && one_by_one { Proof::Only } else { Proof::Title }).await
    }

    pub(crate) fn lane(&self) -> Arc<Lane> {
        let checkpoint = &self.checkpoint;
        self.github.lanes.get(&checkpoint.base, &checkpoint.repository, &checkpoint.workflow, &checkpoint.branch)
    }

    /// Writes the checkpoint.
    pub(crate) async fn note(&mut self) -> Result<(), Failure> {
        self.checkpoint.details = match self.host.details() {
            Details::Unknown => None,
            Details::Given => Some(true),
            Details::Refused => Some(false),
        };
        self.ctx().checkpoint(&self.checkpoint).await
    }

    /// The workflow run is this run's.
    async fn owns(&mut self, id: u64, url: Option<String>) -> Result<(), Failure> {
        self.github.owned.take(&self.checkpoint.base, id, self.ctx().run().uuid());
        self.checkpoint.phase = Phase::Dispatched;
        self.checkpoint.run_id = Some(id);
        self.checkpoint.url = url;
        self.ctx().external_run(Some(&id.to_string()), self.checkpoint.url.as_deref());
        // The workflow is under way: what cannot be noted is only lost if the runner dies now.
        if let Err(failure) = self.note().await {
            tracing::warn!(causes = failure.causes(), "a started workflow could not be noted; a crash would lose it");
        }
        Ok(())
    }

    /// Looks for the run of a dispatch that GitHub took without naming it.
    async fn look_up(&mut self, lane: &Lane, proof: Proof) -> Result<(), Failure> {
        match self.search(proof).await? {
            Found::Run(run) => {
                lane.resolve(self.ctx().run().uuid());
                self.owns(run.id, run.html_url).await
            }
            // The workflow reports the end itself: it is only the link that is missing.
            Found::Several(_) | Found::Nothing if self.definition.is_async => {
                let step = self.ctx().step(TRIGGER);
                step.log_line("GitHub does not say which workflow run was started, so there is no link to it.");
                Ok(())
            }
            Found::Several(urls) => Err(Self::several(&urls)),
            Found::Nothing => Err(self.did_not_show_up()),
        }
    }

    /// Looks for the run of a dispatch that may have arrived. Only its title can prove that it has.
    async fn look_up_after_doubt(&mut self, lane: &Lane, cause: &str) -> Result<(), Failure> {
        self.session
            .tell(&format!("It is not known whether GitHub started the workflow ({cause}). The runner looks for it."));
        match self.search(Proof::Title).await? {
            Found::Run(run) => {
                lane.resolve(self.ctx().run().uuid());
                self.owns(run.id, run.html_url).await
            }
            Found::Several(_) | Found::Nothing => Err(self.may_have_been_started(cause)),
        }
    }

    /// Searches until it is found, the time is up, or a stop is asked for. After an abort it goes on for a while: what is
    /// found can be cancelled.
    async fn search(&mut self, proof: Proof) -> Result<Found, Failure> {
        let ctx = self.ctx();
        match ctx.or_stopped(self.search_for(proof, self.github.settings.times.lookup_limit)).await {
            Ok(found) => Ok(found),
            Err(Stopped(StopReason::Aborted)) => {
                Ok(self.search_for(proof, self.github.settings.times.cancel_grace).await)
            }
            Err(stopped) => Err(stopped.into()),
        }
    }

    async fn search_for(&mut self, proof: Proof, time: Duration) -> Found {
        let until = Instant::now() + time;
        let mut several = Vec::new();
        match tokio::time::timeout_at(until, self.search_on(proof, &mut several)).await {
            Ok(Some(run)) => Found::Run(Box::new(run)),
            Ok(None) | Err(_) if several.is_empty() => Found::Nothing,
            Ok(None) | Err(_) => Found::Several(several),
        }
    }

    /// Looks again and again. `None`: there are several that could be it, or GitHub will not tell.
    async fn search_on(&mut self, proof: Proof, several: &mut Vec<String>) -> Option<WorkflowRun> {
        let lookup = self.github.settings.times.lookup;
        let (mut etag, mut page) = (None, Vec::new());
        // What was seen at the last look, to be seen once more: another run may show up a little later.
        let mut last: Vec<u64> = Vec::new();
        loop {
            tokio::time::sleep(lookup).await;
            match self.list(etag.as_deref()).await {
                Ok(None) => {}
                Ok(Some((new_etag, runs))) => (etag, page) = (new_etag, runs),
                Err(trouble) => {
                    self.session.tell(&format!("GitHub does not list the workflow's runs: {}", trouble.cause()));
                    self.session.forget_refusal();
                    continue;
                }
            }
            let (base, run) = (&self.checkpoint.base, self.ctx().run().uuid());
            let wanted = Wanted {
                run,
                branch: &self.checkpoint.branch,
                not_before: self.checkpoint.not_before,
                not_after: self.not_after(),
            };
            let is_anothers = |id| self.github.owned.is_anothers(base, id, run);
            let (found, seen) = match choose(&page, &wanted, is_anothers) {
                Choice::Named(run) => (Some(run), Vec::new()),
                Choice::Only(run) if proof == Proof::Only => (Some(run).filter(|run| last == [run.id]), vec![run.id]),
                Choice::None | Choice::Only(_) => (None, Vec::new()),
                Choice::Several(runs) => {
                    let ids: Vec<u64> = runs.iter().map(|run| run.id).collect();
                    if proof == Proof::Only {
                        *several = runs.iter().map(|run| run.html_url.clone().unwrap_or(run.id.to_string())).collect();
                        if last == ids {
                            return None;
                        }
                    }
                    (None, ids)
                }
            };
            if let Some(found) = found
                && self.github.owned.take(base, found.id, run)
            {
                return Some(found.clone());
            }
            last = seen;
        }
    }

    /// A workflow run that was created later than this is no longer one of our dispatch, in seconds of GitHub's clock.
    fn not_after(&self) -> i64 {
        let limit = self.github.settings.times.lookup_limit.as_secs();
        self.checkpoint.not_before.saturating_add_unsigned(limit).saturating_add(UNDER_WAY)
    }

    /// The newest runs of the workflow. `None`: as before.
    async fn list(&mut self, etag: Option<&str>) -> Result<Option<(Option<String>, Vec<WorkflowRun>)>, Trouble> {
        let call = Call::get(["actions", "workflows", &self.definition.workflow, "runs"])
            .query("event", "workflow_dispatch")
            .query("per_page", "100")
            .unless(etag);
        loop {
            let answer = self.session.ask(&call).await?;
            if answer.status.as_u16() == 304 {
                return Ok(None);
            }
            match answer.json::<RunPage>() {
                Ok(page) => return Ok(Some((answer.header("etag").map(str::to_owned), page.workflow_runs))),
                Err(error) => self.session.wait_out(&chain(&error), false, None).await?,
            }
        }
    }

    /// The failure of a dispatch that could not be sent.
    pub(crate) fn could_not_start(&self, trouble: Trouble, inputs: &Map<String, Value>) -> Failure {
        match trouble {
            Trouble::Refused(refusal) => refusal.into_failure(),
            Trouble::Answered(answer) => {
                refused_dispatch(&answer, &self.definition, inputs::length(inputs)).into_failure()
            }
        }
    }

    /// Where to look: the page of the workflow, or its name.
    fn place(&self) -> String {
        let name = || format!("the workflow `{}` of {}", self.definition.workflow, self.definition.full_name());
        self.definition.page().unwrap_or_else(name)
    }

    fn several(urls: &[String]) -> Failure {
        let shown: Vec<&str> = urls.iter().take(5).map(String::as_str).collect();
        Failure::because(
            format!(
                "The workflow was started, but {} workflow runs began at that moment and this GitHub server does not \
                 say which one is ours: {}. Check them, and start the run again if need be; ask the platform team to \
                 show the run's address in the workflow's `run-name`, which makes them distinguishable.",
                urls.len(),
                shown.join(", ")
            ),
            "several workflow runs could be the one that was started; none was taken",
        )
    }

    fn did_not_show_up(&self) -> Failure {
        let limit = clock::human(self.github.settings.times.lookup_limit);
        Failure::new(format!(
            "GitHub took the order to start the workflow, but no workflow run of it showed up within {limit}. Start the \
             run again if it is not there either: {}",
            self.place()
        ))
    }

    fn may_have_been_started(&self, cause: &str) -> Failure {
        Failure::because(
            format!(
                "GitHub's answer to the start of the workflow was lost, so the workflow may have been started. Look whether \
                 it runs or has run, and start the run again only if not: {}",
                self.place()
            ),
            cause.to_owned(),
        )
    }
}
