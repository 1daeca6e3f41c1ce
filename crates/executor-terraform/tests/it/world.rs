//! A meshStack, a runner with the Terraform executor, and git repositories.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use executor_terraform::{Settings, Supervisor, TerraformExecutor};
use meshstack_local::{LocalMeshStack, Order, RunView, RunnerSpec};
use runner_core::meshstack_client::{Client, ClientConfig, Credentials, KeyRing, PrivateKey};
use runner_core::{Runner, Shutdown};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinHandle;

/// The version under which the stand-in for Terraform is installed.
pub(crate) const VERSION: &str = "1.5.5";
/// Nothing here takes this long; a test that waits for ever must fail and not hang.
const PATIENCE: Duration = Duration::from_secs(240);

pub(crate) struct World {
    pub(crate) mesh: LocalMeshStack,
    pub(crate) runner: String,
    pub(crate) dir: TempDir,
    pub(crate) settings: Settings,
    pub(crate) shutdown_grace: Duration,
}

/// `terraform` or `tofu` from `PATH`.
pub(crate) fn real_terraform() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let found = |name: &str| std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file());
    found("terraform").or_else(|| found("tofu"))
}

pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

impl World {
    /// With the real Terraform.
    pub(crate) async fn new() -> Self {
        let mut world = Self::with_fake().await;
        // By the name that runs know it by, also where only OpenTofu is there.
        if let Some(real) = real_terraform() {
            let terraform = world.dir.path().join("terraform");
            std::os::unix::fs::symlink(real, &terraform).expect("a link");
            world.settings.binary = Some(terraform);
        }
        world
    }

    /// With the stand-in, which does what the module's `fake.sh` says.
    pub(crate) async fn with_fake() -> Self {
        let mesh = LocalMeshStack::start().await.expect("a local meshStack");
        let certificate = fs::read_to_string(fixture("runner.cert.pem")).expect("a certificate");
        let runner = mesh.register_runner(RunnerSpec::new("TERRAFORM").certificate(&certificate)).await;
        let settings = Settings {
            install_dir: fixture("fake"),
            stop_grace: Duration::from_secs(30),
            supervisor: Some(Supervisor::this_program()),
            ..Settings::default()
        };
        Self { mesh, runner, dir: tempfile::tempdir().expect("a folder"), settings, shutdown_grace: PATIENCE }
    }

    /// Makes a git repository of these files, and gives its address.
    pub(crate) fn repository(&self, files: &[(&str, &str)]) -> String {
        let repository = tempfile::tempdir_in(self.dir.path()).expect("a folder").keep();
        for (name, content) in files {
            let path = repository.join(name);
            fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            fs::write(path, content).expect("a file");
        }
        git(&repository, &["init", "--quiet", "--initial-branch=main"]);
        git(&repository, &["add", "--all"]);
        git(&repository, &["commit", "--quiet", "--allow-empty", "--message=Module"]);
        format!("file://{}", repository.display())
    }

    /// An order of a module in a repository of these files.
    pub(crate) fn order(&self, files: &[(&str, &str)]) -> Order {
        self.order_with(files, &json!({}))
    }

    /// The same with further fields of the implementation.
    pub(crate) fn order_with(&self, files: &[(&str, &str)], fields: &Value) -> Order {
        let mut implementation = json!({ "terraformVersion": VERSION, "repositoryUrl": self.repository(files) });
        for (name, value) in fields.as_object().expect("fields") {
            implementation[name] = value.clone();
        }
        Order::terraform(implementation)
    }

    /// Starts the runner.
    pub(crate) fn start(&self) -> Running {
        let runner = build_runner(
            &self.mesh.url(),
            &self.mesh.api_key(),
            &self.runner,
            &self.settings,
            &self.work(),
            self.shutdown_grace,
        );
        let shutdown = Shutdown::new();
        let task = tokio::spawn({
            let shutdown = shutdown.clone();
            async move {
                runner.run(&shutdown).await;
            }
        });
        Running { shutdown, task }
    }

    /// Where runs have their folders.
    pub(crate) fn work(&self) -> PathBuf {
        self.dir.path().join("work")
    }

    /// Orders it, and has the runner carry it out to its end.
    pub(crate) async fn carry_out(&self, order: Order) -> RunView {
        let run = self.mesh.order(&self.runner, order).await;
        let running = self.start();
        let view = patiently(self.mesh.wait_for_end(&run)).await;
        running.drain().await;
        assert_eq!(self.mesh.violations(), Vec::<String>::new());
        view
    }

