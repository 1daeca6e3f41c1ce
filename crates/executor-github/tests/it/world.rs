//! A meshStack, a GitHub, and a runner with the executor.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use executor_github::{GithubExecutor, GithubSettings, Times};
use meshstack_local::{LocalMeshStack, Options, Order, RunView, RunnerSpec, StepView};
use runner_core::journal::FileJournal;
use runner_core::meshstack_client::{Client, ClientConfig, Credentials, KeyRing, PrivateKey, Secret};
use runner_core::{Runner, Shutdown};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use crate::fake::{Fake, PATIENCE, Script, Workflow};

pub(crate) const APP_KEY: &str = include_str!("../fixtures/github-app.key.pem");
const CERTIFICATE: &str = include_str!("../fixtures/current.cert.pem");
const PRIVATE_KEY: &str = include_str!("../fixtures/current.key.pem");

/// Everything a test needs.
pub(crate) struct World {
    pub(crate) mesh: LocalMeshStack,
    pub(crate) github: Fake,
    pub(crate) runner: String,
    pub(crate) dir: TempDir,
    pub(crate) settings: GithubSettings,
    /// How long a shutdown waits for runs.
    pub(crate) shutdown_grace: Duration,
}

/// As the defaults, but a thousand times as fast.
pub(crate) fn fast() -> GithubSettings {
    let ms = Duration::from_millis;
    GithubSettings {
        pipeline_timeout: PATIENCE,
        times: Times {
            poll: ms(4),
            slowest_poll: ms(8),
            watch: ms(4),
            slowest_watch: ms(8),
            lookup: ms(5),
            lookup_limit: Duration::from_secs(30),
            retry: ms(2),
            slowest_retry: ms(20),
            patience: Duration::from_secs(10),
            limit_patience: Duration::from_secs(60),
            secondary_limit: ms(30),
            cancel_poll: ms(5),
            cancel_grace: Duration::from_secs(20),
            stop_grace: PATIENCE,
        },
        ..GithubSettings::default()
    }
}

impl World {
    /// With the workflow `apply.yml` that ends well.
    pub(crate) async fn new() -> Self {
        Self::with(Fake::start().await, Options::default()).await
    }

    pub(crate) async fn with(github: Fake, options: Options) -> Self {
        let mesh = LocalMeshStack::start_with(options).await.expect("a local meshStack");
        let runner = mesh.register_runner(RunnerSpec::new("GITHUB_WORKFLOW").certificate(CERTIFICATE)).await;
        github.workflow("apply.yml", Workflow::new(|_| Script::ending("success")));
        Self {
            mesh,
            github,
            runner,
            dir: tempfile::tempdir().expect("a folder"),
            settings: fast(),
            shutdown_grace: PATIENCE,
        }
    }

    /// The workflow `apply.yml` does this.
    pub(crate) fn script(&self, script: Script) {
        self.github.workflow("apply.yml", Workflow::new(move |_| script.clone()));
    }

    /// A definition, with these fields changed.
    pub(crate) fn definition(&self, fields: &Value) -> Value {
        let mut definition = json!({
            "type": "GITHUB_WORKFLOW", "githubBaseUrl": self.github.url(), "owner": "likvid", "repository": "infra",
            "appId": "12345", "appPem": APP_KEY, "branch": "main", "applyWorkflow": "apply.yml",
            "destroyWorkflow": "destroy.yml", "async": false, "omitRunObjectInput": false,
        });
        for (name, value) in fields.as_object().expect("fields") {
            definition[name] = value.clone();
        }
        definition
    }

    /// An order of it.
    pub(crate) fn order_with(&self, fields: &Value) -> Order {
        Order::new(self.definition(fields)).input("name", "demo", "STRING")
    }

    pub(crate) async fn order(&self, fields: &Value) -> String {
        self.mesh.order(&self.runner, self.order_with(fields)).await
    }

    /// Starts the runner in the background.
    pub(crate) fn start(&self) -> Running {
        let runner = self.site().runner(self.settings.clone());
        let shutdown = Shutdown::new();
        let task = tokio::spawn({
            let shutdown = shutdown.clone();
            async move {
                runner.run(&shutdown).await;
            }
        });
        Running { shutdown, task: Some(task) }
    }

    /// What a runner has to know to start.
    pub(crate) fn site(&self) -> Site {
        Site {
            url: self.mesh.url(),
            api_key: self.mesh.api_key(),
            runner: self.runner.clone(),
            dir: self.dir.path().to_owned(),
            shutdown_grace: self.shutdown_grace,
        }
    }

    /// Orders it and has it carried out; nothing about it may be wrong.
    pub(crate) async fn carry_out(&self, fields: &Value) -> RunView {
        self.carry_out_order(self.order_with(fields)).await
    }

    pub(crate) async fn carry_out_order(&self, order: Order) -> RunView {
        let run = self.mesh.order(&self.runner, order).await;
        let running = self.start();
        let view = self.end_of(&run).await;
        running.drain().await;
        view
    }

    /// Waits for the end of a run.
    pub(crate) async fn end_of(&self, run: &str) -> RunView {
        let view = patiently(self.mesh.wait_for_end(run)).await;
        assert_eq!(self.mesh.violations(), Vec::<String>::new());
        view
    }

