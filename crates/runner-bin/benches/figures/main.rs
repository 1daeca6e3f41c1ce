//! The figures that the runner is built for: speed and size, printed, not judged.
//!
//! `cargo bench -p runner-bin --bench figures` starts the release binary as users do. Whole programs are measured, so
//! a statistics library would have nothing to do: the medians of a few dozen starts are printed with their range.
//! Some only: `… -- start idle` (of `size`, `start`, `idle`, `manual`, `overhead`, `log`).

mod process;
mod terraform;

use std::time::{Duration, Instant};

use meshstack_local::{Event, LocalMeshStack, Options, Order, RunnerSpec};
use tokio::sync::broadcast::error::RecvError;

use process::{BINARY, Runner, count, mib};

const STARTS: usize = 31;
const MANUAL_RUNS: u32 = 1000;

fn main() {
    // `cargo test --all-targets` starts benches too, with a debug build: that would measure nothing.
    if cfg!(debug_assertions) {
        println!("figures: nothing is measured in a debug build; use `cargo bench -p runner-bin`");
        return;
    }
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|part| name.contains(part.as_str()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        if is_wanted("size") {
            let size = std::fs::metadata(BINARY).expect("the binary").len();
            println!("binary                            {:>9.1} MiB   (goal: 20)", mib(size));
        }
        if is_wanted("start") {
            start_to_first_claim().await;
        }
        if is_wanted("idle") {
            idle_memory().await;
        }
        if is_wanted("manual") {
            manual_runs().await;
        }
        let Some(program) = terraform::find() else {
            println!("terraform                         not in PATH: its figures are left out");
            return;
        };
        if is_wanted("overhead") {
            terraform::overhead(&program).await;
        }
        if is_wanted("log") {
            terraform::big_log(&program).await;
        }
    });
}

/// A meshStack with a runner for every type, and the events from now on.
async fn meshstack() -> (LocalMeshStack, String) {
    let local = LocalMeshStack::start_with(Options { keep_body_bytes: 0, ..Options::default() }).await.expect("a port");
    let spec = RunnerSpec::new("ALL").uuid("7f3c9b1e-0d52-4c5a-9a64-3f1f0c1f7a10");
    let uuid = local.register_runner(spec).await;
    (local, uuid)
}

async fn start_to_first_claim() {
    let mut times = Vec::new();
    for _ in 0..STARTS {
        let (local, _) = meshstack().await;
        let mut events = local.events();
        let began = Instant::now();
        let runner = Runner::start(&local);
        while !matches!(events.recv().await, Ok(Event::IdleClaim { .. })) {}
        times.push(began.elapsed());
        drop(runner);
    }
    println!("process start to first claim      {}   (goal: 12)", spread(&mut times));
}

/// Median, and the range.
fn spread(times: &mut [Duration]) -> String {
    times.sort();
    let millis = |time: &Duration| time.as_secs_f64() * 1000.0;
    let (first, median, last) = (&times[0], &times[times.len() / 2], &times[times.len() - 1]);
    format!("{:>9.1} ms    ({:.1} to {:.1})", millis(median), millis(first), millis(last))
}

async fn idle_memory() {
    let (local, _) = meshstack().await;
    let mut events = local.events();
    let runner = Runner::start(&local);
    while !matches!(events.recv().await, Ok(Event::IdleClaim { .. })) {}
    // What the first claim used is given back by then.
    tokio::time::sleep(Duration::from_secs(2)).await;
    println!("idle, resident                    {:>9.1} MiB   (goal: 9.7)", mib(runner.resident()));
}

async fn manual_runs() {
    let (local, uuid) = meshstack().await;
    for _ in 0..MANUAL_RUNS {
        local.order(&uuid, Order::manual().input("name", "demo", "STRING").input("size", 3, "INTEGER")).await;
    }
    let mut events = local.events();
    let began = Instant::now();
    let runner = Runner::start(&local);
    let (mut ended, mut first) = (0, None);
    while ended < MANUAL_RUNS {
        match events.recv().await {
            Ok(Event::Claimed { .. }) => first = first.or_else(|| Some(Instant::now())),
            Ok(Event::Ended { .. }) => ended += 1,
            Ok(_) => {}
            Err(RecvError::Lagged(missed)) => panic!("{missed} events were missed"),
            Err(RecvError::Closed) => panic!("meshStack is gone"),
        }
    }
    let rate = |since: Instant| f64::from(MANUAL_RUNS) / since.elapsed().as_secs_f64();
    println!("{MANUAL_RUNS} manual runs                  {:>9.0} runs/s (goal: 500)", rate(first.unwrap_or(began)));
    let mut requests = 0;
    for run in local.runs().await {
        requests += run.claims + run.registers + run.patches;
    }
    println!("requests per manual run           {:>9.2}       (goal: 3)", count(requests) / f64::from(MANUAL_RUNS));
    println!("resident after them               {:>9.1} MiB", mib(runner.resident()));
}
