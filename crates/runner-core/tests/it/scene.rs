//! What the tests are made of: runs, executors and a runner in the background.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use runner_core::meshstack_client::{ImplementationType, Problem, RunObject};
use runner_core::{Drained, Executor, Failure, Outcome, Run, RunContext, Runner, RunnerBuilder, SecretsWanted};
use runner_core::{Serves, Shutdown, StepSpec};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::fake::Fake;

pub(crate) const MINUTE: Duration = Duration::from_secs(60);
pub(crate) const HOUR: Duration = Duration::from_secs(3600);

pub(crate) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A run of this type without inputs; its token is `token of <uuid>`.
pub(crate) fn order(uuid: &str, kind: &str) -> RunObject {
    order_with(uuid, kind, |_| {})
}

/// The same, changed.
pub(crate) fn order_with(uuid: &str, kind: &str, change: impl FnOnce(&mut Value)) -> RunObject {
    let mut run = json!({
        "kind": "meshBuildingBlockRun", "apiVersion": "v1",
        "metadata": { "uuid": uuid },
        "spec": {
            "runNumber": 1, "behavior": "APPLY", "runToken": format!("token of {uuid}"),
            "buildingBlock": { "uuid": "block", "spec": {
                "displayName": "a block", "workspaceIdentifier": "workspace", "inputs": [] } },
            "buildingBlockDefinition": { "uuid": "definition", "spec": {
                "workspaceIdentifier": "platform", "version": 1, "implementation": { "type": kind } } }
        },
        "status": "IN_PROGRESS",
        "_links": {}
    });
    change(&mut run);
    RunObject::from_value(run).expect("a run object")
}

/// The same run, as meshStack gives it when it is queued again.
pub(crate) fn with_token(run: &RunObject, token: &str) -> RunObject {
    let mut raw = run.raw().clone();
    raw["spec"]["runToken"] = json!(token);
    RunObject::from_value(raw).expect("a run object")
}

pub(crate) fn unavailable() -> Problem {
    Problem::TryAgain { status: 503, retry_after: None, excerpt: String::new() }
}

pub(crate) fn asks_to_wait(time: Duration) -> Problem {
    Problem::TryAgain { status: 429, retry_after: Some(time), excerpt: String::new() }
}

pub(crate) fn no_answer() -> Problem {
    Problem::NoAnswer { connect: true }
}

pub(crate) fn unauthorised() -> Problem {
    Problem::Unauthorised { status: 401, excerpt: String::new() }
}

pub(crate) fn gone() -> Problem {
    Problem::Gone { excerpt: String::new() }
}

pub(crate) fn conflict() -> Problem {
    Problem::Conflict { excerpt: String::new() }
}

pub(crate) fn refused() -> Problem {
    Problem::Refused { status: 400, excerpt: String::new() }
}

type WatchBody = dyn for<'a> Fn(&'a RunContext, Value) -> BoxFuture<'a, Result<(), Failure>> + Send + Sync;
type Body = dyn for<'a> Fn(&'a RunContext) -> BoxFuture<'a, Result<Outcome, Failure>> + Send + Sync;

/// An executor that does what a closure says.
pub(crate) struct Scripted {
    kind: String,
    steps: Vec<StepSpec>,
    body: Box<Body>,
    calls: Calls,
    pub(crate) time_limit: Option<Duration>,
    pub(crate) stop_grace: Duration,
    pub(crate) secrets: SecretsWanted,
    pub(crate) repeatable: bool,
    pub(crate) names_external_run: bool,
    watch: Option<Box<WatchBody>>,
    resume: Option<Box<Body>>,
    delay: Duration,
    recalled: Recalled,
}

/// What an executor was told of runs of an earlier process: run and checkpoint.
pub(crate) type Recalled = Arc<Mutex<Vec<(String, Value)>>>;

/// How often an executor was called, and how many calls were under way at most.
#[derive(Clone, Default)]
pub(crate) struct Calls(Arc<(AtomicUsize, AtomicUsize, AtomicUsize, Mutex<Vec<String>>)>);

impl Calls {
    pub(crate) fn count(&self) -> usize {
        self.0.0.load(Ordering::SeqCst)
    }

    pub(crate) fn most_at_once(&self) -> usize {
        self.0.2.load(Ordering::SeqCst)
    }

    /// The runs in the order of the calls.
    pub(crate) fn runs(&self) -> Vec<String> {
        self.0.3.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn enter(&self, run: &str) -> Under {
        self.0.0.fetch_add(1, Ordering::SeqCst);
        let now = self.0.1.fetch_add(1, Ordering::SeqCst) + 1;
        self.0.2.fetch_max(now, Ordering::SeqCst);
        self.0.3.lock().unwrap_or_else(PoisonError::into_inner).push(run.to_owned());
        Under(self.clone())
    }
}

/// A call under way.
struct Under(Calls);

impl Drop for Under {
    fn drop(&mut self) {
        self.0.0.1.fetch_sub(1, Ordering::SeqCst);
    }
}

/// An executor for this type with these steps.
pub(crate) fn executor<F>(kind: &str, steps: &[&str], body: F) -> Scripted
where
    F: for<'a> Fn(&'a RunContext) -> BoxFuture<'a, Result<Outcome, Failure>> + Send + Sync + 'static,
{
    Scripted {
        kind: kind.to_owned(),
        steps: steps.iter().map(|id| StepSpec::new(*id, format!("Step {id}"))).collect(),
        body: Box::new(body),
        calls: Calls::default(),
        time_limit: None,
        stop_grace: seconds(10),
        secrets: SecretsWanted::Decrypted,
        repeatable: false,
        names_external_run: false,
        watch: None,
        resume: None,
        delay: Duration::ZERO,
        recalled: Recalled::default(),
    }
}

