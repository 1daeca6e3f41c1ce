//! What meshStack hears of a run, and when.

use std::time::Duration;

use runner_core::Outcome;
use runner_core::meshstack_client::{Output, OutputType, Problem, RunStatus, StepStatus};
use serde_json::json;
use tokio::time::Instant;

use crate::fake::{Fake, Fault, On};
use crate::scene::{
    HOUR, MINUTE, asks_to_wait, executor, instant, no_answer, order, refused, seconds, start, unauthorised,
    unavailable, working,
};

/// When the patches of `r` came, in milliseconds after the first call for it.
fn times(fake: &Fake) -> Vec<u128> {
    let first = fake.calls("r")[0].at;
    fake.patches("r").iter().map(|(at, _)| at.duration_since(first).as_millis()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_done_at_once_is_one_claim_one_registration_and_one_patch() {
    let fake = Fake::new();
    fake.queue(&order("r", "MANUAL"));
    let daemon = start(&fake, fake.runner().executor(instant("MANUAL")));
    fake.until_over("r").await;
    tokio::time::sleep(HOUR).await;
    assert_eq!(fake.transcript("r"), ["claim", "register work", "SUCCEEDED work:SUCCEEDED"]);
    daemon.drain().await;
}

#[tokio::test(start_paused = true)]
async fn steps_are_registered_in_order_and_each_change_of_status_is_sent_at_once_without_the_others() {
    let fake = Fake::new();
    fake.queue(&order("r", "MANUAL"));
    let two = executor("MANUAL", &["one", "two"], |ctx| {
        Box::pin(async move {
            for id in ["one", "two"] {
                ctx.step(id).start();
                tokio::time::sleep(seconds(4)).await;
                ctx.step(id).succeed();
                tokio::time::sleep(seconds(4)).await;
            }
            Ok(Outcome::Succeeded)
        })
    });
    let _daemon = start(&fake, fake.runner().executor(two));
    fake.until_over("r").await;
    assert_eq!(
        fake.transcript("r"),
        [
            "claim",
            "register one two",
            "IN_PROGRESS one:IN_PROGRESS",
            "IN_PROGRESS one:SUCCEEDED",
            "IN_PROGRESS two:IN_PROGRESS",
            "IN_PROGRESS two:SUCCEEDED",
            "SUCCEEDED",
        ]
    );
    let times = times(&fake);
    for (time, due) in times.iter().zip([0, 4000, 8000, 12_000, 16_000]) {
        assert!((due..due + 100).contains(time), "{times:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_step_that_is_under_way_when_the_run_succeeds_has_succeeded_too() {
    let fake = Fake::new();
    fake.queue(&order("r", "MANUAL"));
    let _daemon = start(&fake, fake.runner().executor(working("MANUAL", seconds(1))));
    fake.until_over("r").await;
    assert_eq!(fake.run("r").step("work").status, StepStatus::Succeeded);
}

#[tokio::test(start_paused = true)]
async fn a_log_that_grows_all_the_time_is_sent_once_a_second() {
    let fake = Fake::new();
    fake.queue(&order("r", "MANUAL"));
    let chatty = executor("MANUAL", &["work"], |ctx| {
        Box::pin(async move {
            ctx.step("work").start();
            for line in 0..200 {
                ctx.step("work").log_line(format!("line {line}"));
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Ok(Outcome::Succeeded)
        })
    });
    let _daemon = start(&fake, fake.runner().executor(chatty));
    fake.until_over("r").await;
    let patches = fake.patches("r");
    assert!((10..=12).contains(&patches.len()), "{:?}", times(&fake));
    let sent = |at: usize| patches[at].1.steps[0].system_message.clone().unwrap_or_default();
    assert!(sent(3).starts_with(&sent(2)) && sent(3).len() > sent(2).len(), "the log so far, not an increment");
    assert!(fake.run("r").system_message("work").ends_with("line 199\n"));
}

#[tokio::test(start_paused = true)]
async fn a_huge_log_is_sent_less_often() {
    let fake = Fake::new();
    fake.queue(&order("r", "MANUAL"));
    let chatty = executor("MANUAL", &["work"], |ctx| {
        Box::pin(async move {
            for _ in 0..60 {
                ctx.step("work").log("0123456789abcde\n".repeat(64 * 1024).as_bytes());
                tokio::time::sleep(seconds(1)).await;
            }
            Ok(Outcome::Succeeded)
        })
    });
    let _daemon = start(&fake, fake.runner().executor(chatty));
    fake.until_over("r").await;
    let bytes = |step: &runner_core::meshstack_client::StepPatch| step.system_message.as_ref().map_or(0, String::len);
    let sent: usize = fake.patches("r").iter().flat_map(|(_, patch)| patch.steps.iter().map(bytes)).sum();
    assert!(sent <= 10 * 1024 * 1024, "{sent} bytes in a minute");
}

#[tokio::test(start_paused = true)]
async fn a_silent_run_shows_life_within_ten_seconds_and_says_nothing_with_it() {
    let fake = Fake::new();
    fake.queue(&order("r", "MANUAL"));
    let _daemon = start(&fake, fake.runner().executor(working("MANUAL", seconds(35))));
    fake.until_over("r").await;
    assert_eq!(
        fake.transcript("r")[2..],
        ["IN_PROGRESS work:IN_PROGRESS", "IN_PROGRESS", "IN_PROGRESS", "IN_PROGRESS", "SUCCEEDED work:SUCCEEDED"]
    );
    let times = times(&fake);
    for pair in times[..4].windows(2) {
        assert!((8_900..10_000).contains(&(pair[1] - pair[0])), "{times:?}");
    }
    assert!(fake.patches("r")[1].1.summary.is_none() && fake.patches("r")[1].1.steps.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_silent_run_shows_life_within_ten_seconds_also_where_answers_take_a_while() {
    let fake = Fake::new();
    fake.queue(&order("r", "MANUAL"));
    fake.faults(On::Patch, std::iter::repeat_n(Fault::Slow(seconds(3)), 5));
    let _daemon = start(&fake, fake.runner().executor(working("MANUAL", seconds(35))));
    fake.until_over("r").await;
    let times = times(&fake);
    for pair in times[..4].windows(2) {
        assert!((8_900..10_000).contains(&(pair[1] - pair[0])), "{times:?}");
    }
}

/// Says everything there is to say in five steps of a second.
fn telling() -> crate::scene::Scripted {
    executor("MANUAL", &["work"], |ctx| {
        Box::pin(async move {
            let step = ctx.step("work");
            step.start();
            for i in 0..5u64 {
                step.log_line(format!("line {i}"));
                step.user_message(format!("message {i}"));
                let value = Output { value: json!(i), kind: OutputType::Integer, is_sensitive: false };
                step.output(&format!("key{i}"), &value);
                ctx.summary(format!("summary {i}"));
                tokio::time::sleep(seconds(1)).await;
            }
            step.succeed();
            Ok(Outcome::Succeeded)
        })
    })
}

fn assert_all_was_told(fake: &Fake) {
    let run = fake.run("r");
    assert_eq!(run.status, Some(RunStatus::Succeeded));
    assert_eq!(run.summary.as_deref(), Some("summary 4"));
    assert_eq!(run.user_message("work"), "message 4");
    assert_eq!(run.system_message("work"), "line 0\nline 1\nline 2\nline 3\nline 4\n");
    let outputs: Vec<_> =
        run.step("work").outputs.iter().map(|(key, output)| (key.as_str(), &output["value"])).collect();
    assert_eq!(
        outputs,
        [("key0", &json!(0)), ("key1", &json!(1)), ("key2", &json!(2)), ("key3", &json!(3)), ("key4", &json!(4))]
    );
}

#[tokio::test(start_paused = true)]
async fn reports_that_are_not_taken_are_sent_again_and_nothing_is_lost() {
    let faults: [fn() -> Fault; 7] = [
        || Fault::Error(unavailable()),
        || Fault::Error(no_answer()),
        || Fault::AnswerLost,
        || Fault::Error(unauthorised()),
        || Fault::Error(refused()),
        || Fault::Error(Problem::BrokenAnswer { status: 200, reason: "HTML".to_owned(), excerpt: String::new() }),
        || Fault::Slow(seconds(25)),
    ];
    for fault in faults {
        let fake = Fake::new();
        fake.queue(&order("r", "MANUAL"));
        fake.faults(On::Patch, [fault(), fault(), Fault::Fine, fault()]);
        let daemon = start(&fake, fake.runner().executor(telling()));
        fake.until_over("r").await;
        assert_all_was_told(&fake);
        daemon.drain().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_report_that_meshstack_keeps_refusing_for_its_log_does_not_hold_up_the_statuses() {
    let fake = Fake::new();
    fake.queue(&order("r", "MANUAL"));
    fake.faults(On::Patch, [Fault::Error(refused())]);
    let _daemon = start(&fake, fake.runner().executor(telling()));
    fake.until("an output", |state| {
        state.runs.get("r").is_some_and(|run| run.steps.iter().any(|step| !step.outputs.is_empty()))
    })
    .await;
    let taken = &fake.patches("r")[1];
    assert_eq!(taken.1.steps[0].status, StepStatus::InProgress);
    assert_eq!(taken.1.steps[0].system_message, None);
    fake.until_over("r").await;
    assert_all_was_told(&fake);
}

#[tokio::test(start_paused = true)]
async fn tries_after_errors_become_rarer_up_to_a_minute() {
    let fake = Fake::new();
    fake.queue(&order("r", "MANUAL"));
    fake.outage(On::Patch, unavailable());
    let _daemon = start(&fake, fake.runner().executor(working("MANUAL", HOUR)));
    tokio::time::sleep(59 * MINUTE).await;
    let patches = fake.patches("r");
    assert!((55..=90).contains(&patches.len()), "{}", patches.len());
    let gaps: Vec<_> = patches.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
    assert!(gaps[0] <= seconds(2) && gaps.iter().all(|gap| *gap <= seconds(61)), "{gaps:?}");
}

#[tokio::test(start_paused = true)]
async fn the_wait_that_meshstack_asks_for_is_kept_also_by_the_end() {
    let fake = Fake::new();
    fake.queue(&order("r", "MANUAL"));
    fake.faults(On::Patch, [Fault::Error(asks_to_wait(2 * MINUTE))]);
    let _daemon = start(&fake, fake.runner().executor(telling()));
    fake.until_over("r").await;
    let patches = fake.patches("r");
    assert_eq!(patches.len(), 2);
    assert!(patches[1].0 - patches[0].0 >= 2 * MINUTE);
    assert_all_was_told(&fake);
}

#[tokio::test(start_paused = true)]
async fn a_registration_is_tried_until_it_is_taken() {
    let fake = Fake::new();
    fake.queue(&order("r", "MANUAL"));
    fake.faults(On::Register, [Fault::Error(unavailable()), Fault::AnswerLost, Fault::Error(no_answer())]);
    let _daemon = start(&fake, fake.runner().executor(instant("MANUAL")));
    fake.until_over("r").await;
    assert_eq!(
        fake.transcript("r"),
        ["claim", "!register work", "register work", "!register work", "register work", "SUCCEEDED work:SUCCEEDED"]
    );
}

#[tokio::test(start_paused = true)]
async fn steps_that_are_added_later_are_shown_after_the_others() {
    let fake = Fake::new();
    fake.queue(&order("r", "MANUAL"));
    let adding = executor("MANUAL", &["one"], |ctx| {
        Box::pin(async move {
            ctx.step("one").succeed();
            let more = ctx.add_step(&runner_core::StepSpec::new("two", "Step two"));
            more.start();
            tokio::time::sleep(seconds(1)).await;
            more.succeed();
            Ok(Outcome::Succeeded)
        })
    });
    let _daemon = start(&fake, fake.runner().executor(adding));
    let started = Instant::now();
    fake.until_over("r").await;
    assert!(started.elapsed() < seconds(2));
    assert_eq!(
        fake.transcript("r")[1..],
        ["register one", "IN_PROGRESS one:SUCCEEDED two:IN_PROGRESS", "SUCCEEDED two:SUCCEEDED"]
    );
    assert_eq!(fake.patches("r")[0].1.steps[1].display_name.as_deref(), Some("Step two"));
}
