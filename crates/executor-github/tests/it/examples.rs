//! The workflows of the book: they take what is sent, and their own script lines are played in a shell, against meshStack.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use meshstack_local::{Order, RunView};
use runner_core::meshstack_client::Secret;
use runner_core::web::{Method, Url, Web, WebSettings, header};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::fake::{FakeRun, Script, Workflow};
use crate::world::{World, brief, log, message, patiently};
use crate::yaml::document;

const SYNC: &str = include_str!("../../../../docs/src/github/sync.yml");
const RUN_OBJECT: &str = include_str!("../../../../docs/src/github/async-run-object.yml");
const URL: &str = include_str!("../../../../docs/src/github/async-url.yml");

/// Whether the programs are there that the examples need. With `BB_TEST_REQUIRE_SHELL=1` they have to be.
fn has_programs() -> bool {
    let there = |program: &str| std::process::Command::new(program).arg("--version").output().is_ok();
    let missing: Vec<&str> = ["bash", "curl", "jq"].into_iter().filter(|program| !there(program)).collect();
    if missing.is_empty() {
        return true;
    }
    assert!(std::env::var_os("BB_TEST_REQUIRE_SHELL").is_none(), "please install: {missing:?}");
    eprintln!("not played: {missing:?} are missing");
    false
}

/// A workflow that declares what the example declares.
fn workflow(example: &str, script: Script) -> Workflow {
    let inputs = document(example)["on"]["workflow_dispatch"]["inputs"].clone();
    let inputs = inputs.as_object().expect("inputs");
    assert!(inputs.values().all(|input| input["type"] == "string"), "all that is sent is text");
    let declared: Vec<(&str, bool)> =
        inputs.iter().map(|(name, input)| (name.as_str(), input["required"] == true)).collect();
    let workflow = Workflow::new(move |_| script.clone()).declaring(&declared);
    match document(example)["run-name"].as_str() {
        Some(name) => Workflow { run_name: Some(name.replace("${{ inputs.buildingBlockRunUrl }}", "{}")), ..workflow },
        None => workflow,
    }
}

/// Runs the steps of the only job, as GitHub does: each in a shell of its own, none after one that failed, but those that
/// ask for it. Whether all went well, and what was printed.
async fn play(example: &str, run: &FakeRun, folder: &Path) -> (bool, String) {
    let example = document(example);
    let jobs = example["jobs"].as_object().expect("jobs");
    assert_eq!(jobs.len(), 1);
    assert_eq!(example["defaults"]["run"]["shell"], "bash", "else GitHub does not notice what fails in a pipe");
    let event = folder.join("event.json");
    std::fs::write(&event, json!({ "inputs": run.inputs }).to_string()).expect("a file");
    let (mut well, mut printed) = (true, String::new());
    for step in jobs.values().next().expect("a job")["steps"].as_array().expect("steps") {
        let wanted = match step.get("if").and_then(Value::as_str) {
            None => well,
            Some("failure() || cancelled()") => !well,
            Some(other) => panic!("the test knows no `if: {other}`"),
        };
        if !wanted {
            continue;
        }
        let script = step["run"].as_str().expect("a script");
        assert!(!script.contains("${{"), "an expression in a script lets inputs be commands");
        let mut bash = Command::new("bash");
        bash.args(["--noprofile", "--norc", "-e", "-o", "pipefail", "-c", script]).env_clear().stdin(Stdio::null());
        bash.env("PATH", std::env::var_os("PATH").expect("a PATH"));
        bash.env("RUNNER_TEMP", folder).env("GITHUB_EVENT_PATH", &event).env("GITHUB_RUN_ID", run.id.to_string());
        bash.env("GITHUB_SERVER_URL", "https://github.example").env("GITHUB_REPOSITORY", "likvid/infra");
        let done = patiently(bash.output()).await.expect("bash");
        printed += &String::from_utf8_lossy(&done.stdout);
        printed += &String::from_utf8_lossy(&done.stderr);
        well &= done.status.success();
    }
    (well, printed)
}

