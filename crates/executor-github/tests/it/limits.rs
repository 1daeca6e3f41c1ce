//! GitHub says "not now": all runs of that installation wait, and say why.

use std::time::Duration;

use serde_json::json;

use crate::fake::{Fake, Fault, Reply, Script, Workflow};
use crate::world::{World, brief, log, message};

#[tokio::test]
async fn a_limit_that_is_used_up_is_waited_for_with_the_reason_in_the_step() {
    let world = World::new().await;
    {
        let mut state = world.github.state();
        state.left = Some(2);
        state.reset = state.now() + 2;
    }
    let view = world.carry_out(&json!({})).await;
    assert_eq!(view.status, "SUCCEEDED", "{}", brief(&view));
    let said = log(&view, "gh-trigger");
    assert!(said.contains("GitHub's rate limit for this App is used up. The runner goes on at 20"), "{said}");
    let dispatches = world.github.seen("dispatch");
    assert_eq!(dispatches.iter().map(|seen| seen.status).collect::<Vec<_>>(), [Some(403), Some(200)]);
    let waited = dispatches[1].at - dispatches[0].at;
    assert!(waited >= Duration::from_secs(1), "{waited:?}");
}

#[tokio::test]
async fn a_secondary_limit_is_waited_for_whether_it_says_how_long_or_not() {
    let text = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.";
    let limits = [
        Reply::error(403, text).header("retry-after", "1"),
        Reply::error(429, text).header("retry-after", "1"),
        Reply::error(403, text),
        Reply::error(429, "Too many"),
    ];
    for limit in limits {
        for operation in ["repo_installation", "create_token", "dispatch", "get_run", "list_jobs"] {
            let world = World::new().await;
            world.github.fault(operation, Fault::Answer(limit.clone()));
            let view = world.carry_out(&json!({})).await;
            assert_eq!(view.status, "SUCCEEDED", "{operation}: {}", brief(&view));
            assert!(log(&view, "gh-trigger").contains("GitHub asks this App to slow down."), "{}", brief(&view));
            assert_eq!(world.github.runs().len(), 1, "{operation}");
        }
    }
}

#[tokio::test]
async fn a_limit_holds_up_all_runs_of_its_installation_and_no_others() {
    let world = World::new().await;
    let elsewhere = Fake::start().await;
    elsewhere.workflow("apply.yml", Workflow::new(|_| Script::ending("success")));
    world.script(Script::endless());
    let first = world.order(&json!({})).await;
    let running = world.start();
    world.github.asked("get_run", 1).await;
    world.github.fault("get_run", Fault::Answer(Reply::error(403, "slow down").header("retry-after", "2")));
    world.github.until("the limit", |state| state.seen.iter().any(|seen| seen.status == Some(403)).then_some(())).await;
    let limited = world.github.state().seen.len();
    let second = world.order(&json!({})).await;
    let third = world.order(&json!({ "githubBaseUrl": elsewhere.url() })).await;
    let view = world.end_of(&third).await;
    assert_eq!(view.status, "SUCCEEDED", "{}", brief(&view));
    assert_eq!(world.github.state().seen.len(), limited, "nothing was asked while the limit was on");
    world.github.asked("dispatch", 2).await;
    {
        let state = world.github.state();
        let waited = state.seen[limited].at - state.seen[limited - 1].at;
        assert!(waited >= Duration::from_millis(1900), "{waited:?}");
    }
    for run in [&first, &second] {
        world.mesh.abort(run).await;
        world.end_of(run).await;
    }
    running.drain().await;
}

#[tokio::test]
async fn a_403_that_is_no_limit_is_an_error() {
    let world = World::new().await;
    let refused = Reply::error(403, "Resource not accessible by integration");
    world.github.fault("dispatch", Fault::Answer(refused));
    let view = world.carry_out(&json!({})).await;
    assert_eq!(view.status, "FAILED");
    let end = message(&view, "gh-trigger");
    assert!(
        end.contains("does not let the App 12345 start workflows") && end.contains("Actions: Read and write"),
        "{end}"
    );
    assert_eq!(world.github.seen("dispatch").len(), 1);
}

#[tokio::test]
async fn a_limit_that_lasts_too_long_fails_the_run_before_anything_is_started() {
    let mut world = World::new().await;
    world.settings.times.limit_patience = Duration::from_secs(30);
    world.github.fault("dispatch", Fault::Answer(Reply::error(403, "slow down").header("retry-after", "60")));
    let view = world.carry_out(&json!({})).await;
    assert_eq!(view.status, "FAILED");
    let end = message(&view, "gh-trigger");
    assert!(end.contains("stayed used up for too long, so nothing was started"), "{end}");
    assert!(world.github.runs().is_empty());
}

