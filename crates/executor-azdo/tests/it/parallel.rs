//! Many runs at once.

use crate::fake::azure::Pipeline;
use crate::fake::moments::{Moment, stage};
use crate::world::{TRIGGER, World, message, quick, status};

#[tokio::test]
async fn fifty_runs_at_once_each_get_the_end_of_their_own_pipeline() {
    let life = vec![
        Moment::queued(),
        Moment::running(vec![stage(1, "S", "inProgress", None)]),
        Moment::ended("succeeded", vec![stage(1, "S", "completed", Some("succeeded"))]),
    ];
    let world = World::with(Pipeline::taking(&["number"]).living(life)).await;
    world.fake.azure(|azure| azure.hold_new_at = Some(1));
    let mut runs = Vec::new();
    for number in 0..50 {
        runs.push(world.place(world.order(|_| {}).input("number", number.to_string(), "STRING")).await);
    }
    let _life = world.live(quick());
    world.fake.until("all are under way", |fake| fake.runs().len() == 50).await;
    // Every third one fails.
    world.fake.azure(|azure| {
        for run in &mut azure.runs {
            if run.parameters["number"].parse::<u64>().is_ok_and(|number| number % 3 == 0) {
                run.end_with("failed");
            }
            run.held_at = None;
        }
    });
    for (number, run) in runs.iter().enumerate() {
        let ended = world.ended(run).await;
        let expected = if number % 3 == 0 { "FAILED" } else { "SUCCEEDED" };
        assert_eq!((ended.status.word(), status(&ended, TRIGGER).as_str()), (expected, expected), "{number}");
        let own =
            world.fake.runs().into_iter().find(|run| run.parameters["number"] == number.to_string()).expect("its run");
        assert!(message(&ended, TRIGGER).contains(&format!("buildId={}", own.id)), "{}", message(&ended, TRIGGER));
    }
    assert_eq!(world.fake.runs().len(), 50);
}
