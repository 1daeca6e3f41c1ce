//! A runner that fetches sources and does nothing else, and repositories for it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use runner_core::meshstack_client::{
    ApiError, ImplementationType, PatchAnswer, RunAccess, RunObject, SourceRegistration, StatusPatch,
};
use runner_core::{Executor, Failure, Outcome, Run, RunApi, RunContext, Runner, Serves, Shutdown, StepSpec};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::Settings;
use crate::process::Commands;
use crate::sources::{SourceRequest, fetch};

/// A meshStack that takes everything and remembers what it was told.
#[derive(Clone, Default)]
struct Listener(Arc<Mutex<String>>);

#[async_trait]
impl RunApi for Listener {
    async fn claim(&self) -> Result<Option<RunObject>, ApiError> {
        Ok(None)
    }
    async fn register(&self, _: &RunAccess, _: &SourceRegistration) -> Result<(), ApiError> {
        Ok(())
    }
    async fn patch(&self, _: &RunAccess, patch: &StatusPatch) -> Result<PatchAnswer, ApiError> {
        self.0.lock().unwrap().extend([format!("{patch:?}\n")]);
        Ok(PatchAnswer::Accepted)
    }
    async fn read_run(&self, _: &RunAccess) -> Result<RunObject, ApiError> {
        RunObject::from_value(json!({ "metadata": { "uuid": "r" } })).map_err(|_| unreachable!("it has a uuid"))
    }
    async fn download_plan(&self, _: &RunAccess, _: &str, _: &Path) -> Result<u64, ApiError> {
        Ok(0)
    }
    async fn upload_plan(&self, _: &RunAccess, _: &str, _: &Path) -> Result<(), ApiError> {
        Ok(())
    }
}

/// What a fetch left on disk.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Seen {
    /// The module's folder in the checkout.
    pub(super) folder: String,
    /// Content of `main.tf` in it.
    pub(super) main: String,
    /// Commits of the history.
    pub(super) commits: usize,
    pub(super) git_ssh_command: Option<String>,
    pub(super) git_config: String,
}

/// Fetches the sources of a run and looks at them.
struct Fetch {
    environment: BTreeMap<OsString, OsString>,
    settings: Settings,
    seen: Arc<Mutex<Option<Result<Seen, String>>>>,
}

#[async_trait]
impl Executor for Fetch {
    fn serves(&self) -> Serves {
        Serves::Type(ImplementationType::Terraform)
    }
    fn steps(&self, _: &Run) -> Vec<StepSpec> {
        vec![StepSpec::new("sources", "Sources")]
    }
    async fn execute(&self, ctx: &RunContext) -> Result<Outcome, Failure> {
        let result = self.fetch(ctx).await;
        *self.seen.lock().unwrap() = Some(match &result {
            Ok(seen) => Ok(seen.clone()),
            Err(failure) => Err(failure.user_message().to_owned()),
        });
        result.map(|_| Outcome::Succeeded)
    }
}

impl Fetch {
    async fn fetch(&self, ctx: &RunContext) -> Result<Seen, Failure> {
        let step = ctx.step("sources");
        let commands = Commands::new(ctx, &self.settings, self.environment.clone());
        let request = SourceRequest::from_run(ctx.run())?;
        let directory = ctx.directory().unwrap();
        let checkout = fetch(&request, directory, &commands, &self.settings, &step).await?;
        let root = directory.join("sources").canonicalize().unwrap();
        Ok(Seen {
            folder: checkout.module.strip_prefix(&root).unwrap().display().to_string(),
            main: fs::read_to_string(checkout.module.join("main.tf")).unwrap_or_default(),
            commits: git(&root, &["rev-list", "--count", "HEAD"]).trim().parse().unwrap(),
            git_ssh_command: checkout.git_ssh_command,
            git_config: fs::read_to_string(root.join(".git/config")).unwrap(),
        })
    }
}

pub(super) struct Outside {
    pub(super) result: Result<Seen, String>,
    pub(super) reported: String,
}

/// A world of its own: folders for the runner, for its home, and for repositories.
pub(super) struct World {
    pub(super) dir: TempDir,
    pub(super) environment: BTreeMap<OsString, OsString>,
    settings: Settings,
}

