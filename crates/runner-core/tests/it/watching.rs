//! Runs that are handed over, and watched.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use runner_core::journal::{Entry, Stage};
use runner_core::meshstack_client::{Problem, RunStatus, StepStatus};
use runner_core::{Failure, Outcome, StopReason};
use serde_json::json;

use crate::fake::{Fake, Fault, On};
use crate::journal::Notes;
use crate::scene::{HOUR, MINUTE, Scripted, executor, order, seconds, start, unauthorised, unavailable, with_token};

/// Hands over at once, to be watched.
fn handing_over() -> Scripted {
    executor("GITHUB_WORKFLOW", &["trigger"], |ctx| {
        Box::pin(async move {
            ctx.step("trigger").succeed();
            Ok(Outcome::HandedOver { watch: Some(json!({ "id": 7 })) })
        })
    })
}

/// The pipeline dies after this time without a word.
fn dying(after: Duration) -> Scripted {
    handing_over().watching(move |ctx, checkpoint| {
        Box::pin(async move {
            assert_eq!(checkpoint, json!({ "id": 7 }));
            ctx.or_stopped(tokio::time::sleep(after)).await?;
            Err(Failure::new("The workflow was cancelled.").on_step("trigger"))
        })
    })
}

type Reasons = Arc<Mutex<Vec<StopReason>>>;

/// The pipeline goes on; why the watch was stopped is noted.
fn lasting() -> (Scripted, Reasons) {
    let reasons = Reasons::default();
    let noted = Arc::clone(&reasons);
    let executor = handing_over().watching(move |ctx, _| {
        let noted = Arc::clone(&noted);
        Box::pin(async move {
            let reason = ctx.stop().requested().await;
            noted.lock().expect("the reasons").push(reason);
            Ok(())
        })
    });
    (executor, reasons)
}

