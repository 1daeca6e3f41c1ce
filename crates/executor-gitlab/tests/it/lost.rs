//! Answers that are lost or say nothing: a pipeline may have been started. Never is a second one.

use std::time::Duration;

use executor_gitlab::GitlabSettings;
use serde_json::json;

use crate::fake::{Fake, Fault, Scope};
use crate::log::OperatorLog;
use crate::world::{READ_TOKEN, World, linked, log, message, told};

fn instead(status: u16, kind: &str, body: &str) -> Fault {
    Fault::Instead { status, headers: vec![("content-type", kind.to_owned())], body: body.to_owned() }
}

/// All ways in which the effect is there and the answer is not.
fn lost() -> Vec<Fault> {
    vec![
        Fault::CutAfter,
        instead(500, "application/json", r#"{"message":"500 Internal Server Error"}"#),
        instead(502, "text/html", "<html><title>GitLab is not responding</title></html>"),
        instead(503, "text/plain", ""),
        instead(504, "text/plain", "upstream request timeout"),
        instead(408, "text/plain", ""),
    ]
}

#[tokio::test]
async fn without_a_read_token_a_lost_answer_ends_the_run_and_says_that_it_may_have_been_started() {
    let world = World::new().await;
    for (number, fault) in lost().into_iter().enumerate() {
        world.fake.fault("trigger", fault.clone());
        let view = world.fails(world.order()).await;
        assert!(message(&view).contains("may have been started"), "{fault:?}: {}", told(&view));
        assert!(message(&view).contains("the project `4711` at http://"), "{fault:?}: {}", told(&view));
        assert_eq!((world.fake.requests().len(), world.fake.pipelines().len()), (number + 1, number + 1), "{fault:?}");
    }
}

#[tokio::test]
async fn with_a_read_token_the_pipeline_is_found_among_those_of_others_and_handed_over() {
    let world = World::watching(Scope::ReadApi, true).await;
    world.fake.with(|gitlab| {
        // Of another run, of somebody's own script, of a push; and ours shows late.
        gitlab.foreign("trigger", &[("MESHSTACK_RUN", &json!({ "metadata": { "uuid": "another" } }).to_string())]);
        gitlab.foreign("trigger", &[("MESHSTACK_RUN", "no JSON"), ("X", "y")]);
        gitlab.foreign("trigger", &[]);
        gitlab.foreign("push", &[]);
        gitlab.hidden_for = 2;
    });
    for fault in lost() {
        world.fake.fault("trigger", fault.clone());
        let view = world.hand_over(world.order()).await;
        let pipelines = world.fake.pipelines();
        let ours: Vec<_> = pipelines
            .iter()
            .filter(|known| known.variable("MESHSTACK_SELF_URL").is_some() && known.run() == view.uuid)
            .collect();
        assert_eq!(ours.len(), 1, "{fault:?}");
        assert!(message(&view).contains(&format!("/-/pipelines/{}", ours[0].id)), "{fault:?}: {}", told(&view));
        linked(&view, ours[0].id);
    }
    assert_eq!(world.fake.seen("trigger").len(), lost().len());
    let reads = world.fake.seen("pipeline_variables");
    assert!(reads.iter().all(|seen| seen.header("private-token") == Some(READ_TOKEN)));
    assert!(world.fake.seen("trigger").iter().all(|seen| seen.header("private-token").is_none()));
}

#[tokio::test]
async fn a_pipeline_on_another_page_is_found() {
    let mut world = World::without_runner(Fake::start().await).await;
    world.fake.with(|gitlab| {
        gitlab.allow_reading(READ_TOKEN, Scope::ReadApi, true);
        for _ in 0..130 {
            gitlab.foreign("trigger", &[("X", "y")]);
        }
    });
    world.start(world.with_read_token());
    world.fake.fault("trigger", Fault::CutAfter);
    let view = world.hand_over(world.order()).await;
    assert!(message(&view).contains("/-/pipelines/"), "{}", told(&view));
    assert_eq!(world.fake.seen("pipeline_variables").len(), 131);
}

#[tokio::test]
async fn a_trigger_that_never_took_effect_is_not_found_and_said_so() {
    let mut world = World::without_runner(Fake::start().await).await;
    world.fake.with(|gitlab| {
        gitlab.allow_reading(READ_TOKEN, Scope::ReadApi, true);
        gitlab.foreign("trigger", &[("MESHSTACK_RUN", "{}")]);
    });
    world.start(GitlabSettings { look_up: Duration::from_millis(300), ..world.with_read_token() });
    for fault in [Fault::CutBefore, Fault::text(500, "")] {
        world.fake.fault("trigger", fault);
        let view = world.fails(world.order()).await;
        assert!(message(&view).contains("GitLab shows no pipeline of this run"), "{}", told(&view));
        // It may come later.
        assert!(message(&view).contains("may have been started"), "{}", told(&view));
        assert!(message(&view).contains("start the run again only if there is none"), "{}", told(&view));
    }
    assert_eq!((world.fake.seen("trigger").len(), world.fake.pipelines().len()), (2, 1));
}

#[tokio::test]
async fn a_token_that_may_not_read_variables_proves_nothing() {
    let world = World::watching(Scope::ReadApi, false).await;
    world.fake.fault("trigger", Fault::CutAfter);
    let view = world.fails(world.order()).await;
    assert!(message(&view).contains("could not find out whether"), "{}", told(&view));
    assert!(log(&view).contains("the role Maintainer"), "{}", log(&view));
    assert_eq!(world.fake.seen("trigger").len(), 1);
}

#[tokio::test]
async fn a_token_that_is_refused_leaves_it_at_what_is_known() {
    let world = World::watching(Scope::ReadApi, true).await;
    world.fake.with(|gitlab| gitlab.read_tokens.clear());
    world.fake.fault("trigger", Fault::CutAfter);
    let view = world.fails(world.order()).await;
    assert!(message(&view).contains("may have been started"), "{}", told(&view));
    assert!(log(&view).contains("401 Unauthorized"), "{}", log(&view));
}

#[tokio::test]
async fn trouble_while_looking_is_looked_through() {
    let world = World::watching(Scope::ReadApi, true).await;
    world.fake.fault("trigger", Fault::CutAfter);
    let busy = vec![("retry-after", "0.01".to_owned())];
    world.fake.fault("list_pipelines", Fault::Answer { status: 429, headers: busy, body: String::new() });
    world.fake.fault("list_pipelines", Fault::text(502, ""));
    world.fake.fault("list_pipelines", Fault::CutBefore);
    world.fake.fault("list_pipelines", Fault::html(200, "<html>maintenance</html>"));
    world.fake.fault("pipeline_variables", Fault::text(500, ""));
    let view = world.hand_over(world.order()).await;
    assert!(message(&view).contains("/-/pipelines/"), "{}", told(&view));
    assert_eq!((world.fake.seen("trigger").len(), world.fake.pipelines().len()), (1, 1));
}

#[tokio::test]
async fn clocks_that_are_hours_apart_hide_nothing() {
    for hours in [-3, 5] {
        let world = World::watching(Scope::ReadApi, true).await;
        world.fake.with(|gitlab| gitlab.ahead = hours * 3600);
        world.fake.fault("trigger", Fault::CutAfter);
        let view = world.hand_over(world.order()).await;
        assert!(message(&view).contains("/-/pipelines/"), "{}", told(&view));
    }
}

#[tokio::test]
async fn a_pipeline_whose_run_object_an_input_took_the_place_of_is_found_by_its_link() {
    let world = World::watching(Scope::ReadApi, true).await;
    world.fake.fault("trigger", Fault::CutAfter);
    let view = world.hand_over(world.order().environment_input("MESHSTACK_RUN", "mine", "STRING")).await;
    let pipeline = &world.fake.pipelines()[0];
    assert_eq!(pipeline.variable("MESHSTACK_RUN"), Some("mine"));
    assert!(message(&view).contains(&format!("/-/pipelines/{}", pipeline.id)), "{}", told(&view));
}

#[tokio::test]
async fn a_pipeline_that_was_deleted_meanwhile_is_passed_over() {
    let world = World::watching(Scope::ReadApi, true).await;
    world.fake.with(|gitlab| gitlab.foreign("trigger", &[("X", "y")]));
    world.fake.fault("trigger", Fault::CutAfter);
    world.fake.fault("pipeline_variables", Fault::json(404, r#"{"message":"404 Not found"}"#));
    let view = world.hand_over(world.order()).await;
    assert!(message(&view).contains("/-/pipelines/"), "{}", told(&view));
}

#[tokio::test]
async fn an_abort_while_a_pipeline_is_looked_for_still_finds_and_cancels_it() {
    let log = OperatorLog::read();
    let world = World::watching(Scope::Api, true).await;
    world.fake.with(|gitlab| gitlab.hidden_for = u32::MAX);
    world.fake.fault("trigger", Fault::CutAfter);
    let run = world.place(world.order()).await;
    world.fake.until("a look", |fake| !fake.seen("list_pipelines").is_empty()).await;
    world.meshstack.abort(&run).await;
    log.until(&run, "the run is asked to stop").await;
    world.fake.with(|gitlab| gitlab.pipelines[0].hidden_for = 0);
    world.fake.until("the cancel", |fake| fake.pipelines()[0].cancels == 1).await;
    world.idle().await;
    let view = world.meshstack.run(&run).await.expect("the run");
    assert_eq!((view.status.word(), view.ended_count), ("ABORTED", 0), "{}", told(&view));
    assert_eq!(world.fake.seen("trigger").len(), 1);
}

#[tokio::test]
async fn an_abort_without_a_read_token_says_in_the_log_that_the_pipeline_may_go_on() {
    let log = OperatorLog::read();
    let world = World::new().await;
    world.fake.fault("trigger", Fault::Held);
    let run = world.place(world.order()).await;
    world.fake.until("the trigger", |fake| fake.pipelines().len() == 1).await;
    world.meshstack.abort(&run).await;
    log.until(&run, "the run is asked to stop").await;
    world.fake.let_go();
    log.until(&run, "may go on").await;
    let said = log.of(&run);
    assert!(said.contains("WARN") && said.contains(&format!("the project `4711` at {}", world.fake.url())), "{said}");
}
