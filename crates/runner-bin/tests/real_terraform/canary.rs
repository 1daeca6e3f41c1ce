//! Nothing secret leaves the runner: a secret of its own in every place that can hold one, a module and a script that
//! shout them in every form, and then a look at all that left the process or lies on the disk.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use meshstack_local::{LocalMeshStack, Order, OrderInput, RunView};
use serde_json::{Value, json};

use crate::support::{Daemon, Setup, UUID, fixture, local};
use crate::two_processes::committed;

/// What is secret, and the part of it by which it is known in any form: letters and digits only, so that no escape
/// changes it.
const TEXT: (&str, &str) = ("CanaryOfTheText7Qx \"quoted\" \\back\\ <a&b> $HOME %41 ü", "CanaryOfTheText7Qx");
const CODE: (&str, &str) =
    ("{\"password\": \"CanaryOfTheCode8Rw\", \"list\": [\"CanaryOfTheList2Ky\"]}", "CanaryOfTheCode8Rw");
const LIST: &str = "CanaryOfTheList2Ky";
const TIER: &str = "CanaryOfTheTier4Zt";
const FILE: &str = "CanaryOfTheFile3Mb";
const ENVIRONMENT: (&str, &str) = ("CanaryOfTheEnv5Lp/with+signs=&more", "CanaryOfTheEnv5Lp");
const LINES: (&str, &str) = (
    "-----BEGIN SECRET-----\nCanaryOfTheLines6VhAndSomeMoreOfIt\nsecond line of it\n-----END SECRET-----\n",
    "CanaryOfTheLines6Vh",
);
const SSH_KEY: (&str, &str) = (
    "-----BEGIN OPENSSH PRIVATE KEY-----\nCanaryOfTheSshKey9NdAndSomeMoreOfIt\n-----END OPENSSH PRIVATE KEY-----",
    "CanaryOfTheSshKey9Nd",
);
const GIT_PASSWORD: &str = "CanaryOfGit1Jf";
const PROXY_PASSWORD: &str = "CanaryOfProxy0Hs";

