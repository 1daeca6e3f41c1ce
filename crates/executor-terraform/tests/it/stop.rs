//! Runs that are stopped.

use std::time::{Duration, Instant};

use libtest_mimic::Trial;

use crate::world::{World, is_alive, log, message, patiently, pids, until};

pub(crate) fn tests() -> Vec<Trial> {
    let mut tests = trials![real: an_abort_lets_terraform_save_its_state_and_give_the_lock_back];
    tests.extend(trials![plain:
        an_abort_reaches_every_process_of_the_group,
        what_ignores_the_request_is_killed_after_the_grace_period,
        the_whole_runs_limit_stops_it_and_is_named,
        a_shutdown_stops_the_run_and_says_so,
        a_runner_that_ends_at_once_still_ends_its_programs_in_order,
        a_stop_during_the_retry_pause_of_init_ends_it,
    ]);
    tests
}

const BLOCK: &str = "6a3a3a39-5d32-4a3c-8d8a-6f3a5a1f0006";

async fn an_abort_lets_terraform_save_its_state_and_give_the_lock_back() {
    let mut world = World::new().await;
    world.settings.state_locking = true;
    let started = world.dir.path().join("started");
    // The first resource is made before the second begins, so that there is something to save.
    let module = format!(
        "resource \"terraform_data\" \"first\" {{}}\n\
         resource \"terraform_data\" \"slow\" {{\n  depends_on = [terraform_data.first]\n  provisioner \"local-exec\" {{\n    \
         command = \"echo $$ > {}; while true; do echo tick; sleep 0.2; done\"\n  }}\n}}\n",
        started.display()
    );
    let run = world.mesh.order(&world.runner, world.order(&[("main.tf", &module)]).building_block(BLOCK)).await;
    let running = world.start();
    let pid = pids(&started, 1).await[0];
    assert!(world.mesh.state_lock("example-workspace", BLOCK).await.is_some(), "it is at work");

    world.mesh.abort(&run).await;

    until("the program ends", || !is_alive(pid)).await;
    running.drain().await;
    let view = world.mesh.run(&run).await.unwrap();
    assert_eq!((view.status.word(), view.ended_count), ("ABORTED", 0), "no end is reported after an abort");
    let state = world.mesh.state("example-workspace", BLOCK).await.expect("a state");
    assert!(String::from_utf8_lossy(&state).contains("\"first\""), "{}", String::from_utf8_lossy(&state));
    assert_eq!(world.mesh.state_lock("example-workspace", BLOCK).await, None, "the lock was given back");
    assert_eq!(world.mesh.violations(), Vec::<String>::new());
}

/// A program with children inside and outside its process group, which all write their ids.
fn family(file: &std::path::Path, trap: &str) -> String {
    format!(
        "apply() {{\n  {trap}\n  sleep 1000 & echo $! >> {0}\n  setsid sh -c 'echo $$ >> {0}; exec sleep 1000' &\n  \
         echo $$ >> {0}\n  while true; do echo tick; sleep 0.2; done\n}}\n",
        file.display()
    )
}

async fn an_abort_reaches_every_process_of_the_group() {
    let world = World::with_fake().await;
    let file = world.dir.path().join("pids");
    let run = world.mesh.order(&world.runner, world.order(&[("fake.sh", &family(&file, ""))])).await;
    let running = world.start();
    let family = pids(&file, 3).await;

    world.mesh.abort(&run).await;

    until("all of them end", || !family.iter().any(|pid| is_alive(*pid))).await;
    running.drain().await;
}

async fn what_ignores_the_request_is_killed_after_the_grace_period() {
    for supervised in [true, false] {
        let mut world = World::with_fake().await;
        world.settings.stop_grace = Duration::from_millis(700);
        world.shutdown_grace = Duration::ZERO;
        if !supervised {
            world.settings.supervisor = None;
        }
        let file = world.dir.path().join("pids");
        let fake =
            format!("apply() {{ trap '' INT TERM; echo $$ >> {}; while true; do sleep 0.1; done; }}\n", file.display());
        world.mesh.order(&world.runner, world.order(&[("fake.sh", &fake)])).await;
        let running = world.start();
        let pid = pids(&file, 1).await[0];

        let began = Instant::now();
        running.drain().await;

        assert!(began.elapsed() >= world.settings.stop_grace, "it had its grace period: {:?}", began.elapsed());
        assert!(!is_alive(pid), "supervised: {supervised}");
    }
}

async fn the_whole_runs_limit_stops_it_and_is_named() {
    let mut world = World::with_fake().await;
    world.settings.timeout = Duration::from_secs(5);
    let fake = "apply() { trap 'echo saving; exit 1' INT; while true; do sleep 0.1; done; }\n";
    let view = world.carry_out(world.order(&[("fake.sh", fake)])).await;
    assert_eq!(view.status, "FAILED");
    assert!(message(&view, "execute_tf").contains("longer than its limit of 5 s"), "{view:#?}");
    let log = log(&view, "execute_tf");
    assert!(log.contains("Stopping: time limit of 5 s reached.\nsaving\n"), "{log}");
}

async fn a_shutdown_stops_the_run_and_says_so() {
    let mut world = World::with_fake().await;
    world.shutdown_grace = Duration::ZERO;
    let file = world.dir.path().join("pids");
    let fake = format!("apply() {{ echo $$ >> {}; while true; do sleep 0.1; done; }}\n", file.display());
    let run = world.mesh.order(&world.runner, world.order(&[("fake.sh", &fake)])).await;
    let running = world.start();
    let pid = pids(&file, 1).await[0];

    running.drain().await;

    assert!(!is_alive(pid));
    let view = patiently(world.mesh.wait_for_end(&run)).await;
    assert_eq!(view.status, "FAILED");
    assert!(message(&view, "execute_tf").contains("shut down"), "{view:#?}");
}

async fn a_runner_that_ends_at_once_still_ends_its_programs_in_order() {
    let world = World::with_fake().await;
    let (file, saved) = (world.dir.path().join("pids"), world.dir.path().join("saved"));
    let fake = format!(
        "apply() {{ trap 'echo yes > {}; exit 1' INT; echo $$ >> {}; while true; do sleep 0.1; done; }}\n",
        saved.display(),
        file.display()
    );
    world.mesh.order(&world.runner, world.order(&[("fake.sh", &fake)])).await;
    let running = world.start();
    let pid = pids(&file, 1).await[0];

    running.shutdown.now();
    running.drain().await;

    until("the program ends", || !is_alive(pid)).await;
    assert!(saved.exists(), "SIGINT came first");
}

async fn a_stop_during_the_retry_pause_of_init_ends_it() {
    let mut world = World::with_fake().await;
    world.shutdown_grace = Duration::ZERO;
    let tried = world.dir.path().join("tried");
    let fake = format!("init() {{ touch {}; return 1; }}\n", tried.display());
    let run = world.mesh.order(&world.runner, world.order(&[("fake.sh", &fake)])).await;
    let running = world.start();
    until("init is tried", || tried.exists()).await;

    running.drain().await;

    let view = patiently(world.mesh.wait_for_end(&run)).await;
    assert!(message(&view, "init_tf").contains("shut down"), "{view:#?}");
}