#[tokio::test]
async fn a_limit_that_asks_for_no_wait_again_and_again_is_neither_hammered_at_nor_waited_for_forever() {
    let now = Reply::error(403, "slow down").header("retry-after", "0");
    let past = Reply::error(403, "slow down").header("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT");
    let renewed = Reply::error(403, "used up").header("x-ratelimit-remaining", "0").header("x-ratelimit-reset", "1");
    for limit in [now, past, renewed] {
        let mut world = World::new().await;
        world.settings.times.limit_patience = Duration::from_secs(4);
        world.github.faults("dispatch", 0, u32::MAX, Fault::Answer(limit));
        let view = world.carry_out(&json!({})).await;
        assert_eq!(view.status, "FAILED", "{}", brief(&view));
        let end = message(&view, "gh-trigger");
        assert!(end.contains("stayed used up for too long, so nothing was started"), "{end}");
        assert_eq!(world.github.seen("dispatch").len(), 3, "after a second, after two more, and then no more");
        let said = log(&view, "gh-trigger");
        assert_eq!(said.matches("The runner goes on at").count(), 1, "{said}");
        assert_eq!(said.matches("again and again").count(), 2, "as it waits, and as the cause in the end: {said}");
    }
}

/// The acceptance figure: so many requests that count, for a run that is followed for ten minutes.
const MOST: usize = 15;

/// Ten minutes are sixty looks at the usual pace of ten seconds; the pace is jittered, and 80 if it is always at its
/// quickest.
const LOOKS: u32 = 80;

#[tokio::test]
async fn a_run_that_is_followed_for_ten_minutes_costs_few_requests_that_count() {
    let world = World::new().await;
    // The worst case: the list of jobs changes with every look.
    let mut script = Script::new().then(1, "queued", vec![]);
    for look in 0..LOOKS {
        let step = format!("step {look}");
        script = script.then(1, "in_progress", vec![crate::fake::job(1, "build").step(&step, None)]);
    }
    world.script(script.end("success", vec![crate::fake::job(1, "build").ended("success")]));
    let view = world.carry_out(&json!({})).await;
    assert_eq!(view.status, "SUCCEEDED", "{}", brief(&view));
    let counted = world.github.counted();
    println!("{} counted requests for {LOOKS} looks: {counted:?}", counted.len());
    assert!(world.github.seen("get_run").len() > LOOKS as usize);
    assert!(counted.len() <= MOST, "{} requests count: {counted:?}", counted.len());
}

#[tokio::test]
async fn what_has_not_changed_costs_nothing() {
    let world = World::new().await;
    let build = || vec![crate::fake::job(1, "build")];
    world.script(
        Script::new()
            .then(30, "in_progress", build())
            .end("success", vec![crate::fake::job(1, "build").ended("success")]),
    );
    let view = world.carry_out(&json!({})).await;
    assert_eq!(view.status, "SUCCEEDED", "{}", brief(&view));
    let counted = world.github.counted();
    let expected = ["repo_installation", "create_token", "dispatch", "get_run", "list_jobs", "get_run", "list_jobs"];
    assert_eq!(counted, expected);
    assert!(world.github.seen("list_jobs").len() > 20, "jobs are looked at all the time, for nothing");
}

#[tokio::test]
async fn a_server_without_etags_is_asked_less_and_works() {
    let world = World::new().await;
    world.github.state().etags = false;
    let view = world.carry_out(&json!({})).await;
    assert_eq!(view.status, "SUCCEEDED", "{}", brief(&view));
}

#[tokio::test]
async fn there_is_never_more_than_one_request_of_a_run_under_way() {
    let world = World::new().await;
    world.github.state().latency = Duration::from_millis(3);
    let jobs = |ended: bool| {
        let job = |number: u64| crate::fake::job(number, "j");
        (1..=150)
            .map(|number| if ended { job(number).ended("failure").log("x") } else { job(number) })
            .collect::<Vec<_>>()
    };
    world.script(Script::new().then(5, "in_progress", jobs(false)).end("failure", jobs(true)));
    let running = world.start();
    let mut runs = Vec::new();
    for _ in 0..5 {
        runs.push(world.order(&json!({})).await);
    }
    for run in &runs {
        world.end_of(run).await;
    }
    running.drain().await;
    assert_eq!(world.github.state().most_in_flight, 1);
}
