//! The example pipelines of the book: they parse, they take what they are sent, and what they run works.

use std::collections::HashMap;
use std::path::Path;
use std::process::Stdio;

use runner_core::meshstack_client::Certificate;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::fake::azure::{Parameter, Pipeline, Run};
use crate::fixtures::fixture;
use crate::world::{TRIGGER, World, message, quick, status};
use crate::yaml;

const SYNC: &str = include_str!("../../pipelines/sync.yml");
const ASYNC: &str = include_str!("../../pipelines/async.yml");
const PAGE: &str = include_str!("../../../../docs/src/azure-devops.md");

/// A pipeline of the fake with the parameters of a YAML file.
fn pipeline(yaml: &Value, settable: &[&str]) -> Pipeline {
    let parameter = |declared: &Value| Parameter {
        name: declared["name"].as_str().expect("a name").to_owned(),
        kind: declared["type"].as_str().expect("a type").to_owned(),
        default: !declared["default"].is_null(),
        values: declared["values"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|v| v.as_str().expect("text").to_owned())
            .collect(),
    };
    Pipeline {
        parameters: yaml["parameters"].as_array().expect("parameters").iter().map(parameter).collect(),
        settable: settable.iter().map(|&name| name.to_owned()).collect(),
        ..Pipeline::of_the_fixtures()
    }
}

/// Plays an agent: runs the steps of a list as Azure Pipelines does. Whether all went well.
async fn play(steps: &Value, run: &Run, folder: &Path) -> bool {
    let mut variables: HashMap<String, String> = HashMap::new();
    for (name, variable) in run.variables.as_object().into_iter().flatten() {
        variables.insert(name.clone(), variable["value"].as_str().expect("a value").to_owned());
    }
    let mut succeeded = true;
    for step in steps.as_array().expect("steps") {
        let Some(script) = step["bash"].as_str() else {
            assert_eq!(step["checkout"], "none", "a step that is no script: {step}");
            continue;
        };
        let due = match step["condition"].as_str() {
            None => succeeded,
            Some("not(succeeded())") => !succeeded,
            Some(other) => panic!("the condition {other} is not known"),
        };
        if !due {
            continue;
        }
        assert!(!script.contains("${{"), "what people order becomes a part of the script: {script}");
        let mut command = Command::new("bash");
        command.arg("-c").arg(script).env_clear().current_dir(folder).stdin(Stdio::null()).stderr(Stdio::inherit());
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("AGENT_TEMPDIRECTORY", folder).env("BUILD_BUILDID", run.id.to_string());
        command.env("SYSTEM_COLLECTIONURI", "https://dev.azure.com/likvid/").env("SYSTEM_TEAMPROJECT", "infra");
        command.env("AGENT_JOBSTATUS", if succeeded { "Succeeded" } else { "Failed" });
        // Variables that a step has set; secret ones have to be named.
        command.envs(variables.iter().filter(|(name, _)| run.variables[name.as_str()].is_null()));
        for (name, value) in step["env"].as_object().into_iter().flatten() {
            command.env(name, filled_in(value.as_str().expect("text"), run, &variables));
        }
        let output = command.output().await.expect("bash");
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            if let Some((name, value)) =
                line.strip_prefix("##vso[task.setvariable variable=").and_then(|rest| rest.split_once(']'))
            {
                variables.insert(name.to_owned(), value.to_owned());
            }
        }
        if !output.status.success() {
            println!("{}: {}", step["displayName"], String::from_utf8_lossy(&output.stdout));
        }
        succeeded &= output.status.success();
    }
    succeeded
}

/// `${{ parameters.x }}` and `$(x)`.
fn filled_in(text: &str, run: &Run, variables: &HashMap<String, String>) -> String {
    if let Some(name) = text.strip_prefix("${{ parameters.").and_then(|rest| rest.strip_suffix(" }}")) {
        return run.parameters.get(name).unwrap_or_else(|| panic!("there is no parameter {name}")).clone();
    }
    match text.strip_prefix("$(").and_then(|rest| rest.strip_suffix(')')) {
        // Azure Pipelines leaves what it does not know as it is.
        Some(name) => variables.get(name).cloned().unwrap_or_else(|| text.to_owned()),
        None => text.to_owned(),
    }
}

