//! Aborts, before, while and after a pipeline is started.

use std::time::Duration;

use executor_azdo::AzdoSettings;
use meshstack_local::Options;
use serde_json::json;
use tokio::task::JoinSet;

use crate::fake::Effect;
use crate::fake::azure::Pipeline;
use crate::world::{TRIGGER, World, log, message, quick, stage_step};

async fn followed() -> (World, String, crate::world::Life) {
    let world = World::with(Pipeline::taking(&[])).await;
    world.fake.azure(|azure| azure.hold_new_at = Some(1));
    let run = world.place(world.order(|_| {})).await;
    let life = world.live(quick());
    world.fake.until("it is followed", |fake| fake.seen("get_run").len() > 2).await;
    (world, run, life)
}

#[tokio::test]
async fn an_abort_cancels_the_pipeline_and_waits_until_it_has_stopped() {
    let (world, run, _life) = followed().await;
    world.fake.azure(|azure| azure.cancelling_takes = 3);
    world.meshstack.abort(&run).await;
    world.fake.until("the pipeline has stopped", |fake| fake.only_run().now().result == Some("canceled")).await;
    assert_eq!(world.fake.only_run().cancelled, 1);
    let body = world.fake.seen("update_build")[0].body.clone();
    assert_eq!(body, Some(json!({ "status": "cancelling" })));
    let ended = world.ended(&run).await;
    assert_eq!((ended.status.word(), ended.ended_count), ("ABORTED", 0));
}

#[tokio::test]
async fn a_cancellation_is_tried_again_where_the_platform_stumbles() {
    // Side by side: an abort is heard within ten seconds.
    let mut cases = JoinSet::new();
    for effect in [Effect::status(500), Effect::CutBefore, Effect::status(429)] {
        cases.spawn(async move {
            let (world, run, _life) = followed().await;
            world.fake.fault("update_build", 0, 2, effect.clone());
            world.meshstack.abort(&run).await;
            world.fake.until("the pipeline has stopped", |fake| fake.only_run().now().result == Some("canceled")).await;
            assert_eq!(world.fake.only_run().cancelled, 1, "{effect:?}");
        });
    }
    cases.join_all().await;
}

#[tokio::test]
async fn a_pipeline_that_has_ended_meanwhile_is_no_error_and_a_token_that_may_not_cancel_is_not_asked_twice() {
    let (world, run, _life) = followed().await;
    // It ends at the very moment of the abort.
    world.fake.azure(|azure| azure.runs[0].held_at = Some(2));
    world.meshstack.abort(&run).await;
    world.until(&run, "it is aborted", |run| run.status == "ABORTED").await;

    let (world, run, _life) = followed().await;
    world.fake.azure(|azure| azure.read_only = true);
    world.meshstack.abort(&run).await;
    world.fake.until("it was asked", |fake| !fake.seen("update_build").is_empty()).await;
    world.fake.until_quiet().await;
    assert_eq!((world.fake.only_run().cancelled, world.fake.seen("update_build").len()), (0, 1));
}

#[tokio::test]
async fn a_pipeline_that_is_being_started_while_the_run_is_aborted_is_cancelled() {
    for asynchronous in [false, true] {
        let world = World::with(Pipeline::taking(&[])).await;
        world.fake.azure(|azure| azure.hold_new_at = Some(1));
        world.fake.slow("run_pipeline");
        let run = world.place(world.order(|i| i["async"] = json!(asynchronous))).await;
        // Whether the abort is heard before or after the hand-over: it is heard.
        let _life = world.live(AzdoSettings { watch_handed_over: true, ..quick() });
        world.fake.until("it is being started", |fake| !fake.seen("run_pipeline").is_empty()).await;
        world.meshstack.abort(&run).await;
        // The runner learns of the abort with its registration, while the start is still under way.
        world.asked(&run, "the runner has asked", |run| run.registers > 0).await;
        world.fake.go_on();
        world
            .fake
            .until("the pipeline is cancelled", |fake| fake.runs().first().is_some_and(|run| run.cancelled == 1))
            .await;
    }
}

#[tokio::test]
async fn a_run_that_somebody_else_has_ended_does_not_stop_the_pipeline() {
    let (world, run, _life) = followed().await;
    // As the pipeline itself does, as a source of its own.
    world.end_as_pipeline(&run).await;
    world.asked(&run, "the runner knows", |run| run.patches_after_end > 0).await;
    world.fake.until_quiet().await;
    assert_eq!((world.fake.only_run().cancelled, world.fake.seen("update_build").len()), (0, 0));
}

#[tokio::test]
async fn before_the_run_token_ends_the_run_fails_and_says_where_the_pipeline_goes_on() {
    // A run is stopped a minute before its token ends.
    let options = Options { run_token_lifetime: Duration::from_secs(63), ..Options::default() };
    let world = World::with_options(Pipeline::taking(&[]), options).await;
    world.fake.azure(|azure| azure.hold_new_at = Some(1));
    let ended = world.run().await;
    assert_eq!((ended.status.word(), world.fake.only_run().cancelled), ("FAILED", 0));
    assert!(log(&ended, TRIGGER).contains("may still be running: http"), "{}", log(&ended, TRIGGER));
    assert!(message(&ended, &stage_step(1)).contains("not followed any longer"), "{:?}", ended.steps);
}

#[tokio::test]
async fn a_stop_gives_up_within_its_grace() {
    let world = World::with(Pipeline::taking(&[])).await;
    world.fake.azure(|azure| (azure.hold_new_at, azure.cancelling_takes) = (Some(1), 1000));
    let run = world.place(world.order(|_| {})).await;
    let _life = world.live(AzdoSettings { stop_grace: Duration::from_millis(500), ..quick() });
    world.fake.until("it is followed", |fake| fake.seen("get_run").len() > 2).await;
    world.meshstack.abort(&run).await;
    world.fake.until("it was told to stop", |fake| fake.only_run().cancelled == 1).await;
    world.fake.until_quiet().await;
}
