//! Starting a pipeline: once, with what it takes, and with words for what goes wrong.

use std::time::Duration;

use executor_azdo::AzdoSettings;
use meshstack_local::OrderInput;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::fake::Effect;
use crate::fake::azure::{Parameter, Pipeline};
use crate::world::{TRIGGER, World, log, message, quick, status};

/// An input that becomes a variable.
fn variable(key: &str, value: &str, sensitive: bool) -> OrderInput {
    OrderInput { key: key.to_owned(), value: json!(value), kind: "STRING".to_owned(), sensitive, environment: true }
}

fn sent_variables(world: &World) -> Vec<Vec<String>> {
    let names =
        |body: &Value| body["variables"].as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect();
    world.fake.seen("run_pipeline").iter().filter_map(|seen| seen.body.as_ref()).map(names).collect()
}

#[tokio::test]
async fn variables_that_may_not_be_set_are_left_out_at_a_second_try_and_named() {
    let world = World::with(Pipeline { settable: vec!["REGION".to_owned()], ..Pipeline::taking(&[]) }).await;
    let order = world.order(|_| {}).with(variable("REGION", "eu", false)).with(variable("KEY", "canary-1", true));
    let ended = world.carry_out(order.with(variable("OTHER", "x", false)), quick()).await;
    assert_eq!(ended.status, "SUCCEEDED", "{:?}", ended.steps);
    assert_eq!(sent_variables(&world), [vec!["REGION", "KEY", "OTHER"], vec!["REGION"]]);
    assert_eq!(world.fake.only_run().variables, json!({ "REGION": { "value": "eu", "isSecret": false } }));
    let log = log(&ended, TRIGGER);
    assert!(
        log.contains("these variables be set when the pipeline is started: KEY, OTHER") && !log.contains("canary-1"),
        "{log}"
    );
}

#[tokio::test]
async fn where_the_refused_variables_cannot_be_read_all_are_left_out() {
    let world = World::with(Pipeline { settable: vec!["REGION".to_owned()], ..Pipeline::taking(&[]) }).await;
    let says = Effect::says(400, "Einige Variablen dürfen nicht gesetzt werden.");
    world.fake.fault("run_pipeline", 0, 1, says);
    let order = world.order(|_| {}).with(variable("REGION", "eu", false)).with(variable("KEY", "x", false));
    let ended = world.carry_out(order, quick()).await;
    assert_eq!(ended.status, "SUCCEEDED", "{:?}", ended.steps);
    assert_eq!(sent_variables(&world), [vec!["REGION", "KEY"], vec![]]);
    assert!(log(&ended, TRIGGER).contains("REGION, KEY"), "{}", log(&ended, TRIGGER));
}

#[tokio::test]
async fn names_that_were_misread_do_not_keep_the_pipeline_from_running() {
    let world = World::with(Pipeline { settable: Vec::new(), ..Pipeline::taking(&[]) }).await;
    world.fake.fault("run_pipeline", 0, 1, Effect::says(400, "Validation failed for some (KEY)."));
    let order = world.order(|_| {}).with(variable("REGION", "eu", false)).with(variable("KEY", "x", false));
    assert_eq!(world.carry_out(order, quick()).await.status, "SUCCEEDED");
    assert_eq!(sent_variables(&world), [vec!["REGION", "KEY"], vec!["REGION"], vec![]]);
}

#[tokio::test]
async fn an_undeclared_parameter_is_named_with_what_to_do_and_nothing_is_tried_again() {
    let world =
        World::with(Pipeline { parameters: vec![Parameter::new("name", "string")], ..Pipeline::taking(&[]) }).await;
    let order =
        world.order(|_| {}).input("name", "a", "STRING").input("size", 3, "INTEGER").with(variable("KEY", "x", false));
    let ended = world.carry_out(order, quick()).await;
    assert_eq!((ended.status.word(), status(&ended, TRIGGER).as_str()), ("FAILED", "FAILED"));
    let message = message(&ended, TRIGGER);
    assert!(
        message.contains("does not declare: size, MESHSTACK_BEHAVIOR") && message.contains("`parameters:`"),
        "{message}"
    );
    assert_eq!(world.fake.seen("run_pipeline").len(), 1);
}

