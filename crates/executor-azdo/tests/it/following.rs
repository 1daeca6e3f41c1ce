//! Following a pipeline: its stages as steps, and how it ends.

use std::time::Duration;

use executor_azdo::AzdoSettings;
use serde_json::json;

use crate::fake::Effect;
use crate::fake::azure::Pipeline;
use crate::fake::moments::{Moment, approval, failed_stage, record, stage};
use crate::world::{TRIGGER, World, log, message, quick, stage_step, status};

fn pipeline(life: Vec<Moment>) -> Pipeline {
    Pipeline::taking(&[]).living(life)
}

#[tokio::test]
async fn stages_are_steps_in_their_order_and_go_forward() {
    let records = |first: (&str, Option<&str>), second: (&str, Option<&str>)| {
        // Unsorted, with records that are no stages, and with nulls.
        let mut nameless = stage(3, "x", "completed", Some("skipped"));
        nameless["name"] = json!("");
        let mut lock = record("Checkpoint", 7, Some(2), "Checkpoint", "completed", Some("succeeded"));
        lock["order"] = json!(null);
        vec![stage(2, "Test", second.0, second.1), lock, nameless, stage(1, "Build", first.0, first.1)]
    };
    let life = vec![
        Moment::queued(),
        Moment::running(records(("pending", None), ("pending", None))),
        Moment::running(records(("inProgress", None), ("pending", None))),
        Moment::running(records(("completed", Some("succeededWithIssues")), ("inProgress", None))),
        Moment::ended(
            "succeeded",
            records(("completed", Some("succeededWithIssues")), ("completed", Some("succeeded"))),
        ),
    ];
    let world = World::with(pipeline(life)).await;
    let ended = world.run().await;
    assert_eq!(ended.status, "SUCCEEDED", "{:?}", ended.steps);
    let steps: Vec<_> =
        ended.steps.iter().map(|step| (step.id.clone(), step.display_name.as_str(), step.status.word())).collect();
    let expected = [
        (TRIGGER.to_owned(), "Trigger Azure DevOps Pipeline", "SUCCEEDED"),
        (stage_step(1), "Stage: Build", "SUCCEEDED"),
        (stage_step(2), "Stage: Test", "SUCCEEDED"),
        (stage_step(3), "Unknown Stage", "SUCCEEDED"),
    ];
    assert_eq!(steps, expected);
    assert!(message(&ended, &stage_step(1)).contains("with warnings"), "{:?}", ended.steps);
    assert_eq!(message(&ended, &stage_step(3)), "Skipped.");
}

#[tokio::test]
async fn every_state_and_result_of_a_run_comes_to_its_end() {
    let with = |state, result, build_status, build_result| Moment {
        state,
        result,
        build_status,
        build_result,
        records: Some(vec![stage(1, "S", "completed", Some("succeeded"))]),
    };
    let cases = [
        (with("completed", Some("succeeded"), "completed", Some("succeeded")), "SUCCEEDED", "succeeded"),
        (with("completed", Some("failed"), "completed", Some("failed")), "FAILED", "The pipeline failed"),
        (with("completed", Some("canceled"), "completed", Some("canceled")), "FAILED", "was cancelled"),
        (with("completed", Some("unknown"), "completed", Some("partiallySucceeded")), "SUCCEEDED", "in part"),
        (with("completed", Some("unknown"), "completed", Some("succeeded")), "SUCCEEDED", "succeeded"),
        (with("completed", Some("unknown"), "completed", Some("failed")), "FAILED", "The pipeline failed"),
        (with("completed", Some("unknown"), "completed", Some("canceled")), "FAILED", "was cancelled"),
        (with("completed", Some("unknown"), "completed", Some("none")), "FAILED", "does not say how"),
        (with("completed", None, "completed", None), "FAILED", "does not say how"),
        (with("completed", None, "completed", Some("partiallySucceeded")), "SUCCEEDED", "in part"),
        (with("unknown", Some("unknown"), "completed", Some("succeeded")), "SUCCEEDED", "succeeded"),
        (with("unknown", None, "completed", Some("failed")), "FAILED", "The pipeline failed"),
    ];
    for (last, expected, said) in cases {
        let middle =
            [("inProgress", "inProgress"), ("canceling", "cancelling"), ("unknown", "postponed"), ("unknown", "none")];
        let mut life: Vec<Moment> = middle.map(|(state, build)| with(state, None, build, None)).into();
        life.push(last.clone());
        let world = World::with(pipeline(life)).await;
        let ended = world.run().await;
        assert_eq!(ended.status, expected, "{last:?}");
        assert!(message(&ended, TRIGGER).contains(said), "{last:?}: {}", message(&ended, TRIGGER));
        assert!(message(&ended, TRIGGER).contains("buildId="), "{last:?}: {}", message(&ended, TRIGGER));
        assert_eq!(status(&ended, TRIGGER), expected, "{last:?}");
    }
}

