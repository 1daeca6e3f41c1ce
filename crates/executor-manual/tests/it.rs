//! Manual runs, claimed from a meshStack over HTTP: what it sees of each. Source: `protocol/executors.md`, "MANUAL".

use std::sync::LazyLock;
use std::time::Duration;

use executor_manual::ManualExecutor;
use meshstack_local::{LocalMeshStack, Operation, Order, OrderInput, RunView, RunnerSpec};
use runner_core::meshstack_client::{
    Client, ClientConfig, Credentials, KeyPair, KeyRing, PrivateKey, Secret, generate_key_pair,
};
use runner_core::{Runner, Shutdown};
use serde_json::{Value, json};
use tokio_util::task::AbortOnDropHandle;

/// One for all tests: it takes seconds to make.
static PAIR: LazyLock<KeyPair> = LazyLock::new(|| generate_key_pair("manual").expect("a pair of keys"));

/// A meshStack, and a runner that carries out what is ordered there.
struct World {
    meshstack: LocalMeshStack,
    runner: String,
    keys: KeyRing,
    _daemon: AbortOnDropHandle<()>,
}

impl World {
    async fn new() -> Self {
        Self::with(ManualExecutor::new()).await
    }

    async fn with(executor: ManualExecutor) -> Self {
        let meshstack = LocalMeshStack::start().await.expect("a meshStack");
        let spec = RunnerSpec::new("MANUAL").certificate(&PAIR.certificate_pem);
        let runner = meshstack.register_runner(spec).await;
        // The runner has the key, so that it could decrypt if it wanted to.
        let keys = KeyRing::new(vec![PrivateKey::from_pem(PAIR.private_key_pem.expose()).expect("its key")]);
        let mut config = ClientConfig::new(&runner);
        config.api_url = Some(meshstack.url());
        let (client_id, client_secret) = meshstack.api_key();
        config.credentials = Some(Credentials::ApiKey { client_id, client_secret: Secret::new(client_secret) });
        let daemon = Runner::builder(Client::new(config).expect("a client"), &runner)
            .executor(executor)
            .keys(keys.clone())
            .idle_poll(Duration::from_millis(10))
            .build()
            .expect("a runner");
        let daemon = tokio::spawn(async move {
            daemon.run(&Shutdown::new()).await;
        });
        Self { meshstack, runner, keys, _daemon: AbortOnDropHandle::new(daemon) }
    }

    /// Orders, and waits for the end; nothing about it may be wrong.
    async fn carry_out(&self, order: Order) -> RunView {
        let run = self.meshstack.order(&self.runner, order).await;
        self.ended(&run).await
    }

    async fn ended(&self, run: &str) -> RunView {
        let ended = self.meshstack.wait_for_end(run).await;
        assert_eq!(self.meshstack.violations(), Vec::<String>::new());
        ended
    }
}

fn input(key: &str, value: Value, kind: &str) -> OrderInput {
    OrderInput { key: key.to_owned(), value, kind: kind.to_owned(), sensitive: false, environment: false }
}

/// Value and type of an output.
fn output(run: &RunView, key: &str) -> (Value, String) {
    let output = run.outputs.get(key).unwrap_or_else(|| panic!("there is no output {key}: {:?}", run.outputs));
    (output.value.clone(), output.kind.clone())
}

#[tokio::test]
async fn every_input_type_comes_back_under_its_key_with_the_output_type_of_the_table() {
    let world = World::new().await;
    let number: Value = serde_json::from_str("123456789012345678901234567890").expect("a number");
    let cases = [
        ("STRING", json!("grüße \"quoted\" ${x}\n"), "STRING"),
        ("CODE", json!("{\"a\": [1, 2.5, null]}"), "CODE"),
        ("INTEGER", number, "INTEGER"),
        ("BOOLEAN", json!(false), "BOOLEAN"),
        ("FILE", json!("data:text/plain;base64,aGk="), "STRING"),
        ("SINGLE_SELECT", json!("gold"), "STRING"),
        ("MULTI_SELECT", json!(["a", "b"]), "CODE"),
        ("LIST", json!("[\"x\"]"), "CODE"),
    ];
    let order = cases
        .iter()
        .fold(Order::manual(), |order, (kind, value, _)| order.with(input(&kind.to_lowercase(), value.clone(), kind)));
    let run = world.carry_out(order).await;
    assert_eq!(run.status, "SUCCEEDED", "{:?}", run.summary);
    for (kind, value, expected) in &cases {
        assert_eq!(output(&run, &kind.to_lowercase()), (value.clone(), (*expected).to_owned()), "{kind}");
    }
    assert_eq!(run.outputs.len(), cases.len());
    assert!(run.outputs.values().all(|output| !output.sensitive));
}

