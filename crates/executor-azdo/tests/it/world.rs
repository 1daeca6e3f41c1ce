//! A meshStack, an Azure DevOps, and a runner that can be killed.

use std::path::Path;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use executor_azdo::{AzdoExecutor, AzdoSettings};
use meshstack_local::{LocalMeshStack, Options, Order, RunView, RunnerSpec};
use runner_core::journal::FileJournal;
use runner_core::meshstack_client::{Client, ClientConfig, Credentials, KeyRing, PrivateKey, Secret};
use runner_core::web::{Method, Url, Web, WebSettings};
use runner_core::{Runner, Shutdown};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::fake::Fake;
use crate::fake::azure::Pipeline;

/// The step of the start.
pub(crate) const TRIGGER: &str = "azure-devops-trigger";

/// How long a loaded machine may take for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

static KEYS: LazyLock<KeyRing> = LazyLock::new(|| {
    KeyRing::new(vec![PrivateKey::from_pem(include_str!("../fixtures/runner.key.pem")).expect("a key")])
});

/// Settings that wait for nothing.
pub(crate) fn quick() -> AzdoSettings {
    AzdoSettings {
        poll_interval: Duration::from_millis(10),
        watch_interval: Duration::from_millis(10),
        patience: PATIENCE,
        ..AzdoSettings::default()
    }
}

/// Everything a test needs.
pub(crate) struct World {
    pub(crate) meshstack: LocalMeshStack,
    pub(crate) fake: Fake,
    pub(crate) runner: String,
    folder: TempDir,
}

/// A runner that lives in a runtime of its own, so that it can be killed with all its tasks.
pub(crate) struct Life(Option<Runtime>);