#[tokio::test]
async fn words_that_are_new_are_in_progress_or_a_failure_and_never_an_error() {
    let world = World::with(pipeline(vec![
        Moment::queued(),
        Moment::ended("succeeded", vec![stage(1, "S", "completed", Some("succeeded"))]),
    ]))
    .await;
    let run =
        |state: &str, result: &str| json!({ "id": 5_000_000_001_u64, "state": state, "result": result, "new": [1] });
    world.fake.fault("get_run", 0, 2, Effect::Instead(run("dreaming", "")));
    world.fake.fault("timeline", 0, 2, Effect::Instead(json!({ "records": [
        { "id": "s", "type": "Stage", "name": "S", "state": "dreaming", "order": "first", "attempt": null, "issues": 3 },
        { "id": "t", "type": "Dream", "name": null, "state": null }, 7, null,
    ] })));
    world.fake.fault("get_run", 0, 1, Effect::Instead(run("completed", "dreamt")));
    let ended = world.run().await;
    assert_eq!(ended.status, "FAILED");
    assert!(message(&ended, TRIGGER).contains("The pipeline failed"), "{}", message(&ended, TRIGGER));
    assert_eq!(world.fake.faults_left(), 0);
}

#[tokio::test]
async fn every_result_of_a_stage_has_its_status_and_its_message() {
    let results = [
        ("succeeded", "SUCCEEDED", ""),
        ("succeededWithIssues", "SUCCEEDED", "warnings"),
        ("skipped", "SUCCEEDED", "Skipped"),
        ("failed", "FAILED", "failed"),
        ("canceled", "FAILED", "cancelled"),
        ("abandoned", "FAILED", "given up"),
    ];
    let stages = |last| {
        (1..)
            .zip(results)
            .take(last)
            .map(|(number, (result, ..))| stage(number, "S", "completed", Some(result)))
            .collect()
    };
    let world = World::with(pipeline(vec![Moment::running(stages(6)), Moment::ended("failed", stages(6))])).await;
    let ended = world.run().await;
    assert_eq!(ended.status, "FAILED");
    for (number, (result, expected, said)) in (1..).zip(results) {
        assert_eq!(status(&ended, &stage_step(number)), expected, "{result}");
        assert!(
            message(&ended, &stage_step(number)).contains(said),
            "{result}: {}",
            message(&ended, &stage_step(number))
        );
    }
}

#[tokio::test]
async fn a_failed_stage_names_its_job_and_task_and_shows_the_end_of_the_log() {
    let mut records = failed_stage(1, "Deploy", 9);
    records.push(stage(5, "After", "completed", Some("skipped")));
    let world = World::with(pipeline(vec![Moment::queued(), Moment::ended("failed", records)])).await;
    let lines: Vec<String> = (0..5000).map(|line| format!("2026-02-03T04:05:06.1234567Z line {line}\n")).collect();
    let lines = lines.concat();
    world.fake.azure(|azure| azure.logs.insert(9, format!("{lines}Error: no credentials pat-secret\n")));
    let ended = world.run().await;
    assert_eq!(message(&ended, &stage_step(1)), "The stage failed: task \"Terraform apply\" of job \"Deploy\".");
    assert!(
        message(&ended, TRIGGER).contains("Stage \"Deploy\": The stage failed: task \"Terraform apply\""),
        "{}",
        message(&ended, TRIGGER)
    );
    let log = log(&ended, &stage_step(1));
    assert!(
        log.contains("exit code 1") && log.contains("line 4999\n") && log.contains("Error: no credentials ***"),
        "{log}"
    );
    assert!(!log.contains("line 1\n") && log.len() < 20_000, "{}", log.len());
    // A line that was cut in the middle is not shown.
    let first =
        log.lines().skip_while(|line| !line.contains("The end of its log")).nth(1).unwrap_or_default().to_owned();
    assert!(first.starts_with("2026-"), "{first}");
    assert_eq!(status(&ended, &stage_step(5)), "SUCCEEDED");
}

