//! One run from a file, as in a pod of a run controller.

use runner_core::meshstack_client::{RunObject, RunStatus};
use runner_core::{Failure, Outcome, RunOnce, Shutdown};
use tokio::time::Instant;

use crate::fake::{Fake, Fault, On};
use crate::scene::{
    Calls, HOUR, MINUTE, Scripted, conflict, executor, gone, instant, no_answer, order, seconds, unauthorised,
    unavailable, working,
};

/// A meshStack that gave the run to a controller, and the run.
fn placed() -> (Fake, RunObject) {
    let (fake, run) = (Fake::new(), order("r", "MANUAL"));
    fake.know(&run);
    (fake, run)
}

/// Carries the run out; gives how it came out and how often the executor was called.
async fn run_once(fake: &Fake, run: RunObject, executor: Scripted, shutdown: &Shutdown) -> (RunOnce, usize) {
    let calls: Calls = executor.calls();
    let runner = fake.runner().executor(executor).build().expect("a runner");
    let ended = runner.run_once(run, shutdown).await;
    fake.check();
    assert!(fake.claims().is_empty(), "a single run claims nothing");
    (ended, calls.count())
}

#[tokio::test(start_paused = true)]
async fn a_single_run_asks_whether_it_is_wanted_and_is_carried_out_and_reported() {
    let (fake, run) = placed();
    let ended = run_once(&fake, run, instant("MANUAL"), &Shutdown::new()).await;
    assert_eq!(ended, (RunOnce::Ended { succeeded: true }, 1));
    assert_eq!(fake.transcript("r"), ["register work", "IN_PROGRESS", "SUCCEEDED work:SUCCEEDED"]);
}

#[tokio::test(start_paused = true)]
async fn a_single_run_that_may_be_repeated_is_not_asked_about() {
    let (fake, run) = placed();
    let ended = run_once(&fake, run, instant("MANUAL").repeatable(), &Shutdown::new()).await;
    assert_eq!(ended, (RunOnce::Ended { succeeded: true }, 1));
    assert_eq!(fake.transcript("r"), ["register work", "SUCCEEDED work:SUCCEEDED"]);

    let (fake, run) = placed();
    fake.abort("r");
    let (ended, _) = run_once(&fake, run, instant("MANUAL").repeatable(), &Shutdown::new()).await;
    assert_eq!(ended, RunOnce::Aborted);
}