/// Without the commands that mask secrets: GitHub does not show them.
fn shown(printed: &str) -> String {
    printed.lines().filter(|line| !line.starts_with("::add-mask::")).collect::<Vec<_>>().join("\n")
}

/// An asynchronous run of an example, played to its end. What it printed.
async fn carried_out(world: &World, example: &str, order: Order) -> (RunView, String) {
    world.github.workflow("apply.yml", workflow(example, Script::endless()));
    world.github.workflow("destroy.yml", workflow(example, Script::endless()));
    let run = world.mesh.order(&world.runner, order).await;
    let running = world.start();
    let view = world.started(&run).await;
    assert_eq!(view.status, "IN_PROGRESS", "{}", brief(&view));
    running.drain().await;
    let folder = tempfile::tempdir().expect("a folder");
    let ours = world.github.runs().pop().expect("a workflow run");
    let (_, printed) = play(example, &ours, folder.path()).await;
    let view = world.mesh.run(&run).await.expect("the run");
    assert_eq!(world.mesh.violations(), Vec::<String>::new(), "{printed}");
    (view, printed)
}

/// A token of the API, as a building block's input holds it.
async fn api_token(world: &World) -> String {
    let web = Web::new(WebSettings::default());
    let url = Url::parse(&format!("{}/api/login", world.mesh.url())).expect("an address");
    let (client_id, client_secret) = world.mesh.api_key();
    let body = json!({ "clientId": client_id, "clientSecret": client_secret }).to_string();
    let request = web.request(Method::POST, url).await.expect("a request");
    let request = request.header(header::CONTENT_TYPE, "application/json").header(header::ACCEPT, "application/json");
    let answer = web.send(request.body(body)).await.expect("an answer").json::<Value>().expect("JSON");
    answer["access_token"].as_str().expect("a token").to_owned()
}

const NAME: &str = "a \"b\" $(id) `x` ü %";

#[tokio::test]
async fn the_asynchronous_example_with_the_run_object_reports_every_behavior() {
    if !has_programs() {
        return;
    }
    let world = World::new().await;
    for (behavior, said) in [("APPLY", "is there."), ("DETECT", "would be made."), ("DESTROY", "is gone.")] {
        let order = Order::new(world.definition(&json!({ "async": true }))).behavior(behavior);
        let secret = "se%cret-canary\nof two lines";
        let order = order.input("name", NAME, "STRING").sensitive_input("password", secret, "STRING");
        let (view, printed) = carried_out(&world, RUN_OBJECT, order).await;
        assert_eq!((view.status.word(), view.ended_count), ("SUCCEEDED", 1), "{printed}{}", brief(&view));
        assert_eq!(message(&view, "work"), format!("The bucket {NAME} {said}"));
        assert_eq!(view.step("work").map(|step| step.source.as_str()), Some("github"));
        assert_eq!(view.outputs["bucket"].value, json!(format!("https://buckets.example.com/{NAME}")));
        assert!(printed.contains("::add-mask::se%25cret-canary\n::add-mask::of two lines\n"), "{printed}");
        assert!(!shown(&printed).contains("canary") && !shown(&printed).contains("Bearer"), "{printed}");
        let url =
            view.sources.iter().find(|source| source.id == "github").and_then(|source| source.external_run_url.clone());
        let id = world.github.runs().pop().expect("a run").id;
        assert_eq!(url, Some(world.github.state().page(id)));
        assert!(!view.has_warning(), "{}", brief(&view));
    }
}

