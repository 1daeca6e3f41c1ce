//! The executor: what it is called for, and what becomes of a workflow.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use runner_core::meshstack_client::ImplementationType;
use runner_core::{Executor, Failure, Outcome, Pace, Run, RunContext, Serves, StepSpec, StopReason, Stopped};
use serde_json::Value;
use tokio::time::Instant;

use crate::cancel::cancel;
use crate::checkpoint::{Checkpoint, Phase};
use crate::clock;
use crate::flow::Flow;
use crate::follow::Follower;
use crate::github::Github;
use crate::host::Details;
use crate::jobs::Jobs;
use crate::models::WorkflowRun;
use crate::session::Trouble;
use crate::settings::GithubSettings;
use crate::steps::{self, TRIGGER};

/// After a restart there is time for a look at what happened meanwhile, even if the limit has passed.
const LAST_LOOK: Duration = Duration::from_secs(60);

/// Executor for `GITHUB_WORKFLOW` building blocks: starts a workflow, and follows exactly that one to its end.
///
/// Source: `protocol/executors.md`, `GITHUB_WORKFLOW`.
#[derive(Clone)]
pub struct GithubExecutor {
    github: Arc<Github>,
}

impl GithubExecutor {
    /// The executor. Nothing is loaded and no connection made before the first run.
    pub fn new(settings: GithubSettings) -> Self {
        Self { github: Arc::new(Github::new(settings)) }
    }

    /// What follows once the workflow is started: a hand-over, or its end.
    async fn go_on(&self, mut flow: Flow<'_>, resumed: bool) -> Result<Outcome, Failure> {
        let ctx = flow.ctx();
        let step = ctx.step(TRIGGER);
        let url = flow.checkpoint.url.clone();
        step.user_message(match &url {
            Some(url) => format!("The workflow was started: {url}"),
            None => "The workflow was started.".to_owned(),
        });
        step.succeed();
        if !flow.definition.is_async {
            return self.follow(flow, resumed).await;
        }
        match (ctx.stop().reason(), flow.checkpoint.run_id) {
            (Some(reason @ StopReason::Aborted), Some(id)) => {
                cancel(&mut flow.session, id).await;
                Err(Stopped(reason).into())
            }
            (_, Some(_)) if self.github.settings.watch_handed_over => {
                Ok(Outcome::HandedOver { watch: serde_json::to_value(&flow.checkpoint).ok() })
            }
            _ => Ok(Outcome::HandedOver { watch: None }),
        }
    }

    /// Follows the workflow run to its end.
    async fn follow(&self, mut flow: Flow<'_>, resumed: bool) -> Result<Outcome, Failure> {
        let ctx = flow.ctx();
        let Some(id) = flow.checkpoint.run_id else {
            return Err(Failure::new("The runner lost sight of the workflow through a mistake of its own."));
        };
        let times = &self.github.settings.times;
        let deadline = self.deadline(flow.checkpoint.triggered_at, resumed);
        flow.session.be_patient();
        let mut jobs = Jobs::default();
        let mut follower = Follower::new(&mut flow.session, id, Pace::new(times.poll, times.slowest_poll));
        let ended = ctx.or_stopped(tokio::time::timeout_at(deadline, follower.follow(&mut jobs))).await;
        let last = follower.last.take();
        let url = last.as_ref().and_then(|run| run.html_url.clone()).or(flow.checkpoint.url.clone());
        let place = url.unwrap_or_else(|| format!("the workflow run {id}"));
        match ended {
            Ok(Ok(Ok(run))) => conclude(ctx, &run, &jobs, &place),
            Ok(Ok(Err(trouble))) => Err(lost_sight(&trouble, &place)),
            Ok(Err(_)) => {
                let paused = flow.session.installation.pause.waiting().map(|waiting| waiting.reason);
                Err(self.took_too_long(last.as_ref(), paused, &place))
            }
            Err(Stopped(StopReason::Aborted)) => {
                cancel(&mut flow.session, id).await;
                Err(Stopped(StopReason::Aborted).into())
            }
            Err(Stopped(_)) => {
                Err(Failure::new(format!("The workflow may still be running: {place}")).on_step(TRIGGER))
            }
        }
    }

    /// When the run is given up. The limit counts from the dispatch, also over a restart.
    fn deadline(&self, triggered_at: i64, resumed: bool) -> Instant {
        let since = UNIX_EPOCH + Duration::from_secs(u64::try_from(triggered_at).unwrap_or(0));
        let passed = SystemTime::now().duration_since(since).unwrap_or_default();
        let left = self.github.settings.pipeline_timeout.saturating_sub(passed);
        Instant::now() + if resumed { left.max(LAST_LOOK) } else { left }
    }