#[tokio::test(start_paused = true)]
async fn a_single_run_that_may_be_repeated_and_whose_end_is_not_taken_may_be_tried_again() {
    for problem in [gone(), unauthorised()] {
        let (fake, run) = placed();
        fake.outage(On::Patch, problem);
        let (ended, _) = run_once(&fake, run, instant("MANUAL").repeatable(), &Shutdown::new()).await;
        assert!(matches!(ended, RunOnce::NotStarted { .. }), "{ended:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_single_run_that_nobody_here_carries_out_is_ended_without_asking() {
    let (fake, run) = placed();
    let ended = run_once(&fake, run, instant("TERRAFORM"), &Shutdown::new()).await;
    assert_eq!(ended, (RunOnce::Ended { succeeded: false }, 0));
    assert_eq!(fake.patches("r").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_single_run_that_fails_or_is_handed_over_says_so() {
    let (fake, run) = placed();
    let failing = executor("MANUAL", &["work"], |_ctx| Box::pin(async { Err(Failure::new("No.")) }));
    let ended = run_once(&fake, run, failing, &Shutdown::new()).await;
    assert_eq!(ended, (RunOnce::Ended { succeeded: false }, 1));

    let (fake, run) = placed();
    let handing = executor("MANUAL", &["work"], |_ctx| Box::pin(async { Ok(Outcome::HandedOver { watch: None }) }));
    assert_eq!(run_once(&fake, run, handing, &Shutdown::new()).await, (RunOnce::HandedOver, 1));
}

#[tokio::test(start_paused = true)]
async fn a_single_run_that_was_aborted_before_is_not_started() {
    let (fake, run) = placed();
    fake.abort("r");
    assert_eq!(run_once(&fake, run, instant("MANUAL"), &Shutdown::new()).await, (RunOnce::Aborted, 0));
    assert_eq!(fake.patches("r").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_single_run_that_is_over_is_not_carried_out_again() {
    let (fake, run) = placed();
    fake.state().runs.get_mut("r").expect("known").status = Some(RunStatus::Succeeded);
    assert_eq!(run_once(&fake, run, instant("MANUAL"), &Shutdown::new()).await, (RunOnce::AlreadyOver, 0));
}

#[tokio::test(start_paused = true)]
async fn a_single_run_that_is_aborted_on_its_way_says_so() {
    let (fake, run) = placed();
    fake.faults(On::Patch, [Fault::Fine, Fault::Fine, Fault::Abort]);
    assert_eq!(run_once(&fake, run, working("MANUAL", HOUR), &Shutdown::new()).await, (RunOnce::Aborted, 1));
}

#[tokio::test(start_paused = true)]
async fn a_single_run_without_meshstack_is_not_started_and_gives_up_after_a_minute() {
    for on in [On::Register, On::Patch] {
        let (fake, run) = placed();
        fake.outage(on, no_answer());
        let began = Instant::now();
        let (ended, calls) = run_once(&fake, run, instant("MANUAL"), &Shutdown::new()).await;
        assert!(matches!(ended, RunOnce::NotStarted { .. }), "{on:?}: {ended:?}");
        assert_eq!(calls, 0);
        assert!((MINUTE..3 * MINUTE).contains(&began.elapsed()), "{:?}", began.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_single_run_is_not_started_before_meshstack_has_said_that_it_is_wanted() {
    let (fake, run) = placed();
    fake.faults(On::Patch, [Fault::Error(unavailable()), Fault::Error(unavailable()), Fault::Abort]);
    assert_eq!(run_once(&fake, run, instant("MANUAL"), &Shutdown::new()).await, (RunOnce::Aborted, 0));
}

#[tokio::test(start_paused = true)]
async fn a_single_run_whose_token_is_refused_is_not_started() {
    for problem in [unauthorised(), gone()] {
        for outage in [vec![On::Register, On::Patch], vec![On::Patch]] {
            let (fake, run) = placed();
            for on in outage {
                fake.outage(on, problem.clone());
            }
            let (ended, calls) = run_once(&fake, run, instant("MANUAL"), &Shutdown::new()).await;
            assert!(matches!(ended, RunOnce::NotStarted { .. }), "{ended:?}");
            assert_eq!(calls, 0);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_single_run_whose_end_is_not_taken_says_that_it_is_unreported() {
    for (problem, over) in [(gone(), false), (unauthorised(), false), (conflict(), true)] {
        let (fake, run) = placed();
        fake.faults(On::Patch, [Fault::Fine, Fault::Error(problem)]);
        let (ended, calls) = run_once(&fake, run, instant("MANUAL"), &Shutdown::new()).await;
        assert_eq!(matches!(ended, RunOnce::AlreadyOver), over, "{ended:?}");
        assert_eq!(matches!(ended, RunOnce::Unreported { .. }), !over, "{ended:?}");
        assert_eq!(calls, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_single_run_goes_on_trying_to_report_its_end() {
    let (fake, run) = placed();
    let ended = tokio::spawn({
        let fake = fake.clone();
        async move { run_once(&fake, run, working("MANUAL", seconds(5)), &Shutdown::new()).await }
    });
    tokio::time::sleep(seconds(1)).await;
    fake.outage(On::Patch, no_answer());
    tokio::time::sleep(2 * HOUR).await;
    fake.repair();
    assert_eq!(ended.await.expect("no panic"), (RunOnce::Ended { succeeded: true }, 1));
}

#[tokio::test(start_paused = true)]
async fn a_single_run_is_stopped_in_order_when_its_pod_ends() {
    let (fake, run) = placed();
    let shutdown = Shutdown::new();
    let switch = shutdown.clone();
    tokio::spawn(async move {
        tokio::time::sleep(MINUTE).await;
        switch.drain();
    });
    let ended = run_once(&fake, run, working("MANUAL", HOUR), &shutdown).await;
    assert_eq!(ended, (RunOnce::Ended { succeeded: false }, 1));
    assert!(fake.run("r").user_message("work").starts_with("The runner was shut down"));
}

#[tokio::test(start_paused = true)]
async fn a_single_run_that_is_ended_at_once_says_what_is_true() {
    // Before the start it may be tried again; after it, not.
    for (outage, started) in [(Some(On::Register), false), (Some(On::Patch), false), (None, true)] {
        let (fake, run) = placed();
        if let Some(on) = outage {
            fake.outage(on, no_answer());
        }
        let shutdown = Shutdown::new();
        let switch = shutdown.clone();
        tokio::spawn(async move {
            tokio::time::sleep(seconds(20)).await;
            switch.now();
        });
        let began = Instant::now();
        let (ended, calls) = run_once(&fake, run, working("MANUAL", HOUR), &shutdown).await;
        assert_eq!(matches!(ended, RunOnce::NotStarted { .. }), !started, "{ended:?}");
        assert_eq!(matches!(ended, RunOnce::Unreported { .. }), started, "{ended:?}");
        assert_eq!((calls, began.elapsed()), (usize::from(started), seconds(20)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_single_run_without_meshstack_ends_with_its_pod() {
    let (fake, run) = placed();
    fake.outage(On::Register, no_answer());
    let shutdown = Shutdown::new();
    shutdown.drain();
    let (ended, calls) = run_once(&fake, run, instant("MANUAL"), &shutdown).await;
    assert!(matches!(ended, RunOnce::NotStarted { .. }), "{ended:?}");
    assert_eq!(calls, 0);
}
