//! What the tests of the real binary share: fixtures, the daemon as a process, meshStack as a process.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use meshstack_local::{LocalMeshStack, RunnerSpec};
use serde_json::Value;
use tempfile::TempDir;

pub(crate) const UUID: &str = "7f3c9b1e-0d52-4c5a-9a64-3f1f0c1f7a10";
/// Nothing that is waited for in these tests takes this long, unless something is wrong.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn fixture_path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

pub(crate) fn fixture(name: &str) -> String {
    fs::read_to_string(fixture_path(name)).unwrap()
}

pub(crate) fn run_fixture(name: &str) -> Value {
    serde_json::from_str(&fixture(&format!("runs/{name}.json"))).unwrap()
}

/// A meshStack in this process, with our runner registered for every type.
pub(crate) async fn local() -> LocalMeshStack {
    let local = LocalMeshStack::start().await.unwrap();
    let spec = RunnerSpec::new("ALL").certificate(&fixture("crypto/current.cert.pem")).uuid(UUID);
    local.register_runner(spec).await;
    local
}

/// `bb-runner` with nothing of this machine's environment but `PATH`, in a folder of its own.
pub(crate) fn bb_runner(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bb-runner"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    command.env_clear().env("PATH", path).env("HOME", folder).env("PORT", "0").current_dir(folder);
    command.stdin(Stdio::null());
    command
}

/// A configured daemon that was not started yet.
pub(crate) struct Setup {
    pub(crate) folder: TempDir,
    pub(crate) command: Command,
}

impl Setup {
    /// For the meshStack at `url`; the key is `current`.
    pub(crate) fn new(url: &str, api_key: &(String, String)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        let config = format!("workingDir: {}/wd\ntfInstallDir: {}/tfbin\n", at.display(), at.display());
        fs::write(at.join("runner-config.yml"), config).unwrap();
        let mut command = bb_runner(at);
        command
            .env("RUNNER_UUID", UUID)
            .env("RUNNER_API_URL", url)
            .env("RUNNER_API_CLIENT_ID", &api_key.0)
            .env("RUNNER_API_CLIENT_SECRET", &api_key.1)
            .env("RUNNER_PRIVATE_KEY_FILE", fixture_path("crypto/current.key.pem"));
        Self { folder, command }
    }

    pub(crate) fn of(local: &LocalMeshStack) -> Self {
        Self::new(&local.url(), &local.api_key())
    }

    pub(crate) fn start(mut self) -> Daemon {
        Daemon::start(&mut self.command, Some(self.folder))
    }
}

/// A running `bb-runner`, killed when dropped.
pub(crate) struct Daemon {
    child: Child,
    log: Arc<(Mutex<String>, Condvar)>,
    _folder: Option<TempDir>,
}

impl Daemon {
    pub(crate) fn start(command: &mut Command, folder: Option<TempDir>) -> Self {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let log = Arc::new((Mutex::new(String::new()), Condvar::new()));
        let shared = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let mut text = shared.0.lock().unwrap_or_else(PoisonError::into_inner);
                text.push_str(&line);
                text.push('\n');
                drop(text);
                shared.1.notify_all();
            }
        });
        Self { child, log, _folder: folder }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    pub(crate) fn log(&self) -> String {
        self.log.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits for a line of the log that holds `text`, and gives it.
    pub(crate) fn wait_for_log(&self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        let mut log = self.log.0.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(line) = log.lines().find(|line| line.contains(text)) {
                return line.to_owned();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{text:?} is not in the log:\n{}", *log);
            log = self.log.1.wait_timeout(log, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let id = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(id, signal).unwrap();
    }

    /// Waits for the end of the process.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "bb-runner does not end:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The address of `/healthz`, from the log.
    pub(crate) fn health_address(&self) -> String {
        let line = self.wait_for_log("answering /healthz");
        let line: Value = serde_json::from_str(&line).unwrap();
        let port = line["address"].as_str().unwrap().rsplit(':').next().unwrap().to_owned();
        format!("127.0.0.1:{port}")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One HTTP request, by hand: the tests speak to each process as a stranger does. Gives status and body.
pub(crate) fn http(address: &str, method: &str, path: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, if head.to_lowercase().contains("transfer-encoding: chunked") { unchunked(body) } else { body.to_owned() })
}

fn unchunked(mut body: &str) -> String {
    let mut out = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        out.push_str(&rest[..size]);
        body = rest[size..].trim_start_matches("\r\n");
    }
    out
}

/// meshStack as a process of its own, killed when dropped.
pub(crate) struct MeshStackProcess {
    child: Child,
    pub(crate) url: String,
    pub(crate) api_key: (String, String),
}

impl MeshStackProcess {
    pub(crate) fn start() -> Self {
        let mut child =
            Command::new(meshstack_local_binary()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready: Value = serde_json::from_str(&line).unwrap();
        let text = |key: &str| ready[key].as_str().unwrap().to_owned();
        let this = Self { child, url: text("url"), api_key: (text("clientId"), text("clientSecret")) };
        let spec = serde_json::json!({
            "displayName": "Runner under test", "implementationType": "ALL", "uuid": UUID,
            "certificatePem": fixture("crypto/current.cert.pem"),
        });
        let (status, body) = this.call("POST", "/local/runners", &spec.to_string());
        assert_eq!(status, 200, "{body}");
        this
    }

    pub(crate) fn call(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        http(self.url.trim_start_matches("http://"), method, path, body)
    }

    /// Orders a run object as it is, and gives its UUID.
    pub(crate) fn order(&self, run: &Value) -> String {
        let (status, body) = self.call("POST", &format!("/local/runs?runner={UUID}"), &run.to_string());
        assert_eq!(status, 200, "{body}");
        serde_json::from_str::<Value>(&body).unwrap()["uuid"].as_str().unwrap().to_owned()
    }

    pub(crate) fn wait_for_end(&self, run: &str) -> Value {
        let (_, body) = self.call("GET", &format!("/local/runs/{run}?wait=end&timeoutSecs=60"), "");
        serde_json::from_str(&body).unwrap()
    }

    /// What the runner did that a correct one does not.
    pub(crate) fn violations(&self) -> String {
        self.call("GET", "/local/violations", "").1
    }
}

impl Drop for MeshStackProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The binary of the neighbouring crate. Cargo builds it for `cargo test --workspace`, but not for the tests of this
/// crate alone, so it is asked for.
pub(crate) fn meshstack_local_binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        // …/target/<profile>/deps/<test>
        let test = std::env::current_exe().unwrap();
        let profile = test.parent().and_then(Path::parent).unwrap();
        let binary = profile.join("meshstack-local");
        if let Some(cargo) = std::env::var_os("CARGO") {
            let mut build = Command::new(cargo);
            build.args([
                "build",
                "--quiet",
                "--package",
                "meshstack-local",
                "--bin",
                "meshstack-local",
                "--target-dir",
            ]);
            build.arg(profile.parent().unwrap()).current_dir(env!("CARGO_MANIFEST_DIR"));
            if profile.ends_with("release") {
                build.arg("--release");
            }
            assert!(build.status().unwrap().success(), "meshstack-local cannot be built");
        }
        assert!(binary.exists(), "{} is missing: cargo build -p meshstack-local", binary.display());
        binary
    })
}