#[tokio::test(start_paused = true)]
async fn a_pipeline_that_dies_without_a_word_fails_its_run() {
    let fake = Fake::new();
    fake.queue(&order("r", "GITHUB_WORKFLOW"));
    let daemon = start(&fake, fake.runner().executor(dying(HOUR)));
    tokio::time::sleep(MINUTE).await;
    assert_eq!((daemon.runner.status().runs_in_hand, daemon.runner.status().watched), (0, 1));
    fake.until_over("r").await;
    let said: Vec<_> = fake.transcript("r").into_iter().filter(|line| line != "read").collect();
    assert_eq!(said[1..], ["register trigger", "IN_PROGRESS trigger:SUCCEEDED", "FAILED trigger:FAILED"]);
    assert_eq!(fake.run("r").user_message("trigger"), "The workflow was cancelled.");
    tokio::time::sleep(MINUTE).await;
    assert_eq!(daemon.runner.status().watched, 0);
    daemon.drain().await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_said_of_a_pipeline_that_has_reported_its_end() {
    let fake = Fake::new();
    fake.queue(&order("r", "GITHUB_WORKFLOW"));
    // It dies just between two questions.
    let daemon = start(&fake, fake.runner().executor(dying(seconds(10))));
    fake.until("the hand-over", |state| state.runs.get("r").is_some_and(|run| run.status.is_some())).await;
    fake.end_by_pipeline("r", RunStatus::Succeeded);
    tokio::time::sleep(HOUR).await;
    assert_eq!(fake.run("r").status, Some(RunStatus::Succeeded));
    assert_eq!(daemon.runner.status().watched, 0);
    daemon.drain().await;
}

#[tokio::test(start_paused = true)]
async fn a_watch_ends_when_the_run_does_and_hears_of_an_abort() {
    for (aborted, expected) in [(false, StopReason::RunOver), (true, StopReason::Aborted)] {
        let fake = Fake::new();
        fake.queue(&order("r", "GITHUB_WORKFLOW"));
        let (executor, reasons) = lasting();
        let daemon = start(&fake, fake.runner().executor(executor));
        tokio::time::sleep(MINUTE).await;
        if aborted {
            fake.abort("r");
        } else {
            fake.end_by_pipeline("r", RunStatus::Failed);
        }
        let patches = fake.patches("r").len();
        tokio::time::sleep(seconds(20)).await;
        assert_eq!(*reasons.lock().expect("the reasons"), [expected]);
        assert_eq!(daemon.runner.status().watched, 0);
        assert_eq!(fake.patches("r").len(), patches, "nothing is said");
        daemon.drain().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_meshstack_that_does_not_say_is_asked_again_and_one_that_will_not_is_let_be() {
    for (problem, asks) in [(unavailable(), true), (unauthorised(), false)] {
        let fake = Fake::new();
        fake.queue(&order("r", "GITHUB_WORKFLOW"));
        fake.outage(On::Read, problem);
        let daemon = start(&fake, fake.runner().executor(dying(HOUR)));
        tokio::time::sleep(10 * MINUTE).await;
        let reads = fake.calls("r").iter().filter(|call| call.on == On::Read).count();
        assert_eq!(reads > 20, asks, "{reads}");
        assert!(reads >= 1);
        fake.until_over("r").await;
        assert_eq!(fake.run("r").status, Some(RunStatus::Failed), "the watch goes on without it");
        daemon.drain().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_meshstack_does_not_know_any_more_is_not_watched() {
    let fake = Fake::new();
    fake.queue(&order("r", "GITHUB_WORKFLOW"));
    fake.outage(On::Read, Problem::Gone { excerpt: String::new() });
    let (executor, reasons) = lasting();
    let daemon = start(&fake, fake.runner().executor(executor));
    tokio::time::sleep(MINUTE).await;
    assert_eq!(*reasons.lock().expect("the reasons"), [StopReason::RunOver]);
    daemon.drain().await;
}

#[tokio::test(start_paused = true)]
async fn watched_runs_take_up_no_room_and_no_slot() {
    let fake = Fake::new();
    for run in ["a", "b", "c"] {
        fake.queue(&order(run, "GITHUB_WORKFLOW"));
    }
    let (executor, _) = lasting();
    let daemon = start(&fake, fake.runner().max_concurrent_runs(1).executor_with_limit(executor, 1));
    tokio::time::sleep(MINUTE).await;
    assert_eq!(daemon.runner.status().watched, 3);
    daemon.drain().await;
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_leaves_watched_runs_to_the_next_start_at_once() {
    let (fake, notes) = (Fake::new(), Notes::default());
    fake.queue(&order("r", "GITHUB_WORKFLOW"));
    let (executor, reasons) = lasting();
    let daemon = start(&fake, fake.runner().executor(executor).journal(notes.clone()));
    tokio::time::sleep(MINUTE).await;
    let asked = tokio::time::Instant::now();
    assert_eq!(daemon.drain().await.left_behind, 0);
    assert!(asked.elapsed() < seconds(1), "{:?}", asked.elapsed());
    assert_eq!(*reasons.lock().expect("the reasons"), [], "it was not stopped");
    let kept = notes.kept().entries.clone();
    assert_eq!((kept.len(), kept[0].stage, &kept[0].end), (1, Stage::HandedOver, &None));

    let executor = dying(HOUR);
    let (calls, recalled) = (executor.calls(), executor.recalled());
    let daemon = start(&fake, fake.runner().executor(executor).journal(notes.clone()));
    fake.until_over("r").await;
    assert_eq!(calls.count(), 0, "nothing is triggered again");
    assert_eq!(*recalled.lock().expect("the runs"), [("r".to_owned(), json!({ "id": 7 }))]);
    assert_eq!(fake.run("r").step("trigger").status, StepStatus::Failed);
    daemon.drain().await;
    assert!(notes.kept().entries.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_hand_over_that_a_crash_cut_off_is_told_and_then_watched() {
    let fake = Fake::new();
    let run = order("r", "GITHUB_WORKFLOW");
    fake.know(&run);
    let mut entry = Entry::new("r", run.raw().clone());
    entry.stage = Stage::Ended;
    entry.watch = Some(json!({ "id": 7 }));
    let word = json!({ "status": "IN_PROGRESS", "steps": [{ "id": "trigger", "status": "SUCCEEDED" }] });
    entry.end = Some(serde_json::from_value(word).expect("a patch"));
    let notes = Notes::with(entry);
    let daemon = start(&fake, fake.runner().executor(dying(HOUR)).journal(notes.clone()));
    fake.until("the hand-over", |state| state.runs.get("r").is_some_and(|run| run.status.is_some())).await;
    assert_eq!(fake.run("r").status, Some(RunStatus::InProgress));
    fake.until_over("r").await;
    assert_eq!(fake.run("r").status, Some(RunStatus::Failed));
    daemon.drain().await;
    assert!(notes.kept().entries.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_watched_run_that_is_given_again_is_told_under_its_new_token_and_not_started_again() {
    let fake = Fake::new();
    let run = order("r", "GITHUB_WORKFLOW");
    fake.queue(&run);
    let executor = dying(2 * HOUR);
    let calls = executor.calls();
    let daemon = start(&fake, fake.runner().executor(executor));
    tokio::time::sleep(HOUR).await;
    fake.queue(&with_token(&run, "another"));
    tokio::time::sleep(MINUTE).await;
    let state = fake.run("r");
    assert_eq!((state.registered, state.status), (true, Some(RunStatus::InProgress)));
    assert_eq!(state.step("trigger").status, StepStatus::Succeeded);
    fake.until_over("r").await;
    assert_eq!((fake.run("r").status, calls.count()), (Some(RunStatus::Failed), 1));
    daemon.drain().await;
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_panics_or_hangs_after_a_stop_ends_too() {
    let fake = Fake::new();
    fake.queue(&order("r", "GITHUB_WORKFLOW"));
    let panicking = handing_over().watching(|_, _| Box::pin(async { panic!("a mistake") }));
    let daemon = start(&fake, fake.runner().executor(panicking));
    fake.until_over("r").await;
    assert!(fake.run("r").user_message("trigger").contains("lost sight of the pipeline"));
    daemon.drain().await;

    let fake = Fake::new();
    fake.queue(&order("r", "GITHUB_WORKFLOW"));
    let deaf = handing_over().watching(|_, _| Box::pin(std::future::pending()));
    let daemon = start(&fake, fake.runner().executor(deaf));
    tokio::time::sleep(MINUTE).await;
    fake.abort("r");
    tokio::time::sleep(MINUTE).await;
    assert_eq!(daemon.runner.status().watched, 0);
    daemon.drain().await;
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_dead_pipeline_is_delivered_for_as_long_as_it_takes() {
    let fake = Fake::new();
    fake.queue(&order("r", "GITHUB_WORKFLOW"));
    let fine = [Fault::Fine];
    fake.faults(On::Patch, fine.into_iter().chain((0..30).map(|_| Fault::Error(unavailable()))));
    let daemon = start(&fake, fake.runner().executor(dying(MINUTE)));
    fake.until_over("r").await;
    assert_eq!(fake.run("r").status, Some(RunStatus::Failed));
    daemon.drain().await;
}

#[tokio::test(start_paused = true)]
async fn an_abort_that_is_heard_with_the_hand_over_reaches_the_watch() {
    for heard_with_the_answer in [true, false] {
        let fake = Fake::new();
        fake.queue(&order("r", "GITHUB_WORKFLOW"));
        let (mut executor, reasons) = lasting();
        if heard_with_the_answer {
            fake.faults(On::Patch, [Fault::Abort]);
        } else {
            // Heard while the executor is still at it, which hands over all the same.
            fake.faults(On::Patch, [Fault::Fine, Fault::Abort]);
            executor = executor.after(seconds(15));
        }
        let daemon = start(&fake, fake.runner().executor(executor));
        tokio::time::sleep(MINUTE).await;
        assert_eq!(*reasons.lock().expect("the reasons"), [StopReason::Aborted]);
        assert_eq!((daemon.runner.status().watched, daemon.runner.status().runs_in_hand), (0, 0));
        daemon.drain().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_was_aborted_while_no_runner_was_there_goes_to_its_executor_to_be_cancelled() {
    for checkpoint in [Some(json!({ "id": 7 })), None] {
        let fake = Fake::new();
        let run = order("r", "GITHUB_WORKFLOW");
        fake.know(&run);
        fake.abort("r");
        let cancels = checkpoint.is_some();
        let journal = Notes::with(Entry { stage: Stage::Started, checkpoint, ..Entry::new("r", run.raw().clone()) });
        let reasons = Reasons::default();
        let noted = Arc::clone(&reasons);
        let executor = handing_over().resuming(move |ctx| {
            let noted = Arc::clone(&noted);
            Box::pin(async move {
                let reason = ctx.stop().requested().await;
                noted.lock().expect("the reasons").push(reason);
                Err(Failure::new("cancelled"))
            })
        });
        let daemon = start(&fake, fake.runner().executor(executor).journal(journal.clone()));
        tokio::time::sleep(MINUTE).await;
        let expected: &[StopReason] = if cancels { &[StopReason::Aborted] } else { &[] };
        assert_eq!(*reasons.lock().expect("the reasons"), expected);
        assert!(fake.patches("r").iter().all(|(_, patch)| patch.status == RunStatus::InProgress));
        assert_eq!(daemon.runner.status().runs_in_hand, 0);
        daemon.drain().await;
        assert!(journal.kept().entries.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_was_taken_up_again_is_left_to_the_next_start_too() {
    let (fake, notes) = (Fake::new(), Notes::default());
    let run = order("r", "GITHUB_WORKFLOW");
    fake.know(&run);
    let checkpoint = Some(json!({ "id": 7 }));
    notes.kept().entries.push(Entry { stage: Stage::Started, checkpoint, ..Entry::new("r", run.raw().clone()) });
    for _ in 0..3 {
        let following = handing_over().resuming(|ctx| {
            Box::pin(async move {
                ctx.or_stopped(std::future::pending::<()>()).await?;
                Ok(Outcome::Succeeded)
            })
        });
        let daemon = start(&fake, fake.runner().executor(following).journal(notes.clone()));
        tokio::time::sleep(MINUTE).await;
        assert_eq!(daemon.drain().await.left_behind, 0);
        assert_eq!(fake.run("r").status, Some(RunStatus::InProgress), "nobody has stopped it");
        assert_eq!(notes.kept().entries.len(), 1);
    }
}