#[tokio::test]
async fn a_log_that_cannot_be_read_costs_the_log_only() {
    let world = World::with(pipeline(vec![Moment::ended("failed", failed_stage(1, "Deploy", 9))])).await;
    let ended = world.run().await;
    assert_eq!(ended.status, "FAILED");
    assert!(log(&ended, &stage_step(1)).contains("Its log could not be read"), "{}", log(&ended, &stage_step(1)));
}

#[tokio::test]
async fn a_stage_that_is_run_again_is_not_failed_before_the_run_has_ended() {
    let again = |attempt: u64, state: &str, result: Option<&str>| {
        let mut stage = stage(1, "Deploy", state, result);
        stage["attempt"] = json!(attempt);
        stage["previousAttempts"] = json!([{ "attempt": 1, "timelineId": crate::fake::moments::id(8), "recordId": crate::fake::moments::id(1) }]);
        vec![stage]
    };
    let life = vec![
        Moment::running(failed_stage(1, "Deploy", 9)),
        Moment::running(again(2, "pending", None)),
        Moment::running(again(2, "inProgress", None)),
        Moment::ended("succeeded", again(2, "completed", Some("succeeded"))),
    ];
    let world = World::with(pipeline(life)).await;
    world.fake.azure(|azure| azure.hold_new_at = Some(0));
    let run = world.place(world.order(|_| {})).await;
    let _life = world.live(quick());
    let failed = |run: &meshstack_local::RunView| {
        run.step(&stage_step(1))
            .is_some_and(|step| step.user_message.as_deref().is_some_and(|message| message.contains("failed")))
    };
    let view = world.until(&run, "the stage has failed", failed).await;
    assert_eq!(status(&view, &stage_step(1)), "IN_PROGRESS");
    assert!(message(&view, &stage_step(1)).contains("may be run again"), "{}", message(&view, &stage_step(1)));
    world.fake.azure(|azure| azure.runs[0].held_at = None);
    let ended = world.ended(&run).await;
    assert_eq!((ended.status.word(), status(&ended, &stage_step(1)).as_str()), ("SUCCEEDED", "SUCCEEDED"));
    assert_eq!(message(&ended, &stage_step(1)), "", "the message of the first attempt is taken back");
    assert!(log(&ended, &stage_step(1)).contains("Attempt 2: Completed: succeeded"), "{}", log(&ended, &stage_step(1)));
}

#[tokio::test]
async fn an_approval_is_waited_for_and_said_and_is_no_error() {
    let life = vec![
        Moment::running(approval(1, "Production")),
        Moment::running(vec![stage(1, "Production", "inProgress", None)]),
        Moment::ended("succeeded", vec![stage(1, "Production", "completed", Some("succeeded"))]),
    ];
    let world = World::with(pipeline(life)).await;
    world.fake.azure(|azure| azure.hold_new_at = Some(0));
    let run = world.place(world.order(|_| {})).await;
    let _life = world.live(quick());
    let waits = |step: &str| {
        let step = step.to_owned();
        move |run: &meshstack_local::RunView| {
            let message = run.step(&step).and_then(|step| step.user_message.clone()).unwrap_or_default().to_lowercase();
            message.contains("for approval of stage \"production\"")
        }
    };
    let view = world.until(&run, "the stage says what it waits for", waits(&stage_step(1))).await;
    assert_eq!((view.status.word(), status(&view, &stage_step(1)).as_str()), ("IN_PROGRESS", "IN_PROGRESS"));
    world.until(&run, "the run says it too", waits(TRIGGER)).await;
    world.fake.azure(|azure| azure.runs[0].held_at = None);
    let ended = world.ended(&run).await;
    assert_eq!((ended.status.word(), message(&ended, &stage_step(1)).as_str()), ("SUCCEEDED", ""));
}

#[tokio::test]
async fn an_approval_that_is_refused_ends_the_run_with_that_reason() {
    let mut records = approval(1, "Production");
    for record in &mut records {
        (record["state"], record["result"]) = (json!("completed"), json!("failed"));
    }
    let world =
        World::with(pipeline(vec![Moment::running(approval(1, "Production")), Moment::ended("failed", records)])).await;
    let ended = world.run().await;
    assert_eq!(ended.status, "FAILED");
    assert!(message(&ended, &stage_step(1)).contains("was not approved"), "{}", message(&ended, &stage_step(1)));
}

