//! A run that was handed over, and a workflow that may die without a word.

use meshstack_local::{Options, RunView};
use serde_json::{Value, json};
use std::time::Duration;

use crate::fake::{Details, Fake, FakeRun, Fault, Reply, Script, Workflow, job};
use crate::world::{Process, World, brief, log, message, step};

async fn watching() -> World {
    let mut world = World::new().await;
    world.settings.watch_handed_over = true;
    world
}

/// An asynchronous run that is handed over.
async fn handed_over(world: &World) -> String {
    let run = world.order(&json!({ "async": true, "omitRunObjectInput": true })).await;
    let view = world.started(&run).await;
    assert_eq!(view.status, "IN_PROGRESS", "{}", brief(&view));
    run
}

/// Waits until nobody looks at the workflow any more.
async fn left_alone(world: &World) -> usize {
    loop {
        let looks = world.github.seen("get_run").len();
        tokio::time::sleep(Duration::from_millis(100)).await;
        if world.github.seen("get_run").len() == looks {
            return looks;
        }
    }
}

#[tokio::test]
async fn every_bad_end_of_a_workflow_that_did_not_report_is_reported_with_its_link() {
    let world = watching().await;
    world.github.state().described = false;
    let running = world.start();
    for conclusion in ["failure", "cancelled", "timed_out", "action_required", "startup_failure", "stale", "melted"] {
        world.script(
            Script::new()
                .then(1, "queued", vec![])
                .then(2, "in_progress", vec![job(1, "build")])
                .end(conclusion, vec![job(1, "build").ended(conclusion).step("Run it", Some("failure"))]),
        );
        let run = handed_over(&world).await;
        let view = world.end_of(&run).await;
        assert_eq!((view.status.word(), view.ended_count), ("FAILED", 1), "{conclusion}");
        let id = world.github.runs().pop().expect("a run").id;
        let end = message(&view, "gh-trigger");
        assert!(end.contains("without reporting its end") && end.contains("`build` in its step `Run it`"), "{end}");
        assert!(end.ends_with(&world.github.state().page(id)), "{end}");
        assert_eq!(view.steps.len(), 1, "nothing else is said: {}", brief(&view));
    }
    running.drain().await;
}

#[tokio::test]
async fn a_good_end_is_left_to_the_workflow() {
    let world = watching().await;
    let running = world.start();
    for conclusion in ["success", "skipped", "neutral"] {
        world.script(Script::ending(conclusion));
        let run = handed_over(&world).await;
        left_alone(&world).await;
        let view = world.mesh.run(&run).await.expect("the run");
        assert_eq!((view.status.word(), view.steps.len()), ("IN_PROGRESS", 1), "{}", brief(&view));
    }
    running.drain().await;
    assert_eq!(world.mesh.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn nothing_is_watched_unless_it_is_asked_for() {
    let world = World::new().await;
    world.script(Script::ending("failure"));
    let running = world.start();
    let run = handed_over(&world).await;
    running.drain().await;
    assert_eq!(world.mesh.run(&run).await.expect("the run").status, "IN_PROGRESS");
    assert!(world.github.seen("get_run").is_empty());
}

#[tokio::test]
async fn a_workflow_run_that_is_deleted_is_dead() {
    let world = watching().await;
    world.script(Script::endless());
    let running = world.start();
    let run = handed_over(&world).await;
    world.github.asked("get_run", 3).await;
    world.github.state().runs.clear();
    let view = world.end_of(&run).await;
    running.drain().await;
    assert_eq!(view.status, "FAILED");
    assert!(message(&view, "gh-trigger").contains("was deleted at GitHub"), "{}", brief(&view));
}

#[tokio::test]
async fn a_watch_that_github_does_not_allow_is_given_up_without_failing_the_run() {
    let world = watching().await;
    world.script(Script::endless());
    let running = world.start();
    let run = handed_over(&world).await;
    world.github.asked("get_run", 2).await;
    world.github.faults(
        "get_run",
        0,
        10_000,
        Fault::Answer(Reply::error(403, "Resource not accessible by integration")),
    );
    left_alone(&world).await;
    running.drain().await;
    assert_eq!(world.mesh.run(&run).await.expect("the run").status, "IN_PROGRESS");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_watch_goes_on_after_a_restart() {
    let world = watching().await;
    world.script(Script::endless());
    let run = world.order(&json!({ "async": true })).await;
    let process = Process::start(&world.site(), &world.settings);
    world.github.asked("get_run", 3).await;
    process.kill();
    world.github.state().runs.values_mut().for_each(|run| run.script = Script::ending("failure"));
    let process = Process::start(&world.site(), &world.settings);
    let view = world.end_of(&run).await;
    process.kill();
    assert_eq!(view.status, "FAILED");
    assert!(message(&view, "gh-trigger").contains("without reporting its end"), "{}", brief(&view));
    assert_eq!(world.github.seen("dispatch").len(), 1);
}

/// A run whose token lives for so many seconds. The core says that it ends when half of them are over.
async fn with_a_short_token(seconds: u64, script: Script) -> (World, String) {
    let options = Options { run_token_lifetime: Duration::from_secs(seconds), ..Options::default() };
    let mut world = World::with(Fake::start().await, options).await;
    world.settings.watch_handed_over = true;
    world.script(script);
    let run = world.order(&json!({ "async": true })).await;
    (world, run)
}

#[tokio::test]
async fn a_workflow_that_never_begins_is_reported_before_it_can_no_longer_be() {
    let (world, run) = with_a_short_token(20, Script::stuck()).await;
    let running = world.start();
    let view = world.end_of(&run).await;
    running.drain().await;
    assert_eq!(view.status, "FAILED");
    assert!(message(&view, "gh-trigger").starts_with("The workflow never began"), "{}", brief(&view));
    assert_eq!(step(&view, "gh-trigger").status, "FAILED");
}

#[tokio::test]
async fn a_workflow_that_waits_for_an_approval_or_is_under_way_is_not_dead() {
    let waiting = Script::new().then(1, "waiting", vec![]);
    for script in [waiting, Script::endless()] {
        let (world, run) = with_a_short_token(6, script).await;
        let running = world.start();
        world.started(&run).await;
        world.github.asked("get_run", 2).await;
        left_alone(&world).await;
        running.drain().await;
        assert_eq!(world.mesh.run(&run).await.expect("the run").status, "IN_PROGRESS");
    }
}

#[tokio::test]
async fn a_run_that_was_looked_up_is_watched_too() {
    let world = watching().await;
    world.github.state().details = Details::Refused(422);
    world.github.workflow("apply.yml", Workflow::new(|_: &Value| Script::ending("failure")));
    let running = world.start();
    let run = handed_over(&world).await;
    let view: RunView = world.end_of(&run).await;
    running.drain().await;
    assert_eq!(view.status, "FAILED", "{}", brief(&view));
    assert!(log(&view, "gh-trigger").contains("failure"));
}

#[tokio::test]
async fn an_abort_of_a_run_that_is_watched_cancels_its_workflow() {
    let world = watching().await;
    world.script(Script::endless());
    let running = world.start();
    let run = handed_over(&world).await;
    world.github.asked("get_run", 2).await;
    world.mesh.abort(&run).await;
    // The core asks meshStack every 15 seconds.
    world.github.asked("cancel", 1).await;
    world.github.until("the end", |state| state.runs.values().all(FakeRun::has_ended).then_some(())).await;
    running.drain().await;
    let view = world.mesh.run(&run).await.expect("the run");
    assert_eq!((view.status.word(), view.ended_count), ("ABORTED", 0), "{}", brief(&view));
}
