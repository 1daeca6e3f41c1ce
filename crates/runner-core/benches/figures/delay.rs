//! From a change of a step's status in the executor to meshStack having it, with 20 runs side by side.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use meshstack_local::{LocalMeshStack, Operation, RunnerSpec};
use rand::RngExt as _;
use runner_core::journal::FileJournal;
use runner_core::meshstack_client::KeyRing;
use runner_core::{Outcome, Shutdown};

use crate::scene::{Does, builder_of, millis, order, percentile, step};

const RUNS: usize = 20;
const STEPS: usize = 20;
/// Between two changes, milliseconds.
const BETWEEN: std::ops::Range<u64> = 50..250;

/// Run, step, and whether it is its end: when that was.
type Times = HashMap<(String, String, bool), Instant>;

pub(crate) async fn print() {
    let changes = Arc::new(Mutex::new(Times::new()));
    let noted = Arc::clone(&changes);
    let executor = Does::new("CHANGES", STEPS, move |ctx| {
        let noted = Arc::clone(&noted);
        Box::pin(async move {
            let note = |id: &str, end: bool| {
                let key = (ctx.run().uuid().to_owned(), id.to_owned(), end);
                noted.lock().expect("the times").insert(key, Instant::now());
            };
            let pause = || tokio::time::sleep(Duration::from_millis(rand::rng().random_range(BETWEEN)));
            for number in 0..STEPS {
                let id = step(number);
                let step = ctx.step(&id);
                note(&id, false);
                step.start();
                step.log(&[b'x'; 4096]);
                pause().await;
                note(&id, true);
                step.succeed();
                pause().await;
            }
            Ok(Outcome::Succeeded)
        })
    });
    let meshstack = LocalMeshStack::start().await.expect("a meshStack");
    let runner = meshstack.register_runner(RunnerSpec::new("ALL")).await;
    let folder = tempfile::tempdir().expect("a folder");
    let journal = FileJournal::open(&folder.path().join("state"), &KeyRing::empty()).expect("a journal");
    let daemon = builder_of(&meshstack, &runner).executor(executor).journal(journal).max_concurrent_runs(RUNS);
    let (daemon, shutdown) = (daemon.build().expect("a runner"), Shutdown::new());
    let mut runs = Vec::new();
    for _ in 0..RUNS {
        runs.push(meshstack.order(&runner, order("CHANGES")).await);
    }
    let ended = async {
        for run in &runs {
            meshstack.wait_for_end(run).await;
        }
        shutdown.drain();
    };
    tokio::join!(daemon.run(&shutdown), ended);

    let (seen, patches) = seen(&meshstack, &runs).await;
    let changes = changes.lock().expect("the times");
    let mut delays: Vec<Duration> = changes.iter().map(|(change, at)| seen[change].duration_since(*at)).collect();
    println!(
        "change of a status to meshStack having it, {RUNS} runs at once, {} changes in {patches} patches: \
         p50 {:.1} ms, p99 {:.1} ms, longest {:.1} ms",
        delays.len(),
        millis(percentile(&mut delays, 50)),
        millis(percentile(&mut delays, 99)),
        millis(percentile(&mut delays, 100)),
    );
}

/// When meshStack first heard of each change.
async fn seen(meshstack: &LocalMeshStack, runs: &[String]) -> (Times, usize) {
    let (mut seen, mut patches) = (Times::new(), 0);
    for run in runs {
        for request in meshstack.run(run).await.expect("the run").requests {
            if request.operation != Operation::Patch {
                continue;
            }
            patches += 1;
            let patch = request.json().expect("a patch that is remembered");
            for step in patch["steps"].as_array().into_iter().flatten() {
                let id = step["id"].as_str().unwrap_or_default();
                let mut hear = |end| {
                    seen.entry((run.clone(), id.to_owned(), end)).or_insert(request.received);
                };
                match step["status"].as_str() {
                    Some("IN_PROGRESS") => hear(false),
                    Some("SUCCEEDED") => {
                        hear(false);
                        hear(true);
                    }
                    _ => {}
                }
            }
        }
    }
    (seen, patches)
}
