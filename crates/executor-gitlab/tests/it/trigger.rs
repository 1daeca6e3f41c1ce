//! What is started, with which values, and what a person sees of it.

use std::collections::BTreeMap;

use meshstack_local::Order;
use serde_json::{Value, json};

use crate::fake::{Fake, Fault, Scope};
use crate::world::{World, linked, log, message, settings, step, told};

#[tokio::test]
async fn a_server_below_a_path_and_a_number_as_project_work() {
    let mut world = World::without_runner(Fake::start_with("/git/lab", None).await).await;
    world.start(settings());
    let mut implementation = world.implementation();
    implementation["gitlabBaseUrl"] = json!(format!(" {}/ ", world.fake.url()));
    implementation["projectId"] = json!(4711);
    let view = world.hand_over(Order::new(implementation)).await;
    assert!(message(&view).contains("/git/lab/platform/blocks/-/pipelines/"), "{}", message(&view));
}

#[tokio::test]
async fn every_behavior_is_handed_on() {
    let world = World::new().await;
    for behavior in ["APPLY", "DETECT", "DESTROY"] {
        let view = world.hand_over(world.order().behavior(behavior)).await;
        let pipelines = world.fake.pipelines();
        let pipeline = pipelines.last().expect("a pipeline");
        assert_eq!(pipeline.variable("MESHSTACK_BEHAVIOR"), Some(behavior));
        assert_eq!(pipeline.run(), view.uuid);
    }
}

