//! Locks of the state that a killed Terraform has left.

use std::fs;
use std::time::Duration;

use libtest_mimic::Trial;

use crate::world::{World, log, message, patiently, pids};

pub(crate) fn tests() -> Vec<Trial> {
    trials![real:
        a_lock_that_a_dead_run_of_this_runner_left_is_released_if_the_operator_wants_it,
        a_lock_that_is_left_is_named_with_what_to_do,
        a_lock_of_somebody_else_stays,
    ]
}

const BLOCK: &str = "8a3a3a39-5d32-4a3c-8d8a-6f3a5a1f0008";
const MODULE: &str = "resource \"terraform_data\" \"x\" {}\n";

/// A world in which a run was killed in the middle of an apply and left its lock, and the id of that run.
async fn left() -> (World, String) {
    let mut world = World::new().await;
    world.settings.state_locking = true;
    world.settings.state_lock_dir = Some(world.dir.path().join("locks"));
    // No time to give the lock back.
    world.settings.stop_grace = Duration::ZERO;
    let started = world.dir.path().join("started");
    let module = format!(
        "resource \"terraform_data\" \"x\" {{\n  provisioner \"local-exec\" {{\n    \
         command = \"trap '' INT; echo $$ > {}; while true; do echo tick; sleep 0.1; done\"\n  }}\n}}\n",
        started.display()
    );
    let run = world.mesh.order(&world.runner, world.order(&[("main.tf", &module)]).building_block(BLOCK)).await;
    let running = world.start();
    pids(&started, 1).await;
    world.mesh.abort(&run).await;
    running.drain().await;
    world.settings.stop_grace = Duration::from_secs(30);
    assert!(lock_id(&world).await.is_some(), "a lock is left");
    (world, run)
}

async fn lock_id(world: &World) -> Option<String> {
    let lock = world.mesh.state_lock("example-workspace", BLOCK).await?;
    lock["ID"].as_str().map(str::to_owned)
}

async fn a_lock_that_a_dead_run_of_this_runner_left_is_released_if_the_operator_wants_it() {
    let (mut world, dead) = left().await;
    world.settings.unlock_own_stale_locks = true;
    let id = lock_id(&world).await.unwrap();
    for behavior in ["APPLY", "DESTROY"] {
        let order = world.order(&[("main.tf", MODULE)]).building_block(BLOCK).behavior(behavior);
        let view = world.carry_out(order).await;
        assert_eq!(view.status, "SUCCEEDED", "{view:#?}");
        let said = log(&view, "execute_tf");
        let released =
            format!("The lock {id} was taken by the run {dead} of this runner, which is dead. Releasing it.");
        assert_eq!(said.contains(&released), behavior == "APPLY", "{said}");
        assert_eq!(lock_id(&world).await, None);
    }
    let notes = fs::read_dir(world.settings.state_lock_dir.as_ref().unwrap()).unwrap().count();
    assert_eq!(notes, 0, "nothing is left to remember");
}

async fn a_lock_that_is_left_is_named_with_what_to_do() {
    let (world, dead) = left().await;
    let id = lock_id(&world).await.unwrap();
    let view = world.carry_out(world.order(&[("main.tf", MODULE)]).building_block(BLOCK)).await;
    assert_eq!(view.status, "FAILED");
    let told = message(&view, "execute_tf");
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    for part in [
        "Error: Error acquiring the state lock",
        &format!("Hint: The state is locked with the lock {id}, taken by "),
        &format!("@{} ", host.trim()),
        "second",
        &format!("`terraform force-unlock -force {id}`"),
        &format!("the run {dead} of this runner, which is dead"),
        "terraform.unlockOwnStaleLocks",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert_eq!(lock_id(&world).await, Some(id));
}

async fn a_lock_of_somebody_else_stays() {
    let (mut world, dead) = left().await;
    world.settings.unlock_own_stale_locks = true;
    let id = lock_id(&world).await.unwrap();
    // As if another runner had taken it.
    fs::remove_file(world.dir.path().join("locks").join(format!("{dead}.json"))).unwrap();
    let running = world.start();
    let run = world.mesh.order(&world.runner, world.order(&[("main.tf", MODULE)]).building_block(BLOCK)).await;
    let view = patiently(world.mesh.wait_for_end(&run)).await;
    running.drain().await;
    assert_eq!(view.status, "FAILED");
    let told = message(&view, "execute_tf");
    assert!(told.contains("Wait for whoever has it.") && told.contains(&id), "{told}");
    assert_eq!(lock_id(&world).await, Some(id));
}
