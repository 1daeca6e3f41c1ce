//! `docs/src/getting-started.md`, pasted block by block into a shell: on this machine, and in a clean Debian.

mod debian;
mod page;
mod shell;

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{self, PATIENCE};
pub(crate) use debian::root;
use page::{Block, Page};
use shell::Shell;

/// What a system has at least; what lies elsewhere is linked into the folder of the programs.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The programs that the page asks for, and which are missing on this machine.
pub(crate) fn missing() -> Option<&'static str> {
    ["bash", "git", "curl", "jq"].into_iter().find(|program| found(program).is_none()).or_else(|| {
        let terraform = found("tofu").or_else(|| found("terraform"));
        terraform.is_none().then_some("terraform or tofu")
    })
}

fn found(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// The two programs, and Terraform.
fn programs() -> Vec<PathBuf> {
    let ours = [PathBuf::from(env!("CARGO_BIN_EXE_bb-runner")), support::meshstack_local_binary().to_owned()];
    ours.into_iter().chain(found("tofu")).chain(found("terraform")).collect()
}

pub(crate) fn leads_to_a_run_on_this_machine() {
    let programs_folder = tempfile::tempdir().unwrap();
    for program in programs() {
        std::os::unix::fs::symlink(&program, programs_folder.path().join(program.file_name().unwrap())).unwrap();
    }
    let home = tempfile::tempdir().unwrap();
    let mut bash = Command::new("bash");
    bash.env_clear()
        .env("PATH", format!("{}:{PATH}", programs_folder.path().display()))
        .env("HOME", home.path())
        .current_dir(home.path());
    paste(bash, home.path());
}

pub(crate) fn leads_to_a_run_in_a_clean_debian(root: &Path) {
    let home = tempfile::tempdir().unwrap();
    paste(debian::bash(root, home.path(), &programs()), home.path());
}

/// Pastes the page into this shell, whose home is the folder `home`.
fn paste(mut bash: Command, home: &Path) {
    // The page says what to do where the default port is taken; tests that go on at the same time take it.
    bash.env("PORT", "0");
    let folder = home.join("bb-runner");
    let page = Page::read();
    let mut shell = Shell::start(bash);
    for block in page.before("Stop") {
        paste_block(&mut shell, block, &folder);
    }
    let meshstack = address(&folder);
    assert_it_worked(&meshstack, &folder);

    let stop = page.section("Stop");
    assert!(!stop.is_empty());
    for block in stop {
        paste_block(&mut shell, block, &folder);
    }
    shell.assert_all_has_ended();
    assert!(TcpStream::connect(&meshstack).is_err(), "meshstack-local still listens at {meshstack}");
}

fn paste_block(shell: &mut Shell, block: &Block, folder: &Path) {
    let said = shell.paste(&block.commands);
    for shown in &block.shown {
        assert!(
            said.lines().any(|line| line.trim_end() == shown),
            "the page shows {shown:?} after\n{}\nbut there was\n{said}\nThe runner says:\n{}",
            block.commands,
            fs::read_to_string(folder.join("runner.log")).unwrap_or_default()
        );
    }
}

/// Where the page's meshStack listens.
fn address(folder: &Path) -> String {
    let ready: Value = serde_json::from_str(&fs::read_to_string(folder.join("meshstack.json")).unwrap()).unwrap();
    ready["url"].as_str().unwrap().trim_start_matches("http://").to_owned()
}

/// What meshStack knows in the end, asked by the test itself.
fn assert_it_worked(meshstack: &str, folder: &Path) {
    let log = fs::read_to_string(folder.join("runner.log")).unwrap();
    let get = |path: &str| -> Value {
        let (status, body) = support::http(meshstack, "GET", path, "");
        assert_eq!(status, 200, "{path}: {body}\n{log}");
        serde_json::from_str(&body).unwrap()
    };
    let runs = get("/local/runs");
    let [run] = runs.as_array().unwrap().as_slice() else { panic!("one run is ordered: {runs}") };
    assert_eq!(run["status"], "SUCCEEDED", "{run}\n{log}");
    assert_eq!(run["outputs"]["greeting"]["value"], "Hello, world!", "{run}");
    assert_eq!(run["outputs"]["password_length"]["value"], 13, "{run}");
    assert!(!run.to_string().contains("correct horse"), "the secret is in what was reported: {run}");

    let config = fs::read_to_string(folder.join("runner-config.yml")).unwrap();
    let uuid = config.lines().find_map(|line| line.strip_prefix("runnerUuid: ")).unwrap();
    assert_eq!(run["runner"], uuid);
    assert_eq!(get(&format!("/local/runners/{uuid}"))["state"], "Active");

    // The doctor asks with a UUID that no runner has, to learn whether the credentials are let in.
    let violations = get("/local/violations");
    let unexpected = |text: &&Value| !text.as_str().unwrap().contains("runner 00000000-0000-0000-0000-000000000000 ");
    let unexpected: Vec<&Value> = violations.as_array().unwrap().iter().filter(unexpected).collect();
    assert!(unexpected.is_empty(), "{unexpected:?}");
}

/// Until when to wait for something that begins now.
fn deadline() -> Instant {
    // A block of the page may wait for 300 seconds by itself.
    Instant::now() + PATIENCE + Duration::from_secs(300)
}
