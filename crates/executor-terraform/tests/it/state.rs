//! Where the state is kept.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use libtest_mimic::Trial;
use serde_json::json;

use crate::world::{World, everything, log, message};

pub(crate) fn tests() -> Vec<Trial> {
    let mut tests = trials![real:
        a_module_without_a_backend_has_its_state_with_meshstack_and_its_token_as_the_password,
        the_state_is_locked_only_if_that_is_wanted,
        a_second_run_works_on_the_state_of_the_first,
        a_module_with_its_own_backend_keeps_it,
    ];
    tests.extend(trials![plain:
        a_state_that_will_be_lost_is_said_every_time,
        a_run_without_a_token_cannot_use_meshstacks_state,
    ]);
    tests
}

const BLOCK: &str = "4a3a3a39-5d32-4a3c-8d8a-6f3a5a1f0004";
const MODULE: &str = "resource \"terraform_data\" \"x\" {}\n";

async fn a_module_without_a_backend_has_its_state_with_meshstack_and_its_token_as_the_password() {
    let world = World::new().await;
    let view = world.carry_out(world.order(&[("main.tf", MODULE)]).building_block(BLOCK)).await;
    assert_eq!(view.status, "SUCCEEDED", "{view:#?}");
    let state = world.mesh.state("example-workspace", BLOCK).await.expect("a state");
    assert!(String::from_utf8_lossy(&state).contains("terraform_data"));

    let requests = world.mesh.requests();
    let written: Vec<_> = requests.iter().filter(|r| r.path.contains("/api/terraform/state/")).collect();
    assert!(written.iter().any(|request| request.method == "POST"));
    let run_token = requests.iter().find(|r| r.method == "PATCH").and_then(|r| r.header("authorization")).unwrap();
    let run_token = run_token.strip_prefix("Bearer ").unwrap();
    let basic = format!("Basic {}", STANDARD.encode(format!("x:{run_token}")));
    assert!(written.iter().all(|request| request.header("authorization").is_none_or(|sent| sent == basic)));
    assert!(!written.iter().any(|request| request.method == "LOCK"));
    assert!(!everything(&view).contains(run_token));
    assert!(!log(&view, "init_tf").contains("terraform workspace"), "no workspaces with this state");
}

async fn the_state_is_locked_only_if_that_is_wanted() {
    let mut world = World::new().await;
    world.settings.state_locking = true;
    let view = world.carry_out(world.order(&[("main.tf", MODULE)]).building_block(BLOCK)).await;
    assert_eq!(view.status, "SUCCEEDED", "{view:#?}");
    let requests = world.mesh.requests();
    let methods: Vec<&str> =
        requests.iter().filter(|r| r.path.contains("/api/terraform/state/")).map(|r| r.method.as_str()).collect();
    assert!(methods.contains(&"LOCK") && methods.contains(&"UNLOCK"), "{methods:?}");
    assert_eq!(world.mesh.state_lock("example-workspace", BLOCK).await, None);
}

async fn a_second_run_works_on_the_state_of_the_first() {
    let world = World::new().await;
    let order = world.order(&[("main.tf", MODULE)]).building_block(BLOCK);
    assert_eq!(world.carry_out(order.clone()).await.status, "SUCCEEDED");
    let again = world.carry_out(order).await;
    assert!(log(&again, "execute_tf").contains("Resources: 0 added, 0 changed, 0 destroyed."), "{again:#?}");
}

async fn a_module_with_its_own_backend_keeps_it() {
    let world = World::new().await;
    let path = world.dir.path().join("own.tfstate");
    let module = format!("terraform {{\n  backend \"local\" {{\n    path = \"{}\"\n  }}\n}}\n{MODULE}", path.display());
    let view = world.carry_out(world.order(&[("main.tf", &module)]).building_block(BLOCK)).await;
    assert_eq!(view.status, "SUCCEEDED", "{view:#?}");
    assert_eq!(world.mesh.state("example-workspace", BLOCK).await, None);
}

async fn a_state_that_will_be_lost_is_said_every_time() {
    let world = World::with_fake().await;
    let order = world.order_with(&[("main.tf", MODULE)], &json!({ "useMeshHttpBackendFallback": false }));
    for _ in 0..2 {
        let view = world.carry_out(order.clone()).await;
        assert_eq!(view.status, "SUCCEEDED", "{view:#?}");
        let log = log(&view, "init_tf");
        assert!(log.contains("Warning: the module has no backend") && log.contains("lost"), "{log}");
    }
}

async fn a_run_without_a_token_cannot_use_meshstacks_state() {
    // meshStack always sends one, so the run comes from a file here.
    let world = World::with_fake().await;
    let run = json!({
        "metadata": { "uuid": "5a3a3a39-5d32-4a3c-8d8a-6f3a5a1f0005" },
        "spec": {
            "behavior": "APPLY",
            "runToken": "",
            "buildingBlock": { "uuid": BLOCK, "spec": { "workspaceIdentifier": "w", "inputs": [] } },
            "buildingBlockDefinition": { "uuid": "d", "spec": { "implementation": {
                "type": "TERRAFORM", "terraformVersion": "1.5.5", "useMeshHttpBackendFallback": true,
                "repositoryUrl": world.repository(&[("main.tf", MODULE)]),
            } } },
        },
    });
    let run = world.mesh.order_raw(&world.runner, run).await;
    let running = world.start();
    let view = crate::world::patiently(world.mesh.wait_for_end(&run)).await;
    running.drain().await;
    assert_eq!(view.status, "FAILED");
    assert!(message(&view, "init_tf").contains("without the token"), "{view:#?}");
}
