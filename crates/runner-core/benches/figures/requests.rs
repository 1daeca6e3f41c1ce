//! Requests and journal writes per run, by type.

use std::time::Duration;

use meshstack_local::{LocalMeshStack, Operation, RunView, RunnerSpec};
use runner_core::{Outcome, Shutdown};

use crate::journal::Counting;
use crate::scene::{Does, builder_of, count, millis, order, percentile, step};

const RUNS: usize = 20;
/// How long each of the three steps takes.
const STEP: Duration = Duration::from_millis(400);

pub(crate) async fn print() {
    let instant = Does::new("INSTANT", 1, |ctx| {
        Box::pin(async move {
            ctx.step(&step(0)).succeed();
            Ok(Outcome::Succeeded)
        })
    });
    let three = Does::new("THREE_STEPS", 3, |ctx| {
        Box::pin(async move {
            for number in 0..3 {
                let step = ctx.step(&step(number));
                step.start();
                step.log_line("at work");
                tokio::time::sleep(STEP).await;
                step.succeed();
            }
            Ok(Outcome::Succeeded)
        })
    });
    let handed_over = Does::new("HANDED_OVER", 1, |ctx| {
        Box::pin(async move {
            let step = ctx.step(&step(0));
            step.start();
            ctx.checkpoint(&"about to trigger").await?;
            tokio::time::sleep(STEP).await;
            ctx.checkpoint(&"pipeline 4711").await?;
            step.succeed();
            Ok(Outcome::HandedOver { watch: None })
        })
    });
    println!("requests and journal writes per run");
    for (name, kind, executor) in [
        ("instant", "INSTANT", instant),
        ("three steps of 0.4 s with a log", "THREE_STEPS", three),
        ("handed over, two checkpoints", "HANDED_OVER", handed_over),
    ] {
        of(name, kind, executor).await;
    }
}

async fn of(name: &str, kind: &str, executor: Does) {
    let meshstack = LocalMeshStack::start().await.expect("a meshStack");
    let runner = meshstack.register_runner(RunnerSpec::new("ALL")).await;
    let folder = tempfile::tempdir().expect("a folder");
    let (journal, written) = Counting::open(folder.path().join("state"));
    let daemon = builder_of(&meshstack, &runner).executor(executor).journal(journal).working_dir(folder.path());
    let (daemon, shutdown) = (daemon.build().expect("a runner"), Shutdown::new());
    let mut runs = Vec::new();
    for _ in 0..RUNS {
        runs.push(meshstack.order(&runner, order(kind)).await);
    }
    let ended = async {
        for run in &runs {
            // A run that is handed over has no end of its own.
            let done = |run: &RunView| !run.steps.is_empty() && run.steps.iter().all(|step| step.status == "SUCCEEDED");
            meshstack.wait_until(run, done).await;
        }
        shutdown.drain();
    };
    tokio::join!(daemon.run(&shutdown), ended);

    let mut requests = [0; 3];
    for run in &runs {
        for request in meshstack.run(run).await.expect("the run").requests {
            match request.operation {
                Operation::Claim => requests[0] += 1,
                Operation::Register => requests[1] += 1,
                Operation::Patch => requests[2] += 1,
                other => panic!("{other:?}"),
            }
        }
    }
    let per_run = |number: usize| count(number) / count(RUNS);
    let [claims, registrations, patches] = requests.map(per_run);
    let mut written = written.lock().expect("the counts");
    let (writes, syncs, bytes) = (per_run(written.writes), per_run(written.syncs), per_run(written.bytes) / 1024.0);
    let took = percentile(&mut written.synced_writes, 50);
    println!(
        "  {name:<34} {:>5.1} requests ({claims:.0} claim, {registrations:.0} registration, {patches:.1} patches)   \
         {writes:>4.1} writes, {syncs:>4.1} fsyncs, {bytes:>5.1} KiB; a synced write takes {:.1} ms",
        claims + registrations + patches,
        millis(took)
    );
}