    /// Waits until the runner has asked meshStack once more about a run, refused or not.
    pub(crate) async fn asked_again(&self, run: &str) {
        let asked = || async { self.mesh.run(run).await.expect("the run").requests.len() };
        let before = asked().await;
        patiently(async {
            while asked().await == before {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }

    /// Waits until the trigger step has succeeded, or the run has ended.
    pub(crate) async fn started(&self, run: &str) -> RunView {
        let started = |view: &RunView| {
            view.status.is_final() || view.step("gh-trigger").is_some_and(|step| step.status == "SUCCEEDED")
        };
        patiently(self.mesh.wait_until(run, started)).await
    }
}

/// What a runner has to know to start.
#[derive(Clone)]
pub(crate) struct Site {
    url: String,
    api_key: (String, String),
    runner: String,
    dir: std::path::PathBuf,
    shutdown_grace: Duration,
}

impl Site {
    pub(crate) fn runner(&self, settings: GithubSettings) -> Runner {
        let keys = KeyRing::new(vec![PrivateKey::from_pem(PRIVATE_KEY).expect("a key")]);
        let journal = open_journal(&self.dir.join("state"), &keys);
        let mut config = ClientConfig::new(&self.runner);
        config.api_url = Some(self.url.clone());
        let (client_id, client_secret) = self.api_key.clone();
        config.credentials = Some(Credentials::ApiKey { client_id, client_secret: Secret::new(client_secret) });
        Runner::builder(Client::new(config).expect("a client"), &self.runner)
            .executor(GithubExecutor::new(settings))
            .keys(keys)
            .journal(journal)
            .working_dir(self.dir.join("work"))
            .idle_poll(Duration::from_millis(20))
            .max_concurrent_runs(100)
            .shutdown_grace(self.shutdown_grace)
            .build()
            .expect("a runner")
    }
}

/// The lock of a runner that is just gone may be held for a moment.
fn open_journal(folder: &Path, keys: &KeyRing) -> FileJournal {
    std::fs::create_dir_all(folder).expect("a folder");
    let begun = std::time::Instant::now();
    loop {
        match FileJournal::open(folder, keys) {
            Ok(journal) => return journal,
            Err(error) if begun.elapsed() > PATIENCE => panic!("the journal cannot be opened: {error:?}"),
            Err(_) => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}

/// A runner in the background.
pub(crate) struct Running {
    pub(crate) shutdown: Shutdown,
    task: Option<JoinHandle<()>>,
}

impl Running {
    /// Lets it finish what it has in hand.
    pub(crate) async fn drain(mut self) {
        self.shutdown.drain();
        if let Some(task) = self.task.take() {
            patiently(task).await.expect("the runner");
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// A runner in a runtime of its own, which dies with all its tasks.
pub(crate) struct Process {
    runtime: Option<tokio::runtime::Runtime>,
    shutdown: Shutdown,
    done: Arc<Mutex<bool>>,
}

impl Process {
    pub(crate) fn start(site: &Site, settings: &GithubSettings) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let (shutdown, done) = (Shutdown::new(), Arc::new(Mutex::new(false)));
        let (site, settings) = (site.clone(), settings.clone());
        runtime.spawn({
            let (shutdown, done) = (shutdown.clone(), Arc::clone(&done));
            async move {
                let runner = site.runner(settings);
                runner.run(&shutdown).await;
                drop(runner);
                *done.lock().expect("a lock") = true;
            }
        });
        Self { runtime: Some(runtime), shutdown, done }
    }

    /// As `kill -9` does.
    pub(crate) fn kill(mut self) {
        if let Some(runtime) = self.runtime.take() {
            tokio::task::block_in_place(|| runtime.shutdown_timeout(PATIENCE));
        }
    }

    /// As SIGTERM does.
    pub(crate) async fn stop(self) {
        self.shutdown.drain();
        let begun = std::time::Instant::now();
        while !*self.done.lock().expect("a lock") {
            assert!(begun.elapsed() < PATIENCE, "the runner does not stop");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.kill();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// The step of a run.
pub(crate) fn step<'v>(view: &'v RunView, id: &str) -> &'v StepView {
    view.step(id).unwrap_or_else(|| panic!("there is no step {id}: {:#?}", view.steps))
}

/// The log of a step.
pub(crate) fn log<'v>(view: &'v RunView, id: &str) -> &'v str {
    step(view, id).system_message.as_deref().unwrap_or_default()
}

/// The message of a step.
pub(crate) fn message<'v>(view: &'v RunView, id: &str) -> &'v str {
    step(view, id).user_message.as_deref().unwrap_or_default()
}

pub(crate) async fn patiently<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.expect("waited in vain")
}

/// What a failed assertion wants to show of a run.
pub(crate) fn brief(view: &RunView) -> String {
    let steps = view.steps.iter().map(|step| {
        let log = step.system_message.as_deref().unwrap_or_default();
        format!("\n  {} {}: {:?}\n    {}", step.id, step.status, step.user_message, log.replace('\n', "\n    "))
    });
    format!("{}: {:?}{}", view.status, view.summary, steps.collect::<String>())
}
