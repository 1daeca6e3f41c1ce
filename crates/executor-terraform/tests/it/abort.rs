//! Aborts at random moments of an apply.
//!
//! Eight runs are aborted, fifty with `BB_TEST_LONG=1`. The moments are drawn from a seed that a failure names;
//! `BB_TEST_SEED` sets it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use libtest_mimic::Trial;
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::Value;

use crate::world::{World, is_long, patiently};

pub(crate) fn tests() -> Vec<Trial> {
    trials![real: an_apply_aborted_at_any_moment_leaves_no_lock_and_loses_nothing_it_made]
}

/// As many at once as are due on a small machine.
const AT_ONCE: usize = 4;
const RESOURCES: usize = 12;
/// An apply of the module takes about this long. Milliseconds.
const APPLY: u64 = 2500;

/// Resources that note that they are there, one after another.
fn module(made: &Path) -> String {
    let made = made.display();
    let resource = |index: usize| {
        let after = match index {
            0 => String::new(),
            index => format!("  depends_on = [terraform_data.r{}]\n", index - 1),
        };
        format!(
            "resource \"terraform_data\" \"r{index}\" {{\n{after}  provisioner \"local-exec\" {{\n    \
             command = \"echo r{index} >> {made}; sleep 0.15\"\n  }}\n}}\n"
        )
    };
    (0..RESOURCES).map(resource).collect()
}

async fn an_apply_aborted_at_any_moment_leaves_no_lock_and_loses_nothing_it_made() {
    let rounds = if is_long() { 50 } else { 8 };
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    let seed = std::env::var("BB_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(now.as_secs());
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let random = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut random = TestRunner::new_with_rng(Config::default(), random);
    let mut moment = || Duration::from_millis((0..APPLY).new_tree(&mut random).expect("a number").current());

    let mut aborted = 0;
    let moments: Vec<Duration> = (0..rounds).map(|_| moment()).collect();
    for moments in moments.chunks(AT_ONCE) {
        aborted += abort_at(moments, seed).await;
    }
    assert!(aborted > 0, "all of them were over before their abort, seed {seed}");
}

/// One run for each moment, counted from the beginning of its apply; gives how many were aborted in time.
async fn abort_at(moments: &[Duration], seed: u64) -> usize {
    let mut world = World::new().await;
    world.settings.state_locking = true;
    let mut runs = Vec::new();
    for (index, moment) in moments.iter().enumerate() {
        let made = world.dir.path().join(format!("made-{index}"));
        let block = format!("7a3a3a39-5d32-4a3c-8d8a-6f3a5a1f00{index:02}");
        let order = world.order(&[("main.tf", &module(&made))]).building_block(&block);
        runs.push((world.mesh.order(&world.runner, order).await, block, made, *moment));
    }
    let running = world.start();
    for (run, _, _, moment) in &runs {
        // They work side by side, so each is aborted after it and those before it began.
        let applies = |view: &meshstack_local::RunView| {
            view.status.is_final() || view.step("execute_tf").is_some_and(|step| step.status == "IN_PROGRESS")
        };
        patiently(world.mesh.wait_until(run, applies)).await;
        tokio::time::sleep(*moment / u32::try_from(moments.len()).expect("few")).await;
        world.mesh.abort(run).await;
    }
    running.drain().await;

    let mut aborted = 0;
    for (run, block, made, moment) in &runs {
        let told = format!("run {run}, {moment:?}, seed {seed}");
        let view = world.mesh.run(run).await.expect("the run");
        aborted += usize::from(view.status == "ABORTED");
        assert!(view.status == "ABORTED" || view.status == "SUCCEEDED", "{told}: {view:#?}");
        assert_eq!(world.mesh.state_lock("example-workspace", block).await, None, "a lock is left: {told}");
        let made: BTreeSet<String> = fs::read_to_string(made).unwrap_or_default().lines().map(str::to_owned).collect();
        let state = world.mesh.state("example-workspace", block).await;
        let known = state.map(|state| resources(&state)).unwrap_or_default();
        assert!(made.is_subset(&known), "made {made:?}, but the state has {known:?}: {told}");
    }
    assert_eq!(world.mesh.violations(), Vec::<String>::new());
    aborted
}

/// The names of the resources in a state.
fn resources(state: &[u8]) -> BTreeSet<String> {
    let state: Value = serde_json::from_slice(state).expect("the state is JSON");
    let resources = state["resources"].as_array().expect("a list");
    resources.iter().map(|resource| resource["name"].as_str().expect("a name").to_owned()).collect()
}