    fn took_too_long(&self, last: Option<&WorkflowRun>, paused: Option<String>, place: &str) -> Failure {
        let limit = clock::human(self.github.settings.pipeline_timeout);
        let status = last.and_then(|run| run.status.as_deref()).unwrap_or("unknown");
        Failure::because(
            format!(
                "The workflow did not end within {limit}, so the runner no longer follows it. It may still be running: \
                 wait for it or cancel it before you start the run again. If it always takes this long, ask the \
                 platform team to raise the runner's limit. It is here: {place}"
            ),
            format!("the last status of the workflow run was `{status}`. {}", paused.unwrap_or_default()),
        )
        .on_step(TRIGGER)
    }

    /// Watches a workflow run that was handed over. An error: it is dead.
    async fn watch_over(&self, flow: &mut Flow<'_>, id: u64) -> Result<(), Failure> {
        let ctx = flow.ctx();
        let times = &self.github.settings.times;
        flow.session.be_silent();
        flow.session.be_patient();
        let mut follower = Follower::new(&mut flow.session, id, Pace::new(times.watch, times.slowest_watch));
        let work = async {
            loop {
                let changed = follower.look().await?;
                if let Some(run) = follower.ended() {
                    return Ok::<_, Trouble>(run.clone());
                }
                follower.wait(changed).await;
            }
        };
        let ended = ctx.or_stopped(work).await;
        let last = follower.last.take();
        let place = last.as_ref().and_then(|run| run.html_url.clone()).or(flow.checkpoint.url.clone());
        let place = place.unwrap_or_else(|| format!("the workflow run {id}"));
        match ended {
            Ok(Ok(run)) if run.is_good() => Ok(()),
            Ok(Ok(run)) => {
                let mut jobs = Jobs::default();
                jobs.look(&mut flow.session, id).await;
                Err(died(&run, &jobs, &place))
            }
            Ok(Err(Trouble::Answered(answer))) if matches!(answer.status.as_u16(), 404 | 410) => Err(deleted(&place)),
            Ok(Err(trouble)) => {
                let cause = trouble.cause();
                tracing::warn!(cause, "a workflow that was handed over cannot be watched any more");
                Ok(())
            }
            Err(Stopped(StopReason::Aborted)) => {
                cancel(&mut flow.session, id).await;
                Ok(())
            }
            Err(Stopped(StopReason::TokenExpires)) if last.as_ref().is_some_and(WorkflowRun::has_not_begun) => {
                Err(never_began(&place))
            }
            Err(Stopped(_)) => Ok(()),
        }
    }
}

#[async_trait]
impl Executor for GithubExecutor {
    fn serves(&self) -> Serves {
        Serves::Type(ImplementationType::GithubWorkflow)
    }

    fn steps(&self, _run: &Run) -> Vec<StepSpec> {
        vec![steps::trigger()]
    }

    fn stop_grace(&self) -> Duration {
        self.github.settings.times.stop_grace
    }

    fn names_external_run(&self) -> bool {
        true
    }

    fn resumes(&self) -> bool {
        true
    }

    async fn execute(&self, ctx: &RunContext) -> Result<Outcome, Failure> {
        ctx.step(TRIGGER).start();
        let mut flow = Flow::new(&self.github, ctx)?;
        flow.start().await?;
        self.go_on(flow, false).await
    }

    async fn resume(&self, ctx: &RunContext, checkpoint: Value) -> Result<Outcome, Failure> {
        let Some(checkpoint) = Checkpoint::read(&checkpoint) else { return Err(Failure::interrupted()) };
        if checkpoint.phase == Phase::Waiting {
            return self.execute(ctx).await;
        }
        let mut flow = Flow::new(&self.github, ctx)?;
        if checkpoint.run_id.is_some() {
            ctx.external_run(checkpoint.run_id.map(|id| id.to_string()).as_deref(), checkpoint.url.as_deref());
            flow.checkpoint = checkpoint;
        } else {
            ctx.step(TRIGGER).start();
            flow.find_again(checkpoint).await?;
        }
        self.go_on(flow, true).await
    }

    async fn watch(&self, ctx: &RunContext, checkpoint: Value) -> Result<(), Failure> {
        let Some((checkpoint, id)) = Checkpoint::read(&checkpoint).and_then(|read| Some((read.clone(), read.run_id?)))
        else {
            tracing::warn!("a run that was handed over cannot be watched: its checkpoint is of another version");
            return Ok(());
        };
        let mut flow = match Flow::new(&self.github, ctx) {
            Ok(flow) => flow,
            Err(failure) => {
                let reason = failure.user_message();
                tracing::warn!(reason, "a run that was handed over cannot be watched");
                return Ok(());
            }
        };
        flow.checkpoint = checkpoint;
        self.watch_over(&mut flow, id).await
    }