/// Succeeds at once.
pub(crate) fn instant(kind: &str) -> Scripted {
    executor(kind, &["work"], |ctx| {
        Box::pin(async move {
            ctx.step("work").succeed();
            Ok(Outcome::Succeeded)
        })
    })
}

/// Begins its one step, and succeeds after this time unless it is stopped.
pub(crate) fn working(kind: &str, time: Duration) -> Scripted {
    executor(kind, &["work"], move |ctx| {
        Box::pin(async move {
            ctx.step("work").start();
            ctx.or_stopped(tokio::time::sleep(time)).await?;
            Ok(Outcome::Succeeded)
        })
    })
}

impl Scripted {
    pub(crate) fn calls(&self) -> Calls {
        self.calls.clone()
    }

    pub(crate) fn repeatable(mut self) -> Self {
        self.repeatable = true;
        self
    }

    /// Watches over runs that were handed over.
    pub(crate) fn watching<F>(mut self, watch: F) -> Self
    where
        F: for<'a> Fn(&'a RunContext, Value) -> BoxFuture<'a, Result<(), Failure>> + Send + Sync + 'static,
    {
        self.watch = Some(Box::new(watch));
        self
    }

    /// Takes runs with a checkpoint up again.
    pub(crate) fn resuming<F>(mut self, resume: F) -> Self
    where
        F: for<'a> Fn(&'a RunContext) -> BoxFuture<'a, Result<Outcome, Failure>> + Send + Sync + 'static,
    {
        self.resume = Some(Box::new(resume));
        self
    }

    /// Begins only after this time, whatever happens meanwhile.
    pub(crate) fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    pub(crate) fn naming_external_runs(mut self) -> Self {
        self.names_external_run = true;
        self
    }

    pub(crate) fn recalled(&self) -> Recalled {
        Arc::clone(&self.recalled)
    }

    pub(crate) fn limited_to(mut self, limit: Duration) -> Self {
        self.time_limit = Some(limit);
        self
    }
}

#[async_trait]
impl Executor for Scripted {
    fn serves(&self) -> Serves {
        Serves::Type(ImplementationType::from(self.kind.as_str()))
    }

    fn steps(&self, _run: &Run) -> Vec<StepSpec> {
        self.steps.clone()
    }

    fn secrets(&self) -> SecretsWanted {
        self.secrets
    }

    fn repeatable(&self) -> bool {
        self.repeatable
    }

    fn time_limit(&self) -> Option<Duration> {
        self.time_limit
    }

    fn stop_grace(&self) -> Duration {
        self.stop_grace
    }

    fn names_external_run(&self) -> bool {
        self.names_external_run
    }

    fn recall(&self, run: &Run, checkpoint: &Value) {
        self.recalled.lock().unwrap_or_else(PoisonError::into_inner).push((run.uuid().to_owned(), checkpoint.clone()));
    }

    fn resumes(&self) -> bool {
        self.resume.is_some()
    }

    async fn resume(&self, ctx: &RunContext, _checkpoint: Value) -> Result<Outcome, Failure> {
        match &self.resume {
            Some(resume) => resume(ctx).await,
            None => Err(Failure::interrupted()),
        }
    }

    async fn watch(&self, ctx: &RunContext, checkpoint: Value) -> Result<(), Failure> {
        match &self.watch {
            Some(watch) => watch(ctx, checkpoint).await,
            None => Ok(()),
        }
    }

    async fn execute(&self, ctx: &RunContext) -> Result<Outcome, Failure> {
        let _under = self.calls.enter(ctx.run().uuid());
        if !self.delay.is_zero() {
            tokio::time::sleep(self.delay).await;
        }
        (self.body)(ctx).await
    }
}

/// A runner that polls in the background. Checks the rules of the API when it is dropped.
pub(crate) struct Daemon {
    pub(crate) fake: Fake,
    pub(crate) runner: Runner,
    pub(crate) shutdown: Shutdown,
    task: Option<JoinHandle<Drained>>,
}

pub(crate) fn start(fake: &Fake, builder: RunnerBuilder) -> Daemon {
    let (runner, shutdown) = (builder.build().expect("a runner"), Shutdown::new());
    let task = tokio::spawn({
        let (runner, shutdown) = (runner.clone(), shutdown.clone());
        async move { runner.run(&shutdown).await }
    });
    Daemon { fake: fake.clone(), runner, shutdown, task: Some(task) }
}

impl Daemon {
    /// Waits for it to end.
    pub(crate) async fn ended(&mut self) -> Drained {
        self.task.take().expect("a daemon that was not waited for").await.expect("a daemon without a panic")
    }

    /// Ends it in order.
    pub(crate) async fn drain(mut self) -> Drained {
        self.shutdown.drain();
        self.ended().await
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
        if !std::thread::panicking() {
            self.fake.check();
        }
    }
}
