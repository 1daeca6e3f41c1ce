//! After the hand-over: a pipeline that dies without a word, an abort, a token that may not.

use runner_core::meshstack_client::RunStatus;
use serde_json::{Value, json};

use crate::fake::{Fake, Fault, Scope, job};
use crate::log::OperatorLog;
use crate::world::{READ_TOKEN, TRIGGER_TOKEN, World, message, step, told};

/// A run that was handed over, and its pipeline's id.
async fn handed_over(world: &World) -> (String, u64) {
    let run = world.hand_over(world.order()).await.uuid;
    let id = world.fake.pipelines().last().expect("a pipeline").id;
    (run, id)
}

async fn looked_at(fake: &Fake, times: u32) {
    fake.until("looks", |fake| fake.pipelines().first().is_some_and(|pipeline| pipeline.looks >= times)).await;
}

#[tokio::test]
async fn a_pipeline_that_fails_without_a_word_ends_the_run_with_its_failed_jobs() {
    let world = World::watching(Scope::ReadApi, false).await;
    let url = world.fake.url();
    world.fake.allow_new_words();
    let (run, id) = handed_over(&world).await;
    world.fake.with(|gitlab| {
        let pipeline = &mut gitlab.pipelines[0];
        pipeline.jobs = vec![
            job(&url, 1, "build", "success", false),
            job(&url, 2, "lint", "failed", true),
            job(&url, 3, "deploy\nprod", "failed", false),
        ];
        let mut bridge = job(&url, 4, "child", "failed", false);
        bridge["downstream_pipeline"] = json!({ "id": 9, "web_url": format!("{url}/child/-/pipelines/9") });
        pipeline.bridges = vec![bridge];
        pipeline.course = ["running", "a_word_of_tomorrow", "failed"].into();
    });
    let view = world.failed(&run).await;
    let said = message(&view);
    let expected = format!(
        "Failed jobs: `deploy prod` (script_failure, {url}/platform/blocks/-/jobs/3); `child` (script_failure, \
         {url}/child/-/pipelines/9)."
    );
    assert!(said.contains(&expected), "{said}");
    assert!(said.contains(&format!("Look at the pipeline ({url}/platform/blocks/-/pipelines/{id})")), "{said}");
    assert!(!said.contains("lint"), "{said}");
    assert_eq!(step(&view).status, "FAILED");
}

#[tokio::test]
async fn many_failed_jobs_are_counted_over_all_pages() {
    let world = World::watching(Scope::ReadApi, false).await;
    let url = world.fake.url();
    let (run, _) = handed_over(&world).await;
    world.fake.with(|gitlab| {
        let pipeline = &mut gitlab.pipelines[0];
        pipeline.jobs =
            (0..250).map(|number| job(&url, number, &format!("job {number}"), "failed", number % 2 == 1)).collect();
        pipeline.course = ["failed"].into();
    });
    let view = world.failed(&run).await;
    assert!(message(&view).contains("`job 8`") && message(&view).contains("and 120 more."), "{}", told(&view));
    assert_eq!(world.fake.seen("pipeline_jobs").len(), 3);
}

#[tokio::test]
async fn every_status_is_an_end_or_none() {
    for (status, said) in [("failed", "The GitLab pipeline failed"), ("canceled", "was canceled in GitLab")] {
        let world = World::watching(Scope::ReadApi, false).await;
        world.fake.with(|gitlab| gitlab.course = vec!["created", "running", status]);
        let view = world.fails(world.order()).await;
        assert!(message(&view).contains(said), "{}", told(&view));
    }
    let world = World::watching(Scope::ReadApi, false).await;
    world.fake.with(|gitlab| {
        gitlab.course = vec![
            "created",
            "waiting_for_resource",
            "preparing",
            "waiting_for_callback",
            "pending",
            "running",
            "canceling",
            "manual",
            "scheduled",
            "skipped",
        ];
    });
    let (run, _) = handed_over(&world).await;
    looked_at(&world.fake, 15).await;
    world.fake.with(|gitlab| gitlab.pipelines[0].course = ["success"].into());
    world.idle().await;
    let view = world.meshstack.run(&run).await.expect("the run");
    assert_eq!(view.status, "IN_PROGRESS", "a pipeline that ended well reports itself");
}