    /// The same for a run whose end a pipeline reports: up to the hand-over.
    pub(crate) async fn hand_over(&self, order: Order) -> RunView {
        let run = self.mesh.order(&self.runner, order).await;
        let running = self.start();
        let handed = |view: &RunView| view.step("trigger").is_some_and(|step| step.status == "SUCCEEDED");
        patiently(self.mesh.wait_until(&run, |view| handed(view) || view.status.is_final())).await;
        running.drain().await;
        assert_eq!(self.mesh.violations(), Vec::<String>::new());
        self.mesh.run(&run).await.expect("the run")
    }
}

/// A runner at work.
pub(crate) struct Running {
    pub(crate) shutdown: Shutdown,
    task: JoinHandle<()>,
}

impl Running {
    /// Lets it end what it has in hand.
    pub(crate) async fn drain(self) {
        self.shutdown.drain();
        patiently(self.task).await.expect("the runner ends in order");
    }
}

pub(crate) fn build_runner(
    url: &str,
    (client_id, client_secret): &(String, String),
    uuid: &str,
    settings: &Settings,
    work: &Path,
    shutdown_grace: Duration,
) -> Runner {
    let mut config = ClientConfig::new(uuid);
    config.api_url = Some(url.to_owned());
    config.credentials =
        Some(Credentials::ApiKey { client_id: client_id.clone(), client_secret: client_secret.clone().into() });
    let key = fs::read_to_string(fixture("runner.key.pem")).expect("a key");
    Runner::builder(Client::new(config).expect("a client"), uuid)
        .executor(TerraformExecutor::new(settings.clone()))
        .keys(KeyRing::new(vec![PrivateKey::from_pem(&key).expect("a key")]))
        .working_dir(work)
        .idle_poll(Duration::from_millis(50))
        .shutdown_grace(shutdown_grace)
        .build()
        .expect("a runner")
}

/// Runs git without anything of the machine's own configuration, and gives what it said.
pub(crate) fn git(dir: &Path, args: &[&str]) -> String {
    let identity = ["-c", "user.name=Test", "-c", "user.email=test@example.com", "-c", "commit.gpgsign=false"];
    let output = Command::new("git")
        .current_dir(dir)
        .args(identity)
        .args(args)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .stdin(Stdio::null())
        .output()
        .expect("git");
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// Adds a commit to a repository, and gives its name.
pub(crate) fn commit(dir: &Path, text: &str) -> String {
    fs::write(dir.join("text"), text).expect("a file");
    git(dir, &["add", "--all"]);
    git(dir, &["commit", "--quiet", "--message", text]);
    git(dir, &["rev-parse", "HEAD"]).trim().to_owned()
}

/// Whether tests with a number of rounds do all of them (`BB_TEST_LONG=1`, as in CI).
pub(crate) fn is_long() -> bool {
    std::env::var("BB_TEST_LONG").is_ok_and(|value| value == "1")
}

/// Waits, but not for ever.
pub(crate) async fn patiently<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it takes too long")
}

/// Looks again until it is so: for what nobody tells of, such as processes and files.
pub(crate) async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let looking = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(60), looking).await.is_ok(), "{what}");
}

/// The process ids in a file that a script wrote, once all of them are there.
pub(crate) async fn pids(file: &Path, count: usize) -> Vec<u32> {
    let read = || -> Vec<u32> {
        let text = fs::read_to_string(file).unwrap_or_default();
        text.lines().filter_map(|line| line.trim().parse().ok()).collect()
    };
    until("the script writes its process ids", || read().len() >= count).await;
    read()
}

/// Whether the process runs (a zombie does not).
pub(crate) fn is_alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
}

pub(crate) fn log(view: &RunView, step: &str) -> String {
    view.step(step).and_then(|step| step.system_message.clone()).unwrap_or_default()
}

pub(crate) fn message(view: &RunView, step: &str) -> String {
    view.step(step).and_then(|step| step.user_message.clone()).unwrap_or_default()
}

/// The status of each step, in order.
pub(crate) fn statuses(view: &RunView) -> Vec<(&str, &str)> {
    view.steps.iter().map(|step| (step.id.as_str(), step.status.word())).collect()
}

/// All that was said of a run, for a test that looks for what must not be there.
pub(crate) fn everything(view: &RunView) -> String {
    let bodies = view.requests.iter().filter_map(|request| request.body.as_ref());
    bodies.map(|body| String::from_utf8_lossy(body).into_owned()).collect()
}

/// The permissions of a file.
pub(crate) fn mode(path: &Path) -> u32 {
    fs::metadata(path).map_or(0, |metadata| metadata.permissions().mode() & 0o7777)
}