/// Says everything it knows, in many ways.
const SCRIPT: &str = r#"
run=$(cat)
echo "script: begins"
printf '%s\n' "$run"
printf '%s' "$run" | base64 -w0; echo
env
env | base64 -w0; echo
cat secret.txt; base64 secret.txt; base64 -w0 secret.txt; echo
key=${GIT_SSH_COMMAND#*-i }; key=${key%% *}; key=${key//\'/}
cat "$key" >&2
for value in "$SECRET" "$LINES" "$TF_HTTP_PASSWORD" "$https_proxy"; do
  printf '%s' "$value" | base64; printf '%s' "$value" | base64 -w0; echo
  for before in 1 22 333; do printf '%s' "$before$value and more" | base64 -w0; echo; done
  printf '%q\n' "$value"
  for ((i = 0; i < ${#value}; i++)); do printf '%s' "${value:i:1}"; done; echo
  printf '%s' "${value:0:11}"; sleep 0.03; printf '%s' "${value:11:5}" >&1; sleep 0.03; printf '%s\n' "${value:16}"
  printf '\033[1m%s\033[0m%s\n' "${value:0:7}" "${value:7}"
done
printf 'the script was given %s' "$SECRET" > "$MESHSTACK_USER_MESSAGE"
echo "script: ends"
"#;

const MODULE: &str = r#"
variable "text" {
  type      = string
  sensitive = true
}
variable "code" {
  type      = any
  sensitive = true
}
variable "tier" {
  type      = string
  sensitive = true
}
variable "lines" {
  type      = string
  sensitive = true
}
variable "fails" { type = bool }
locals {
  secrets = {
    text  = nonsensitive(var.text)
    code  = jsonencode(nonsensitive(var.code))
    tier  = nonsensitive(var.tier)
    lines = nonsensitive(var.lines)
    token = var.meshstack_building_block_run_b64
    file  = file("secret.txt")
  }
  shouted = concat(
    values(local.secrets),
    [for secret in values(local.secrets) : base64encode(secret)],
    [for secret in values(local.secrets) : base64encode("a${secret}")],
    [for secret in values(local.secrets) : base64encode("ab${secret}c")],
    [for secret in values(local.secrets) : urlencode(secret)],
    [for secret in values(local.secrets) : jsonencode(secret)],
    [for secret in values(local.secrets) : jsonencode(jsonencode(secret))],
  )
}
resource "terraform_data" "shouting" {
  provisioner "local-exec" {
    command = "echo 'module: begins'; printf '%s\\n' \"$ALL\"; printf '%s\\n' \"$ALL\" >&2; echo 'module: ends'"
    environment = { ALL = join("\n", local.shouted) }
  }
}
resource "terraform_data" "failing" {
  depends_on = [terraform_data.shouting]
  lifecycle {
    precondition {
      condition     = !var.fails
      error_message = "The module does not like ${local.secrets.text}, ${base64encode(local.secrets.text)} and ${local.secrets.lines}."
    }
  }
}
output "text" {
  value     = var.text
  sensitive = true
}
output "length" { value = nonsensitive(length(var.text)) }
"#;

pub(crate) fn nothing_secret_leaves_the_runner_with_a_log_of_text() {
    check("text");
}

pub(crate) fn nothing_secret_leaves_the_runner_with_a_log_of_json() {
    check("json");
}

fn check(log_format: &str) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (meshstack, setup, daemon, arguments, git) = runtime.block_on(async {
        let meshstack = local().await;
        let git = GitServer::start();
        let arguments = Arguments::watch();
        let mut setup = Setup::of(&meshstack);
        prepare(&mut setup, log_format);
        let module = committed(&[("main.tf", MODULE)]);
        let daemon = Daemon::start(&mut setup.command, None);
        let url = format!("file://{}", module.path().display());
        let succeeds = meshstack.order(UUID, order(&url, false)).await;
        let fails = meshstack.order(UUID, order(&url, true)).await;
        let credentials = format!("http://somebody:{GIT_PASSWORD}@{}/module.git", git.address);
        let unreachable = meshstack.order(UUID, order(&credentials, false)).await;

        let succeeded = meshstack.wait_for_end(&succeeds).await;
        assert_eq!(succeeded.status, "SUCCEEDED", "{:?}", succeeded.summary);
        assert_eq!((&succeeded.outputs["text"].value, succeeded.outputs["text"].sensitive), (&json!(TEXT.0), true));
        assert_shouted(&succeeded);
        let failed = meshstack.wait_for_end(&fails).await;
        assert_eq!(failed.status, "FAILED");
        let told = failed.step("execute_tf").and_then(|step| step.user_message.clone()).unwrap_or_default();
        assert!(told.contains("The module does not like") && told.matches("***").count() > 2, "{told}");
        assert_eq!(meshstack.wait_for_end(&unreachable).await.status, "FAILED");
        (meshstack, setup, daemon, arguments, git)
    });
    assert!(git.saw_the_password(), "git did not come with the password");
    let arguments = arguments.seen();
    assert!(arguments.iter().any(|line| line.contains("meshstack-pre-run.sh")), "the watch saw no script");

    let canaries = canaries(&meshstack);
    let look = |place: &str, text: &str| {
        for (name, forms) in &canaries {
            for form in forms {
                let around = text.find(form).map(|at| text[..at].chars().rev().take(200).collect::<Vec<_>>());
                let around: Option<String> = around.map(|before| before.into_iter().rev().collect());
                assert_eq!(around, None, "{name} is in {place}, as {form}, after this");
            }
        }
    };
    for line in &arguments {
        look("the arguments of a process", line);
    }
    look("the log", &daemon.log());
    let mut bodies = 0;
    for request in meshstack.requests() {
        look("a path", &request.path);
        if let Some(mut body) = request.json() {
            leave_out_secret_outputs(&mut body);
            look("a request", &body.to_string());
            bodies += 1;
        }
    }
    assert!(bodies > 10 && !meshstack.violations().iter().any(|_| true), "{:?}", meshstack.violations());
    drop(daemon);
    let mut files = 0;
    look_into(setup.folder.path(), &mut |path, text| {
        look(&path.display().to_string(), text);
        files += 1;
    });
    assert!(files > 5, "the logs of the runs are among the files, at least");
}

/// Everything on, and the runner's own secrets in its environment.
fn prepare(setup: &mut Setup, log_format: &str) {
    let at = setup.folder.path();
    let installed = at.join("tfbin/1.9.0");
    fs::create_dir_all(&installed).unwrap();
    fs::create_dir(at.join("tmp")).unwrap();
    symlink(crate::terraform().unwrap(), installed.join("terraform")).unwrap();
    setup
        .command
        .env("BB_LOG_FORMAT", log_format)
        .env("BB_LOG_LEVEL", "trace")
        .env("BB_TERRAFORM_LOG_DIR", at.join("logs"))
        .env("TMPDIR", at.join("tmp"))
        .env("TF_LOG", "TRACE")
        // Nothing here goes over https: it is only in the environment.
        .env("https_proxy", format!("http://somebody:{PROXY_PASSWORD}@127.0.0.1:9"));
}

fn order(repository: &str, fails: bool) -> Order {
    let implementation = json!({
        "terraformVersion": "1.9.0", "repositoryUrl": repository, "sshPrivateKey": SSH_KEY.0, "preRunScript": SCRIPT,
    });
    let file =
        format!("data:text/plain;base64,{}", base64(&format!("{FILE} is in a file, and some more of it is here\n"), 0));
    let environment = |key: &str, value: &str| OrderInput {
        key: key.to_owned(),
        value: json!(value),
        kind: "STRING".to_owned(),
        sensitive: true,
        environment: true,
    };
    Order::terraform(implementation)
        .sensitive_input("text", TEXT.0, "STRING")
        .sensitive_input("code", CODE.0, "CODE")
        .sensitive_input("tier", TIER, "SINGLE_SELECT")
        .sensitive_input("lines", LINES.0, "STRING")
        .sensitive_input("secret.txt", file, "FILE")
        .with(environment("SECRET", ENVIRONMENT.0))
        .with(environment("LINES", LINES.0))
        .input("fails", fails, "BOOLEAN")
}

/// What was shouted came to meshStack, with something else in place of the secrets.
fn assert_shouted(run: &RunView) {
    let said = |step: &str| run.step(step).and_then(|step| step.system_message.clone()).unwrap_or_default();
    let (script, module) = (said("pre_run_script"), said("execute_tf"));
    assert!(script.contains("script: begins") && script.contains("script: ends"), "{script}");
    assert!(module.contains("module: begins") && module.contains("module: ends"), "{module}");
    assert!(script.matches("***").count() > 40, "{script}");
    assert!(module.matches("***").count() > 40, "{module}");
    let message = run.step("pre_run_script").and_then(|step| step.user_message.clone());
    assert_eq!(message.as_deref(), Some("the script was given ***"));
}

/// Each secret with the forms in which it is looked for. The tokens are those that the runner sent.
fn canaries(meshstack: &LocalMeshStack) -> Vec<(String, Vec<String>)> {
    let mut known: Vec<(String, String)> = [
        ("the text", TEXT.1),
        ("the code", CODE.1),
        ("the list in the code", LIST),
        ("the tier", TIER),
        ("the file", FILE),
        ("the environment input", ENVIRONMENT.1),
        ("the lines", LINES.1),
        ("the second of the lines", "second line of it"),
        ("the ssh key", SSH_KEY.1),
        ("the password of the repository", GIT_PASSWORD),
        ("the password of the proxy", PROXY_PASSWORD),
        ("the API secret", &meshstack.api_key().1),
        ("the private key", fixture("crypto/current.key.pem").lines().nth(20).unwrap()),
    ]
    .map(|(name, canary)| (name.to_owned(), canary.to_owned()))
    .into();
    let tokens: BTreeSet<String> = meshstack
        .requests()
        .iter()
        .filter_map(|request| request.header("authorization")?.strip_prefix("Bearer ").map(str::to_owned))
        .collect();
    assert!(tokens.len() >= 4, "an API token and three run tokens");
    known.extend(tokens.into_iter().map(|token| ("a token".to_owned(), token)));
    known.into_iter().map(|(name, canary)| (name, forms(&canary))).collect()
}

/// As it is, and within the Base64 of something longer.
fn forms(canary: &str) -> Vec<String> {
    let within = (0..3).map(|before| base64(canary, before).trim_end_matches('=').to_owned());
    // The letters at both ends also depend on what stands beside it.
    let within = within.map(|form| form[2..form.len() - 2].to_owned());
    within.chain([canary.to_owned()]).collect()
}

/// Base64 as in the RFC, of `text` behind so many other bytes; what stands for those alone is left out.
fn base64(text: &str, before: usize) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bytes: Vec<u8> = std::iter::repeat_n(b' ', before).chain(text.bytes()).collect();
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let number =
            chunk.iter().fold(0_usize, |number, byte| number << 8 | usize::from(*byte)) << (8 * (3 - chunk.len()));
        for at in 0..4 {
            out.push(if at <= chunk.len() { char::from(LETTERS[number >> (18 - 6 * at) & 63]) } else { '=' });
        }
    }
    out.split_off(before * 8 / 6)
}

/// Outputs that are marked as secret are values, not texts: they are meant to go to meshStack.
fn leave_out_secret_outputs(body: &mut Value) {
    for step in body.get_mut("steps").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(outputs) = step.get_mut("outputs").and_then(Value::as_object_mut) {
            outputs.retain(|_, output| output["isSensitive"] != true);
        }
    }
}

