//! DESTROY, and workspaces.

use libtest_mimic::Trial;
use serde_json::json;

use crate::world::{World, log};

pub(crate) fn tests() -> Vec<Trial> {
    let mut tests = trials![real:
        a_building_block_has_a_workspace_of_its_own_and_destroy_removes_it,
        destroy_empties_the_state_that_meshstack_keeps,
    ];
    tests.extend(trials![plain:
        an_async_destroy_applies_first,
        a_workspace_that_cannot_be_removed_does_not_fail_the_run,
        a_workspace_that_takes_too_long_fails_the_run,
    ]);
    tests
}

const BLOCK: &str = "3a3a3a39-5d32-4a3c-8d8a-6f3a5a1f0003";

async fn a_building_block_has_a_workspace_of_its_own_and_destroy_removes_it() {
    let world = World::new().await;
    let states = world.dir.path().join("states");
    let module = format!(
        "terraform {{\n  backend \"local\" {{\n    path = \"{0}/default\"\n    workspace_dir = \"{0}\"\n  }}\n}}\n\
         resource \"terraform_data\" \"x\" {{}}\n",
        states.display()
    );
    let order = world.order(&[("main.tf", &module)]).building_block(BLOCK);

    let applied = world.carry_out(order.clone()).await;

    assert_eq!(applied.status, "SUCCEEDED", "{applied:#?}");
    let name = format!("example-workspace.example-project.example.platform:{BLOCK}");
    assert!(states.join(&name).join("terraform.tfstate").exists(), "{:#?}", applied.steps);
    assert!(log(&applied, "init_tf").contains("Warning: the module has the backend \"local\""));

    let destroyed = world.carry_out(order.behavior("DESTROY")).await;

    assert_eq!(destroyed.status, "SUCCEEDED", "{destroyed:#?}");
    let selected = log(&destroyed, "init_tf");
    assert!(selected.contains("terraform workspace select -no-color"), "{selected}");
    assert!(log(&destroyed, "execute_tf").contains("Destroy complete! Resources: 1 destroyed."));
    assert!(!states.join(&name).exists());
    let cleaned = log(&destroyed, "output");
    let read = cleaned.find("terraform output").unwrap();
    assert!(cleaned[read..].contains("workspace delete -no-color -force"), "after the outputs are read: {cleaned}");
}

async fn destroy_empties_the_state_that_meshstack_keeps() {
    let world = World::new().await;
    let order = world.order(&[("main.tf", "resource \"terraform_data\" \"x\" {}\n")]).building_block(BLOCK);
    assert_eq!(world.carry_out(order.clone()).await.status, "SUCCEEDED");
    let view = world.carry_out(order.behavior("DESTROY")).await;
    assert_eq!(view.status, "SUCCEEDED", "{view:#?}");
    assert_eq!(view.step("execute_tf").unwrap().display_name, "Run Terraform Destroy");
    let state = world.mesh.state("example-workspace", BLOCK).await.expect("a state");
    let state: serde_json::Value = serde_json::from_slice(&state).unwrap();
    assert_eq!(state["resources"], json!([]));
    assert!(!log(&view, "output").contains("workspace"), "{}", log(&view, "output"));
}

const FAKE: &str = "apply() { echo applied; }\ndestroy() { echo destroyed; }\n";

async fn an_async_destroy_applies_first() {
    let world = World::with_fake().await;
    let order = world.order_with(&[("fake.sh", FAKE)], &json!({ "async": true })).behavior("DESTROY");
    let view = world.hand_over(order).await;
    let log = log(&view, "trigger");
    let applied = log.find("applied\n").expect("it applies");
    assert!(log[applied..].contains("destroyed\n"), "{log}");
}

async fn a_workspace_that_cannot_be_removed_does_not_fail_the_run() {
    let world = World::with_fake().await;
    let fake = "workspace() { if [ $1 = list ]; then echo '* default'; elif [ $1 = delete ]; then return 1; fi; }\n";
    let order = world.order_with(&[("fake.sh", fake)], &json!({ "useMeshHttpBackendFallback": false }));
    let view = world.carry_out(order.behavior("DESTROY")).await;
    assert_eq!(view.status, "SUCCEEDED", "{view:#?}");
    assert!(log(&view, "output").contains("is left over: terraform workspace ended with exit code 1"), "{view:#?}");
}

async fn a_workspace_that_takes_too_long_fails_the_run() {
    let mut world = World::with_fake().await;
    world.settings.workspace_timeout = std::time::Duration::from_millis(300);
    let fields = json!({ "useMeshHttpBackendFallback": false });
    let view = world.carry_out(world.order_with(&[("fake.sh", "workspace() { sleep 1000; }\n")], &fields)).await;
    assert_eq!(view.status, "FAILED");
    assert!(crate::world::message(&view, "init_tf").contains("wsTimeoutMins"), "{view:#?}");
}