#[tokio::test]
async fn a_value_that_a_parameter_does_not_take_is_said_in_azure_devops_own_words() {
    let world = World::with(Pipeline {
        parameters: vec![Parameter::new("size", "number"), Parameter::new("MESHSTACK_BEHAVIOR", "string")],
        ..Pipeline::taking(&[])
    })
    .await;
    let ended = world.carry_out(world.order(|_| {}).input("size", "big", "STRING"), quick()).await;
    assert!(
        message(&ended, TRIGGER).contains("The 'size' parameter value 'big' is not valid"),
        "{}",
        message(&ended, TRIGGER)
    );
}

#[tokio::test]
async fn a_branch_that_is_not_there_is_named() {
    let world = World::with(Pipeline::taking(&[])).await;
    let ended = world.carry_out(world.order(|i| i["refName"] = json!("gone")), quick()).await;
    assert!(message(&ended, TRIGGER).contains("does not find `refs/heads/gone`"), "{}", message(&ended, TRIGGER));
}

#[tokio::test]
async fn refusals_end_the_run_with_what_to_do_and_are_not_repeated() {
    let redirect = |to: &str| Effect::Answer(302, vec![("location", to.to_owned())], String::new());
    let cases = [
        (Effect::page(203), "wrong, expired or revoked"),
        (Effect::status(401), "wrong, expired or revoked"),
        (redirect("https://login.example/_signin?id=secret"), "wrong, expired or revoked"),
        (
            Effect::says(403, "TF400813: The user is not authorized to access this resource."),
            "wrong, expired or revoked",
        ),
        (Effect::says(403, "Access denied"), "Build (read and execute)"),
        (Effect::says(404, "VS800075: The project does not exist"), "organization, project and pipeline id"),
        (
            Effect::Answer(308, vec![("location", "https://new.example/x?y=z".to_owned())], String::new()),
            "https://new.example/x.",
        ),
        (Effect::says(400, "YAML is broken"), "YAML is broken"),
        (Effect::status(409), "it gives no reason"),
    ];
    for (effect, said) in cases {
        let world = World::with(Pipeline::taking(&[])).await;
        world.fake.fault("run_pipeline", 0, 1, effect.clone());
        let ended = world.run().await;
        assert_eq!(ended.status, "FAILED", "{effect:?}");
        assert!(message(&ended, TRIGGER).contains(said), "{effect:?}: {}", message(&ended, TRIGGER));
        assert!(message(&ended, TRIGGER).contains("was not started"), "{effect:?}: {}", message(&ended, TRIGGER));
        assert_eq!((world.fake.seen("run_pipeline").len(), world.fake.runs().len()), (1, 0), "{effect:?}");
    }
}

#[tokio::test]
async fn throttling_is_waited_out_and_the_pipeline_then_started_once() {
    let world = World::with(Pipeline::taking(&[])).await;
    let slow = Effect::Answer(429, vec![("retry-after", "1".to_owned())], "too many".to_owned());
    world.fake.fault("run_pipeline", 0, 2, slow);
    let begin = std::time::Instant::now();
    assert_eq!(world.run().await.status, "SUCCEEDED");
    assert!(begin.elapsed() >= Duration::from_secs(2), "{:?}", begin.elapsed());
    assert_eq!((world.fake.seen("run_pipeline").len(), world.fake.runs().len()), (3, 1));
}

#[tokio::test]
async fn a_start_whose_answer_is_lost_is_not_repeated_and_the_run_says_that_it_may_have_worked() {
    for (effect, started) in [
        (Effect::CutAfter, 1),
        (Effect::CutBefore, 0),
        (Effect::status(500), 0),
        (Effect::status(502), 0),
        (Effect::page(200), 0),
        (Effect::Instead(json!({ "no": "id" })), 1),
        (Effect::Instead(json!("no object")), 1),
    ] {
        let world = World::with(Pipeline::taking(&[])).await;
        world.fake.fault("run_pipeline", 0, 1, effect.clone());
        let ended = world.run().await;
        assert_eq!(ended.status, "FAILED", "{effect:?}");
        let message = message(&ended, TRIGGER);
        assert!(
            message.contains("may have been started") && message.contains("/likvid/infra/_build?definitionId=12"),
            "{message}"
        );
        assert_eq!((world.fake.seen("run_pipeline").len(), world.fake.runs().len()), (1, started), "{effect:?}");
    }
}