/// Every file below a folder, without following links.
fn look_into(folder: &Path, look: &mut impl FnMut(&Path, &str)) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let path = entry.path();
        if entry.file_type().unwrap().is_dir() {
            look_into(&path, look);
        } else if entry.file_type().unwrap().is_file() {
            look(&path, &String::from_utf8_lossy(&fs::read(&path).unwrap()));
        }
    }
}

/// Watches the arguments of every process of this machine.
struct Arguments {
    ended: Arc<AtomicBool>,
    watch: JoinHandle<BTreeSet<String>>,
}

impl Arguments {
    fn watch() -> Self {
        let ended = Arc::new(AtomicBool::new(false));
        let watch = std::thread::spawn({
            let ended = Arc::clone(&ended);
            move || {
                let mut seen = BTreeSet::new();
                while !ended.load(Ordering::Relaxed) {
                    for entry in fs::read_dir("/proc").unwrap().flatten() {
                        // Those that have just ended are gone.
                        if let Ok(arguments) = fs::read(entry.path().join("cmdline")) {
                            seen.insert(String::from_utf8_lossy(&arguments).replace('\0', " "));
                        }
                    }
                    std::thread::sleep(std::time::Duration::from_millis(2));
                }
                seen
            }
        });
        Self { ended, watch }
    }

    fn seen(self) -> BTreeSet<String> {
        self.ended.store(true, Ordering::Relaxed);
        self.watch.join().unwrap()
    }
}

/// Asks for a password, and has no repository.
struct GitServer {
    address: SocketAddr,
    password_seen: Arc<AtomicBool>,
}

impl GitServer {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let password_seen = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&password_seen);
        // Ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let _ = Self::answer(stream, &seen);
            }
        });
        Self { address, password_seen }
    }

    fn answer(mut stream: TcpStream, seen: &AtomicBool) -> std::io::Result<()> {
        let expected = format!("Basic {}", base64(&format!("somebody:{GIT_PASSWORD}"), 0));
        let mut authorised = false;
        for line in BufReader::new(stream.try_clone()?).lines() {
            let line = line?;
            authorised |= line.ends_with(&expected);
            if line.is_empty() {
                break;
            }
        }
        seen.fetch_or(authorised, Ordering::Relaxed);
        let status =
            if authorised { "404 Not Found" } else { "401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"git\"" };
        write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    }

    fn saw_the_password(&self) -> bool {
        self.password_seen.load(Ordering::Relaxed)
    }
}
