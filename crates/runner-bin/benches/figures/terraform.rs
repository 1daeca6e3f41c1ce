//! Terraform runs: what the runner adds to the same commands typed by hand, and what a huge log costs.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use meshstack_local::{Event, LocalMeshStack, Operation, Order};
use serde_json::json;

use crate::process::{Runner, mib};
use crate::{meshstack, spread};

const PAIRS: usize = 15;
const VERSION: &str = "1.9.0";
const MODULE: &str = "variable \"name\" { type = string }\nresource \"terraform_data\" \"x\" { input = var.name }\noutput \"name\" { value = terraform_data.x.output }\n";
/// 100 MB of log in lines of 100 bytes.
const LOG: &str = "resource \"terraform_data\" \"log\" {\n  provisioner \"local-exec\" {\n    command = \"yes 'a line of log as programs write them, with some words in it and ninety-nine characters lo' | head -c 100000000\"\n  }\n}\n";

pub(crate) fn find() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    ["terraform", "tofu"].iter().find_map(|name| folders.iter().map(|f| f.join(name)).find(|file| file.is_file()))
}

fn repository(module: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::write(folder.path().join("main.tf"), module).expect("a module");
    for arguments in [&["init", "-q", "-b", "main"][..], &["add", "."], &["commit", "-q", "-m", "module"]] {
        let author = ["-c", "user.name=bench", "-c", "user.email=bench@localhost"];
        run(Command::new("git").current_dir(folder.path()).args(author).args(arguments));
    }
    folder
}

fn run(command: &mut Command) {
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    assert!(status.is_ok_and(|status| status.success()), "{command:?} failed");
}

fn order(repository: &Path) -> Order {
    let url = format!("file://{}", repository.display());
    Order::terraform(json!({ "terraformVersion": VERSION, "repositoryUrl": url, "refName": "main" }))
}

/// A runner that has nothing to do until the next order, and takes one at a time.
fn runner(local: &LocalMeshStack, program: &Path) -> Runner {
    Runner::start_with(local, |folder| {
        let installed = folder.join("tfbin").join(VERSION);
        fs::create_dir_all(&installed).expect("a folder");
        symlink(program, installed.join("terraform")).expect("a link");
        let config = fs::OpenOptions::new().append(true).open(folder.join("runner-config.yml"));
        config.and_then(|mut config| config.write_all(b"maxConcurrentRuns: 1\n")).expect("a configuration");
    })
}

/// By hand and as a run in turns, so that both see the same machine. A run by hand begins with the clone, the runner's
/// with the claim. The first run of a process is colder than those after it, so both are shown.
pub(crate) async fn overhead(program: &Path) {
    let repository = repository(MODULE);
    let (mut by_hand, mut first, mut later) = (Vec::new(), Vec::new(), Vec::new());
    for pair in 0..PAIRS {
        // Neither always comes after the other.
        if pair % 2 == 0 {
            by_hand.push(typed_by_hand(program, repository.path()).await);
        }
        let [one, two] = claimed(program, repository.path()).await;
        if pair % 2 != 0 {
            by_hand.push(typed_by_hand(program, repository.path()).await);
        }
        first.push(one);
        later.push(two);
    }
    let (over_first, over_later) = (over(&first, &by_hand), over(&later, &by_hand));
    println!("terraform apply by hand           {}", spread(&mut by_hand));
    println!("the same as a process's first run {}", spread(&mut first));
    println!("the same as a later run           {}", spread(&mut later));
    println!("overhead, first run               {over_first}   (goal: 30)");
    println!("overhead, later run               {over_later}   (goal: 30)");
}

/// The median of what the runs take longer than those by hand, each beside its own, and the range. Less than nothing
/// where the runner's way to fetch the sources saves more than all else costs.
fn over(runs: &[Duration], by_hand: &[Duration]) -> String {
    let millis = |time: &Duration| time.as_secs_f64() * 1000.0;
    let mut over: Vec<f64> = runs.iter().zip(by_hand).map(|(run, hand)| millis(run) - millis(hand)).collect();
    over.sort_by(f64::total_cmp);
    format!("{:>9.1} ms    ({:.1} to {:.1})", over[over.len() / 2], over[0], over[over.len() - 1])
}