impl World {
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("home")).unwrap();
        let environment = BTreeMap::from([
            ("PATH".into(), std::env::var_os("PATH").unwrap()),
            ("HOME".into(), dir.path().join("home").into()),
        ]);
        Self { dir, environment, settings: Settings::default() }
    }

    pub(super) async fn fetch(&self, implementation: Value) -> Outside {
        let seen = Arc::default();
        let listener = Listener::default();
        let executor =
            Fetch { environment: self.environment.clone(), settings: self.settings.clone(), seen: Arc::clone(&seen) };
        let runner = Runner::builder(listener.clone(), "runner")
            .executor(executor)
            .working_dir(self.dir.path().join("work"))
            .build()
            .unwrap();
        let mut implementation = implementation;
        implementation["type"] = json!("TERRAFORM");
        let run = json!({
            "metadata": {"uuid": "run"},
            "spec": {
                "behavior": "APPLY",
                "runToken": "token",
                "buildingBlock": {"uuid": "block", "spec": {"inputs": []}},
                "buildingBlockDefinition": {"spec": {"implementation": implementation}}
            },
        });
        runner.run_once(RunObject::from_value(run).unwrap(), &Shutdown::new()).await;
        let result = seen.lock().unwrap().take().expect("the executor was called");
        let reported = listener.0.lock().unwrap().clone();
        Outside { result, reported }
    }

    /// What a fetch of this ref gives, in the repository of [`repository`].
    pub(super) async fn main_at(&self, repository: &Path, reference: &str) -> Result<String, String> {
        let url = format!("file://{}", repository.display());
        let outside = self.fetch(json!({"repositoryUrl": url, "refName": reference})).await;
        outside.result.map(|seen| seen.main)
    }
}

pub(super) fn git(dir: &Path, args: &[&str]) -> String {
    let output = Command::new("git")
        .current_dir(dir)
        .args(["-c", "user.name=Test", "-c", "user.email=test@example.com", "-c", "commit.gpgsign=false"])
        .args(args)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

pub(super) fn commit(dir: &Path, text: &str) -> String {
    fs::write(dir.join("main.tf"), text).unwrap();
    git(dir, &["add", "--all"]);
    git(dir, &["commit", "--quiet", "--allow-empty", "--message", text]);
    git(dir, &["rev-parse", "HEAD"]).trim().to_owned()
}

/// A repository with some history: `main`, a branch and a tag of the same name, tags, a commit that
/// only a hidden ref holds.
pub(super) struct Repository {
    pub(super) path: PathBuf,
    pub(super) first: String,
    pub(super) hidden: String,
}

pub(super) fn repository(world: &World) -> Repository {
    let path = world.dir.path().join("repository");
    fs::create_dir(&path).unwrap();
    git(&path, &["init", "--quiet", "--initial-branch=main"]);
    let first = commit(&path, "first");
    git(&path, &["tag", "both"]);
    git(&path, &["tag", "--annotate", "--message=x", "v1"]);
    git(&path, &["checkout", "--quiet", "-b", "both"]);
    commit(&path, "the branch");
    git(&path, &["checkout", "--quiet", "-b", "feature/x"]);
    fs::create_dir_all(path.join("modules/demo")).unwrap();
    fs::write(path.join("modules/demo/main.tf"), "demo").unwrap();
    commit(&path, "feature");
    git(&path, &["checkout", "--quiet", "--detach"]);
    let hidden = commit(&path, "hidden");
    git(&path, &["update-ref", "refs/pull/1/head", "HEAD"]);
    git(&path, &["checkout", "--quiet", "main"]);
    commit(&path, "latest");
    Repository { path, first, hidden }
}

/// Answers every request with 401, and notes its head.
pub(super) fn forbidding_server() -> (u16, Arc<Mutex<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let heads = Arc::new(Mutex::new(String::new()));
    let noted = Arc::clone(&heads);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let head = read_head(&stream);
            noted.lock().unwrap().push_str(&head);
            let answer = "HTTP/1.1 401 no\r\nWWW-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    (port, heads)
}

/// Answers with the files of a folder.
pub(super) fn file_server(folder: PathBuf) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let head = read_head(&stream);
            let path = head.split(' ').nth(1).unwrap_or_default().split('?').next().unwrap_or_default();
            let (status, body) = match fs::read(folder.join(path.trim_start_matches('/'))) {
                Ok(body) => ("200 OK", body),
                Err(_) => ("404 Not Found", Vec::new()),
            };
            let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            let _ = stream.write_all(&[head.as_bytes(), &body].concat());
        }
    });
    port
}

fn read_head(stream: &TcpStream) -> String {
    let mut head = String::new();
    let mut reader = BufReader::new(stream);
    while reader.read_line(&mut head).is_ok_and(|length| length > 2) {}
    head
}
