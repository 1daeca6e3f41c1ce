//! What surrounds the program: image, service, compose file, release workflow, and the commands that they rely on.
//!
//! Whether the image works is tried by `deploy/container/try-in-chroot`.

mod yaml;

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Instant;

use meshstack_local::{Effect, Fault, Operation, Order};
use rustix::process::Signal;
use serde_json::Value;

use crate::support::{PATIENCE, Setup, UUID, bb_runner, fixture_path, local};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn typed(arguments: &[&str], variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().unwrap();
    let mut command = bb_runner(folder.path());
    command.args(arguments).envs(variables.iter().copied());
    said(&command.output().unwrap())
}

fn said(output: &Output) -> (Option<i32>, String) {
    (output.status.code(), text(&output.stdout) + &text(&output.stderr))
}

// The health command.

#[tokio::test(flavor = "multi_thread")]
async fn health_tells_what_the_runner_of_this_port_answers() {
    let local = local().await;
    // The end of the run is never taken, so the runner has something to wait for.
    local.fault(Fault::on(Operation::Patch, Effect::status(503)).always());
    let run = local.order(UUID, Order::manual()).await;
    let mut daemon = Setup::of(&local).start();
    let address = daemon.health_address();
    let port = address.rsplit(':').next().unwrap();
    assert_eq!(typed(&["health"], &[("PORT", port)]), (Some(0), "200 OK\n".to_owned()));
    assert_eq!(typed(&["health"], &[("PORT", ""), ("SERVER_PORT", port)]), (Some(0), "200 OK\n".to_owned()));
    assert_eq!(typed(&["health", "--port", port], &[("PORT", "1")]), (Some(0), "200 OK\n".to_owned()));
    // As the runner has it: Spring's name of the variable first, and the file last.
    assert_eq!(typed(&["health"], &[("PORT", "1"), ("SERVER_PORT", port)]), (Some(0), "200 OK\n".to_owned()));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("runner.yml");
    std::fs::write(&file, format!("server: {{port: {port}}}\nblockrunner: {{uuid: u, timeout: soon}}\n")).unwrap();
    let file = file.to_str().unwrap();
    assert_eq!(typed(&["health", "--config", file], &[("PORT", "")]), (Some(0), "200 OK\n".to_owned()));
    assert_eq!(typed(&["health"], &[("PORT", ""), ("RUNNER_CONFIG_FILE", file)]), (Some(0), "200 OK\n".to_owned()));
    assert_eq!(typed(&["health", "--config", file], &[("PORT", "1")]).0, Some(1));

    local.wait_until(&run, |run| run.registers == 1).await;
    daemon.signal(Signal::TERM);
    daemon.wait_for_log("claiming no more runs");
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = typed(&["health"], &[("PORT", port)]);
        if answer == (Some(1), "503 draining\n".to_owned()) {
            break;
        }
        assert!(Instant::now() < deadline, "{answer:?}");
    }
    daemon.signal(Signal::TERM);
    daemon.wait();
}

#[test]
fn health_fails_where_nobody_answers_and_where_no_web_server_does() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let silent = std::thread::spawn(move || drop(listener.accept()));
    let (code, said) = typed(&["health", "--port", &port], &[]);
    assert_eq!(code, Some(1), "{said}");
    silent.join().unwrap();
    // Nobody listens there any more.
    let (code, said) = typed(&["health"], &[("PORT", &port)]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(&port), "{said}");
}

#[test]
fn health_of_a_single_run_is_well_and_a_wrong_port_is_a_wrong_configuration() {
    let single = [("EXECUTION_MODE", "single-run"), ("RUN_JSON_FILE_PATH", "/run.json")];
    assert_eq!(typed(&["health"], &single).0, Some(0));
    for port in ["0", "http", "65536"] {
        let (code, said) = typed(&["health"], &[("PORT", port)]);
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains("PORT"), "{said}");
    }
}

// The names of the public programs.