#[tokio::test]
async fn a_pipeline_with_a_wrong_configuration_says_what_is_wrong() {
    let world = World::watching(Scope::ReadApi, false).await;
    let (run, _) = handed_over(&world).await;
    world.fake.with(|gitlab| {
        gitlab.pipelines[0].yaml_errors = Some("jobs:deploy config\ncontains unknown keys");
        gitlab.pipelines[0].course = ["failed"].into();
    });
    let view = world.failed(&run).await;
    assert!(message(&view).contains("is wrong: jobs:deploy config contains unknown keys."), "{}", told(&view));
}

#[tokio::test]
async fn failed_jobs_that_cannot_be_read_cost_only_their_names() {
    let world = World::watching(Scope::ReadApi, false).await;
    world.fake.with(|gitlab| gitlab.course = vec!["failed"]);
    world.fake.fault("pipeline_jobs", Fault::text(500, ""));
    let view = world.fails(world.order()).await;
    assert!(
        message(&view).contains("failed and has not reported") && !message(&view).contains("Failed job"),
        "{}",
        told(&view)
    );
}

#[tokio::test]
async fn trouble_while_watching_is_looked_through() {
    let world = World::watching(Scope::ReadApi, false).await;
    // A read token may see a new pipeline later than the trigger's answer.
    world.fake.with(|gitlab| gitlab.unseen_for = 2);
    for fault in [
        Fault::text(502, ""),
        Fault::CutBefore,
        Fault::html(200, "<html>Sign in</html>"),
        Fault::json(200, "[]"),
        Fault::json(200, "{"),
        Fault::Answer { status: 429, headers: vec![("retry-after", "0.01".to_owned())], body: String::new() },
    ] {
        world.fake.fault("get_pipeline", fault);
    }
    let (run, _) = handed_over(&world).await;
    looked_at(&world.fake, 4).await;
    world.fake.with(|gitlab| gitlab.pipelines[0].course = ["failed"].into());
    let view = world.failed(&run).await;
    assert!(message(&view).contains("The GitLab pipeline failed"), "{}", told(&view));
}

