//! When runs are claimed, and how many are in hand and under way at once.

use std::time::Duration;

use runner_core::meshstack_client::RunStatus;
use runner_core::{BuildError, Serves};
use tokio::time::Instant;

use crate::fake::{Fake, Fault, On};
use crate::scene::{
    HOUR, MINUTE, asks_to_wait, executor, instant, no_answer, order, seconds, start, unauthorised, unavailable, working,
};

/// Time between the claims.
fn gaps(fake: &Fake) -> Vec<Duration> {
    fake.claims().windows(2).map(|pair| pair[1] - pair[0]).collect()
}

#[tokio::test(start_paused = true)]
async fn a_backlog_is_claimed_back_to_back_and_carried_out_as_room_allows() {
    let fake = Fake::new();
    for number in 0..100 {
        fake.queue(&order(&format!("r{number}"), "MANUAL"));
    }
    let executor = working("MANUAL", seconds(20));
    let calls = executor.calls();
    let daemon = start(&fake, fake.runner().executor(executor).max_concurrent_runs(10));
    let mut most_in_hand = 0;
    let started = Instant::now();
    while calls.count() < 100 || daemon.runner.status().runs_in_hand > 0 {
        most_in_hand = most_in_hand.max(daemon.runner.status().runs_in_hand);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!((most_in_hand, calls.most_at_once(), calls.count()), (10, 10, 100));
    assert!(started.elapsed() < seconds(10 * 20 + 5), "ten times ten runs of 20 s: {:?}", started.elapsed());
    daemon.drain().await;
}

#[tokio::test(start_paused = true)]
async fn an_idle_runner_polls_every_ten_seconds_not_in_step_with_others() {
    let fake = Fake::new();
    let _daemon = start(&fake, fake.runner().executor(instant("MANUAL")));
    tokio::time::sleep(HOUR).await;
    let gaps = gaps(&fake);
    assert!((360..=480).contains(&gaps.len()), "{}", gaps.len());
    assert!(gaps.iter().all(|gap| (seconds(7)..seconds(11)).contains(gap)), "{gaps:?}");
    assert!(gaps.windows(2).any(|pair| pair[0].abs_diff(pair[1]) > Duration::from_millis(50)), "there is jitter");
}

#[tokio::test(start_paused = true)]
async fn refused_credentials_are_tried_a_handful_of_times_an_hour() {
    let fake = Fake::new();
    fake.outage(On::Claim, unauthorised());
    fake.queue(&order("r", "MANUAL"));
    let _daemon = start(&fake, fake.runner().executor(instant("MANUAL")));
    tokio::time::sleep(HOUR).await;
    assert!((10..=18).contains(&fake.claims().len()), "{}", fake.claims().len());
    fake.repair();
    tokio::time::sleep(5 * MINUTE + seconds(1)).await;
    assert_eq!(fake.run("r").status, Some(RunStatus::Succeeded));
    assert!(gaps(&fake).last().is_some_and(|gap| *gap < seconds(11)), "and then it polls as ever");
}

#[tokio::test(start_paused = true)]
async fn errors_of_claims_make_them_rarer_up_to_a_minute_until_one_works() {
    let fake = Fake::new();
    fake.outage(On::Claim, no_answer());
    let _daemon = start(&fake, fake.runner().executor(instant("MANUAL")));
    tokio::time::sleep(HOUR).await;
    let during = gaps(&fake);
    assert!((55..=85).contains(&during.len()), "{}", during.len());
    assert!(during[0] <= seconds(3) && during.iter().all(|gap| *gap <= seconds(61)), "{during:?}");
    assert!(during.last().is_some_and(|gap| *gap >= seconds(44)), "{during:?}");
    fake.repair();
    tokio::time::sleep(2 * MINUTE).await;
    assert!(gaps(&fake).last().is_some_and(|gap| *gap < seconds(11)));
}

#[tokio::test(start_paused = true)]
async fn a_claim_is_not_repeated_before_the_time_that_meshstack_asked_for() {
    let fake = Fake::new();
    fake.faults(On::Claim, [Fault::Error(asks_to_wait(3 * MINUTE))]);
    let _daemon = start(&fake, fake.runner().executor(instant("MANUAL")));
    tokio::time::sleep(5 * MINUTE).await;
    assert!((3 * MINUTE..4 * MINUTE).contains(&gaps(&fake)[0]), "{:?}", gaps(&fake));
}

#[tokio::test(start_paused = true)]
async fn an_hour_of_sleep_is_followed_by_one_claim_not_by_a_storm() {
    let fake = Fake::new();
    let _daemon = start(&fake, fake.runner().executor(instant("MANUAL")));
    tokio::time::sleep(MINUTE).await;
    let before = fake.claims().len();
    tokio::time::advance(HOUR).await;
    tokio::time::sleep(seconds(5)).await;
    assert_eq!(fake.claims().len(), before + 1);
}

#[tokio::test(start_paused = true)]
async fn runs_beyond_the_limit_of_their_executor_wait_registered_and_say_so() {
    let fake = Fake::new();
    for uuid in ["a", "b", "c"] {
        fake.queue(&order(uuid, "TERRAFORM"));
    }
    let executor = working("TERRAFORM", 10 * MINUTE);
    let calls = executor.calls();
    let _daemon = start(&fake, fake.runner().executor_with_limit(executor, 2));
    fake.until_claimed("c").await;
    tokio::time::sleep(MINUTE).await;
    let waiting = fake.run("c");
    assert!(waiting.registered);
    assert_eq!(waiting.user_message("work"), "Waiting: the runner already carries out 2 TERRAFORM runs at once.");
    assert_eq!(waiting.status, Some(RunStatus::InProgress));
    fake.until_over("c").await;
    assert_eq!(fake.run("c").user_message("work"), "", "the notice is taken back");
    assert_eq!(fake.run("a").step("work").user_message, None);
    assert_eq!(calls.most_at_once(), 2);
}

#[tokio::test(start_paused = true)]
async fn runs_that_wait_for_their_executor_do_not_hold_up_a_run_of_another_type() {
    let fake = Fake::new();
    for number in 0..6 {
        fake.queue(&order(&format!("t{number}"), "TERRAFORM"));
    }
    fake.queue(&order("m", "MANUAL"));
    let (slow, quick) = (working("TERRAFORM", 3 * HOUR), working("MANUAL", seconds(5)));
    let calls = slow.calls();
    let runner = fake.runner().executor_with_limit(slow, 1).executor(quick).max_concurrent_runs(6);
    let daemon = start(&fake, runner);
    fake.until_over("m").await;
    assert_eq!(fake.run("m").status, Some(RunStatus::Succeeded));
    assert_eq!((calls.count(), daemon.runner.status().max_concurrent_runs), (1, 6));
    let waited = fake.patches("m").last().expect("an end").0 - fake.calls("t0")[0].at;
    assert!(waited < 5 * MINUTE, "claimed to show life, and begun at once: {waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_full_runner_shows_life_with_one_more_claim_every_four_minutes() {
    let fake = Fake::new();
    for number in 0..40 {
        fake.queue(&order(&format!("r{number}"), "MANUAL"));
    }
    let executor = working("MANUAL", 24 * HOUR);
    let calls = executor.calls();
    let daemon = start(&fake, fake.runner().executor(executor).max_concurrent_runs(3));
    tokio::time::sleep(HOUR).await;
    let gaps = gaps(&fake);
    assert_eq!(gaps.len(), 2 + 14, "{gaps:?}");
    assert!(gaps[2..].iter().all(|gap| (4 * MINUTE..4 * MINUTE + seconds(1)).contains(gap)), "{gaps:?}");
    assert_eq!((calls.count(), daemon.runner.status().runs_in_hand), (3, 17));
    assert_eq!(fake.run("r3").user_message("work"), "Waiting: the runner already carries out 3 runs at once.");
}

#[tokio::test(start_paused = true)]
async fn a_full_runner_whose_claim_fails_tries_again_before_it_counts_as_silent() {
    let fake = Fake::new();
    fake.queue(&order("r", "MANUAL"));
    let _daemon = start(&fake, fake.runner().executor(working("MANUAL", 24 * HOUR)).max_concurrent_runs(1));
    fake.until_claimed("r").await;
    fake.faults(On::Claim, [Fault::Error(unavailable())]);
    tokio::time::sleep(4 * MINUTE + seconds(5)).await;
    assert_eq!(fake.claims().len(), 3, "{:?}", gaps(&fake));
}

#[tokio::test(start_paused = true)]
async fn runs_that_were_claimed_to_show_life_take_up_the_next_room() {
    let fake = Fake::new();
    for number in 0..8 {
        fake.queue(&order(&format!("r{number}"), "MANUAL"));
    }
    let once_long = executor("MANUAL", &["work"], |ctx| {
        let time = if ["r0", "r1"].contains(&ctx.run().uuid()) { 9 * MINUTE } else { 30 * MINUTE };
        Box::pin(async move {
            tokio::time::sleep(time).await;
            Ok(runner_core::Outcome::Succeeded)
        })
    });
    let daemon = start(&fake, fake.runner().executor(once_long).max_concurrent_runs(2));
    tokio::time::sleep(seconds(9 * 60 - 1)).await;
    assert_eq!(daemon.runner.status().runs_in_hand, 4, "two under way, and one for each four minutes");
    tokio::time::sleep(seconds(2)).await;
    assert!(daemon.runner.status().runs_in_hand <= 3, "{}", daemon.runner.status().runs_in_hand);
}

#[tokio::test(start_paused = true)]
async fn the_runs_of_one_executor_begin_in_the_order_of_the_queue() {
    let fake = Fake::new();
    let uuids: Vec<String> = (0..12).map(|number| format!("r{number}")).collect();
    for uuid in &uuids {
        fake.queue(&order(uuid, "MANUAL"));
    }
    let executor = working("MANUAL", seconds(7));
    let calls = executor.calls();
    let _daemon = start(&fake, fake.runner().executor_with_limit(executor, 1));
    fake.until_over("r11").await;
    assert_eq!(calls.runs(), uuids);
}

#[test]
fn a_runner_that_could_carry_nothing_out_is_not_built() {
    let build = |builder: runner_core::RunnerBuilder| builder.build().map(drop);
    let runner = || Fake::new().runner();
    assert_eq!(build(runner()), Err(BuildError::NoExecutor));
    assert_eq!(build(runner().executor(instant("A")).max_concurrent_runs(0)), Err(BuildError::NoRoom));
    assert_eq!(build(runner().executor_with_limit(instant("A"), 0)), Err(BuildError::NoRoom));
    assert_eq!(
        build(runner().executor(instant("A")).executor(instant("A"))),
        Err(BuildError::TwoExecutors(Serves::Type("A".into())))
    );
    assert_eq!(build(runner().executor(instant("A")).executor(instant("B"))), Ok(()));
}
