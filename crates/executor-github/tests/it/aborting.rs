//! Somebody aborts a run in meshStack: its workflow is ended too.

use std::time::Duration;

use meshstack_local::{Effect, Fault as MeshFault, Operation};
use serde_json::json;

use crate::fake::{Details, FakeRun, Fault, Reply, Script, Workflow};
use crate::world::{World, brief, message, patiently};

#[tokio::test]
async fn an_abort_cancels_the_workflow_and_waits_for_its_end() {
    let world = World::new().await;
    world.script(Script::endless());
    let run = world.order(&json!({})).await;
    let running = world.start();
    world.github.asked("get_run", 2).await;
    world.mesh.abort(&run).await;
    world.github.until("the end", |state| state.runs.values().all(FakeRun::has_ended).then_some(())).await;
    running.drain().await;
    let view = world.mesh.run(&run).await.expect("the run");
    assert_eq!(view.status, "ABORTED");
    assert_eq!(world.github.runs()[0].cancels, ["cancel"]);
}

#[tokio::test]
async fn a_workflow_that_is_not_yet_queued_is_cancelled_once_it_is() {
    let world = World::new().await;
    world.github.state().early_cancels = 3;
    world.script(Script::stuck());
    let run = world.order(&json!({})).await;
    let running = world.start();
    world.github.asked("get_run", 1).await;
    world.mesh.abort(&run).await;
    world.github.until("the end", |state| state.runs.values().all(FakeRun::has_ended).then_some(())).await;
    running.drain().await;
    assert_eq!(world.github.runs()[0].cancels, ["cancel"; 4]);
}

#[tokio::test]
async fn a_workflow_that_ignores_it_is_ended_by_force() {
    let mut world = World::new().await;
    world.settings.times.cancel_grace = Duration::from_millis(300);
    world.github.state().stubborn = true;
    world.script(Script::endless());
    let run = world.order(&json!({})).await;
    let running = world.start();
    world.github.asked("get_run", 2).await;
    world.mesh.abort(&run).await;
    world.github.asked("force_cancel", 1).await;
    running.drain().await;
    assert_eq!(world.github.runs()[0].cancels, ["cancel", "force_cancel"]);
    assert_eq!(world.mesh.run(&run).await.expect("the run").status, "ABORTED");
}

#[tokio::test]
async fn an_app_that_may_not_cancel_ends_the_run_all_the_same() {
    let world = World::new().await;
    world.script(Script::endless());
    world.github.fault("cancel", Fault::Answer(Reply::error(403, "Resource not accessible by integration")));
    let run = world.order(&json!({})).await;
    let running = world.start();
    world.github.asked("get_run", 2).await;
    world.mesh.abort(&run).await;
    running.drain().await;
    assert_eq!(world.mesh.run(&run).await.expect("the run").status, "ABORTED");
    assert_eq!(world.github.seen("cancel").len(), 1);
}

#[tokio::test]
async fn an_abort_in_the_middle_of_the_dispatch_waits_for_its_answer() {
    let world = World::new().await;
    world.script(Script::endless());
    world.github.fault("dispatch", Fault::Late);
    let run = world.order(&json!({})).await;
    let running = world.start();
    world.github.asked("dispatch", 1).await;
    // Registered after 5 s at the latest; the report that follows tells the runner of the abort.
    patiently(world.mesh.wait_until(&run, |view| !view.sources.is_empty())).await;
    world.mesh.abort(&run).await;
    world.asked_again(&run).await;
    world.github.state().released = true;
    world.github.asked("cancel", 1).await;
    running.drain().await;
    assert_eq!(world.github.runs()[0].cancels, ["cancel"]);
}

#[tokio::test]
async fn an_abort_while_the_workflow_is_looked_up_finds_and_cancels_it() {
    let world = World::new().await;
    {
        let mut state = world.github.state();
        state.details = Details::Refused(422);
        state.hide = u32::MAX;
    }
    world.github.workflow("apply.yml", Workflow::new(|_| Script::endless()));
    let mut world = world;
    world.settings.times.lookup_limit = crate::fake::PATIENCE;
    let run = world.order(&json!({})).await;
    let running = world.start();
    world.github.asked("list_workflow_runs", 2).await;
    patiently(world.mesh.wait_until(&run, |view| !view.sources.is_empty())).await;
    world.mesh.abort(&run).await;
    world.asked_again(&run).await;
    world.github.state().runs.values_mut().for_each(|run| run.hidden = 0);
    world.github.asked("cancel", 1).await;
    running.drain().await;
    assert_eq!(world.github.runs()[0].cancels, ["cancel"]);
}

#[tokio::test]
async fn a_workflow_that_reported_its_own_end_is_not_cancelled() {
    let world = World::new().await;
    world.script(Script::endless());
    world.order(&json!({})).await;
    let running = world.start();
    world.github.asked("get_run", 2).await;
    // meshStack knows an end already.
    world.mesh.fault(MeshFault::on(Operation::Patch, Effect::status(409)));
    running.drain().await;
    assert!(world.github.runs()[0].cancels.is_empty());
}

#[tokio::test]
async fn without_a_stop_nothing_is_cancelled() {
    let world = World::new().await;
    world.script(Script::ending("failure"));
    let view = world.carry_out(&json!({})).await;
    assert_eq!(view.status, "FAILED", "{}", brief(&view));
    assert!(!message(&view, "gh-trigger").is_empty());
    assert!(world.github.seen("cancel").is_empty());
}