#[tokio::test]
async fn a_start_whose_answer_is_lost_is_found_by_an_input_that_names_the_run() {
    for effect in [Effect::CutAfter, Effect::Instead(json!({}))] {
        let world = World::with(Pipeline::taking(&["MESHSTACK_SELF_URL", "name"])).await;
        world.fake.azure(|azure| azure.hide_new_for = 2);
        world.fake.fault("run_pipeline", 1, 1, effect.clone());
        let order =
            || world.order(|_| {}).input("MESHSTACK_SELF_URL", "filled in", "STRING").input("name", "same", "STRING");
        // Another run of the same pipeline with the same values.
        let first = world.place(order()).await;
        let _life = world.live(quick());
        assert_eq!(world.ended(&first).await.status, "SUCCEEDED");
        let second = world.place(order()).await;
        let ended = world.ended(&second).await;
        assert_eq!(ended.status, "SUCCEEDED", "{:?}", ended.steps);
        let runs = world.fake.runs();
        assert_eq!((runs.len(), world.fake.seen("run_pipeline").len()), (2, 2));
        assert!(runs[1].parameters["MESHSTACK_SELF_URL"].ends_with(&second), "{:?}", runs[1].parameters);
        assert!(message(&ended, TRIGGER).contains(&format!("buildId={}", runs[1].id)), "{}", message(&ended, TRIGGER));
    }
}

#[tokio::test]
async fn a_server_that_is_out_of_reach_is_tried_again_and_then_told() {
    let free = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("its address");
    let world = World::with(Pipeline::taking(&[])).await;
    let order = world.order(|i| i["azureDevOpsBaseUrl"] = json!(format!("http://{free}")));
    let ended = world.carry_out(order, AzdoSettings { patience: Duration::from_millis(200), ..quick() }).await;
    assert_eq!(ended.status, "FAILED");
    let message = message(&ended, TRIGGER);
    assert!(message.contains(&format!("{free} cannot be reached")), "{message}");
    assert!(log(&ended, TRIGGER).contains("this is tried again"), "{}", log(&ended, TRIGGER));
}

#[tokio::test]
async fn names_with_spaces_and_umlauts_reach_the_right_pipeline_and_hostile_ones_none() {
    let named =
        Pipeline { organization: "Bank AG".to_owned(), project: "Größe & Maß".to_owned(), ..Pipeline::taking(&[]) };
    let world = World::with(named).await;
    let order = world.order(|i| (i["organization"], i["project"]) = (json!("Bank AG"), json!("Größe & Maß")));
    assert_eq!(world.carry_out(order, quick()).await.status, "SUCCEEDED");
    assert_eq!(
        world.fake.seen("run_pipeline")[0].path,
        "/Bank%20AG/Gr%C3%B6%C3%9Fe%20&%20Ma%C3%9F/_apis/pipelines/12/runs"
    );

    for (field, value) in
        [("project", ".."), ("organization", "%2e%2e"), ("project", "a\nb"), ("pipelineId", "12/../13")]
    {
        let world = World::with(Pipeline::taking(&[])).await;
        let ended = world.carry_out(world.order(|i| i[field] = json!(value)), quick()).await;
        assert_eq!((ended.status.word(), world.fake.requests()), ("FAILED", 0), "{field} {value}");
        assert!(message(&ended, TRIGGER).contains("correct the definition"), "{}", message(&ended, TRIGGER));
    }
    for (field, value) in
        [("project", "infra/_apis/x?y="), ("project", "../infra"), ("organization", "likvid#"), ("project", "infra;x")]
    {
        let world = World::with(Pipeline::taking(&[])).await;
        let ended = world.carry_out(world.order(|i| i[field] = json!(value)), quick()).await;
        assert_eq!(ended.status, "FAILED", "{field} {value}");
        assert_eq!((world.fake.seen("run_pipeline").len(), world.fake.runs().len()), (1, 0), "{field} {value}");
    }
}