#[tokio::test]
async fn the_synchronous_example_takes_what_it_is_sent_and_its_scripts_run() {
    let yaml = yaml::parse(SYNC);
    let world = World::with(pipeline(&yaml, &["DD_API_KEY"])).await;
    let key = meshstack_local::OrderInput {
        key: "DD_API_KEY".to_owned(),
        value: json!("dd-secret"),
        kind: "STRING".to_owned(),
        sensitive: true,
        environment: true,
    };
    let order = world
        .order(|_| {})
        .input("name", "it's \"$(whoami)\" `x`", "STRING")
        .input("size", 3, "INTEGER")
        .input("enabled", true, "BOOLEAN")
        .input("zones", json!(["a", "b"]), "MULTI_SELECT")
        .with(key);
    let ended = world.carry_out(order, quick()).await;
    assert_eq!(ended.status, "SUCCEEDED", "{:?}", ended.steps);
    let (run, folder) = (world.fake.only_run(), tempfile::tempdir().expect("a folder"));
    for stage in yaml["stages"].as_array().expect("stages") {
        assert!(play(&stage["jobs"][0]["steps"], &run, folder.path()).await, "{}", stage["stage"]);
    }
}

/// The asynchronous fixture with the inputs of the example; its token is an input too, sealed for the runner.
fn reporting_back(world: &World, name: &str) -> Value {
    let mut run = fixture(include_str!("../fixtures/azure-devops-async.json"), world);
    let token = run["spec"]["runToken"].as_str().expect("a token");
    let certificate = Certificate::from_pem(include_str!("../fixtures/runner.cert.pem")).expect("a certificate");
    let sealed = certificate.encrypt(token).expect("encrypted");
    run["spec"]["buildingBlock"]["spec"]["inputs"] = json!([
        { "key": "MESHSTACK_SELF_URL", "value": "filled in by the runner", "type": "STRING", "isSensitive": false, "isEnvironment": false },
        { "key": "MESHSTACK_RUN_TOKEN", "value": sealed, "type": "STRING", "isSensitive": true, "isEnvironment": true },
        { "key": "name", "value": name, "type": "STRING", "isSensitive": false, "isEnvironment": false },
    ]);
    run
}

#[tokio::test]
async fn the_asynchronous_example_reports_its_outputs_and_its_end_by_itself() {
    let yaml = yaml::parse(ASYNC);
    for (name, expected) in [("shop", "SUCCEEDED"), ("broken", "FAILED")] {
        let world = World::with(pipeline(&yaml, &["MESHSTACK_RUN_TOKEN"])).await;
        let run = world.meshstack.order_raw(&world.runner, reporting_back(&world, name)).await;
        let _life = world.live(quick());
        world
            .until(&run, "it is handed over", |run| run.step(TRIGGER).is_some_and(|step| step.status == "SUCCEEDED"))
            .await;
        let pipeline_run = world.fake.only_run();
        assert_eq!(pipeline_run.variables["MESHSTACK_RUN_TOKEN"]["isSecret"], true);
        let folder = tempfile::tempdir().expect("a folder");
        let went_well = play(&yaml["jobs"][0]["steps"], &pipeline_run, folder.path()).await;
        let ended = world.ended(&run).await;
        assert_eq!((ended.status.word(), went_well), (expected, expected == "SUCCEEDED"));
        assert_eq!((status(&ended, "work").as_str(), status(&ended, TRIGGER).as_str()), (expected, "SUCCEEDED"));
        let source =
            ended.sources.iter().find(|source| source.id == "azure-pipeline").expect("the pipeline is a source");
        assert!(
            source.external_run_url.as_deref().is_some_and(|url| url.ends_with(&pipeline_run.id.to_string())),
            "{source:?}"
        );
        if went_well {
            assert_eq!(ended.outputs["address"].value, json!("https://shop.example.com"));
            assert!(!ended.has_warning(), "{:?}", ended.steps);
        } else {
            assert_eq!(ended.summary.as_deref(), Some("The pipeline failed."));
            assert!(message(&ended, "work").contains("did not work"));
        }
    }
}

#[test]
fn the_page_shows_these_files_and_explains_what_the_runner_really_says() {
    for part in [
        "executor-azdo/pipelines/sync.yml}}",
        "executor-azdo/pipelines/async.yml}}",
        "MESHSTACK_SELF_URL",
        "MESHSTACK_RUN_TOKEN",
    ] {
        assert!(PAGE.contains(part), "{part}");
    }
    let sources = [
        include_str!("../../src/problems.rs"),
        include_str!("../../src/trigger.rs"),
        include_str!("../../src/follow.rs"),
        include_str!("../../src/stages.rs"),
    ];
    let said = sources
        .map(|source| source.split_whitespace().filter(|word| *word != "\\").collect::<Vec<_>>().join(" "))
        .join(" ");
    let table = PAGE.split("| you see |").nth(1).expect("the table");
    let rows: Vec<&str> =
        table.lines().skip(2).filter_map(|line| line.strip_prefix("| ")?.split(" |").next()).collect();
    assert!(rows.len() > 10, "{rows:?}");
    for row in rows {
        // Up to where a name or a number is filled in.
        let part = row.split(['…', '`', '(']).next().unwrap_or_default();
        let part = part.trim_end_matches(|c: char| c.is_ascii_digit() || c == ' ');
        assert!(said.contains(part), "nobody says {part:?}");
    }
}
