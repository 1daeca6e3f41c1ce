//! Runs that are stopped: by an abort, a limit, the end of their token.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use runner_core::meshstack_client::{RunStatus, StepStatus};
use runner_core::{Outcome, StopReason};
use serde_json::json;

use crate::fake::{Fake, Fault, On};
use crate::scene::{
    HOUR, MINUTE, Scripted, conflict, executor, order, order_with, seconds, start, with_token, working,
};

/// Works until it is stopped, and remembers when and why.
fn stoppable() -> (Scripted, std::sync::Arc<std::sync::Mutex<Vec<StopReason>>>) {
    let reasons = std::sync::Arc::<std::sync::Mutex<Vec<StopReason>>>::default();
    let seen = std::sync::Arc::clone(&reasons);
    let executor = executor("MANUAL", &["work"], move |ctx| {
        let seen = std::sync::Arc::clone(&seen);
        Box::pin(async move {
            ctx.step("work").start();
            let reason = ctx.stop().requested().await;
            seen.lock().expect("no panic").push(reason);
            // Time to leave things in order.
            tokio::time::sleep(seconds(5)).await;
            ctx.step("work").log_line("left in order");
            Err(runner_core::Stopped(reason).into())
        })
    });
    (executor, reasons)
}

/// A run token that expires in `left`.
fn jwt(left: Duration) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    format!("e30.{}.sig", URL_SAFE_NO_PAD.encode(format!(r#"{{"exp":{}}}"#, (now + left).as_secs())))
}

#[tokio::test(start_paused = true)]
async fn an_abort_stops_the_executor_within_a_sign_of_life_and_no_end_is_sent() {
    let fake = Fake::new();
    fake.queue(&order("r", "MANUAL"));
    let (executor, reasons) = stoppable();
    let daemon = start(&fake, fake.runner().executor(executor));
    fake.until_claimed("r").await;
    tokio::time::sleep(seconds(29)).await;
    fake.abort("r");
    tokio::time::sleep(seconds(10)).await;
    assert_eq!(*reasons.lock().expect("no panic"), [StopReason::Aborted]);
    assert_eq!(daemon.runner.status().runs_in_hand, 1, "it is given time to stop");
    let patches = fake.patches("r").len();
    tokio::time::sleep(HOUR).await;
    assert_eq!(fake.patches("r").len(), patches);
    assert!(fake.patches("r").iter().all(|(_, patch)| patch.status == RunStatus::InProgress));
    assert_eq!(daemon.runner.status().runs_in_hand, 0);
    daemon.drain().await;
}

#[tokio::test(start_paused = true)]
async fn an_abort_that_crosses_the_end_leaves_the_run_aborted() {
    let fake = Fake::new();
    fake.queue(&order("r", "MANUAL"));
    fake.faults(On::Patch, [Fault::Fine, Fault::Abort]);
    let daemon = start(&fake, fake.runner().executor(working("MANUAL", seconds(5))));
    tokio::time::sleep(HOUR).await;
    assert_eq!(fake.transcript("r")[2..], ["IN_PROGRESS work:IN_PROGRESS", "!SUCCEEDED work:SUCCEEDED"]);
    assert_eq!(daemon.runner.status().runs_in_hand, 0);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_meshstack_has_ended_is_stopped_and_nothing_more_is_said() {
    let fake = Fake::new();
    fake.queue(&order("r", "MANUAL"));
    let (executor, reasons) = stoppable();
    fake.faults(On::Patch, [Fault::Fine, Fault::Error(conflict())]);
    let daemon = start(&fake, fake.runner().executor(executor));
    tokio::time::sleep(HOUR).await;
    assert_eq!(*reasons.lock().expect("no panic"), [StopReason::RunOver]);
    assert_eq!(fake.patches("r").len(), 2);
    assert_eq!(daemon.runner.status().runs_in_hand, 0);
}

#[tokio::test(start_paused = true)]
async fn an_abort_reaches_a_run_that_waits_for_room() {
    let fake = Fake::new();
    fake.queue(&order("first", "MANUAL"));
    fake.queue(&order("second", "MANUAL"));
    let executor = working("MANUAL", HOUR);
    let calls = executor.calls();
    let daemon = start(&fake, fake.runner().executor_with_limit(executor, 1));
    fake.until_claimed("second").await;
    tokio::time::sleep(MINUTE).await;
    assert!(fake.run("second").user_message("work").starts_with("Waiting: "));
    fake.abort("second");
    tokio::time::sleep(seconds(11)).await;
    assert_eq!(daemon.runner.status().runs_in_hand, 1);
    tokio::time::sleep(2 * HOUR).await;
    assert_eq!(calls.runs(), ["first"]);
    assert!(fake.patches("second").iter().all(|(_, patch)| patch.status == RunStatus::InProgress));
}

#[tokio::test(start_paused = true)]
async fn an_executor_that_ignores_an_abort_is_dropped_after_its_grace() {
    let fake = Fake::new();
    fake.queue(&order("r", "MANUAL"));
    let deaf = executor("MANUAL", &["work"], |_ctx| Box::pin(std::future::pending()));
    let daemon = start(&fake, fake.runner().executor(deaf));
    fake.until_claimed("r").await;
    fake.abort("r");
    tokio::time::sleep(seconds(10 + 10 + 1)).await;
    assert_eq!(daemon.runner.status().runs_in_hand, 0);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_takes_longer_than_its_limit_is_stopped_in_order_and_says_so() {
    let fake = Fake::new();
    fake.queue(&order("r", "MANUAL"));
    let (executor, reasons) = stoppable();
    let _daemon = start(&fake, fake.runner().executor(executor.limited_to(30 * MINUTE)));
    fake.until_over("r").await;
    assert_eq!(*reasons.lock().expect("no panic"), [StopReason::TimeLimit(30 * MINUTE)]);
    let run = fake.run("r");
    assert_eq!((run.status, run.step("work").status), (Some(RunStatus::Failed), StepStatus::Failed));
    assert!(run.user_message("work").contains("longer than its limit of 30 min"), "{run:#?}");
    assert!(run.system_message("work").starts_with("left in order\n"));
    let (calls, patches) = (fake.calls("r"), fake.patches("r"));
    let took = patches.last().expect("an end").0 - calls[0].at;
    assert!((30 * MINUTE..30 * MINUTE + seconds(6)).contains(&took), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_run_that_ignores_its_limit_ends_after_the_grace_and_gives_its_slot_back() {
    let fake = Fake::new();
    fake.queue(&order("r", "MANUAL"));
    fake.queue(&order("s", "MANUAL"));
    let mut deaf = executor("MANUAL", &["work"], |ctx| {
        Box::pin(
            async move { if ctx.run().uuid() == "r" { std::future::pending().await } else { Ok(Outcome::Succeeded) } },
        )
    });
    deaf.stop_grace = MINUTE;
    let _daemon = start(&fake, fake.runner().executor_with_limit(deaf.limited_to(2 * MINUTE), 1));
    fake.until_over("r").await;
    assert!(fake.run("r").system_message("work").contains("it did not stop within 60 s"));
    assert_eq!(fake.patches("r").last().expect("an end").0.duration_since(fake.calls("r")[0].at).as_secs(), 180);
    fake.until_over("s").await;
    assert_eq!(fake.run("s").status, Some(RunStatus::Succeeded));
}

#[tokio::test(start_paused = true)]
async fn a_run_ends_before_its_token_runs_out() {
    let fake = Fake::new();
    fake.queue(&order_with("r", "MANUAL", |run| run["spec"]["runToken"] = json!(jwt(HOUR))));
    let (executor, reasons) = stoppable();
    let _daemon = start(&fake, fake.runner().executor(executor));
    fake.until_over("r").await;
    assert_eq!(*reasons.lock().expect("no panic"), [StopReason::TokenExpires]);
    assert!(fake.run("r").user_message("work").contains("permission to report"));
    let took = fake.patches("r").last().expect("an end").0 - fake.calls("r")[0].at;
    assert!((58 * MINUTE..HOUR).contains(&took), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_short_token_leaves_time_to_work() {
    let fake = Fake::new();
    fake.queue(&order_with("r", "MANUAL", |run| run["spec"]["runToken"] = json!(jwt(seconds(50)))));
    let _daemon = start(&fake, fake.runner().executor(working("MANUAL", seconds(15))));
    fake.until_over("r").await;
    assert_eq!(fake.run("r").status, Some(RunStatus::Succeeded));
}

#[tokio::test(start_paused = true)]
async fn a_run_that_waits_until_its_token_runs_out_says_so_and_is_not_started() {
    let fake = Fake::new();
    fake.queue(&order("first", "MANUAL"));
    fake.queue(&order_with("second", "MANUAL", |run| run["spec"]["runToken"] = json!(jwt(HOUR))));
    let executor = working("MANUAL", 3 * HOUR);
    let calls = executor.calls();
    let _daemon = start(&fake, fake.runner().executor_with_limit(executor, 1));
    fake.until_over("second").await;
    assert_eq!(calls.runs(), ["first"]);
    assert!(fake.run("second").user_message("work").contains("permission to report"));
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_given_again_has_until_its_new_token_runs_out() {
    let fake = Fake::new();
    let run = order_with("r", "MANUAL", |run| run["spec"]["runToken"] = json!(jwt(HOUR)));
    fake.queue(&run);
    let _daemon = start(&fake, fake.runner().executor(working("MANUAL", 2 * HOUR)));
    tokio::time::sleep(MINUTE).await;
    fake.queue(&with_token(&run, &jwt(5 * HOUR)));
    fake.until_over("r").await;
    // The second claim wiped what meshStack knew; a success can only come from the whole two hours.
    assert_eq!(fake.run("r").status, Some(RunStatus::Succeeded));
}