    fn recall(&self, run: &Run, checkpoint: &Value) {
        let Some(checkpoint) = Checkpoint::read(checkpoint) else { return };
        if let Some(id) = checkpoint.run_id {
            self.github.owned.take(&checkpoint.base, id, run.uuid());
        }
        match checkpoint.details {
            Some(true) => self.github.host(&checkpoint.base).learn(Details::Given),
            Some(false) => self.github.host(&checkpoint.base).learn(Details::Refused),
            None => {}
        }
        let unresolved = checkpoint.run_id.is_none() && checkpoint.phase != Phase::Waiting;
        if unresolved && checkpoint.details != Some(true) {
            let limit = self.github.settings.times.lookup_limit;
            let passed = u64::try_from(clock::now() - checkpoint.triggered_at).unwrap_or(0);
            let left = limit.saturating_sub(Duration::from_secs(passed));
            let Checkpoint { base, repository, workflow, branch, .. } = &checkpoint;
            self.github.lanes.get(base, repository, workflow, branch).doubt(run.uuid(), left);
        }
    }
}

/// The end of a workflow run as the end of the run.
fn conclude(ctx: &RunContext, run: &WorkflowRun, jobs: &Jobs, place: &str) -> Result<Outcome, Failure> {
    let word = run.conclusion.as_deref().unwrap_or("no conclusion");
    if !run.is_good() {
        return Err(ended_badly(word, jobs, place));
    }
    let step = ctx.step(TRIGGER);
    step.log_line(format!("The workflow ended with {word}."));
    step.user_message(format!("The workflow ended with {word}: {place}"));
    Ok(Outcome::Succeeded)
}

fn ended_badly(word: &str, jobs: &Jobs, place: &str) -> Failure {
    Failure::because(
        format!(
            "The workflow {}.{} Look there for the reason, and start the run again once it is mended: {place}",
            what_happened(word),
            bad_jobs(jobs)
        ),
        format!("the workflow run ended with the conclusion `{word}`"),
    )
    .on_step(TRIGGER)
}

/// A sentence on the jobs that did not end well, if there are any.
fn bad_jobs(jobs: &Jobs) -> String {
    let failed = jobs.failed();
    if failed.is_empty() { failed } else { format!(" Not well ended: {failed}.") }
}

/// A clause on a conclusion.
fn what_happened(word: &str) -> String {
    match word {
        "failure" => "failed".to_owned(),
        "cancelled" => "was cancelled at GitHub".to_owned(),
        "timed_out" => "took too long and was stopped by GitHub".to_owned(),
        "action_required" => "waits for a decision at GitHub that the runner does not wait for".to_owned(),
        "startup_failure" => "could not be started by GitHub, which often is a mistake in the workflow file".to_owned(),
        "stale" => "was given up by GitHub".to_owned(),
        other => format!("ended with `{other}`"),
    }
}

/// A workflow that was to report its own end, and did not live to.
fn died(run: &WorkflowRun, jobs: &Jobs, place: &str) -> Failure {
    let word = run.conclusion.as_deref().unwrap_or("no conclusion");
    Failure::because(
        format!(
            "The workflow {} without reporting its end.{} Look there for the reason, and start the run again once it is \
             mended: {place}",
            what_happened(word),
            bad_jobs(jobs)
        ),
        format!("the workflow run ended with the conclusion `{word}`"),
    )
    .on_step(TRIGGER)
}

fn never_began(place: &str) -> Failure {
    Failure::new(format!(
        "The workflow never began: GitHub found no machine for its jobs. Ask the platform team for a runner with the \
         labels that its jobs want, and start the run again: {place}"
    ))
    .on_step(TRIGGER)
}

fn deleted(place: &str) -> Failure {
    Failure::new(format!(
        "The workflow run was deleted at GitHub before it reported its end. Check what it has done, and start the run \
         again. It was here: {place}"
    ))
    .on_step(TRIGGER)
}

/// GitHub no longer shows the workflow run.
fn lost_sight(trouble: &Trouble, place: &str) -> Failure {
    Failure::because(
        format!(
            "GitHub no longer lets the runner see the workflow, which may still be running. Ask the platform team to \
             check the GitHub App and its installation, and whether somebody deleted the workflow run: {place}"
        ),
        trouble.cause(),
    )
    .on_step(TRIGGER)
}
