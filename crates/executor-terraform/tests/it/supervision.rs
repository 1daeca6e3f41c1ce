//! No process of a run outlives the runner.

use std::path::Path;

use libtest_mimic::Trial;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::second_process;
use crate::world::{World, is_alive, patiently, pids, until};

pub(crate) fn tests() -> Vec<Trial> {
    trials![plain:
        a_killed_runner_leaves_no_process_and_its_programs_may_save_first,
        a_killed_runner_leaves_nothing_of_what_ignores_it,
        a_killed_supervisor_takes_its_program_with_it_and_the_run_fails,
        signals_to_the_supervisor_do_not_end_it,
        the_exit_code_and_signal_of_a_program_come_through,
        a_supervisor_takes_the_next_command_unless_one_left_something,
    ]
}

fn signal(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(pid.cast_signed()).expect("a process id");
    kill_process(pid, signal).expect("the process is there");
}

/// Writes its own id and those of two children, one of them in a session of its own.
fn family(file: &Path, trap: &str) -> String {
    format!(
        "apply() {{\n  {trap}\n  sleep 1000 & echo $! >> {0}\n  setsid sh -c 'trap \"\" TERM INT HUP; echo $$ >> {0}; \
         while true; do sleep 1; done' &\n  echo $$ >> {0}\n  while true; do sleep 0.1; done\n}}\n",
        file.display()
    )
}

async fn kill_runner(trap: &str) -> World {
    let world = World::with_fake().await;
    let file = world.dir.path().join("pids");
    let trap = trap.replace("SAVED", &world.dir.path().join("saved").display().to_string());
    world.mesh.order(&world.runner, world.order(&[("fake.sh", &family(&file, &trap))])).await;
    let mut runner = second_process::start(&world);
    let family = pids(&file, 3).await;

    runner.kill().expect("kill -9");
    runner.wait().expect("it is gone");

    until("nothing of the run is left", || !family.iter().any(|pid| is_alive(*pid))).await;
    world
}

async fn a_killed_runner_leaves_no_process_and_its_programs_may_save_first() {
    let world = kill_runner("trap 'echo yes > SAVED; exit 1' INT").await;
    assert!(world.dir.path().join("saved").exists(), "SIGINT came first");
}

async fn a_killed_runner_leaves_nothing_of_what_ignores_it() {
    kill_runner("trap '' INT TERM HUP").await;
}

/// The supervisor is the parent of the program.
fn parent(pid: u32) -> u32 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    let rest = stat.rsplit_once(')').expect("a name").1;
    rest.split_whitespace().nth(1).and_then(|parent| parent.parse().ok()).expect("a parent")
}

async fn a_killed_supervisor_takes_its_program_with_it_and_the_run_fails() {
    let world = World::with_fake().await;
    let file = world.dir.path().join("pids");
    let fake = format!("apply() {{ echo $$ >> {}; while true; do sleep 0.1; done; }}\n", file.display());
    let run = world.mesh.order(&world.runner, world.order(&[("fake.sh", &fake)])).await;
    let running = world.start();
    let pid = pids(&file, 1).await[0];

    signal(parent(pid), Signal::KILL);

    let view = patiently(world.mesh.wait_for_end(&run)).await;
    assert_eq!(view.status, "FAILED");
    until("the end of the program", || !is_alive(pid)).await;
    running.drain().await;
}

async fn signals_to_the_supervisor_do_not_end_it() {
    let world = World::with_fake().await;
    let file = world.dir.path().join("pids");
    let go = world.dir.path().join("go");
    let fake =
        format!("apply() {{ echo $$ >> {}; until [ -f {} ]; do sleep 0.05; done; }}\n", file.display(), go.display());
    let run = world.mesh.order(&world.runner, world.order(&[("fake.sh", &fake)])).await;
    let running = world.start();
    let supervisor = parent(pids(&file, 1).await[0]);

    for sent in [Signal::TERM, Signal::INT, Signal::HUP] {
        signal(supervisor, sent);
    }
    std::fs::write(go, "").unwrap();

    let view = patiently(world.mesh.wait_for_end(&run)).await;
    assert_eq!(view.status, "SUCCEEDED", "{view:#?}");
    running.drain().await;
}

async fn the_exit_code_and_signal_of_a_program_come_through() {
    for (what, said) in [("exit 42", "exit code 42"), ("kill -SEGV $$", "signal 11")] {
        let world = World::with_fake().await;
        let view = world.carry_out(world.order(&[("fake.sh", &format!("apply() {{ {what}; }}\n"))])).await;
        assert_eq!(view.status, "FAILED");
        let log = crate::world::log(&view, "execute_tf");
        assert!(log.contains(&format!("terraform apply ended with {said}")), "{log}");
    }
}

async fn a_supervisor_takes_the_next_command_unless_one_left_something() {
    for leaves in [false, true] {
        let world = World::with_fake().await;
        let file = world.dir.path().join("pids");
        // Init, apply and output: each notes its parent.
        let fake = format!("echo $PPID >> {}\n", file.display());
        let script = if leaves { "sleep 1000 &\n" } else { "true\n" };
        let order = world.order_with(&[("fake.sh", &fake)], &json!({ "preRunScript": script }));

        let view = world.carry_out(order).await;

        assert_eq!(view.status, "SUCCEEDED", "{view:#?}");
        let mut supervisors = pids(&file, 3).await;
        supervisors.dedup();
        assert_eq!(supervisors.len(), if leaves { 2 } else { 1 }, "{supervisors:?}");
    }
}
