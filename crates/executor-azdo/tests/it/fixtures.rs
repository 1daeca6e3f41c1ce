//! The run objects of the fixtures, carried out whole.

use serde_json::{Value, json};

use crate::fake::azure::Pipeline;
use crate::world::{TRIGGER, World, log, message, quick, status};

/// A fixture that points to the fake.
pub(crate) fn fixture(text: &str, world: &World) -> Value {
    serde_json::from_str(&text.replace("ADO_URL", world.fake.url())).expect("a run object")
}

const SYNC: &str = include_str!("../fixtures/azure-devops-sync.json");
const ASYNC: &str = include_str!("../fixtures/azure-devops-async.json");

/// What the pipeline is given for either fixture.
fn parameters() -> Value {
    json!({
        "name": "demo", "size": "3", "enabled": "true", "zones": "[\"a\",\"b\"]", "tier": "gold",
        "config": "{\"a\": {\"b\": [1, 2.5, null]}, \"c\": \"${x}\"}", "password": "pa$$w0rd\"'\\ü",
        "MESHSTACK_BEHAVIOR": "APPLY",
    })
}

fn variables() -> Value {
    json!({ "DD_API_KEY": { "value": "dd-secret", "isSecret": true }, "REGION": { "value": "eu-1", "isSecret": false } })
}

#[tokio::test]
async fn the_synchronous_fixture_is_started_with_its_inputs_and_followed_to_its_end() {
    let world = World::with(Pipeline::of_the_fixtures()).await;
    let run = world.meshstack.order_raw(&world.runner, fixture(SYNC, &world)).await;
    let _life = world.live(quick());
    let ended = world.ended(&run).await;
    assert_eq!(ended.status, "SUCCEEDED", "{:?}", ended.steps);
    let body = world.fake.seen("run_pipeline")[0].body.clone();
    let expected = json!({
        "resources": { "repositories": { "self": { "refName": "refs/heads/main" } } },
        "templateParameters": parameters(), "variables": variables(),
    });
    assert_eq!(body, Some(expected));
    assert_eq!(world.fake.only_run().ref_name.as_deref(), Some("refs/heads/main"));
    // The link is beside the run, and in the message of the step.
    let link = format!("/_build/results?buildId={}", world.fake.only_run().id);
    let source = &ended.sources[0];
    assert_eq!(source.external_run_id, Some(json!(world.fake.only_run().id.to_string())));
    assert!(source.external_run_url.as_deref().is_some_and(|url| url.ends_with(&link)), "{source:?}");
    assert!(message(&ended, TRIGGER).contains(&link), "{}", message(&ended, TRIGGER));
    assert_eq!(status(&ended, TRIGGER), "SUCCEEDED");
    assert!(!ended.has_warning(), "{:?}", ended.steps);
}

#[tokio::test]
async fn the_asynchronous_fixture_is_handed_over_and_not_looked_at_again() {
    let world = World::with(Pipeline::of_the_fixtures()).await;
    let run = world.meshstack.order_raw(&world.runner, fixture(ASYNC, &world)).await;
    let _life = world.live(quick());
    let step_done = |run: &meshstack_local::RunView| run.step(TRIGGER).is_some_and(|step| step.status == "SUCCEEDED");
    let view = world.until(&run, "it is handed over", step_done).await;
    assert_eq!(view.status, "IN_PROGRESS");
    let body = world.fake.seen("run_pipeline")[0].body.clone();
    assert_eq!(body, Some(json!({ "templateParameters": parameters(), "variables": variables() })));
    assert!(message(&view, TRIGGER).contains("reports for itself"), "{}", message(&view, TRIGGER));
    assert!(view.sources[0].external_run_url.is_some(), "{:?}", view.sources);
    assert_eq!(world.fake.requests(), 1, "nobody watches unless it is asked for");
    assert_eq!(world.meshstack.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn secrets_of_a_run_show_up_nowhere_and_exposed_ones_are_warned_of() {
    let world = World::with(Pipeline::of_the_fixtures()).await;
    let run = world.meshstack.order_raw(&world.runner, fixture(SYNC, &world)).await;
    // Azure DevOps says everything back that it was told.
    world.fake.azure(|azure| azure.pipelines[0].parameters.retain(|parameter| parameter.name != "password"));
    world.fake.fault(
        "run_pipeline",
        0,
        1,
        crate::fake::Effect::says(400, "no pat-secret OnBhdC1zZWNyZXQ= dd-secret pa$$w0rd\"'\\ü here"),
    );
    let _life = world.live(quick());
    let ended = world.ended(&run).await;
    assert_eq!(ended.status, "FAILED");
    assert!(log(&ended, TRIGGER).contains("WARNING: the secret input password"), "{}", log(&ended, TRIGGER));
    let everything = format!("{:?} {:?}", ended.steps, ended.summary);
    for secret in ["pat-secret", "OnBhdC1zZWNyZXQ", "dd-secret", "pa$$w0rd"] {
        assert!(!everything.contains(secret), "{secret} shows up in {everything}");
    }
}