async fn typed_by_hand(program: &Path, repository: &Path) -> Duration {
    let (local, _) = meshstack().await;
    let run_uuid = waiting_run(&local, repository).await;
    let token = claim(&local, &run_uuid).await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let checkout = folder.path().join("checkout");
    let began = Instant::now();
    let (program, checkout) = (program.to_owned(), checkout);
    let (repository, url) = (repository.to_owned(), local.url());
    // The local meshStack lives on this thread, and Terraform talks to it.
    tokio::task::spawn_blocking(move || {
        run(Command::new("git")
            .args(["clone", "-q", "--depth", "1", "-b", "main"])
            .arg(format!("file://{}", repository.display()))
            .arg(&checkout));
        let address = format!("{url}/api/terraform/state/workspace/example-workspace/buildingBlock/{}", token.1);
        fs::write(
            checkout.join("backend.tf"),
            format!("terraform {{\n  backend \"http\" {{\n    address = \"{address}\"\n  }}\n}}\n"),
        )
        .expect("a backend");
        for arguments in [
            &["init", "-no-color", "-input=false", "-upgrade"][..],
            &["apply", "-no-color", "-auto-approve", "-input=false", "-var", "name=demo"],
            &["output", "-no-color", "-json"],
        ] {
            let login = [("TF_HTTP_USERNAME", "x"), ("TF_HTTP_PASSWORD", token.0.as_str())];
            run(Command::new(&program).current_dir(&checkout).args(arguments).envs(login));
        }
    })
    .await
    .expect("the commands");
    began.elapsed()
}

async fn waiting_run(local: &LocalMeshStack, repository: &Path) -> String {
    local.order("7f3c9b1e-0d52-4c5a-9a64-3f1f0c1f7a10", order(repository).input("name", "demo", "STRING")).await
}

/// Claims the run as a runner does; gives its token and its building block.
async fn claim(local: &LocalMeshStack, run: &str) -> (String, String) {
    let (client_id, secret) = local.api_key();
    let mut config = meshstack_client::ClientConfig::new("7f3c9b1e-0d52-4c5a-9a64-3f1f0c1f7a10");
    config.api_url = Some(local.url());
    let client_secret = meshstack_client::Secret::new(secret);
    config.credentials = Some(meshstack_client::Credentials::ApiKey { client_id, client_secret });
    let client = meshstack_client::Client::new(config).expect("a client");
    let object = client.claim().await.expect("a claim").expect("a run");
    assert_eq!(object.uuid(), run);
    let block = object.raw()["spec"]["buildingBlock"]["uuid"].as_str().expect("a building block").to_owned();
    (object.run_token().expose().to_owned(), block)
}

/// Two runs of one process, one after the other.
async fn claimed(program: &Path, repository: &Path) -> [Duration; 2] {
    let (local, _) = meshstack().await;
    let runs = [waiting_run(&local, repository).await, waiting_run(&local, repository).await];
    let mut events = local.events();
    let runner = runner(&local, program);
    let mut took = [Duration::ZERO; 2];
    for (run, took) in runs.iter().zip(&mut took) {
        while !matches!(events.recv().await, Ok(Event::Claimed { .. })) {}
        let began = Instant::now();
        let view = local.wait_for_end(run).await;
        *took = began.elapsed();
        let folder = runner.folder.path().display();
        assert!(view.status == "SUCCEEDED", "the run of {folder} did not succeed: {:?}", view.summary);
    }
    took
}

/// A step that logs 100 MB.
pub(crate) async fn big_log(program: &Path) {
    let repository = repository(LOG);
    let (local, uuid) = meshstack().await;
    let run = local.order(&uuid, order(repository.path())).await;
    let runner = runner(&local, program);
    let view = local.wait_for_end(&run).await;
    assert!(view.status == "SUCCEEDED", "{:?}", view.summary);
    let sent: usize = view.requests.iter().filter(|r| r.operation == Operation::Patch).map(|r| r.body_size).sum();
    println!("a log of 100 MB: the runner's CPU {:>9.2} s     (goal: 1)", runner.cpu().as_secs_f64());
    println!("                 resident at most {:>9.1} MiB   (goal: 30)", mib(runner.peak()));
    println!("                 sent             {:>9.1} MiB   in {} patches", mib(sent as u64), view.patches);
}
