//! The runner dies, at any moment: the workflow is started once, and its end is told.

use std::time::{Duration, Instant};

use executor_github::GithubSettings;
use meshstack_local::{Effect, RunView};
use serde_json::json;

use crate::fake::{Details, Fault, Script, Workflow};
use crate::world::{Process, World, brief, log, message, step};

/// The workflow of these tests: it shows the run's address, and takes a few looks.
fn workflow(conclusion: &'static str) -> Workflow {
    Workflow::new(move |_| Script::ending(conclusion)).named()
}

/// How many requests a run makes that nothing happens to.
async fn requests(details: Details) -> usize {
    let world = World::new().await;
    world.github.state().details = details;
    world.github.workflow("apply.yml", workflow("success"));
    world.carry_out(&json!({ "omitRunObjectInput": true })).await;
    world.github.state().seen.len()
}

/// Kills the runner at the `number`-th request, before or after it took effect, and starts another.
async fn killed_at(number: usize, fault: Fault, details: Details, conclusion: &'static str) -> (World, RunView) {
    let mut world = World::new().await;
    // All of it passes where the dispatch never arrived.
    world.settings.times.lookup_limit = Duration::from_secs(4);
    world.github.state().details = details;
    world.github.workflow("apply.yml", workflow(conclusion));
    world.github.faults("any", u32::try_from(number).expect("small"), 1, fault);
    let run = world.order(&json!({ "omitRunObjectInput": true })).await;
    let process = Process::start(&world.site(), &world.settings);
    let struck = |seen: usize| (seen > number).then_some(());
    world.github.until("the request to die at", |state| struck(state.seen.len())).await;
    process.kill();
    let process = Process::start(&world.site(), &world.settings);
    let view = world.end_of(&run).await;
    process.kill();
    (world, view)
}

