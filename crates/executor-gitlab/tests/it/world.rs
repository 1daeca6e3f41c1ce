//! A meshStack, a GitLab, and a runner in between.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use executor_gitlab::{GitlabExecutor, GitlabSettings};
use meshstack_local::{LocalMeshStack, Order, RunView, RunnerSpec, StepView};
use runner_core::journal::FileJournal;
use runner_core::meshstack_client::{
    Client, ClientConfig, Credentials, KeyRing, PrivateKey, RunAccess, RunStatus, Secret, Source, SourceRegistration,
    StatusPatch,
};
use runner_core::{Runner, Shutdown};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::task::AbortOnDropHandle;

use crate::fake::Fake;

pub(crate) const STEP: &str = "gl-trigger";
pub(crate) const TRIGGER_TOKEN: &str = "glptt-secret";
pub(crate) const READ_TOKEN: &str = "glpat-read-secret";

pub(crate) const CERTIFICATE: &str = include_str!("../fixtures/current.cert.pem");

static KEYS: LazyLock<KeyRing> = LazyLock::new(|| {
    let key = |pem| PrivateKey::from_pem(pem).expect("a key");
    let (current, previous) =
        (include_str!("../fixtures/current.key.pem"), include_str!("../fixtures/previous.key.pem"));
    KeyRing::new(vec![key(current), key(previous)])
});

/// Settings that do not keep a test waiting.
pub(crate) fn settings() -> GitlabSettings {
    GitlabSettings {
        poll: Duration::from_millis(5),
        slowest_poll: Duration::from_millis(20),
        first_retry: Duration::from_millis(5),
        look_up: Duration::from_secs(60),
        ..GitlabSettings::default()
    }
}

pub(crate) struct World {
    pub(crate) fake: Fake,
    pub(crate) meshstack: LocalMeshStack,
    pub(crate) runner: String,
    pub(crate) folder: TempDir,
    daemon: Option<(Runner, AbortOnDropHandle<()>)>,
}

impl World {
    /// With a runner that has no read token.
    pub(crate) async fn new() -> Self {
        let mut world = Self::without_runner(Fake::start().await).await;
        world.start(settings());
        world
    }

    /// With a runner that has a read token, and watches.
    pub(crate) async fn watching(scope: crate::fake::Scope, maintainer: bool) -> Self {
        let mut world = Self::without_runner(Fake::start().await).await;
        world.fake.with(|gitlab| gitlab.allow_reading(READ_TOKEN, scope, maintainer));
        world.start(world.with_read_token());
        world
    }

    pub(crate) async fn without_runner(fake: Fake) -> Self {
        let meshstack = LocalMeshStack::start().await.expect("a meshStack");
        let runner = meshstack.register_runner(RunnerSpec::new("GITLAB_PIPELINE").certificate(CERTIFICATE)).await;
        let folder = tempfile::tempdir().expect("a folder");
        Self { fake, meshstack, runner, folder, daemon: None }
    }

    pub(crate) fn with_read_token(&self) -> GitlabSettings {
        GitlabSettings {
            watch_handed_over: true,
            read_tokens: [(self.fake.place(), Secret::new(READ_TOKEN))].into(),
            ..settings()
        }
    }

    pub(crate) fn build(&self, settings: GitlabSettings) -> Runner {
        let mut config = ClientConfig::new(&self.runner);
        config.api_url = Some(self.meshstack.url());
        let (client_id, client_secret) = self.meshstack.api_key();
        config.credentials = Some(Credentials::ApiKey { client_id, client_secret: Secret::new(client_secret) });
        // The writes of a runner that has just died hold the folder until they are through.
        let until = Instant::now() + Duration::from_secs(60);
        let journal = loop {
            match FileJournal::open(&self.folder.path().join("state"), &KEYS) {
                Ok(journal) => break journal,
                Err(error) => assert!(Instant::now() < until, "{error}"),
            }
            std::thread::yield_now();
        };
        Runner::builder(Client::new(config).expect("a client"), &self.runner)
            .executor(GitlabExecutor::new(settings))
            .keys(KEYS.clone())
            .working_dir(self.folder.path().join("work"))
            .journal(journal)
            .idle_poll(Duration::from_millis(10))
            .max_concurrent_runs(100)
            .build()
            .expect("a runner")
    }

    pub(crate) fn start(&mut self, settings: GitlabSettings) {
        assert!(self.daemon.is_none(), "there is a runner at work");
        let runner = self.build(settings);
        let works = runner.clone();
        let daemon = AbortOnDropHandle::new(tokio::spawn(async move {
            works.run(&Shutdown::new()).await;
        }));
        self.daemon = Some((runner, daemon));
    }

