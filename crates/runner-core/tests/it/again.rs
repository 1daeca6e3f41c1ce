//! The same run once more: meshStack queues a run again that it heard no end of.

use runner_core::meshstack_client::{Problem, RunStatus};

use crate::fake::{Fake, Fault, On};
use crate::scene::{
    HOUR, MINUTE, asks_to_wait, conflict, executor, gone, instant, no_answer, order, seconds, start, unauthorised,
    with_token, working,
};

#[tokio::test(start_paused = true)]
async fn a_run_that_is_given_again_while_it_runs_goes_on_under_its_new_token() {
    let fake = Fake::new();
    let run = order("r", "MANUAL");
    fake.queue(&run);
    let executor = working("MANUAL", 4 * HOUR);
    let calls = executor.calls();
    let daemon = start(&fake, fake.runner().executor(executor));
    tokio::time::sleep(3 * HOUR).await;
    fake.queue(&with_token(&run, "a new token"));
    tokio::time::sleep(MINUTE).await;
    assert!(fake.run("r").registered, "meshStack has forgotten the steps, and is told anew");
    fake.until_over("r").await;
    assert_eq!((fake.run("r").status, calls.count()), (Some(RunStatus::Succeeded), 1));
    assert_eq!(fake.calls("r").last().map(|call| call.token.clone()).as_deref(), Some("a new token"));
    assert_eq!(fake.calls("r").iter().filter(|call| call.on == On::Register).count(), 2);
    daemon.drain().await;
}

#[tokio::test(start_paused = true)]
async fn everything_that_was_said_under_the_old_token_is_said_again_under_the_new_one() {
    let fake = Fake::new();
    let run = order("r", "MANUAL");
    fake.queue(&run);
    let telling = executor("MANUAL", &["one", "two"], |ctx| {
        Box::pin(async move {
            ctx.step("one").log_line("a line");
            ctx.step("one").user_message("a message");
            ctx.step("one").succeed();
            ctx.summary("a summary");
            tokio::time::sleep(HOUR).await;
            Ok(runner_core::Outcome::Succeeded)
        })
    });
    let _daemon = start(&fake, fake.runner().executor(telling));
    tokio::time::sleep(MINUTE).await;
    fake.queue(&with_token(&run, "a new token"));
    fake.until_over("r").await;
    let run = fake.run("r");
    assert_eq!((run.user_message("one"), run.system_message("one")), ("a message", "a line\n"));
    assert_eq!(run.summary.as_deref(), Some("a summary"));
}

#[tokio::test(start_paused = true)]
async fn an_end_that_is_still_held_is_delivered_under_the_new_token() {
    let fake = Fake::new();
    let run = order("r", "MANUAL");
    fake.queue(&run);
    fake.outage(On::Patch, no_answer());
    let executor = instant("MANUAL");
    let calls = executor.calls();
    let daemon = start(&fake, fake.runner().executor(executor));
    tokio::time::sleep(3 * HOUR).await;
    fake.queue(&with_token(&run, "a new token"));
    fake.until("the new token", |state| state.calls.iter().any(|call| call.token == "a new token")).await;
    fake.repair();
    fake.until_over("r").await;
    assert_eq!((fake.run("r").status, calls.count()), (Some(RunStatus::Succeeded), 1));
    assert_eq!(fake.run("r").token, "a new token");
    daemon.drain().await;
}

#[tokio::test(start_paused = true)]
async fn an_end_does_not_wait_for_its_next_try_when_a_new_token_comes() {
    let fake = Fake::new();
    let run = order("r", "MANUAL");
    fake.queue(&run);
    fake.outage(On::Patch, asks_to_wait(10 * MINUTE));
    let _daemon = start(&fake, fake.runner().executor(instant("MANUAL")));
    tokio::time::sleep(MINUTE).await;
    fake.repair();
    fake.queue(&with_token(&run, "a new token"));
    tokio::time::sleep(seconds(11)).await;
    assert_eq!(fake.run("r").status, Some(RunStatus::Succeeded));
}

