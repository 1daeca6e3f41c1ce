//! Pipelines that report for themselves, watched after they were handed over.

use std::time::Duration;

use executor_azdo::AzdoSettings;
use serde_json::json;

use crate::fake::Effect;
use crate::fake::azure::Pipeline;
use crate::fake::moments::{Moment, approval, failed_stage, stage};
use crate::world::{TRIGGER, World, message, quick, status};

fn watching() -> AzdoSettings {
    AzdoSettings { watch_handed_over: true, ..quick() }
}

/// Orders a run that is handed over; its pipeline is held at its second moment.
async fn handed_over(life: Vec<Moment>) -> (World, String) {
    let world = World::with(Pipeline::taking(&[]).living(life)).await;
    world.fake.azure(|azure| azure.hold_new_at = Some(0));
    let run = world.place(world.order(|i| i["async"] = json!(true))).await;
    (world, run)
}

async fn watched(world: &World) {
    world.fake.until("it is watched", |fake| fake.seen("get_run").len() > 2).await;
}

#[tokio::test]
async fn a_pipeline_that_dies_without_a_word_fails_the_run_with_what_failed_and_where() {
    for (last, said) in [
        (Moment::ended("failed", failed_stage(1, "Deploy", 9)), "task \"Terraform apply\" of job \"Deploy\""),
        (Moment::ended("canceled", Vec::new()), "was cancelled"),
    ] {
        let (world, run) = handed_over(vec![Moment::queued(), last]).await;
        let first = world.live(watching());
        watched(&world).await;
        // Also after a restart.
        first.kill();
        let _second = world.live(watching());
        world.fake.azure(|azure| azure.runs[0].held_at = None);
        let ended = world.ended(&run).await;
        assert_eq!((ended.status.word(), status(&ended, TRIGGER).as_str()), ("FAILED", "FAILED"));
        let message = message(&ended, TRIGGER);
        assert!(
            message.contains(said) && message.contains("buildId=") && message.contains("had not reported"),
            "{message}"
        );
        assert_eq!(world.fake.runs().len(), 1);
    }
}

#[tokio::test]
async fn a_pipeline_that_waits_for_an_approval_or_ends_well_is_left_alone() {
    let life = vec![
        Moment::running(approval(1, "Production")),
        Moment::ended("succeeded", vec![stage(1, "Production", "completed", Some("succeeded"))]),
    ];
    let (world, run) = handed_over(life).await;
    let _life = world.live(watching());
    world.fake.until("it was watched for a while", |fake| fake.seen("get_run").len() > 20).await;
    world.fake.azure(|azure| azure.runs[0].held_at = None);
    world.fake.until_quiet().await;
    let view = world.meshstack.run(&run).await.expect("the run");
    assert_eq!((view.status.word(), status(&view, TRIGGER).as_str()), ("IN_PROGRESS", "SUCCEEDED"));
}

#[tokio::test]
async fn what_a_pipeline_has_reported_itself_stands() {
    let (world, run) = handed_over(vec![Moment::queued(), Moment::ended("failed", Vec::new())]).await;
    let _life = world.live(watching());
    watched(&world).await;
    world.end_as_pipeline(&run).await;
    world.fake.azure(|azure| azure.runs[0].held_at = None);
    world.fake.until_quiet().await;
    let view = world.ended(&run).await;
    assert_eq!((view.status.word(), view.ended_count), ("SUCCEEDED", 1));
}

#[tokio::test]
async fn an_abort_cancels_a_pipeline_that_is_watched() {
    let (world, run) = handed_over(vec![Moment::queued()]).await;
    let _life = world.live(watching());
    watched(&world).await;
    world.meshstack.abort(&run).await;
    // meshStack is asked every 15 seconds.
    world.fake.until("the pipeline is cancelled", |fake| fake.only_run().cancelled == 1).await;
    assert_eq!(world.meshstack.run(&run).await.expect("the run").status, "ABORTED");
}

#[tokio::test]
async fn trouble_while_watching_is_waited_out_and_a_lost_token_is_no_death() {
    let (world, run) = handed_over(vec![Moment::queued(), Moment::ended("failed", Vec::new())]).await;
    for effect in [Effect::status(500), Effect::CutBefore, Effect::page(200), Effect::status(429), Effect::page(203)] {
        world.fake.fault("get_run", 0, 1, effect);
    }
    let first = world.live(watching());
    world.fake.until("the trouble is over", |fake| fake.faults_left() == 0 && fake.seen("get_run").len() > 8).await;
    first.kill();
    world.fake.revoke(Effect::page(203));
    let _second = world.live(AzdoSettings { patience: Duration::from_millis(50), ..watching() });
    let before = world.fake.seen("get_run").len();
    world.fake.until("it was tried", |fake| fake.seen("get_run").len() > before).await;
    world.fake.until_quiet().await;
    assert_eq!(world.meshstack.run(&run).await.expect("the run").status, "IN_PROGRESS");
}

#[tokio::test]
async fn a_watched_run_that_is_deleted_in_azure_devops_fails_ours() {
    let (world, run) = handed_over(vec![Moment::queued()]).await;
    let _life = world.live(AzdoSettings { patience: Duration::from_millis(50), ..watching() });
    watched(&world).await;
    world.fake.azure(|azure| azure.runs[0].deleted = true);
    let ended = world.ended(&run).await;
    assert!(message(&ended, TRIGGER).contains("was deleted in Azure DevOps"), "{}", message(&ended, TRIGGER));
}

#[tokio::test]
async fn an_end_that_build_does_not_know_of_yet_is_no_death() {
    let unsettled = Moment { state: "completed", ..Moment::running(vec![stage(1, "S", "inProgress", None)]) };
    let (world, run) = handed_over(vec![Moment::queued(), unsettled, Moment::ended("succeeded", Vec::new())]).await;
    let _life = world.live(watching());
    watched(&world).await;
    world.fake.azure(|azure| azure.runs[0].held_at = Some(1));
    world.fake.until("build was asked", |fake| fake.seen("get_build").len() > 3).await;
    world.fake.azure(|azure| azure.runs[0].held_at = None);
    world.fake.until_quiet().await;
    assert_eq!(world.meshstack.run(&run).await.expect("the run").status, "IN_PROGRESS");
}

#[tokio::test]
async fn a_good_answer_to_the_start_that_asks_to_slow_down_puts_the_watch_off() {
    let (world, _run) = handed_over(vec![Moment::queued()]).await;
    world.fake.fault("run_pipeline", 0, 1, Effect::Header("retry-after", "2"));
    let begin = std::time::Instant::now();
    let _life = world.live(watching());
    world.fake.until("it is looked at", |fake| !fake.seen("get_run").is_empty()).await;
    assert!(begin.elapsed() >= Duration::from_secs(2), "{:?}", begin.elapsed());
}