async fn survives_a_kill_at_every_request(details: Details) {
    let requests = requests(details).await;
    assert!(requests > 6, "{requests} requests");
    for number in 0..requests {
        for (fault, conclusion) in [(Fault::Hang, "success"), (Fault::HangAfter, "failure")] {
            let what = format!("request {number} of {requests}, {fault:?}");
            let (world, view) = killed_at(number, fault.clone(), details, conclusion).await;
            let runs = world.github.runs();
            assert!(runs.len() <= 1, "{what}: {} workflows were started", runs.len());
            let expected = if conclusion == "success" { "SUCCEEDED" } else { "FAILED" };
            if runs.is_empty() {
                // It died in the middle of the dispatch, and nobody can know that nothing arrived.
                assert!(message(&view, "gh-trigger").contains("may have been started"), "{what}: {}", brief(&view));
            } else {
                assert_eq!(view.status, expected, "{what}: {}", brief(&view));
                assert!(message(&view, "gh-trigger").contains(&runs[0].id.to_string()), "{what}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_at_any_request_leads_to_the_right_end_and_one_dispatch() {
    survives_a_kill_at_every_request(Details::Given).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_at_any_request_does_so_where_github_does_not_name_the_run() {
    survives_a_kill_at_every_request(Details::Refused(422)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_time_limit_counts_over_a_restart_but_a_last_look_is_taken() {
    let world = World::new().await;
    world.script(Script::endless());
    let run = world.order(&json!({})).await;
    let process = Process::start(&world.site(), &world.settings);
    world.github.asked("get_run", 2).await;
    process.kill();
    world.github.state().runs.values_mut().for_each(|run| run.script = Script::new().end("success", vec![]));
    // Long passed, whenever the workflow was started.
    let limited = GithubSettings { pipeline_timeout: Duration::ZERO, ..world.settings.clone() };
    let process = Process::start(&world.site(), &limited);
    let view = world.end_of(&run).await;
    process.kill();
    assert_eq!(view.status, "SUCCEEDED", "the limit has passed, but so has the workflow: {}", brief(&view));
    assert_eq!(world.github.seen("dispatch").len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_leaves_a_followed_workflow_to_the_next_start() {
    let mut world = World::new().await;
    world.shutdown_grace = Duration::from_millis(50);
    world.script(Script::endless());
    let run = world.order(&json!({})).await;
    let process = Process::start(&world.site(), &world.settings);
    world.github.asked("get_run", 2).await;
    process.stop().await;
    let view = world.mesh.run(&run).await.expect("the run");
    assert_eq!(view.status, "IN_PROGRESS", "{}", brief(&view));
    assert!(world.github.runs()[0].cancels.is_empty());
    world.github.state().runs.values_mut().for_each(|run| run.script = Script::ending("success"));
    let process = Process::start(&world.site(), &world.settings);
    let view = world.end_of(&run).await;
    process.kill();
    assert_eq!(view.status, "SUCCEEDED", "{}", brief(&view));
    assert_eq!(world.github.seen("dispatch").len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_restart_the_workflow_of_an_earlier_run_is_not_taken_for_a_new_one() {
    let world = World::new().await;
    world.github.state().details = Details::Refused(422);
    world.script(Script::endless());
    let first = world.order(&json!({})).await;
    let process = Process::start(&world.site(), &world.settings);
    world.github.asked("get_run", 1).await;
    process.kill();
    // To be mistaken for it, the first one would have to look as if it had just been made.
    let ahead = {
        let mut state = world.github.state();
        let now = state.now() + 3600;
        state.runs.values_mut().for_each(|run| run.created = now);
        state.runs.values().next().expect("a run").id
    };
    world.github.workflow("apply.yml", Workflow::new(|_| Script::ending("failure")));
    let second = world.order(&json!({})).await;
    let process = Process::start(&world.site(), &world.settings);
    let view = world.end_of(&second).await;
    assert_eq!(view.status, "FAILED");
    let own = world.github.runs().pop().expect("a run").id;
    assert!(
        own != ahead && message(&view, "gh-trigger").contains(&own.to_string()),
        "{}",
        message(&view, "gh-trigger")
    );
    world.github.state().runs.get_mut(&ahead).expect("the first").script = Script::ending("success");
    let view = world.end_of(&first).await;
    process.kill();
    assert_eq!(view.status, "SUCCEEDED", "{}", brief(&view));
    assert_eq!(step(&view, "gh-trigger").status, "SUCCEEDED");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_restart_nothing_is_started_while_the_workflow_of_a_lost_dispatch_may_show_up() {
    let mut world = World::new().await;
    // The clocks of the runner and of GitHub are compared with two seconds of slack.
    world.settings.times.lookup_limit = Duration::from_secs(6);
    world.github.state().details = Details::Refused(422);
    world.github.faults("dispatch", 1, 1, Fault::HangAfter);
    let first = world.order(&json!({})).await;
    let process = Process::start(&world.site(), &world.settings);
    world.github.asked("dispatch", 2).await;
    process.kill();
    let second = world.order(&json!({})).await;
    let process = Process::start(&world.site(), &world.settings);
    let view = world.end_of(&second).await;
    assert_eq!(view.status, "SUCCEEDED", "{}", brief(&view));
    let own = world.github.runs().pop().expect("a run").id;
    assert!(message(&view, "gh-trigger").contains(&own.to_string()), "{}", brief(&view));
    assert!(log(&view, "gh-trigger").contains("has not shown up at GitHub yet"), "{}", brief(&view));
    let view = world.end_of(&first).await;
    process.kill();
    assert_eq!(view.status, "FAILED");
    assert!(message(&view, "gh-trigger").contains("may have been started"), "{}", brief(&view));
    assert_eq!(world.github.runs().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_restart_a_new_run_waits_only_until_the_workflow_of_the_earlier_one_is_found() {
    let mut world = World::new().await;
    world.settings.times.lookup_limit = Duration::from_secs(60);
    world.github.state().details = Details::Refused(422);
    world.github.state().hide = u32::MAX;
    let mut runs = vec![world.order(&json!({})).await];
    let process = Process::start(&world.site(), &world.settings);
    world.github.asked("list_workflow_runs", 1).await;
    process.kill();
    {
        let mut state = world.github.state();
        state.hide = 0;
        state.runs.values_mut().for_each(|run| run.hidden = 0);
    }
    for _ in 0..3 {
        runs.push(world.order(&json!({})).await);
    }
    // The new ones come first to where they wait.
    world.mesh.fault(meshstack_local::Fault::any(Effect::Delay(Duration::from_secs(2))).containing(&runs[0]));
    let begun = Instant::now();
    let process = Process::start(&world.site(), &world.settings);
    for run in &runs {
        let view = world.end_of(run).await;
        assert_eq!(view.status, "SUCCEEDED", "{}", brief(&view));
    }
    assert!(begun.elapsed() < Duration::from_secs(50), "{:?}", begun.elapsed());
    process.kill();
    assert_eq!(world.github.runs().len(), 4);
}