impl Life {
    /// As `kill -9` does.
    pub(crate) fn kill(self) {
        drop(self);
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl World {
    pub(crate) async fn with(pipeline: Pipeline) -> Self {
        Self::with_options(pipeline, Options::default()).await
    }

    pub(crate) async fn with_options(pipeline: Pipeline, options: Options) -> Self {
        let meshstack = LocalMeshStack::start_with(options).await.expect("a meshStack");
        let spec = RunnerSpec::new("AZURE_DEVOPS_PIPELINE").certificate(include_str!("../fixtures/runner.cert.pem"));
        let runner = meshstack.register_runner(spec).await;
        let fake = Fake::with(pipeline).await;
        Self { meshstack, fake, runner, folder: tempfile::tempdir().expect("a folder") }
    }

    /// Starts a runner.
    pub(crate) fn live(&self, settings: AzdoSettings) -> Life {
        let (client_id, client_secret) = self.meshstack.api_key();
        let mut config = ClientConfig::new(&self.runner);
        config.api_url = Some(self.meshstack.url());
        config.credentials = Some(Credentials::ApiKey { client_id, client_secret: Secret::new(client_secret) });
        let runner = Runner::builder(Client::new(config).expect("a client"), &self.runner)
            .executor(AzdoExecutor::new(settings))
            .keys(KEYS.clone())
            .working_dir(self.folder.path().join("work"))
            .journal(open(&self.folder.path().join("state")))
            .idle_poll(Duration::from_millis(20))
            .max_concurrent_runs(60)
            .build()
            .expect("a runner");
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        runtime.spawn(async move {
            runner.run(&Shutdown::new()).await;
        });
        Life(Some(runtime))
    }

    /// An order of the fake's pipeline.
    pub(crate) fn order(&self, change: impl FnOnce(&mut Value)) -> Order {
        let mut implementation = json!({
            "type": "AZURE_DEVOPS", "azureDevOpsBaseUrl": self.fake.url(), "organization": "likvid", "project": "infra",
            "pipelineId": "12", "personalAccessToken": "pat-secret", "async": false, "refName": null,
        });
        change(&mut implementation);
        Order::new(implementation)
    }

    pub(crate) async fn place(&self, order: Order) -> String {
        self.meshstack.order(&self.runner, order).await
    }

    /// Waits until a run is as wanted.
    pub(crate) async fn until(&self, run: &str, what: &str, holds: impl Fn(&RunView) -> bool) -> RunView {
        let waited = tokio::time::timeout(PATIENCE, self.meshstack.wait_until(run, holds)).await;
        let Ok(view) = waited else {
            panic!("waited in vain until {what}: {:#?}", self.meshstack.run(run).await.map(|run| run.steps));
        };
        view
    }

    /// Waits until a run was asked about: what is refused changes nothing, so nobody is woken by it.
    pub(crate) async fn asked(&self, run: &str, what: &str, holds: impl Fn(&RunView) -> bool) {
        let begin = Instant::now();
        while !self.meshstack.run(run).await.is_some_and(|run| holds(&run)) {
            assert!(begin.elapsed() < PATIENCE, "waited in vain until {what}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits for the end; nothing about it may be wrong.
    pub(crate) async fn ended(&self, run: &str) -> RunView {
        let view = self.until(run, "the run has ended", |run| run.status.is_final()).await;
        assert_eq!(self.meshstack.violations(), Vec::<String>::new());
        view
    }

    /// Orders, carries out, and gives the end.
    pub(crate) async fn carry_out(&self, order: Order, settings: AzdoSettings) -> RunView {
        let run = self.place(order).await;
        let _life = self.live(settings);
        self.ended(&run).await
    }

    /// Reports the run SUCCEEDED, as a pipeline that reports for itself does.
    pub(crate) async fn end_as_pipeline(&self, run: &str) {
        let url = self.meshstack.url();
        let (id, secret) = self.meshstack.api_key();
        let login = json!({ "clientId": id, "clientSecret": secret });
        let token = ask(Method::POST, &format!("{url}/api/login"), None, &login).await["access_token"].clone();
        let source = format!("{url}/api/meshobjects/meshbuildingblockruns/{run}/status/source");
        let register = json!({ "source": { "id": "pipeline" }, "steps": [] });
        ask(Method::POST, &source, token.as_str(), &register).await;
        ask(Method::PATCH, &format!("{source}/pipeline"), token.as_str(), &json!({ "status": "SUCCEEDED" })).await;
    }

    /// The same with the usual order and settings.
    pub(crate) async fn run(&self) -> RunView {
        self.carry_out(self.order(|_| {}), quick()).await
    }
}

async fn ask(method: Method, url: &str, token: Option<&str>, body: &Value) -> Value {
    const MEDIA_TYPE: &str = "application/vnd.meshcloud.api.meshbuildingblockrun.v1.hal+json";
    let web = Web::new(WebSettings::default());
    let kind = if token.is_some() { MEDIA_TYPE } else { "application/json" };
    let request = web.request(method, Url::parse(url).expect("an address")).await.expect("a request");
    let mut request = request.header("content-type", kind).header("accept", kind).body(body.to_string());
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let answer = web.send(request).await.expect("an answer");
    assert!(answer.is_success(), "{url}: {} {}", answer.status, answer.text());
    answer.json().unwrap_or_default()
}

/// The writes of a life that was ended hold the folder until they are through.
fn open(folder: &Path) -> FileJournal {
    loop {
        match FileJournal::open(folder, &KeyRing::empty()) {
            Ok(journal) => return journal,
            Err(_) => std::thread::yield_now(),
        }
    }
}

/// Message of a step; empty if there is none.
pub(crate) fn message(run: &RunView, step: &str) -> String {
    found(run, step).user_message.clone().unwrap_or_default()
}

/// Log of a step; empty if there is none.
pub(crate) fn log(run: &RunView, step: &str) -> String {
    found(run, step).system_message.clone().unwrap_or_default()
}

/// Status of a step.
pub(crate) fn status(run: &RunView, step: &str) -> String {
    found(run, step).status.to_string()
}

fn found<'r>(run: &'r RunView, step: &str) -> &'r meshstack_local::StepView {
    run.step(step).unwrap_or_else(|| panic!("there is no step {step}: {:?}", run.steps))
}

/// The step of a stage of the fake.
pub(crate) fn stage_step(number: u64) -> String {
    format!("ado-stage-{}", crate::fake::moments::id(number))
}