#[tokio::test]
async fn the_asynchronous_example_with_the_address_reads_the_run_and_reports() {
    if !has_programs() {
        return;
    }
    let world = World::new().await;
    let token = Secret::new(api_token(&world).await);
    let order = Order::new(world.definition(&json!({ "async": true, "omitRunObjectInput": true })));
    let order = order.input("name", NAME, "STRING").sensitive_input("MESHSTACK_API_TOKEN", token.expose(), "STRING");
    let (view, printed) = carried_out(&world, URL, order.input("MESHSTACK_ENDPOINT", "http://mesh", "STRING")).await;
    assert_eq!((view.status.word(), view.ended_count), ("SUCCEEDED", 1), "{printed}{}", brief(&view));
    assert_eq!(message(&view, "work"), format!("The bucket {NAME} is there."));
    assert!(!shown(&printed).contains(token.expose()), "{printed}");
    let ours = world.github.runs().pop().expect("a run");
    assert!(ours.title.ends_with(&view.uuid), "its name shows the run: {}", ours.title);
}

#[tokio::test]
async fn an_asynchronous_example_that_fails_or_is_aborted_says_so() {
    if !has_programs() {
        return;
    }
    let world = World::new().await;
    let order = Order::new(world.definition(&json!({ "async": true }))).input("name", "", "STRING");
    let (view, printed) = carried_out(&world, RUN_OBJECT, order).await;
    assert_eq!(view.status, "FAILED", "{printed}");
    assert!(printed.contains("The building block has no name."), "{printed}");
    assert_eq!(message(&view, "work"), "The workflow failed. Look at its log.");

    world.github.workflow("apply.yml", workflow(RUN_OBJECT, Script::endless()));
    let run = world.order(&json!({ "async": true })).await;
    let running = world.start();
    world.started(&run).await;
    running.drain().await;
    world.mesh.abort(&run).await;
    let folder = tempfile::tempdir().expect("a folder");
    let ours = world.github.runs().pop().expect("a workflow run");
    let (well, printed) = play(RUN_OBJECT, &ours, folder.path()).await;
    assert!(!well && printed.contains("The run was aborted in meshStack."), "{printed}");
    assert_eq!(world.mesh.run(&run).await.expect("the run").status, "ABORTED");
}

#[tokio::test]
async fn the_synchronous_example_takes_what_is_sent_and_its_end_is_the_runs() {
    let world = World::new().await;
    for (name, ending) in [("demo", "success"), ("", "failure")] {
        world.github.workflow("apply.yml", workflow(SYNC, Script::ending(ending)));
        let order = Order::new(world.definition(&json!({}))).input("name", name, "STRING");
        let view = world.carry_out_order(order).await;
        assert_eq!(view.status.word(), if ending == "success" { "SUCCEEDED" } else { "FAILED" });
        assert!(log(&view, "gh-trigger").contains(ending), "{}", brief(&view));
        if has_programs() {
            let folder = tempfile::tempdir().expect("a folder");
            let ours = world.github.runs().pop().expect("a workflow run");
            let (well, printed) = play(SYNC, &ours, folder.path()).await;
            assert_eq!(well, ending == "success", "{printed}");
        }
    }
}

#[tokio::test]
async fn a_watched_workflow_that_reported_its_end_has_the_last_word() {
    if !has_programs() {
        return;
    }
    let mut world = World::new().await;
    world.settings.watch_handed_over = true;
    world.github.workflow("apply.yml", workflow(RUN_OBJECT, Script::endless()));
    let run = world.order(&json!({ "async": true })).await;
    let running = world.start();
    world.github.asked("get_run", 2).await;
    let folder = tempfile::tempdir().expect("a folder");
    let ours = world.github.runs().pop().expect("a workflow run");
    let (well, printed) = play(RUN_OBJECT, &ours, folder.path()).await;
    assert!(well, "{printed}");
    // A last step of it fails, after the report: the runner reports that, or learns first that the run is over.
    let requests = || async { world.mesh.run(&run).await.expect("the run").requests.len() };
    let before = requests().await;
    world.github.state().runs.values_mut().for_each(|run| run.script = Script::ending("failure"));
    patiently(async {
        while requests().await == before {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    running.drain().await;
    let view = world.mesh.run(&run).await.expect("the run");
    assert_eq!((view.status.word(), view.ended_count), ("SUCCEEDED", 1), "{}", brief(&view));
    assert!(world.github.runs()[0].cancels.is_empty());
}