#[tokio::test]
async fn a_type_that_is_not_known_yet_comes_back_as_text_and_an_environment_input_like_any_other() {
    let world = World::new().await;
    let mut region = input("REGION", json!("eu-1"), "STRING");
    region.environment = true;
    let run = world.carry_out(Order::manual().input("new", "value", "COLOUR").with(region)).await;
    assert_eq!(output(&run, "new"), (json!("value"), "STRING".to_owned()));
    assert_eq!(output(&run, "REGION"), (json!("eu-1"), "STRING".to_owned()));
}

#[tokio::test]
async fn a_null_is_left_out_and_an_empty_text_is_not() {
    let world = World::new().await;
    let order = Order::manual()
        .with(input("nothing", Value::Null, "STRING"))
        .with(input("no_number", Value::Null, "INTEGER"))
        .sensitive_input("no_secret", Value::Null, "STRING")
        .input("empty", "", "STRING")
        .input("zero", 0, "INTEGER");
    let run = world.carry_out(order).await;
    assert_eq!(run.status, "SUCCEEDED", "{:?}", run.summary);
    assert_eq!(run.outputs.keys().collect::<Vec<_>>(), ["empty", "zero"]);
}

#[tokio::test]
async fn of_two_inputs_with_one_key_the_last_stands_with_its_type() {
    let world = World::new().await;
    let order = Order::manual()
        .input("twice", "first", "STRING")
        .input("between", true, "BOOLEAN")
        .input("twice", 2, "INTEGER")
        // A null is no value, so it takes no value back.
        .input("kept", "value", "STRING")
        .with(input("kept", Value::Null, "STRING"));
    let run = world.carry_out(order).await;
    assert_eq!(output(&run, "twice"), (json!(2), "INTEGER".to_owned()));
    assert_eq!(output(&run, "kept"), (json!("value"), "STRING".to_owned()));
    assert_eq!(run.outputs.len(), 3);
}

#[tokio::test]
async fn a_secret_comes_back_as_it_came_still_encrypted_and_marked() {
    const SECRET: &str = "canary-in-plain-text";
    let world = World::new().await;
    let kinds = ["STRING", "CODE", "FILE", "SINGLE_SELECT"];
    let order = kinds.iter().fold(Order::manual(), |order, kind| order.sensitive_input(kind, SECRET, kind));
    // Not text: there is nothing to encrypt, and it is marked all the same.
    let run = world.carry_out(order.sensitive_input("NUMBER", 7, "INTEGER")).await;
    assert_eq!(run.status, "SUCCEEDED", "{:?}", run.summary);
    for (kind, expected) in kinds.iter().zip(["STRING", "CODE", "STRING", "STRING"]) {
        let sealed = &run.outputs[*kind];
        assert_eq!((sealed.sensitive, sealed.kind.as_str()), (true, expected));
        let opened = world.keys.decrypt(sealed.value.as_str().expect("a text")).expect("sealed for the runner");
        assert_eq!(opened.expose(), SECRET, "{kind}");
    }
    assert_eq!((run.outputs["NUMBER"].value.clone(), run.outputs["NUMBER"].sensitive), (json!(7), true));
    for request in world.meshstack.requests() {
        let body = request.body.map_or_else(String::new, |body| String::from_utf8_lossy(&body).into_owned());
        assert!(!body.contains(SECRET), "{body}");
    }
}

#[tokio::test]
async fn a_secret_that_no_key_opens_comes_back_to_the_letter() {
    let world = World::new().await;
    let sealed = "AAAA not for us, and no base64 either ====";
    let run = json!({
        "metadata": { "uuid": "0f8fad5b-d9cb-469f-a165-70867728950e" },
        "spec": {
            "behavior": "APPLY", "runToken": "a token",
            "buildingBlock": { "uuid": "block", "spec": { "displayName": "block", "workspaceIdentifier": "workspace",
                "inputs": [{ "key": "secret", "value": sealed, "type": "STRING", "isSensitive": true }] } },
            "buildingBlockDefinition": { "uuid": "definition", "spec": { "workspaceIdentifier": "platform", "version": 1,
                "implementation": { "type": "MANUAL" } } },
        },
    });
    let run = world.meshstack.order_raw(&world.runner, run).await;
    let run = world.ended(&run).await;
    assert_eq!((run.status.word(), run.outputs["secret"].value.as_str()), ("SUCCEEDED", Some(sealed)));
}