#[tokio::test]
async fn an_azure_devops_server_lives_in_a_folder_and_has_collections() {
    let named = Pipeline { organization: "Main Collection".to_owned(), ..Pipeline::taking(&[]) };
    let world = World::with(named).await;
    let order = world.order(|i| {
        (i["azureDevOpsBaseUrl"], i["organization"]) =
            (json!(format!("{}/tfs/", world.fake.url())), json!("Main Collection"));
    });
    assert_eq!(world.carry_out(order, quick()).await.status, "SUCCEEDED");
    assert_eq!(world.fake.seen("run_pipeline")[0].path, "/tfs/Main%20Collection/infra/_apis/pipelines/12/runs");
}

#[tokio::test]
async fn hostile_inputs_arrive_as_they_are() {
    let values = [
        "${{ variables.x }}",
        "$(System.AccessToken)",
        "a\"b\\c\nd\u{0}e",
        "##vso[task.setvariable]x",
        "\u{202e}ü🦀",
        "",
    ];
    let names: Vec<String> = (0..values.len()).map(|number| format!("v{number}")).collect();
    let world = World::with(Pipeline::taking(&names.iter().map(String::as_str).collect::<Vec<_>>())).await;
    let order =
        names.iter().zip(values).fold(world.order(|_| {}), |order, (name, value)| order.input(name, value, "STRING"));
    assert_eq!(world.carry_out(order, quick()).await.status, "SUCCEEDED");
    for (name, value) in names.iter().zip(values) {
        assert_eq!(world.fake.only_run().parameters[name], value);
    }
}

#[tokio::test]
async fn a_refusal_for_another_cause_is_not_repeated_without_the_variables() {
    for effect in [
        Effect::says(400, "The 'name' parameter value 'KEY' is not valid."),
        Effect::says(400, "Variable group KEY was not found or is not authorized for use."),
        Effect::says(400, "The ref 'refs/heads/main' cannot be found in the repository."),
        Effect::says(400, "/azure-pipelines.yml (Line: 3, Col: 1): Unexpected value 'variables'"),
        Effect::says(400, "Der Parameter 'KEY' ist ungültig."),
        Effect::page(400),
        Effect::Answer(400, Vec::new(), "<html><title>Variables settable at queue time</title></html>".to_owned()),
        Effect::status(400),
    ] {
        let world = World::with(Pipeline::taking(&[])).await;
        world.fake.fault("run_pipeline", 0, 1, effect.clone());
        let order = world.order(|_| {}).with(variable("REGION", "eu", false)).with(variable("KEY", "x", false));
        let ended = world.carry_out(order, quick()).await;
        assert_eq!((ended.status.word(), world.fake.seen("run_pipeline").len()), ("FAILED", 1), "{effect:?}");
        assert!(message(&ended, TRIGGER).contains("was not started"), "{effect:?}: {}", message(&ended, TRIGGER));
        assert!(!log(&ended, TRIGGER).contains("left out"), "{effect:?}: {}", log(&ended, TRIGGER));
    }
}

#[tokio::test]
async fn without_certain_names_the_warning_does_not_claim_that_all_variables_are_at_fault() {
    let world = World::with(Pipeline::taking(&[])).await;
    world.fake.fault("run_pipeline", 0, 1, Effect::says(400, "Some variables are not settable at queue time."));
    let order = world.order(|_| {}).with(variable("REGION", "eu", false)).with(variable("KEY", "x", false));
    let ended = world.carry_out(order, quick()).await;
    assert_eq!((ended.status.word(), world.fake.seen("run_pipeline").len()), ("SUCCEEDED", 2));
    let log = log(&ended, TRIGGER);
    assert!(
        log.contains("it is not certain which of these: REGION, KEY") && !log.contains("does not let these"),
        "{log}"
    );
}

#[tokio::test]
async fn a_wait_that_is_no_duration_does_not_end_the_run() {
    for odd in ["-5", "NaN", "inf"] {
        let world = World::with(Pipeline::taking(&[])).await;
        world.fake.fault(
            "run_pipeline",
            0,
            1,
            Effect::Answer(429, vec![("retry-after", odd.to_owned())], String::new()),
        );
        let settings = AzdoSettings { pipeline_timeout: Duration::from_secs(120), ..quick() };
        assert_eq!(world.carry_out(world.order(|_| {}), settings).await.status, "SUCCEEDED", "{odd}");
    }
}