#[tokio::test]
async fn an_answer_of_2xx_that_says_nothing_is_a_pipeline_all_the_same() {
    let world = World::new().await;
    let page = "<html><head><title>Welcome</title></head></html>".to_owned();
    let answers = [
        (201, "application/json", String::new()),
        (200, "application/json", "{".to_owned()),
        (202, "text/plain", "ok".to_owned()),
        (203, "text/html", page),
        (201, "application/json", "[]".to_owned()),
        (201, "application/json", r#"{"id":null,"web_url":"javascript:alert(1)"}"#.to_owned()),
        (201, "application/json", r#"{"web_url":"https://gitlab.example.com/p/1"}"#.to_owned()),
    ];
    for (status, kind, body) in answers {
        let headers = vec![("content-type", kind.to_owned())];
        world.fake.fault("trigger", Fault::Instead { status, headers, body: body.clone() });
        let view = world.hand_over(world.order()).await;
        let said = message(&view);
        if body.contains("https://") {
            assert!(said.contains("https://gitlab.example.com/p/1"), "{body}: {said}");
        } else {
            assert!(said.contains("did not say which one"), "{body}: {said}");
        }
        assert!(!said.contains("javascript"), "{said}");
        assert!(log(&view).contains("something that is no pipeline"), "{body}: {}", log(&view));
        assert_eq!(log(&view).contains("sign-in page"), kind == "text/html", "{}", log(&view));
    }
    assert_eq!((world.fake.pipelines().len(), world.fake.requests().len()), (7, 7));
}

#[tokio::test]
async fn with_a_read_token_the_pipeline_behind_an_empty_answer_is_found_and_linked() {
    let world = World::watching(Scope::ReadApi, true).await;
    world.fake.fault("trigger", Fault::Instead { status: 201, headers: Vec::new(), body: String::new() });
    let view = world.hand_over(world.order()).await;
    let id = world.fake.pipelines()[0].id;
    assert!(message(&view).contains(&format!("/platform/blocks/-/pipelines/{id}")), "{}", message(&view));
    linked(&view, id);
}

#[tokio::test]
async fn the_run_itself_shows_the_link_since_it_is_registered_after_the_trigger() {
    let world = World::new().await;
    // On a machine that has much to do, an answer may come too late to wait for.
    for _ in 0..10 {
        let view = world.hand_over(world.order()).await;
        assert_eq!(view.registers, 1);
        if linked(&view, world.fake.pipelines().last().expect("a pipeline").id) {
            return;
        }
    }
    panic!("no run shows a link");
}

#[tokio::test]
async fn values_arrive_to_the_letter_however_wild_they_are() {
    let world = World::new().await;
    world.fake.with(|gitlab| gitlab.project().refs.push("feature/a&b=c #1?ä".to_owned()));
    let mut implementation = world.implementation();
    implementation["refName"] = json!("feature/a&b=c #1?ä");
    let large = "0123456789abcdef".repeat(64 * 1024);
    let wild = "--boundary\r\n\r\nContent-Disposition: form-data; name=\"token\"\r\n\r\n🚀 ${x} $(id) \\ \" ' \t";
    let order = Order::new(implementation)
        .environment_input("LARGE", large.as_str(), "STRING")
        .environment_input("WILD", wild, "STRING")
        .input("wild", wild, "STRING")
        .input("schlüssel 🚀", "wert", "STRING")
        .input("number", serde_json::from_str::<Value>("123456789012345678901234567890").expect("JSON"), "INTEGER")
        .input("empty", "", "STRING");
    world.hand_over(order).await;
    let requests = world.fake.requests();
    let request = &requests[0];
    assert_eq!(request.field("ref"), Some("feature/a&b=c #1?ä"));
    assert!(request.field("variables[LARGE]") == Some(large.as_str()), "the large value is another one");
    for field in ["variables[WILD]", "inputs[wild]"] {
        assert_eq!(request.field(field), Some(wild));
    }
    assert_eq!(request.field("inputs[schlüssel 🚀]"), Some("wert"));
    assert_eq!(request.field("inputs[number]"), Some("123456789012345678901234567890"));
    assert_eq!(request.field("inputs[empty]"), Some(""));
}

#[tokio::test]
async fn what_cannot_be_sent_is_left_out_and_the_step_says_what_to_change() {
    let world = World::new().await;
    let order = world
        .order()
        .environment_input("not-a-variable", "x", "STRING")
        .environment_input("two\r\nlines", "x", "STRING")
        .input("two\r\nlines\"; name=\"token", "x", "STRING")
        .input("nested][key", "x", "STRING")
        .environment_input("MESHSTACK_BASE_URL", "https://elsewhere.example.com", "STRING")
        .with(meshstack_local::OrderInput {
            key: "nothing".to_owned(),
            value: Value::Null,
            kind: "STRING".to_owned(),
            sensitive: false,
            environment: false,
        });
    let view = world.hand_over(order).await;
    let names: Vec<String> = world.fake.requests()[0].fields.iter().map(|(name, _)| name.clone()).collect();
    assert_eq!(names.len(), 4 + 1 + 4, "{names:?}");
    let warnings: Vec<String> =
        log(&view).lines().filter(|line| line.contains("Warning: ")).map(str::to_owned).collect();
    assert_eq!(warnings.len(), 5, "{}", log(&view));
    for (warning, key) in warnings.iter().zip([
        "`not-a-variable`",
        "`two lines`",
        "`two lines\"; name=\"token`",
        "nested",
        "MESHSTACK_BASE_URL",
    ]) {
        assert!(
            warning.contains(key) && warning.contains("another key") || warning.contains("Give the input a key"),
            "{warning}"
        );
    }
    assert_eq!(world.fake.pipelines()[0].variable("MESHSTACK_BASE_URL"), Some(world.meshstack.url().as_str()));
}

#[tokio::test]
async fn a_run_without_links_is_started_and_the_step_says_what_is_missing() {
    let world = World::new().await;
    let run = json!({
        "metadata": { "uuid": "0f8fad5b-d9cb-469f-a165-70867728950e" },
        "spec": { "behavior": "APPLY", "runToken": "a token",
            "buildingBlock": { "uuid": "block", "spec": { "displayName": "b", "workspaceIdentifier": "w", "inputs": [] } },
            "buildingBlockDefinition": { "uuid": "definition", "spec": { "workspaceIdentifier": "p", "version": 1,
                "implementation": { "type": "GITLAB_CICD", "gitlabBaseUrl": world.fake.url(), "projectId": "platform/blocks",
                    "refName": "main", "pipelineTriggerToken": null } } } },
    });
    let run = world.meshstack.order_raw(&world.runner, run).await;
    let view = world.failed(&run).await;
    assert!(message(&view).contains("`pipelineTriggerToken`"), "{}", message(&view));
    assert!(world.fake.requests().is_empty());
}

#[tokio::test]
async fn declared_inputs_take_what_is_sent_and_a_text_that_looks_like_json_is_explained() {
    let world = World::new().await;
    let declared = |types: &[(&str, &str)]| -> BTreeMap<String, String> {
        types.iter().map(|(key, kind)| ((*key).to_owned(), (*kind).to_owned())).collect()
    };
    world.fake.with(|gitlab| {
        gitlab.project().inputs =
            Some(declared(&[("name", "string"), ("size", "number"), ("on", "boolean"), ("zones", "array")]));
    });
    let order = |name: &str| {
        Order::new(world.implementation())
            .input("name", name, "STRING")
            .input("size", 3, "INTEGER")
            .input("on", true, "BOOLEAN")
            .input("zones", json!(["a", "b"]), "MULTI_SELECT")
    };
    world.hand_over(order("demo")).await;
    let taken = &world.fake.pipelines()[0].inputs;
    assert_eq!(json!(taken), json!({ "name": "demo", "size": 3, "on": true, "zones": ["a", "b"] }));
    let view = world.fails(order("42")).await;
    assert!(message(&view).contains("For `name`, ask the platform team to declare `type: number`"), "{}", told(&view));
    let view = world.fails(order("demo").input("colour", "red", "STRING")).await;
    assert!(message(&view).contains("does not declare what meshStack sends: `colour`"), "{}", told(&view));
    assert_eq!(world.fake.pipelines().len(), 1);
}

#[tokio::test]
async fn a_definition_that_leads_elsewhere_or_nowhere_sends_nothing() {
    let world = World::new().await;
    let cases = [
        ("projectId", json!("../.."), "`projectId`"),
        ("projectId", json!("a/../../b"), "`projectId`"),
        ("projectId", json!(""), "`projectId`"),
        ("projectId", json!({ "id": 1 }), "`projectId`"),
        ("gitlabBaseUrl", json!("  "), "`gitlabBaseUrl`"),
        ("gitlabBaseUrl", json!("gitlab.example.com"), "`gitlabBaseUrl`"),
        ("gitlabBaseUrl", json!("https://user:hunter2@gitlab.example.com"), "`gitlabBaseUrl`"),
        ("refName", json!(null), "`refName`"),
        ("pipelineTriggerToken", json!(" "), "`pipelineTriggerToken`"),
    ];
    for (field, value, named) in cases {
        let mut implementation = world.implementation();
        implementation[field] = value;
        let view = world.fails(Order::new(implementation)).await;
        assert!(message(&view).contains(named) && message(&view).contains("platform team"), "{}", told(&view));
        assert_eq!(step(&view).status, "FAILED");
        assert!(!told(&view).contains("hunter2"));
    }
    assert!(world.fake.requests().is_empty());
}
