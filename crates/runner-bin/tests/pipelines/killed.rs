//! kill -9 at every request to a platform: the next start finds the right end, and starts nothing twice.

use std::fs;

use meshstack_local::{LocalMeshStack, RunView};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::fake_azure::azure::Pipeline;
use crate::fake_azure::moments::Moment;
use crate::fake_github::{Script, Workflow};
use crate::runs::{AZURE_SYNC, GITHUB_SYNC, GITLAB, run};
use crate::support::{Daemon, Setup, UUID, bb_runner, fixture_path, local};
use crate::{fake_azure, fake_github, fake_gitlab, patiently};

/// A runner that can be started again on its folder.
struct Runner {
    folder: TempDir,
    local: LocalMeshStack,
}

impl Runner {
    async fn new() -> Self {
        let local = local().await;
        let folder = tempfile::tempdir().expect("a folder");
        let at = folder.path().display();
        fs::write(folder.path().join("runner-config.yml"), format!("workingDir: {at}/wd\n")).expect("a file");
        Self { folder, local }
    }

    fn start(&self) -> Daemon {
        let mut command = bb_runner(self.folder.path());
        let (id, secret) = self.local.api_key();
        command
            .env("RUNNER_UUID", UUID)
            .env("RUNNER_API_URL", self.local.url())
            .env("RUNNER_API_CLIENT_ID", id)
            .env("RUNNER_API_CLIENT_SECRET", secret)
            .env("RUNNER_PRIVATE_KEY_FILE", fixture_path("crypto/current.key.pem"));
        Daemon::start(&mut command, None)
    }

    /// As `kill -9` does.
    fn kill(mut daemon: Daemon) {
        daemon.signal(Signal::KILL);
        daemon.wait();
    }

    async fn until(&self, run: &str, over: impl Fn(&RunView) -> bool) -> RunView {
        let view = patiently(self.local.wait_until(run, over)).await;
        assert_eq!(self.local.violations(), Vec::<String>::new());
        view
    }
}

fn says_may_have_started(view: &RunView) -> bool {
    format!("{:?}", view.steps).contains("may have been started")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_github_workflow_is_started_once_whenever_the_runner_dies() {
    // Installation, token, dispatch, then run and jobs again and again. A workflow that may have been started is looked for
    // during two minutes, so that kill has its place in CI.
    let rounds = (1..=5).filter(|requests| *requests != 3 || std::env::var_os("BB_TEST_LONG").is_some());
    let kills = rounds.map(|requests| async move {
        let (runner, github) = (Runner::new().await, fake_github::Fake::start().await);
        let script = || Script::new().end("success", vec![fake_github::job(1, "build").ended("success")]);
        github.workflow("apply.yml", Workflow::new(move |_| script()));
        let run = runner.local.order_raw(UUID, run(GITHUB_SYNC, &github.url())).await;
        let daemon = runner.start();
        github.until("a request", |state| (state.seen.len() >= requests).then_some(())).await;
        Runner::kill(daemon);
        let _daemon = runner.start();
        let view = runner.until(&run, |view| view.status.is_final()).await;
        let dispatched = github.runs().len();
        if view.status == "SUCCEEDED" {
            assert_eq!(dispatched, 1, "killed at request {requests}");
        } else {
            assert!(dispatched <= 1 && says_may_have_started(&view), "killed at {requests}: {:#?}", view.steps);
        }
    });
    futures(kills).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_azure_pipeline_is_started_once_whenever_the_runner_dies() {
    let kills = (1..=4).map(|requests| async move {
        let stages = || vec![fake_azure::moments::stage(1, "Build", "completed", Some("succeeded"))];
        let pipeline = Pipeline::of_the_fixtures().living(vec![Moment::ended("succeeded", stages())]);
        let (runner, azure) = (Runner::new().await, fake_azure::Fake::with(pipeline).await);
        let run = runner.local.order_raw(UUID, run(AZURE_SYNC, azure.url())).await;
        let daemon = runner.start();
        let over = |view: &RunView| view.status.is_final();
        tokio::select! {
            () = azure.until("a request", |azure| azure.requests() >= requests) => {}
            _ = runner.until(&run, over) => {}
        }
        Runner::kill(daemon);
        let _daemon = runner.start();
        let view = runner.until(&run, over).await;
        let started = azure.runs().len();
        if view.status == "SUCCEEDED" {
            assert_eq!(started, 1, "killed at request {requests}");
        } else {
            assert!(started <= 1 && says_may_have_started(&view), "killed at {requests}: {:#?}", view.steps);
        }
    });
    futures(kills).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gitlab_pipeline_is_started_once_though_the_runner_dies() {
    let (runner, gitlab) = (Runner::new().await, fake_gitlab::Fake::start().await);
    let run = runner.local.order_raw(UUID, run(GITLAB, &gitlab.url())).await;
    let daemon = runner.start();
    gitlab.until("the trigger", |gitlab| !gitlab.requests().is_empty()).await;
    Runner::kill(daemon);
    let _daemon = runner.start();
    let over = |view: &RunView| {
        view.status.is_final() || view.step("gl-trigger").is_some_and(|step| step.status == "SUCCEEDED")
    };
    let view = runner.until(&run, over).await;
    assert!(gitlab.pipelines().len() <= 1);
    if view.status == "FAILED" {
        assert!(says_may_have_started(&view), "{:#?}", view.steps);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_without_any_state_folder_is_not_lost_by_a_restart_that_is_asked_for() {
    let local = local().await;
    let github = fake_github::Fake::start().await;
    github.workflow("apply.yml", Workflow::new(|_| Script::endless()));
    let run = local.order_raw(UUID, run(GITHUB_SYNC, &github.url())).await;
    let setup = Setup::of(&local);
    let mut daemon = setup.start();
    github.until("a dispatch", |state| (!state.runs.is_empty()).then_some(())).await;
    let followed = |view: &RunView| view.step("gh-trigger").is_some_and(|step| step.status == "SUCCEEDED");
    patiently(local.wait_until(&run, followed)).await;
    daemon.signal(Signal::TERM);
    daemon.signal(Signal::INT);
    daemon.wait();
    assert_eq!(local.run(&run).await.expect("the run").status, "IN_PROGRESS", "it is left to the next start");
}

/// All at the same time: each waits for intervals of its own.
async fn futures<F: Future<Output = ()> + Send + 'static>(futures: impl Iterator<Item = F>) {
    let mut set = tokio::task::JoinSet::new();
    futures.for_each(|future| drop(set.spawn(future)));
    while let Some(done) = set.join_next().await {
        done.expect("a round");
    }
}