#[tokio::test]
async fn the_timeline_failing_costs_the_stages_and_nothing_else() {
    for effect in [Effect::status(500), Effect::CutBefore, Effect::page(200), Effect::Instead(json!("no object"))] {
        let world = World::with(Pipeline::taking(&[])).await;
        world.fake.fault("timeline", 0, 1_000_000, effect.clone());
        let ended = world.run().await;
        assert_eq!(ended.status, "SUCCEEDED", "{effect:?}");
        assert_eq!(ended.steps.len(), 1, "{effect:?}: {:?}", ended.steps);
        assert!(!ended.has_warning(), "{effect:?}: {:?}", ended.steps);
    }
}

#[tokio::test]
async fn stages_whose_end_is_not_known_end_with_the_run() {
    for (result, expected) in [("succeeded", "SUCCEEDED"), ("failed", "FAILED")] {
        let records = vec![stage(1, "A", "inProgress", None), stage(2, "B", "pending", None)];
        let world = World::with(pipeline(vec![Moment::running(records.clone()), Moment::ended(result, records)])).await;
        let ended = world.run().await;
        assert_eq!(ended.status, expected);
        for number in [1, 2] {
            assert_eq!(status(&ended, &stage_step(number)), expected);
            assert!(message(&ended, &stage_step(number)).contains("does not say how"), "{:?}", ended.steps);
        }
    }
}

#[tokio::test]
async fn five_hundred_records_are_shown_as_their_stages() {
    let records = |state: &'static str, result: Option<&'static str>| {
        let mut records = Vec::new();
        for number in 0..20_u64 {
            let base = number * 100 + 1;
            records.push(stage(base, &format!("S{number}"), state, result));
            records.push(record("Phase", base + 1, Some(base), "P", state, result));
            records.push(record("Job", base + 2, Some(base + 1), "J", state, result));
            records.extend((0..22).map(|task| record("Task", base + 3 + task, Some(base + 2), "T", state, result)));
        }
        records.reverse();
        assert_eq!(records.len(), 500);
        records
    };
    let life = vec![
        Moment::running(records("inProgress", None)),
        Moment::ended("succeeded", records("completed", Some("succeeded"))),
    ];
    let world = World::with(pipeline(life)).await;
    let ended = world.run().await;
    assert_eq!((ended.status.word(), ended.steps.len()), ("SUCCEEDED", 21));
    let names: Vec<String> = ended.steps.iter().skip(1).map(|step| step.display_name.clone()).collect();
    assert_eq!(names, (0..20).map(|number| format!("Stage: S{number}")).collect::<Vec<_>>());
    assert!(!ended.has_warning());
}

#[tokio::test]
async fn trouble_while_following_is_waited_out() {
    let slow = |status| Effect::Answer(status, vec![("retry-after", "0".to_owned())], String::new());
    for effect in [
        Effect::status(500),
        Effect::status(503),
        Effect::status(404),
        Effect::status(401),
        slow(429),
        Effect::CutBefore,
        Effect::CutAfter,
        Effect::page(200),
        Effect::page(203),
        Effect::Instead(json!([])),
        Effect::Header("retry-after", "0"),
        Effect::Header("x-ratelimit-delay", "0.001"),
    ] {
        let world = World::with(Pipeline::taking(&[])).await;
        world.fake.fault("get_run", 1, 2, effect.clone());
        let ended = world.run().await;
        assert_eq!(ended.status, "SUCCEEDED", "{effect:?}: {:?}", ended.steps);
        assert_eq!(world.fake.faults_left(), 0, "{effect:?}");
    }
}

#[tokio::test]
async fn a_run_that_shows_up_late_is_waited_for() {
    let world = World::with(Pipeline::taking(&[])).await;
    world.fake.azure(|azure| azure.hide_new_for = 3);
    assert_eq!(world.run().await.status, "SUCCEEDED");
}

