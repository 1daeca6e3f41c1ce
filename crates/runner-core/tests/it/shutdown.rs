//! How a runner ends.

use runner_core::meshstack_client::RunStatus;
use tokio::time::Instant;

use crate::fake::{Fake, Fault, On};
use crate::scene::{Daemon, HOUR, MINUTE, Scripted, executor, instant, no_answer, order, seconds, start, working};

/// A daemon with one run under way.
async fn with_a_run(fake: &Fake, executor: Scripted) -> Daemon {
    fake.queue(&order("r", "MANUAL"));
    let daemon = start(fake, fake.runner().executor(executor));
    fake.until("the start", |state| state.runs.get("r").is_some_and(|run| run.status.is_some())).await;
    daemon
}

#[tokio::test(start_paused = true)]
async fn an_idle_runner_ends_at_once() {
    let fake = Fake::new();
    let daemon = start(&fake, fake.runner().executor(instant("MANUAL")));
    tokio::time::sleep(MINUTE).await;
    let claims = fake.claims().len();
    let asked = Instant::now();
    assert_eq!(daemon.drain().await.left_behind, 0);
    assert!(asked.elapsed() < seconds(1));
    fake.queue(&order("r", "MANUAL"));
    tokio::time::sleep(HOUR).await;
    assert_eq!(fake.claims().len(), claims);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_finishes_within_the_grace_is_reported_as_it_came_out() {
    let fake = Fake::new();
    let daemon = with_a_run(&fake, working("MANUAL", seconds(20))).await;
    fake.queue(&order("next", "MANUAL"));
    daemon.drain().await;
    assert_eq!(fake.run("r").status, Some(RunStatus::Succeeded));
    assert_eq!(fake.state().queue.len(), 1, "nothing is claimed any more");
}

#[tokio::test(start_paused = true)]
async fn a_run_that_does_not_finish_is_stopped_in_order_and_told_why() {
    let fake = Fake::new();
    let stopping = executor("MANUAL", &["work"], |ctx| {
        Box::pin(async move {
            ctx.step("work").start();
            ctx.stop().requested().await;
            tokio::time::sleep(seconds(8)).await;
            Err(runner_core::Failure::because("Terraform was stopped.", std::io::Error::other("signal 15")))
        })
    });
    let daemon = with_a_run(&fake, stopping).await;
    let asked = Instant::now();
    assert_eq!(daemon.drain().await.left_behind, 0);
    assert!((seconds(38)..seconds(40)).contains(&asked.elapsed()), "{:?}", asked.elapsed());
    let run = fake.run("r");
    assert_eq!(run.status, Some(RunStatus::Failed));
    assert!(run.user_message("work").starts_with("The runner was shut down"));
    assert_eq!(run.system_message("work"), "Terraform was stopped.\ncaused by: signal 15\n");
}

#[tokio::test(start_paused = true)]
async fn a_run_that_ignores_the_stop_is_reported_too() {
    let fake = Fake::new();
    let deaf = executor("MANUAL", &["work"], |ctx| {
        Box::pin(async move {
            ctx.step("work").start();
            std::future::pending().await
        })
    });
    let daemon = with_a_run(&fake, deaf).await;
    assert_eq!(daemon.drain().await.left_behind, 0);
    assert_eq!(fake.run("r").status, Some(RunStatus::Failed));
}

#[tokio::test(start_paused = true)]
async fn runs_that_wait_for_room_are_reported_too() {
    let fake = Fake::new();
    fake.queue(&order("r", "MANUAL"));
    fake.queue(&order("s", "MANUAL"));
    let executor = working("MANUAL", HOUR);
    let calls = executor.calls();
    let daemon = start(&fake, fake.runner().executor_with_limit(executor, 1));
    tokio::time::sleep(MINUTE).await;
    daemon.drain().await;
    assert_eq!(calls.count(), 1);
    for uuid in ["r", "s"] {
        assert!(fake.run(uuid).user_message("work").starts_with("The runner was shut down"), "{uuid}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_second_request_ends_the_runner_at_once() {
    let fake = Fake::new();
    let mut daemon = with_a_run(&fake, working("MANUAL", HOUR)).await;
    daemon.shutdown.drain();
    tokio::time::sleep(seconds(5)).await;
    let asked = Instant::now();
    daemon.shutdown.now();
    assert_eq!(daemon.ended().await.left_behind, 1);
    assert_eq!(asked.elapsed(), seconds(0));
    let calls = fake.calls("r").len();
    tokio::time::sleep(HOUR).await;
    assert_eq!(fake.calls("r").len(), calls, "nothing goes on in the background");
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_just_being_claimed_is_carried_out_and_reported() {
    let fake = Fake::new();
    fake.faults(On::Claim, [Fault::Slow(seconds(5))]);
    fake.queue(&order("r", "MANUAL"));
    let mut daemon = start(&fake, fake.runner().executor(working("MANUAL", seconds(5))));
    tokio::time::sleep(seconds(1)).await;
    daemon.shutdown.drain();
    assert_eq!(daemon.ended().await.left_behind, 0);
    assert_eq!(fake.run("r").status, Some(RunStatus::Succeeded));
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_hangs_does_not_hold_up_the_end_at_once() {
    let fake = Fake::new();
    fake.faults(On::Claim, [Fault::Slow(HOUR)]);
    let mut daemon = start(&fake, fake.runner().executor(instant("MANUAL")));
    tokio::time::sleep(seconds(1)).await;
    daemon.shutdown.now();
    let asked = Instant::now();
    daemon.ended().await;
    assert_eq!(asked.elapsed(), seconds(0));
}

#[tokio::test(start_paused = true)]
async fn an_end_that_cannot_be_delivered_is_left_behind_in_bounded_time() {
    let fake = Fake::new();
    fake.queue(&order("r", "MANUAL"));
    fake.outage(On::Patch, no_answer());
    let daemon = start(&fake, fake.runner().executor(instant("MANUAL")));
    fake.until("a try", |state| state.calls.iter().any(|call| call.on == On::Patch)).await;
    let asked = Instant::now();
    assert_eq!(daemon.drain().await.left_behind, 1);
    assert!(asked.elapsed() <= MINUTE, "{:?}", asked.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_run_that_cannot_be_registered_when_the_runner_ends_is_registered_before_its_end() {
    let fake = Fake::new();
    fake.queue(&order("r", "MANUAL"));
    fake.outage(On::Register, no_answer());
    let mut daemon = start(&fake, fake.runner().executor(instant("MANUAL")));
    fake.until("a try", |state| state.calls.iter().any(|call| call.on == On::Register)).await;
    daemon.shutdown.drain();
    tokio::time::sleep(seconds(31)).await;
    fake.repair();
    assert_eq!(daemon.ended().await.left_behind, 0);
    let run = fake.run("r");
    assert!(run.registered && run.status == Some(RunStatus::Failed), "{run:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_that_leave_fast_at_the_second_request_are_counted_as_left_behind_too() {
    const RUNS: usize = 16;
    // A thread of the runtime drops the first runs before the last is told to leave: the more rounds, the surer.
    for _ in 0..20 {
        let (fake, notes) = (Fake::new(), crate::journal::Notes::default());
        (0..RUNS).for_each(|run| fake.queue(&order(&format!("run-{run}"), "MANUAL")));
        fake.outage(On::Patch, no_answer());
        let mut daemon = start(&fake, fake.runner().executor(instant("MANUAL")).journal(notes));
        let tried = |state: &crate::fake::State| state.calls.iter().filter(|call| call.on == On::Patch).count() >= RUNS;
        fake.until("a try of each", tried).await;
        daemon.shutdown.drain();
        daemon.shutdown.now();
        assert_eq!(daemon.ended().await.left_behind, RUNS);
    }
}
