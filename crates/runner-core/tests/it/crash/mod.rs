//! The runner dies at any moment, meshStack and the network fail in between: every run still gets
//! exactly one truthful end, and no pipeline is started twice.
//!
//! Real HTTP and a real journal; a crash is a runtime that is torn down with all its tasks.

mod pipeline;

use std::path::Path;
use std::time::Duration;

use meshstack_local::{Effect, Fault, LocalMeshStack, Operation, Order, RunView, RunnerSpec};
use pipeline::{PipelineExecutor, Platform, TYPE};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use runner_core::journal::FileJournal;
use runner_core::meshstack_client::{Client, ClientConfig, Credentials, KeyRing, Secret};
use runner_core::{Runner, Shutdown};
use serde_json::json;

const RUNS: usize = 30;

/// What every run ordered with `end` must look like when it has ended.
fn assert_truthful(view: &RunView, end: &str, platform: &Platform) {
    let uuid = &view.uuid;
    let pipelines = platform.pipelines_of(uuid);
    assert!(pipelines.len() <= 1, "{uuid} was started {} times", pipelines.len());
    assert_eq!(view.ended_count, 1, "{uuid} has {} ends", view.ended_count);
    let summary = view.summary.clone().unwrap_or_default();
    match (view.status.word(), end) {
        ("SUCCEEDED", "succeed") => {
            assert_eq!(pipelines, ["pipeline-1"], "{uuid}");
            assert_eq!(view.outputs["pipeline"].value, json!("pipeline-1"), "{uuid}");
            assert!(view.steps.iter().all(|step| step.status == *"SUCCEEDED"), "{uuid}");
        }
        ("FAILED", "fail") if !pipelines.is_empty() => assert!(summary.contains("The pipeline failed"), "{summary}"),
        ("FAILED", "panic") if !pipelines.is_empty() => assert!(summary.contains("mistake of its own"), "{summary}"),
        // Cut off after the executor was called and before its first checkpoint.
        ("FAILED", _) => {
            assert!(pipelines.is_empty(), "{uuid} is said to be interrupted, but its pipeline ran: {summary}");
            assert!(summary.contains("interrupted"), "{uuid}: {summary}");
        }
        (status, end) => panic!("{uuid} was to {end} and is {status}: {summary}"),
    }
}

/// One life of a runner: a runtime of its own that is torn down after `life`, or when `done` says so.
fn live(meshstack: &LocalMeshStack, runner_uuid: &str, folder: &Path, platform: &Platform, life: Duration) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let (client_id, client_secret) = meshstack.api_key();
    let mut config = ClientConfig::new(runner_uuid);
    config.api_url = Some(meshstack.url());
    config.credentials = Some(Credentials::ApiKey { client_id, client_secret: Secret::new(client_secret) });
    // The writes of the last life hold the folder until they are through.
    let journal = loop {
        match FileJournal::open(&folder.join("state"), &KeyRing::empty()) {
            Ok(journal) => break journal,
            Err(_) => std::thread::yield_now(),
        }
    };
    let runner = Runner::builder(Client::new(config).expect("a client"), runner_uuid)
        .executor(PipelineExecutor(platform.clone()))
        .working_dir(folder.join("work"))
        .journal(journal)
        .idle_poll(Duration::from_millis(20))
        .max_concurrent_runs(8)
        .build()
        .expect("a runner");
    let _ = runtime.block_on(async { tokio::time::timeout(life, runner.run(&Shutdown::new())).await });
    drop(runner);
    runtime.shutdown_background();
}

/// Faults that strike now and then.
fn trouble(meshstack: &LocalMeshStack, random: &mut StdRng) {
    meshstack.clear_faults();
    for operation in [Operation::Register, Operation::Patch, Operation::Patch, Operation::Login] {
        let effect = match random.random_range(0..8) {
            0 => Effect::status(500),
            1 => Effect::status(503),
            2 => Effect::CutBefore,
            3 | 4 => Effect::CutAfter,
            5 => Effect::Html,
            6 => Effect::BrokenJson,
            _ => Effect::Delay(Duration::from_millis(random.random_range(1..30))),
        };
        meshstack.fault(Fault::on(operation, effect).skip(random.random_range(0..12)).times(random.random_range(1..3)));
    }
}

fn survive(seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let world = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let folder = tempfile::tempdir().expect("a folder");
    let platform = Platform::default();
    let (meshstack, runner_uuid, orders) = world.block_on(async {
        let meshstack = LocalMeshStack::start().await.expect("a meshStack");
        let runner_uuid = meshstack.register_runner(RunnerSpec::new("ALL")).await;
        let mut orders = Vec::new();
        for number in 0..RUNS {
            let end = ["succeed", "fail", "panic", "succeed"][number % 4];
            let order = Order::new(json!({ "type": TYPE })).input("end", end, "STRING");
            orders.push((meshstack.order(&runner_uuid, order).await, end));
        }
        (meshstack, runner_uuid, orders)
    });
    let open = |meshstack: &LocalMeshStack| {
        world.block_on(async {
            let mut open = Vec::new();
            for (run, _) in &orders {
                if !meshstack.run(run).await.is_some_and(|view| view.status.is_final()) {
                    open.push(run.clone());
                }
            }
            open
        })
    };
    for life in 0.. {
        let left = open(&meshstack);
        if left.is_empty() {
            break;
        }
        assert!(life < 400, "seed {seed}: {} runs have no end after {life} lives", left.len());
        // A run that was claimed by a life that died before it could be noted comes again, as it
        // does after three hours; sometimes one comes again that is in hand.
        if life % 10 == 9 {
            world.block_on(async {
                for run in &left {
                    meshstack.redeliver(run).await;
                }
            });
        }
        trouble(&meshstack, &mut random);
        live(&meshstack, &runner_uuid, folder.path(), &platform, Duration::from_millis(random.random_range(5..400)));
    }
    meshstack.clear_faults();
    for (run, end) in &orders {
        let view = world.block_on(meshstack.run(run)).expect("the run");
        assert_truthful(&view, end, &platform);
    }
    assert_eq!(meshstack.violations(), Vec::<String>::new(), "seed {seed}");
}

/// `BB_CRASH_SEEDS` runs as many, for a night of it.
#[test]
fn every_run_has_one_truthful_end_however_often_the_runner_dies() {
    let seeds = std::env::var("BB_CRASH_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(2);
    for seed in 0..seeds {
        survive(seed);
    }
}