#[test]
fn under_the_name_of_a_public_runner_the_program_is_the_runner() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["tfrunner", "tf-block-runner", "runner", "executable"] {
        let link = folder.path().join(name);
        symlink(env!("CARGO_BIN_EXE_bb-runner"), &link).unwrap();
        let output = std::process::Command::new(&link).env_clear().current_dir(folder.path()).output().unwrap();
        let (code, said) = said(&output);
        assert_eq!(code, Some(2), "{name}: {said}");
        assert!(said.contains("RUNNER_UUID"), "{name} without a configuration says what is missing: {said}");
        let (code, said) = typed(&[&format!("/app/{name}"), "--version"], &[]);
        assert_eq!(code, Some(0), "{said}");
    }
}

#[test]
fn under_the_name_of_the_controller_nothing_is_claimed_in_its_place() {
    let (code, said) = typed(&["/app/run-controller"], &[("RUNNER_UUID", UUID)]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("controller"), "{said}");
}

// The image.

/// Instructions, one a line.
fn dockerfile() -> Vec<String> {
    let lines: Vec<String> = read("deploy/container/Dockerfile")
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .map(|line| line.strip_suffix('\\').map_or_else(|| format!("{line}\n"), |line| format!("{line} ")))
        .collect();
    lines.concat().lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).collect()
}

fn stages() -> BTreeSet<String> {
    let last = |line: &String| line.rsplit(' ').next().unwrap().to_owned();
    dockerfile().iter().filter(|line| line.starts_with("FROM ")).map(last).collect()
}

#[test]
fn the_image_keeps_what_is_relied_on_of_the_public_ones() {
    let image = dockerfile();
    let has = |part: &str| assert!(image.iter().any(|line| line.contains(part)), "{part} is not in {image:#?}");
    for part in [
        r#"ENTRYPOINT ["/app/entrypoint.sh", "/app/bb-runner"]"#,
        "WORKDIR /app",
        "ENV PORT=8080",
        "SSH_KNOWN_HOSTS=/app/known_hosts",
        "CUSTOM_CA_CERTS_PATH=/usr/local/share/ca-certificates:/certs",
        "groupadd --gid 2000",
        "useradd --uid 2000 --gid 2000",
        "for name in tfrunner tf-block-runner runner executable run-controller;",
        r#"CMD ["/app/bb-runner", "health"]"#,
    ] {
        has(part);
    }
    for tool in ["git", "openssh-client", "ca-certificates", "jq", "curl", "xz-utils", "coreutils", "python3", "awscli"]
    {
        has(&format!(" {tool} "));
    }
    let users: Vec<_> = image.iter().filter(|line| line.starts_with("USER ")).collect();
    assert_eq!(users.last().unwrap().as_str(), "USER 2000:2000", "a number: Kubernetes checks it for runAsNonRoot");
    assert_eq!(stages(), ["build", "full", "program", "slim"].map(str::to_owned).into());
}

/// Whether `.dockerignore` lets a path of the repository into the build.
fn is_let_in(path: &Path) -> bool {
    let ignore = read(".dockerignore");
    let mut lines = ignore.lines().filter(|line| !line.starts_with('#'));
    assert_eq!(lines.next(), Some("*"), "everything is kept out that is not named");
    lines.filter_map(|line| line.strip_prefix('!')).any(|allowed| path.starts_with(allowed))
}