#[tokio::test]
async fn a_token_that_is_refused_for_good_ends_the_run_and_says_where_the_pipeline_is() {
    for refusal in [
        Effect::page(203),
        Effect::status(401),
        Effect::Answer(
            302,
            vec![("location", "https://spsprodeus27.vssps.visualstudio.com/_signin?realm=x".to_owned())],
            String::new(),
        ),
        Effect::says(403, "TF400813: The user 'aaaa' is not authorized to access this resource."),
    ] {
        let world = World::with(Pipeline::taking(&[])).await;
        world.fake.azure(|azure| azure.hold_new_at = Some(0));
        let run = world.place(world.order(|_| {})).await;
        let settings = AzdoSettings { patience: Duration::from_millis(50), ..quick() };
        let _life = world.live(settings);
        world.fake.until("it is followed", |fake| fake.seen("get_run").len() > 1).await;
        world.fake.revoke(refusal.clone());
        let ended = world.ended(&run).await;
        assert_eq!(ended.status, "FAILED");
        let message = message(&ended, TRIGGER);
        assert!(message.contains("may still be running") && message.contains("buildId="), "{refusal:?}: {message}");
        assert!(message.contains("personal access token") && message.contains("expired"), "{refusal:?}: {message}");
    }
}

#[tokio::test]
async fn a_run_that_was_deleted_ends_ours() {
    let world = World::with(Pipeline::taking(&[])).await;
    world.fake.azure(|azure| azure.hold_new_at = Some(0));
    let run = world.place(world.order(|_| {})).await;
    let _life = world.live(AzdoSettings { patience: Duration::from_millis(50), ..quick() });
    world.fake.until("it is followed", |fake| fake.seen("get_run").len() > 1).await;
    world.fake.azure(|azure| azure.runs[0].deleted = true);
    let ended = world.ended(&run).await;
    assert!(message(&ended, TRIGGER).contains("does not find the run any more"), "{}", message(&ended, TRIGGER));
}

#[tokio::test]
async fn the_limit_ends_the_run_and_leaves_the_pipeline_alone() {
    let world = World::with(pipeline(vec![Moment::running(approval(1, "Production"))])).await;
    let settings = AzdoSettings { pipeline_timeout: Duration::from_secs(6), ..quick() };
    let ended = world.carry_out(world.order(|_| {}), settings).await;
    assert_eq!(ended.status, "FAILED");
    let message = message(&ended, TRIGGER);
    for part in [
        "still running after 6 seconds",
        "may still be running",
        "buildId=",
        "waits for approval of stage \"Production\"",
    ] {
        assert!(message.contains(part), "{part}: {message}");
    }
    assert!(crate::world::message(&ended, &stage_step(1)).contains("not followed any longer"), "{:?}", ended.steps);
    assert_eq!((world.fake.only_run().cancelled, world.fake.seen("update_build").len()), (0, 0));
}

#[tokio::test]
async fn an_end_that_build_does_not_know_of_yet_is_looked_at_again() {
    let unsettled =
        |result| Moment { state: "completed", result, ..Moment::running(vec![stage(1, "S", "inProgress", None)]) };
    for result in [None, Some("unknown")] {
        let mut life = vec![Moment::queued(), unsettled(result), unsettled(result), unsettled(result)];
        life.push(Moment::ended("succeeded", vec![stage(1, "S", "completed", Some("succeeded"))]));
        let ended = World::with(pipeline(life)).await.run().await;
        assert_eq!(ended.status, "SUCCEEDED", "{result:?}: {:?}", ended.steps);
        // But not for ever.
        let world = World::with(pipeline(vec![Moment::queued(), unsettled(result)])).await;
        let settings = AzdoSettings { patience: Duration::from_millis(300), ..quick() };
        let ended = world.carry_out(world.order(|_| {}), settings).await;
        assert_eq!(ended.status, "FAILED", "{result:?}");
        assert!(message(&ended, TRIGGER).contains("does not say how"), "{}", message(&ended, TRIGGER));
    }
}

#[tokio::test]
async fn a_good_answer_to_the_start_that_asks_to_slow_down_puts_the_first_look_off() {
    for header in ["retry-after", "x-ratelimit-delay"] {
        let world = World::with(pipeline(crate::fake::moments::going_well())).await;
        world.fake.fault("run_pipeline", 0, 1, Effect::Header(header, "2"));
        let run = world.place(world.order(|_| {})).await;
        let begin = std::time::Instant::now();
        let _life = world.live(quick());
        world.fake.until("it is looked at", |fake| !fake.seen("get_run").is_empty()).await;
        assert!(begin.elapsed() >= Duration::from_secs(2), "{header}: {:?}", begin.elapsed());
        assert_eq!(world.ended(&run).await.status, "SUCCEEDED");
    }
}