#[tokio::test]
async fn a_read_token_that_is_refused_ends_the_watch_and_not_the_run() {
    for (status, looks) in [(401, 1), (403, 1), (404, 3), (301, 1)] {
        let world = World::watching(Scope::ReadApi, false).await;
        for _ in 0..looks {
            world.fake.fault("get_pipeline", Fault::json(status, r#"{"message":"no"}"#));
        }
        let (run, _) = handed_over(&world).await;
        world.idle().await;
        assert_eq!(world.fake.seen("get_pipeline").len(), looks, "{status}");
        let view = world.meshstack.run(&run).await.expect("the run");
        assert_eq!(view.status, "IN_PROGRESS", "{status}");
    }
}

#[tokio::test]
async fn what_a_token_may_not_do_is_said_once_in_the_log_of_the_operator() {
    let log = OperatorLog::read();
    let world = World::watching(Scope::ReadApi, false).await;
    let echo = format!(r#"{{"message":"no {READ_TOKEN}"}}"#);
    world.fake.fault("get_pipeline", Fault::json(403, &echo));
    let (run, _) = handed_over(&world).await;
    world.idle().await;
    let said = log.of(&run);
    assert_eq!(said.matches("needs the scope `read_api`").count(), 1, "{said}");
    assert!(said.contains("403 Forbidden: no ***"), "{said}");

    let (run, _) = handed_over(&world).await;
    log.until(&run, "handed over, and watched").await;
    world.meshstack.abort(&run).await;
    world.idle().await;
    let said = log.of(&run);
    assert_eq!(said.matches("needs the scope `api`").count(), 1, "{said}");
    assert!(said.contains("insufficient_scope"), "{said}");
    // Of all tests so far.
    let all = log.of("");
    assert!(!all.contains(READ_TOKEN) && !all.contains(TRIGGER_TOKEN), "{all}");
}

#[tokio::test]
async fn without_a_token_for_its_server_a_pipeline_is_not_watched() {
    let mut world = World::without_runner(Fake::start().await).await;
    let mut settings = world.with_read_token();
    let token = settings.read_tokens.drain().next().expect("a token").1;
    settings.read_tokens.insert("gitlab.example.com".to_owned(), token);
    world.start(settings);
    let (run, _) = handed_over(&world).await;
    world.idle().await;
    assert_eq!(world.fake.requests().len(), 1);
    assert_eq!(world.meshstack.run(&run).await.expect("the run").status, "IN_PROGRESS");
}

#[tokio::test]
async fn with_a_token_and_without_watching_a_pipeline_is_left_alone() {
    let mut world = World::without_runner(Fake::start().await).await;
    let settings = executor_gitlab::GitlabSettings { watch_handed_over: false, ..world.with_read_token() };
    world.start(settings);
    handed_over(&world).await;
    world.idle().await;
    assert_eq!(world.fake.requests().len(), 1);
}

#[tokio::test]
async fn an_abort_in_meshstack_cancels_the_pipeline() {
    let log = OperatorLog::read();
    let world = World::watching(Scope::Api, false).await;
    let (run, _) = handed_over(&world).await;
    log.until(&run, "handed over, and watched").await;
    // Trouble is tried again.
    world.fake.fault("cancel_pipeline", Fault::text(502, ""));
    world.meshstack.abort(&run).await;
    world.fake.until("the cancel", |fake| fake.pipelines()[0].cancels == 1).await;
    world.idle().await;
    let view = world.meshstack.run(&run).await.expect("the run");
    assert_eq!((view.status.word(), view.ended_count), ("ABORTED", 0), "{}", told(&view));
}

#[tokio::test]
async fn an_abort_with_a_token_that_may_only_read_is_left_at_that() {
    let log = OperatorLog::read();
    let world = World::watching(Scope::ReadApi, false).await;
    let (run, _) = handed_over(&world).await;
    log.until(&run, "handed over, and watched").await;
    world.meshstack.abort(&run).await;
    world.idle().await;
    assert_eq!((world.fake.seen("cancel_pipeline").len(), world.fake.pipelines()[0].cancels), (1, 0));
    assert_eq!(world.meshstack.run(&run).await.expect("the run").status, "ABORTED");
}

#[tokio::test]
async fn an_abort_while_the_trigger_is_on_its_way_cancels_what_it_started() {
    let log = OperatorLog::read();
    let world = World::watching(Scope::Api, false).await;
    world.fake.fault("trigger", Fault::Held);
    let run = world.place(world.order()).await;
    world.fake.until("the trigger", |fake| fake.pipelines().len() == 1).await;
    world.meshstack.abort(&run).await;
    // The answer comes when the abort was heard.
    log.until(&run, "the run is asked to stop").await;
    world.fake.let_go();
    world.fake.until("the cancel", |fake| fake.pipelines()[0].cancels == 1).await;
    world.idle().await;
    assert_eq!(world.fake.seen("trigger").len(), 1);
}

#[tokio::test]
async fn a_run_that_its_pipeline_ended_is_no_longer_watched_and_nothing_is_canceled() {
    let world = World::watching(Scope::Api, false).await;
    let (run, _) = handed_over(&world).await;
    let object: Value =
        serde_json::from_str(world.fake.pipelines()[0].variable("MESHSTACK_RUN").expect("a run")).expect("JSON");
    world.report(&object, RunStatus::Succeeded).await;
    world.idle().await;
    // Somebody cancels what is left of the pipeline: nobody minds any more.
    let view = world.meshstack.run(&run).await.expect("the run");
    assert_eq!((view.status.word(), view.ended_count), ("SUCCEEDED", 1), "{}", told(&view));
    assert!(world.fake.seen("cancel_pipeline").is_empty());
}

#[tokio::test]
async fn a_pipeline_that_failed_after_it_reported_changes_nothing() {
    let world = World::watching(Scope::Api, false).await;
    let (run, _) = handed_over(&world).await;
    let object: Value =
        serde_json::from_str(world.fake.pipelines()[0].variable("MESHSTACK_RUN").expect("a run")).expect("JSON");
    world.report(&object, RunStatus::Succeeded).await;
    world.fake.with(|gitlab| gitlab.pipelines[0].course = ["failed"].into());
    world.idle().await;
    let view = world.meshstack.run(&run).await.expect("the run");
    assert_eq!((view.status.word(), view.ended_count), ("SUCCEEDED", 1), "{}", told(&view));
}
