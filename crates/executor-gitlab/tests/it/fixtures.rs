//! Run objects as they come from the field.

use serde_json::{Value, json};

use crate::world::{STEP, World, linked, message, step};

fn fixture(text: &str, gitlab: &str) -> Value {
    serde_json::from_str(&text.replace("GITLAB_URL", gitlab)).expect("JSON")
}

#[tokio::test]
async fn a_run_is_sent_to_the_letter_of_the_specification() {
    let world = World::new().await;
    let run = fixture(include_str!("../fixtures/gitlab.json"), &world.fake.url());
    let run = world.meshstack.order_raw(&world.runner, run).await;
    let view = world.handed_over(&run).await;

    let requests = world.fake.requests();
    assert_eq!(requests.len(), 1);
    let request = &requests[0];
    assert_eq!((request.operation, request.path.as_str()), ("trigger", "/api/v4/projects/4711/trigger/pipeline"));
    assert_eq!((&request.query[..], request.header("authorization")), (&[][..], None));
    assert!(request.header("user-agent").is_some_and(|agent| agent.starts_with("bb-runner/")));

    let links = format!("{}/api/meshobjects/meshbuildingblockruns/{run}", world.meshstack.url());
    let expected = [
        ("token", "glptt-secret".to_owned()),
        ("ref", "main".to_owned()),
        ("variables[MESHSTACK_BEHAVIOR]", "APPLY".to_owned()),
        ("variables[MESHSTACK_RUN]", request.field("variables[MESHSTACK_RUN]").expect("a run object").to_owned()),
        ("variables[DD_API_KEY]", "dd-secret".to_owned()),
        ("variables[REGION]", "eu-1".to_owned()),
        ("inputs[name]", "demo".to_owned()),
        ("inputs[size]", "3".to_owned()),
        ("inputs[enabled]", "true".to_owned()),
        ("inputs[zones]", r#"["a","b"]"#.to_owned()),
        ("inputs[tier]", "gold".to_owned()),
        ("inputs[config]", r#"{"a": {"b": [1, 2.5, null]}, "c": "${x}"}"#.to_owned()),
        ("inputs[password]", "pa$$w0rd\"'\\ü".to_owned()),
        ("variables[MESHSTACK_SELF_URL]", links.clone()),
        ("variables[MESHSTACK_REGISTER_SOURCE_URL]", format!("{links}/status/source")),
        ("variables[MESHSTACK_UPDATE_SOURCE_URL]", format!("{links}/status/source/{{sourceId}}")),
        ("variables[MESHSTACK_BASE_URL]", world.meshstack.url()),
    ];
    let sent: Vec<(&str, String)> = request.fields.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
    assert_eq!(sent, expected);

    let object: Value = serde_json::from_str(&expected[3].1).expect("JSON");
    let inputs = object.pointer("/spec/buildingBlock/spec/inputs").expect("inputs");
    assert_eq!(inputs[6]["value"], "pa$$w0rd\"'\\ü");
    assert_eq!((&inputs[6]["isSensitive"], &object["somethingNew"]), (&json!(true), &json!({ "kept": true })));
    assert!(object["spec"]["runToken"].as_str().is_some_and(|token| token.starts_with("eyJ")));
    let implementation = object.pointer("/spec/buildingBlockDefinition/spec/implementation").expect("one");
    let fields: Vec<&String> = implementation.as_object().expect("an object").keys().collect();
    assert_eq!(fields, ["type", "gitlabBaseUrl", "projectId", "refName"]);

    let pipeline = &world.fake.pipelines()[0];
    let link = format!("{}/platform/blocks/-/pipelines/{}", world.fake.url(), pipeline.id);
    assert!(message(&view).contains(&link), "{}", message(&view));
    assert_eq!((step(&view).display_name.as_str(), view.steps.len()), ("Trigger GitLab CI/CD", 1));
    linked(&view, pipeline.id);
    assert_eq!(view.registers, 1);
}

#[tokio::test]
async fn a_run_that_was_encrypted_for_the_previous_key_works_and_a_path_is_encoded_once() {
    let world = World::new().await;
    for (number, project) in ["group/project", "group%2Fproject"].into_iter().enumerate() {
        let mut run = fixture(include_str!("../fixtures/rotated-key.json"), &world.fake.url());
        run["metadata"]["uuid"] = json!(format!("5c1c91f5-7a20-4ecf-819b-5378c8319d0{number}"));
        run["spec"]["buildingBlockDefinition"]["spec"]["implementation"]["projectId"] = json!(project);
        let run = world.meshstack.order_raw(&world.runner, run).await;
        let view = world.handed_over(&run).await;
        assert_eq!(view.step(STEP).map(|step| step.status.word()), Some("SUCCEEDED"));
        let requests = world.fake.requests();
        let request = requests.last().expect("a request");
        assert_eq!(request.path, "/api/v4/projects/group%2Fproject/trigger/pipeline", "{project}");
        assert_eq!(request.field("token"), Some("old-token"));
    }
    assert!(world.fake.pipelines().iter().all(|pipeline| pipeline.project == 4712));
}