#[test]
fn what_the_build_needs_is_let_into_it_and_no_secret_that_lies_about() {
    for line in dockerfile().iter().filter(|line| line.starts_with("COPY ") && !line.contains("--from=")) {
        let source = line.split(' ').filter(|word| !word.starts_with("--")).nth(1).unwrap();
        assert!(root().join(source).exists(), "{line}");
        assert!(source == "." || is_let_in(Path::new(source)), "{line}");
    }
    for file in ["Cargo.toml", "Cargo.lock", "crates/runner-bin/README.md", "examples/custom-executor/Cargo.toml"] {
        assert!(is_let_in(Path::new(file)), "{file}");
    }
    for file in
        ["runner-private.pem", "runner-config.yml", ".git/config", "deploy/compose/secrets/client-secret", "target/x"]
    {
        assert!(!is_let_in(Path::new(file)), "{file}");
    }
    let mut included = 0;
    for folder in fs::read_dir(root().join("crates")).unwrap() {
        for file in rust_files(&folder.unwrap().path().join("src")) {
            let code = fs::read_to_string(&file).unwrap();
            for name in ["include_str!(\"", "include_bytes!(\""].iter().flat_map(|macro_| code.split(macro_).skip(1)) {
                let path = file.parent().unwrap().join(name.split('"').next().unwrap());
                let Ok(path) = path.canonicalize() else { continue };
                let path = path.strip_prefix(root()).unwrap();
                assert!(is_let_in(path), "{} is compiled in, but .dockerignore keeps it out", path.display());
                included += 1;
            }
        }
    }
    assert!(included > 5, "{included} files were found");
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
    let (folders, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    let rust = files.into_iter().filter(|file| file.extension().is_some_and(|end| end == "rs"));
    rust.chain(folders.iter().flat_map(|folder| rust_files(folder))).collect()
}

// The compose file.

fn names(value: &Value) -> BTreeSet<&str> {
    match value {
        Value::Object(map) => map.keys().map(String::as_str).collect(),
        Value::Array(list) => list.iter().filter_map(Value::as_str).collect(),
        _ => BTreeSet::new(),
    }
}

#[test]
fn the_compose_file_refers_to_what_is_there() {
    let compose = yaml::parse(&read("deploy/compose/compose.yml"));
    let service = &compose["services"]["runner"];
    let folder = root().join("deploy/compose");
    let context = folder.join(service["build"]["context"].as_str().unwrap());
    assert!(context.join(service["build"]["dockerfile"].as_str().unwrap()).exists());
    assert!(stages().contains(service["build"]["target"].as_str().unwrap()));
    assert_eq!(names(&service["secrets"]), names(&compose["secrets"]));
    for secret in names(&compose["secrets"]) {
        let file = compose["secrets"][secret]["file"].as_str().unwrap();
        assert!(file.starts_with("./secrets/"), "{file} would not be kept out of git");
    }
    assert!(read("deploy/compose/secrets/.gitignore").starts_with("*\n"));
    for volume in names(&service["volumes"]) {
        let source = volume.split(':').next().unwrap();
        if source.starts_with('.') {
            assert!(folder.join(source).exists(), "{volume}");
        } else {
            assert!(names(&compose["volumes"]).contains(source), "{volume}");
        }
    }
    assert_eq!(service["stop_grace_period"], "150s");
}

#[test]
fn the_shipped_configurations_are_complete_with_what_the_book_says_to_fill_in() {
    let key = fixture_path("crypto/current.key.pem");
    let key = ("RUNNER_PRIVATE_KEY_FILE", key.to_str().unwrap());
    let compose = root().join("deploy/compose/runner-config.yml");
    let filled = [key, ("RUNNER_API_CLIENT_SECRET", "secret")];
    let (code, said) = typed(&["config", "check", compose.to_str().unwrap()], &filled);
    assert_eq!(code, Some(0), "{said}");
    assert!(!said.contains("warning"), "{said}");

    let service = root().join("deploy/systemd/runner-config.yml");
    let environment = read("deploy/systemd/bb-runner.env");
    let asked: BTreeSet<&str> = environment.lines().filter_map(|line| line.strip_suffix('=')).collect();
    let filled = [
        ("RUNNER_UUID", UUID),
        ("RUNNER_API_URL", "https://meshstack.example.com"),
        ("RUNNER_API_CLIENT_ID", "id"),
        ("RUNNER_API_CLIENT_SECRET", "secret"),
    ];
    for (name, _) in filled {
        assert!(asked.contains(name), "{name} is not in bb-runner.env");
    }
    let (code, said) = typed(&["config", "check", service.to_str().unwrap()], &[&filled[..], &[key]].concat());
    assert_eq!(code, Some(0), "{said}");
    assert!(!said.contains("warning"), "{said}");
}

// The service.

#[test]
fn the_service_gives_the_runner_time_to_stop_and_signals_nobody_else() {
    let unit = read("deploy/systemd/bb-runner.service");
    let value = |key: &str| unit.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=')).map(str::to_owned);
    assert_eq!(value("KillMode").as_deref(), Some("process"));
    let seconds: u64 = value("TimeoutStopSec").unwrap().trim_end_matches('s').parse().unwrap();
    // Of the book's table of settings.
    let page = read("docs/src/configuration.md");
    let default = |key: &str| -> u64 {
        let row =
            page.lines().find(|line| line.starts_with(&format!("| `{key}` |"))).unwrap_or_else(|| panic!("{key}"));
        row.split('|').nth(3).unwrap().trim().parse().unwrap()
    };
    assert!(seconds >= default("shutdownGraceSeconds") + default("terraform.stopGraceSeconds") + 30);
    assert_eq!(value("RestartPreventExitStatus").as_deref(), Some("2"));
    let state = value("StateDirectory").unwrap();
    let config = yaml::parse(&read("deploy/systemd/runner-config.yml"));
    for key in ["workingDir", "tfInstallDir"] {
        let folder = config[key].as_str().unwrap();
        assert!(folder.starts_with(&format!("/var/lib/{state}/")), "{key}: nothing else can be written");
    }
}

// The release.

#[test]
fn the_release_workflow_takes_exact_versions_and_refers_to_what_is_there() {
    let text = read(".github/workflows/release.yml");
    let workflow = yaml::parse(&text);
    let jobs = workflow["jobs"].as_object().unwrap();
    for (name, job) in jobs {
        for needed in job["needs"].as_str().into_iter().chain(names(&job["needs"])) {
            assert!(jobs.contains_key(needed), "{name} needs {needed}");
        }
        assert!(job["permissions"].is_object(), "{name} says what it may");
        assert!(job["timeout-minutes"].is_string(), "{name} ends");
        for action in job["steps"].as_array().unwrap().iter().filter_map(|step| step["uses"].as_str()) {
            let version = action.split_once("@v").unwrap_or_else(|| panic!("{action} has no version")).1;
            assert_eq!(version.split('.').filter(|part| part.parse::<u32>().is_ok()).count(), 3, "{action}");
        }
    }
    for path in
        [".ci/run", "deploy/systemd", "deploy/container/Dockerfile", "crates/runner-bin/Cargo.toml", "CHANGELOG.md"]
    {
        assert!(text.contains(path) && root().join(path).exists(), "{path}");
    }
    let flavours = jobs["image"]["strategy"]["matrix"]["include"].as_array().unwrap();
    assert!(flavours.iter().all(|row| stages().contains(row["flavour"].as_str().unwrap())), "{flavours:?}");
}

// The book.

/// What stands behind `$ ` in the `console` blocks of a page, joined over line ends.
fn typed_in(page: &str) -> Vec<String> {
    let text = read(&format!("docs/src/{page}.md")).replace("\\\n", " ");
    let blocks = text.split("```console\n").skip(1);
    let lines = blocks.flat_map(|block| block.split("```").next().unwrap().lines().map(str::trim).collect::<Vec<_>>());
    lines.filter_map(|line| line.strip_prefix("$ ").map(str::to_owned)).collect()
}

#[test]
fn every_command_of_the_program_that_these_pages_show_exists() {
    let mut shown = 0;
    for line in ["containers", "systemd", "migration"].into_iter().flat_map(typed_in) {
        let mut words =
            line.split_ascii_whitespace().skip_while(|word| !matches!(*word, "bb-runner" | "bb-runner:full"));
        if words.next().is_none() {
            continue;
        }
        let command: Vec<&str> = words
            .take_while(|word| word.chars().all(|c| c.is_ascii_lowercase() || c == '-') && !word.starts_with('-'))
            .collect();
        if command.is_empty() || line.contains("docker build") || line.starts_with("docker run -d") {
            continue;
        }
        let (code, said) = typed(&[&command[..], &["--help"]].concat(), &[]);
        assert_eq!(code, Some(0), "{line}: {said}");
        for option in
            line.split_ascii_whitespace().skip_while(|word| *word != command[0]).filter(|w| w.starts_with("--"))
        {
            assert!(said.contains(option), "{line}: {option} is not in\n{said}");
        }
        shown += 1;
    }
    assert!(shown >= 5, "{shown} commands were found");
}

#[test]
fn the_files_that_these_pages_install_are_there() {
    for line in ["containers", "systemd"].into_iter().flat_map(typed_in) {
        for path in line.split_ascii_whitespace().filter(|word| word.starts_with("deploy/")) {
            assert!(root().join(path).exists(), "{line}");
        }
    }
}
