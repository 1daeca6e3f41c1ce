//! The runner is killed at every request, before and after it had its effect: a pipeline is started at most once, and the
//! run gets one truthful end.

use std::time::{Duration, Instant};

use executor_azdo::AzdoSettings;
use serde_json::json;

use crate::fake::Effect;
use crate::fake::azure::Pipeline;
use crate::fake::moments::{Moment, stage};
use crate::world::{TRIGGER, World, message, quick};

fn pipeline() -> Pipeline {
    let life = vec![
        Moment::queued(),
        Moment::running(vec![stage(1, "S", "inProgress", None)]),
        Moment::ended("succeeded", vec![stage(1, "S", "completed", Some("succeeded"))]),
    ];
    Pipeline { settable: Vec::new(), ..Pipeline::taking(&["MESHSTACK_SELF_URL"]).living(life) }
}

/// Kills the runner at the request after `skip` others. Whether there was one.
async fn killed_at(skip: u64, effect: &Effect, named: bool) -> bool {
    let world = World::with(pipeline()).await;
    world.fake.fault_any(skip, effect.clone());
    let value = if named { "filled in" } else { "https://no.example" };
    let order = world.order(|_| {}).input("MESHSTACK_SELF_URL", value, "STRING").environment_input("X", "1", "STRING");
    let run = world.place(order).await;
    let first = world.live(quick());
    let struck = |fake: &crate::fake::Fake| fake.faults_left() == 0;
    let done = async { world.until(&run, "the run has ended", |run| run.status.is_final()).await };
    let was_struck = tokio::select! {
        biased;
        () = world.fake.until("the request comes", struck) => true,
        _ = done => false,
    };
    let struck_at = world.fake.last();
    first.kill();
    // What is there is found at the first look; what is not there is not worth a long search.
    let _second = world.live(AzdoSettings { patience: Duration::from_millis(200), ..quick() });
    let ended = world.ended(&run).await;
    let at = format!("request {skip}, {struck_at:?}, {effect:?}, named: {named}");
    assert_eq!(ended.ended_count, 1, "{at}");
    let runs = world.fake.runs().len();
    assert!(runs <= 1, "{at}: {runs} runs were started");
    let cut_off = was_struck && struck_at == Some("run_pipeline");
    if cut_off && !(named && runs == 1) {
        // The start itself was cut off, and nothing proves that a run is ours.
        assert_eq!(ended.status, "FAILED", "{at}");
        assert!(message(&ended, TRIGGER).contains("may have been started"), "{at}: {}", message(&ended, TRIGGER));
    } else {
        assert_eq!((ended.status.word(), runs), ("SUCCEEDED", 1), "{at}: {:?}", ended.steps);
        assert!(!ended.has_warning(), "{at}: {:?}", ended.steps);
    }
    was_struck
}

#[tokio::test]
async fn a_runner_that_is_killed_at_any_request_starts_a_pipeline_once_and_tells_the_truth() {
    for effect in [Effect::HangBefore, Effect::HangAfter] {
        for named in [true, false] {
            let mut skip = 0;
            while killed_at(skip, &effect, named).await {
                skip += 1;
            }
            assert!(skip >= 6, "only {skip} requests");
        }
    }
}

#[tokio::test]
async fn a_run_that_was_handed_over_before_a_kill_is_not_started_again() {
    let world = World::with(Pipeline::taking(&[])).await;
    let run = world.place(world.order(|i| i["async"] = json!(true))).await;
    let first = world.live(quick());
    let handed_over = |run: &meshstack_local::RunView| run.step(TRIGGER).is_some_and(|step| step.status == "SUCCEEDED");
    world.until(&run, "it is handed over", handed_over).await;
    first.kill();
    let second = world.live(quick());
    let other = world.place(world.order(|i| i["async"] = json!(true))).await;
    world.until(&other, "the next one is handed over", handed_over).await;
    drop(second);
    assert_eq!(world.fake.runs().len(), 2);
}

#[tokio::test]
async fn the_limit_counts_from_the_start_also_over_a_restart_but_an_end_in_between_is_seen() {
    for (ends, expected) in [(true, "SUCCEEDED"), (false, "FAILED")] {
        let world = World::with(Pipeline::taking(&[])).await;
        world.fake.azure(|azure| azure.hold_new_at = Some(1));
        let run = world.place(world.order(|_| {})).await;
        let first = world.live(quick());
        world.fake.until("it is followed", |fake| fake.seen("get_run").len() > 1).await;
        first.kill();
        if ends {
            world.fake.azure(|azure| azure.runs[0].held_at = None);
        }
        // For the next life the limit has passed.
        let _second = world.live(AzdoSettings { pipeline_timeout: Duration::ZERO, ..quick() });
        let ended = world.ended(&run).await;
        assert_eq!(ended.status, expected, "{:?}", ended.steps);
    }
}

#[tokio::test]
async fn a_start_that_was_put_off_is_made_after_a_restart_and_not_too_early() {
    let wait = Duration::from_secs(20);
    let world = World::with(pipeline()).await;
    let slow = Effect::Answer(429, vec![("retry-after", wait.as_secs().to_string())], String::new());
    world.fake.fault("run_pipeline", 0, 1, slow);
    let run = world.place(world.order(|_| {}).input("MESHSTACK_SELF_URL", "https://no.example", "STRING")).await;
    let begin = Instant::now();
    let first = world.live(quick());
    world.fake.until("it is put off", |fake| fake.faults_left() == 0).await;
    // What is said of it comes after it was noted.
    let told = |run: &meshstack_local::RunView| {
        let step = run.step(TRIGGER);
        step.and_then(|step| step.system_message.as_ref()).is_some_and(|log| log.contains("tried again"))
    };
    world.until(&run, "it is told", told).await;
    first.kill();
    assert_eq!(world.fake.seen("run_pipeline").len(), 1, "the restart comes too late to show anything");
    let _second = world.live(quick());
    world.fake.until("it is asked again", |fake| fake.seen("run_pipeline").len() == 2).await;
    assert!(begin.elapsed() >= wait, "{:?}", begin.elapsed());
    let ended = world.ended(&run).await;
    assert_eq!((ended.status.word(), world.fake.runs().len()), ("SUCCEEDED", 1), "{:?}", ended.steps);
}