#[tokio::test]
async fn a_run_of_every_behavior_is_one_step_and_one_report() {
    let world = World::new().await;
    for behavior in ["APPLY", "DETECT", "DESTROY"] {
        let run = world.carry_out(Order::manual().behavior(behavior).input("name", "demo", "STRING")).await;
        assert_eq!((run.status.word(), run.ended_count), ("SUCCEEDED", 1), "{behavior}: {:?}", run.summary);
        let steps: Vec<_> = run.steps.iter().map(|step| (step.id.as_str(), step.display_name.as_str())).collect();
        assert_eq!(steps, [("manual", "Manual Block Run")], "{behavior}");
        assert_eq!(run.step("manual").map(|step| step.status.word()), Some("SUCCEEDED"), "{behavior}");
        assert_eq!(output(&run, "name").0, "demo", "{behavior}");
        assert!(run.artifact.is_none() && run.changes_detected.is_none(), "a manual preview has no plan");
        let asked: Vec<_> = run.requests.iter().map(|request| request.operation).collect();
        assert_eq!(asked, [Operation::Claim, Operation::Register, Operation::Patch], "{behavior}");
    }
}

#[tokio::test]
async fn a_run_without_inputs_succeeds_and_one_of_an_unknown_behavior_fails() {
    let world = World::new().await;
    let run = world.carry_out(Order::manual()).await;
    assert_eq!((run.status.word(), run.outputs.len(), run.has_warning()), ("SUCCEEDED", 0, false));
    let run = world.carry_out(Order::manual().behavior("REPAIR")).await;
    assert_eq!(run.status, "FAILED");
    assert!(run.summary.clone().unwrap_or_default().contains("REPAIR"), "{:?}", run.summary);
}

#[tokio::test]
async fn in_debug_mode_a_run_has_two_steps_and_ends_either_way() {
    let world = World::with(ManualExecutor::in_debug_mode(Duration::from_millis(1))).await;
    let mut seen = [0, 0];
    // Heads forty times in a row happens once in the life of a universe.
    for _ in 0..40 {
        let run = world.carry_out(Order::manual().input("name", "demo", "FILE")).await;
        let steps: Vec<_> = run.steps.iter().map(|step| step.id.as_str()).collect();
        assert_eq!(steps, ["manual", "additionalDebugStep"]);
        assert_eq!(run.step("manual").map(|step| step.status.word()), Some("SUCCEEDED"));
        let status = run.status.word();
        assert_eq!(run.step("additionalDebugStep").map(|step| step.status.word()), Some(status));
        assert_eq!(output(&run, "name"), (json!("demo"), "STRING".to_owned()));
        if status == "FAILED" {
            assert!(run.summary.clone().unwrap_or_default().contains("debugMode"), "{:?}", run.summary);
        }
        seen[usize::from(status == "FAILED")] += 1;
        if seen[0] > 0 && seen[1] > 0 {
            return;
        }
    }
    panic!("every run ended the same way: {seen:?}");
}

#[tokio::test]
async fn a_run_in_debug_mode_is_reported_four_times() {
    let world = World::with(ManualExecutor::in_debug_mode(Duration::from_millis(300))).await;
    let run = world.carry_out(Order::manual().input("name", "demo", "STRING")).await;
    let patches = run.requests.iter().filter(|request| request.operation == Operation::Patch).count();
    assert!(patches >= 4, "{patches}");
}

#[tokio::test]
async fn a_run_in_debug_mode_stops_when_it_is_aborted() {
    let world = World::with(ManualExecutor::in_debug_mode(Duration::from_secs(3600))).await;
    let run = world.meshstack.order(&world.runner, Order::manual()).await;
    world.meshstack.wait_until(&run, |run| run.status == "IN_PROGRESS").await;
    world.meshstack.abort(&run).await;
    assert_eq!(world.ended(&run).await.status, "ABORTED");
}
