//! Many runs at once.

use crate::fake::{Fault, Scope};
use crate::world::{World, linked, message, told};

const RUNS: usize = 50;

#[tokio::test]
async fn fifty_runs_at_once_get_their_own_pipeline_and_link_also_at_a_rate_limit() {
    let world = World::watching(Scope::ReadApi, true).await;
    world.fake.with(|gitlab| gitlab.limit = Some((25, 25)));
    // The answers to some are lost.
    for _ in 0..5 {
        world.fake.fault("trigger", Fault::CutAfter);
    }
    let mut runs = Vec::new();
    for number in 0..RUNS {
        runs.push(world.place(world.order().input("number", number, "INTEGER")).await);
    }
    for run in &runs {
        let view = world.handed_over(run).await;
        let pipelines = world.fake.pipelines();
        let own: Vec<_> = pipelines.iter().filter(|pipeline| pipeline.run() == *run).collect();
        assert_eq!(own.len(), 1, "{run}");
        let link = format!("/platform/blocks/-/pipelines/{}", own[0].id);
        assert!(message(&view).ends_with(&link), "{}", told(&view));
        linked(&view, own[0].id);
    }
    assert_eq!(world.fake.pipelines().len(), RUNS);
    // Those 25 that were refused were certainly not accepted.
    assert_eq!(world.fake.seen("trigger").len(), RUNS + 25);

    // Half of them die without a word, and it is said of these.
    world.fake.with(|gitlab| {
        for (number, pipeline) in gitlab.pipelines.iter_mut().enumerate() {
            pipeline.course = [if number % 2 == 0 { "failed" } else { "success" }].into();
        }
    });
    for pipeline in world.fake.pipelines().iter().step_by(2) {
        let view = world.failed(&pipeline.run()).await;
        assert!(message(&view).contains(&format!("/-/pipelines/{}", pipeline.id)), "{}", told(&view));
    }
    world.idle().await;
    for pipeline in world.fake.pipelines().iter().skip(1).step_by(2) {
        let view = world.meshstack.run(&pipeline.run()).await.expect("the run");
        assert_eq!(view.status, "IN_PROGRESS", "a pipeline that ended well reports itself");
    }
}
