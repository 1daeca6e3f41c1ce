//! The example as a user runs it: a process of its own against a meshStack.

use std::process::{Child, Command};

use meshstack_local::{LocalMeshStack, Order, RunnerSpec};

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn a_building_block_of_its_own_type_is_made_and_removed() {
    let meshstack = LocalMeshStack::start().await.expect("start");
    let runner = meshstack.register_runner(RunnerSpec::new("ALL")).await;
    let (client_id, client_secret) = meshstack.api_key();
    let root = tempfile::tempdir().expect("a folder");
    let _process = Killed(
        Command::new(env!("CARGO_BIN_EXE_custom-executor"))
            .env("RUNNER_UUID", &runner)
            .env("RUNNER_API_URL", meshstack.url())
            .env("RUNNER_API_CLIENT_ID", client_id)
            .env("RUNNER_API_CLIENT_SECRET", client_secret)
            .env("FOLDER_ROOT", root.path())
            .spawn()
            .expect("the example starts"),
    );

    let block = "0f8fad5b-d9cb-469f-a165-70867728950e";
    for (behavior, there) in [("APPLY", true), ("DESTROY", false)] {
        let order = Order::new(serde_json::json!({ "type": "SHARED_FOLDER" })).behavior(behavior).building_block(block);
        let run = meshstack.order(&runner, order).await;
        let ended = meshstack.wait_for_end(&run).await;
        assert_eq!(format!("{:?}", ended.status), "Succeeded", "{behavior}: {:?}", ended.summary);
        assert_eq!(root.path().join(block).is_dir(), there, "{behavior}");
    }
    assert_eq!(meshstack.violations(), Vec::<String>::new());
}
