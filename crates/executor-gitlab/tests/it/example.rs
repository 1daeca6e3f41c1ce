//! The pipeline of the book, played: its own script lines, in a shell, against meshStack.

use std::collections::BTreeMap;
use std::process::Stdio;

use meshstack_local::Order;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::fake::Pipeline;
use crate::world::{World, told};
use crate::yaml::{documents, lines};

const EXAMPLE: &str = include_str!("../../../../docs/src/gitlab/gitlab-ci.yml");

/// Whether the programs are there that the example needs. With `BB_TEST_REQUIRE_SHELL=1` they have to be.
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

fn example() -> (Value, Value) {
    let mut documents = documents(EXAMPLE);
    let (configuration, header) = (documents.pop().expect("a configuration"), documents.pop().expect("a header"));
    (header, configuration)
}

/// What the example declares.
fn inputs() -> BTreeMap<String, String> {
    let (header, _) = example();
    let declared = header["spec"]["inputs"].as_object().expect("inputs");
    declared.iter().map(|(key, input)| (key.clone(), input["type"].as_str().unwrap_or("string").to_owned())).collect()
}

/// Runs lines as a GitLab runner does: in one shell that ends at the first line that fails.
async fn play(pipeline: &Pipeline, url: &str, lines: &[String], status: &str) -> (bool, String) {
    let mut bash = Command::new("bash");
    bash.args(["-c", &format!("set -eo pipefail\n{}", lines.join("\n"))]).env_clear().stdin(Stdio::null());
    bash.envs(["PATH", "TMPDIR"].into_iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
    bash.envs(pipeline.variables.iter().map(|(key, value)| (key.as_str(), value.as_str())));
    bash.env("CI_PIPELINE_ID", pipeline.id.to_string())
        .env("CI_PIPELINE_URL", format!("{url}/-/pipelines/{}", pipeline.id));
    bash.env("CI_PIPELINE_SOURCE", "trigger").env("CI_JOB_STATUS", status).env("CI_JOB_URL", format!("{url}/-/jobs/1"));
    let done = bash.output().await.expect("bash");
    let said = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    (done.status.success(), said)
}

/// The job from its start to its end. What it printed.
async fn play_job(world: &World, run: &str) -> String {
    let (_, configuration) = example();
    let job = &configuration["building-block"];
    // The packages are those that the test has found.
    assert_eq!(lines(&job["before_script"]), ["apk add --no-cache curl jq"]);
    let pipelines = world.fake.pipelines();
    let pipeline = pipelines.iter().find(|pipeline| pipeline.run() == run).expect("a pipeline");
    let url = world.fake.url();
    let (worked, said) = play(pipeline, &url, &lines(&job["script"]), "running").await;
    let status = if worked { "success" } else { "failed" };
    let (_, after) = play(pipeline, &url, &lines(&job["after_script"]), status).await;
    said + &after
}

async fn world() -> World {
    let world = World::new().await;
    world.fake.with(|gitlab| gitlab.project().inputs = Some(inputs()));
    world
}

fn order(world: &World, name: &str) -> Order {
    Order::new(world.implementation())
        .input("name", name, "STRING")
        .input("size", 3, "INTEGER")
        .environment_input("REGION", "eu-1", "STRING")
}

#[tokio::test]
async fn the_example_takes_what_is_sent_and_reports_the_end_of_every_behavior() {
    if !has_programs() {
        return;
    }
    let world = world().await;
    let name = "a \"b\" $(id) `x` ü";
    for (behavior, said) in [("APPLY", "is there."), ("DETECT", "would be made."), ("DESTROY", "is gone.")] {
        let run = world.hand_over(order(&world, name).behavior(behavior)).await.uuid;
        let printed = play_job(&world, &run).await;
        let view = world.meshstack.run(&run).await.expect("the run");
        assert_eq!((view.status.word(), view.ended_count), ("SUCCEEDED", 1), "{printed}{}", told(&view));
        let work = view.step("work").expect("its step");
        assert_eq!((work.source.as_str(), work.status.word()), ("gitlab", "SUCCEEDED"));
        assert_eq!(work.user_message.as_deref(), Some(format!("The bucket {name} {said}").as_str()));
        assert_eq!(view.outputs["bucket"].value, json!(format!("https://buckets.example.com/{name}")));
        let source = view.sources.iter().find(|source| source.id == "gitlab").expect("its source");
        assert!(source.external_run_url.as_deref().is_some_and(|url| url.contains("/-/pipelines/")));
        let object =
            world.fake.pipelines().last().expect("a pipeline").variable("MESHSTACK_RUN").expect("a run").to_owned();
        let object: Value = serde_json::from_str(&object).expect("JSON");
        let token = object["spec"]["runToken"].as_str().expect("a token");
        assert!(!printed.contains(name) && !printed.contains(token), "{printed}");
        assert!(!view.has_warning(), "{}", told(&view));
    }
    assert_eq!(world.meshstack.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn a_job_that_fails_says_so_in_its_after_script() {
    if !has_programs() {
        return;
    }
    let world = world().await;
    let run = world.hand_over(order(&world, "")).await.uuid;
    let printed = play_job(&world, &run).await;
    let view = world.failed(&run).await;
    assert!(printed.contains("The building block has no name."), "{printed}");
    assert!(
        view.step("work")
            .is_some_and(|step| step.user_message.as_deref().is_some_and(|text| text.contains("/-/jobs/1")))
    );
}

#[tokio::test]
async fn a_job_of_a_run_that_was_aborted_stops() {
    if !has_programs() {
        return;
    }
    let world = world().await;
    let run = world.hand_over(order(&world, "demo")).await.uuid;
    world.meshstack.abort(&run).await;
    let printed = play_job(&world, &run).await;
    assert!(printed.contains("The run was aborted in meshStack."), "{printed}");
    let view = world.meshstack.run(&run).await.expect("the run");
    assert_eq!((view.status.word(), view.ended_count), ("ABORTED", 0), "{}", told(&view));
}

#[tokio::test]
async fn a_job_that_is_retried_after_its_report_changes_nothing() {
    if !has_programs() {
        return;
    }
    let world = world().await;
    let run = world.hand_over(order(&world, "demo")).await.uuid;
    play_job(&world, &run).await;
    let printed = play_job(&world, &run).await;
    let view = world.meshstack.run(&run).await.expect("the run");
    assert_eq!((view.status.word(), view.ended_count), ("SUCCEEDED", 1), "{printed}{}", told(&view));
}

#[test]
fn the_page_of_the_book_shows_this_file_and_names_every_variable() {
    let page = include_str!("../../../../docs/src/gitlab.md");
    assert!(page.contains("{{#include gitlab/gitlab-ci.yml}}"));
    for name in ["BEHAVIOR", "RUN", "SELF_URL", "REGISTER_SOURCE_URL", "UPDATE_SOURCE_URL", "BASE_URL"] {
        assert!(page.contains(&format!("`MESHSTACK_{name}`")), "{name}");
    }
}