    /// Waits until the runner has nothing in hand and watches nothing any more.
    pub(crate) async fn idle(&self) {
        let (runner, _) = self.daemon.as_ref().expect("a runner");
        within("the runner is idle", async {
            // Nobody tells when a run is dropped.
            while runner.status().runs_in_hand + runner.status().watched > 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
    }

    /// The definition that most tests use.
    pub(crate) fn implementation(&self) -> Value {
        json!({
            "type": "GITLAB_CICD", "gitlabBaseUrl": self.fake.url(), "projectId": "4711", "refName": "main",
            "pipelineTriggerToken": TRIGGER_TOKEN,
        })
    }

    pub(crate) fn order(&self) -> Order {
        Order::new(self.implementation()).input("name", "demo", "STRING")
    }

    pub(crate) async fn place(&self, order: Order) -> String {
        self.meshstack.order(&self.runner, order).await
    }

    /// Orders, and waits until the pipeline has taken over.
    pub(crate) async fn hand_over(&self, order: Order) -> RunView {
        let run = self.place(order).await;
        self.handed_over(&run).await
    }

    pub(crate) async fn handed_over(&self, run: &str) -> RunView {
        let is_over = |view: &RunView| {
            view.status.is_final()
                || view.step(STEP).is_some_and(|step| step.status == "SUCCEEDED" && !view.sources.is_empty())
        };
        let view = within("the hand-over", self.meshstack.wait_until(run, is_over)).await;
        assert_eq!(view.status, "IN_PROGRESS", "{}", told(&view));
        self.no_secret_is_out();
        view
    }

    /// Orders, and waits for the end, which is FAILED.
    pub(crate) async fn fails(&self, order: Order) -> RunView {
        let run = self.place(order).await;
        self.failed(&run).await
    }

    pub(crate) async fn failed(&self, run: &str) -> RunView {
        let view = within("the end", self.meshstack.wait_for_end(run)).await;
        assert_eq!((view.status.word(), view.ended_count), ("FAILED", 1), "{}", told(&view));
        self.no_secret_is_out();
        view
    }

    /// Neither token is in anything that meshStack was told, and nothing that it was told was wrong.
    pub(crate) fn no_secret_is_out(&self) {
        assert_eq!(self.meshstack.violations(), Vec::<String>::new());
        for request in self.meshstack.requests() {
            let body = request.body.map_or_else(String::new, |body| String::from_utf8_lossy(&body).into_owned());
            for secret in [TRIGGER_TOKEN, READ_TOKEN] {
                assert!(!body.contains(secret), "{body}");
            }
        }
    }

    /// Reports as the pipeline would.
    pub(crate) async fn report(&self, run: &Value, status: RunStatus) {
        let run = runner_core::meshstack_client::RunObject::from_value(run.clone()).expect("a run");
        let mut config = ClientConfig::new("gitlab");
        config.api_url = Some(self.meshstack.url());
        let client = Client::new(config).expect("a client");
        let access = RunAccess::of(&run);
        let source = Source { id: "gitlab".to_owned(), external_run_id: None, external_run_url: None };
        client.register(&access, &SourceRegistration { source, steps: Vec::new() }).await.expect("registered");
        client.patch(&access, &StatusPatch::new(status)).await.expect("patched");
    }
}

/// So long a test waits for something that has to come on a machine that has other things to do.
pub(crate) async fn within<T>(what: &str, work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), work).await.unwrap_or_else(|_| panic!("never: {what}"))
}

pub(crate) fn step(view: &RunView) -> &StepView {
    view.step(STEP).unwrap_or_else(|| panic!("no step: {view:?}"))
}

pub(crate) fn message(view: &RunView) -> String {
    step(view).user_message.clone().unwrap_or_default()
}

pub(crate) fn log(view: &RunView) -> String {
    step(view).system_message.clone().unwrap_or_default()
}

/// The run shows the link to this pipeline, or none: the registration does not wait for it for ever. Whether it does.
pub(crate) fn linked(view: &RunView, id: u64) -> bool {
    let source = &view.sources[0];
    assert_eq!(source.external_run_id.is_some(), source.external_run_url.is_some(), "{source:?}");
    if let (Some(known), Some(url)) = (&source.external_run_id, &source.external_run_url) {
        assert_eq!(known, &json!(id.to_string()));
        assert!(url.ends_with(&format!("/-/pipelines/{id}")), "{url}");
    }
    source.external_run_id.is_some()
}

/// What a person sees of a run.
pub(crate) fn told(view: &RunView) -> String {
    format!("{}: {:?}, {:#?}", view.status, view.summary, view.steps)
}