#[tokio::test(start_paused = true)]
async fn an_end_that_was_refused_under_the_old_token_is_sent_under_the_new_one() {
    for answer in [unauthorised(), gone(), conflict()] {
        let fake = Fake::new();
        let run = order("r", "MANUAL");
        fake.queue(&run);
        fake.faults(On::Patch, [Fault::SlowError(seconds(25), answer)]);
        let executor = instant("MANUAL");
        let calls = executor.calls();
        let _daemon = start(&fake, fake.runner().executor(executor));
        tokio::time::sleep(seconds(5)).await;
        fake.queue(&with_token(&run, "a new token"));
        fake.until_over("r").await;
        assert_eq!((fake.run("r").status, calls.count()), (Some(RunStatus::Succeeded), 1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_of_the_old_token_does_not_stop_a_run_that_came_again_meanwhile() {
    for answer in [conflict(), unauthorised()] {
        let fake = Fake::new();
        let run = order("r", "MANUAL");
        fake.queue(&run);
        let executor = working("MANUAL", HOUR);
        let calls = executor.calls();
        let _daemon = start(&fake, fake.runner().executor(executor));
        fake.until_claimed("r").await;
        // The sign of life is under way for 20 s; within them the run is claimed again.
        tokio::time::sleep(seconds(15)).await;
        fake.faults(On::Patch, [Fault::SlowError(seconds(20), answer)]);
        tokio::time::sleep(seconds(6)).await;
        fake.queue(&with_token(&run, "a new token"));
        fake.until_over("r").await;
        assert_eq!((fake.run("r").status, calls.count()), (Some(RunStatus::Succeeded), 1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_comes_again_while_it_is_stopped_as_over_ends_failed() {
    let fake = Fake::new();
    let run = order("r", "MANUAL");
    fake.queue(&run);
    let mut slow_to_stop = executor("MANUAL", &["work"], |ctx| {
        Box::pin(async move {
            ctx.step("work").start();
            let reason = ctx.stop().requested().await;
            tokio::time::sleep(5 * MINUTE).await;
            Err(runner_core::Stopped(reason).into())
        })
    });
    slow_to_stop.stop_grace = HOUR;
    let calls = slow_to_stop.calls();
    fake.faults(On::Patch, [Fault::Fine, Fault::Error(conflict())]);
    let daemon = start(&fake, fake.runner().executor(slow_to_stop));
    tokio::time::sleep(MINUTE).await;
    fake.queue(&with_token(&run, "a new token"));
    fake.until_over("r").await;
    assert_eq!((fake.run("r").status, calls.count()), (Some(RunStatus::Failed), 1));
    assert!(fake.run("r").user_message("work").contains("ended in meshStack while"));
    daemon.drain().await;
}

#[tokio::test(start_paused = true)]
async fn an_end_is_not_sent_over_and_over_when_the_new_token_is_refused_too() {
    let fake = Fake::new();
    let run = order("r", "MANUAL");
    fake.queue(&run);
    fake.outage(On::Patch, no_answer());
    let daemon = start(&fake, fake.runner().executor(instant("MANUAL")));
    tokio::time::sleep(HOUR).await;
    fake.outage(On::Patch, unauthorised());
    fake.outage(On::Register, unauthorised());
    fake.queue(&with_token(&run, "a new token"));
    let before = fake.calls("r").len();
    tokio::time::sleep(HOUR).await;
    assert!(fake.calls("r").len() <= before + 4, "{:?}", &fake.transcript("r")[before..]);
    assert_eq!(daemon.runner.status().runs_in_hand, 1, "it is kept, in case it comes once more");
    tokio::time::sleep(24 * HOUR).await;
    assert!(fake.calls("r").len() <= before + 4);
    assert_eq!(daemon.runner.status().runs_in_hand, 0);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_waits_to_come_again_does_not_hold_up_a_shutdown() {
    let fake = Fake::new();
    fake.queue(&order("r", "MANUAL"));
    fake.outage(On::Patch, unauthorised());
    let daemon = start(&fake, fake.runner().executor(instant("MANUAL")));
    tokio::time::sleep(MINUTE).await;
    let asked = tokio::time::Instant::now();
    daemon.drain().await;
    assert!(asked.elapsed() < seconds(1), "{:?}", asked.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_run_that_comes_again_while_it_is_registered_is_registered_under_its_new_token() {
    let fake = Fake::new();
    let run = order("r", "MANUAL");
    fake.queue(&run);
    fake.faults(On::Register, [Fault::SlowError(seconds(25), unauthorised())]);
    let executor = instant("MANUAL");
    let calls = executor.calls();
    let _daemon = start(&fake, fake.runner().executor(executor));
    fake.until_claimed("r").await;
    fake.queue(&with_token(&run, "a new token"));
    fake.until_over("r").await;
    assert_eq!((fake.run("r").status, calls.count()), (Some(RunStatus::Succeeded), 1));
}

#[tokio::test(start_paused = true)]
async fn an_end_that_keeps_a_wait_is_sent_at_once_when_a_new_token_comes() {
    let fake = Fake::new();
    let run = order("r", "MANUAL");
    fake.queue(&run);
    fake.faults(On::Patch, [Fault::Error(asks_to_wait(10 * MINUTE))]);
    let _daemon = start(&fake, fake.runner().executor(working("MANUAL", seconds(30))));
    tokio::time::sleep(MINUTE).await;
    assert_eq!(fake.patches("r").len(), 1);
    fake.queue(&with_token(&run, "a new token"));
    tokio::time::sleep(seconds(11)).await;
    assert_eq!(fake.run("r").status, Some(RunStatus::Succeeded));
}

#[tokio::test(start_paused = true)]
async fn an_end_whose_token_ran_out_is_delivered_when_the_run_comes_again_hours_later() {
    for problem in [unauthorised(), Problem::Unauthorised { status: 403, excerpt: String::new() }] {
        let fake = Fake::new();
        let run = order("r", "MANUAL");
        fake.queue(&run);
        fake.faults(On::Patch, [Fault::Error(problem)]);
        let executor = instant("MANUAL");
        let calls = executor.calls();
        let daemon = start(&fake, fake.runner().executor(executor));
        tokio::time::sleep(3 * HOUR).await;
        fake.queue(&with_token(&run, "a new token"));
        fake.until_over("r").await;
        assert_eq!((fake.run("r").status, calls.count()), (Some(RunStatus::Succeeded), 1));
        daemon.drain().await;
    }
}
