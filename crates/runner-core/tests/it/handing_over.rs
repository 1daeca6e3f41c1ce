//! Previews, and runs that a pipeline takes over.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use runner_core::meshstack_client::{RunStatus, StepStatus};
use runner_core::{Outcome, Preview};
use serde_json::json;

use crate::fake::{Fake, Fault, On};
use crate::scene::{HOUR, Scripted, executor, order, order_with, start, unavailable};

const PLAN: &[u8] = b"a saved plan\0\xff";

/// Makes a plan that finds changes; `outcome` says what becomes of it.
fn planning(outcome: fn(Preview) -> Outcome) -> Scripted {
    executor("TERRAFORM", &["plan"], move |ctx| {
        Box::pin(async move {
            ctx.step("plan").start();
            let plan = ctx.directory().expect("a directory").join("plan");
            std::fs::write(&plan, PLAN).expect("a plan");
            ctx.step("plan").succeed();
            Ok(outcome(Preview { plan, changes_detected: true }))
        })
    })
}

fn with_upload_link(run: &mut serde_json::Value) {
    run["_links"]["planArtifactUpload"] = json!({ "href": "https://mesh.example/upload" });
}

#[tokio::test(start_paused = true)]
async fn the_last_word_of_a_handed_over_run_is_in_progress() {
    let fake = Fake::new();
    fake.queue(&order("r", "GITHUB_WORKFLOW"));
    let trigger = executor("GITHUB_WORKFLOW", &["trigger"], |ctx| {
        Box::pin(async move {
            ctx.step("trigger").start();
            tokio::time::sleep(std::time::Duration::from_secs(3)).await;
            ctx.step("trigger").user_message("The workflow was started.");
            Ok(Outcome::HandedOver { watch: None })
        })
    });
    let daemon = start(&fake, fake.runner().executor(trigger));
    tokio::time::sleep(HOUR).await;
    assert_eq!(
        fake.transcript("r")[1..],
        ["register trigger", "IN_PROGRESS trigger:IN_PROGRESS", "IN_PROGRESS trigger:SUCCEEDED"],
        "and no sign of life after it"
    );
    assert_eq!(fake.run("r").user_message("trigger"), "The workflow was started.");
    assert_eq!(daemon.runner.status().runs_in_hand, 0);
    daemon.drain().await;
}

#[tokio::test(start_paused = true)]
async fn a_hand_over_that_is_not_taken_is_told_again() {
    let fake = Fake::new();
    fake.queue(&order("r", "GITHUB_WORKFLOW"));
    fake.faults(On::Patch, [Fault::Error(unavailable()), Fault::AnswerLost]);
    let at_once = executor("GITHUB_WORKFLOW", &["trigger"], |ctx| {
        Box::pin(async move {
            ctx.step("trigger").succeed();
            Ok(Outcome::HandedOver { watch: None })
        })
    });
    let daemon = start(&fake, fake.runner().executor(at_once));
    tokio::time::sleep(HOUR).await;
    let word = "IN_PROGRESS trigger:SUCCEEDED";
    assert_eq!(fake.transcript("r")[2..], [format!("!{word}"), word.to_owned(), word.to_owned()]);
    assert_eq!(daemon.runner.status().runs_in_hand, 0);
}

#[tokio::test(start_paused = true)]
async fn the_plan_and_the_finding_of_a_preview_are_in_its_last_report() {
    for status in [RunStatus::Succeeded, RunStatus::InProgress] {
        let outcome = if status == RunStatus::Succeeded { Outcome::Previewed } else { Outcome::HandedOverPreview };
        let (fake, folder) = (Fake::new(), tempfile::tempdir().expect("a folder"));
        fake.queue(&order("r", "TERRAFORM"));
        let daemon = start(&fake, fake.runner().executor(planning(outcome)).working_dir(folder.path()));
        fake.until("the plan", |state| state.runs.get("r").is_some_and(|run| run.artifact.is_some())).await;
        tokio::time::sleep(HOUR).await;
        let patches = fake.patches("r");
        let (_, end) = patches.last().expect("an end");
        assert_eq!(end.status, status);
        assert_eq!(end.artifact.as_deref(), Some(STANDARD.encode(PLAN).as_str()));
        assert_eq!(end.changes_detected, Some(true));
        assert!(patches[..patches.len() - 1].iter().all(|(_, patch)| patch.artifact.is_none()));
        daemon.drain().await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_directory_of_a_run_is_removed_after_its_end() {
    let (fake, folder) = (Fake::new(), tempfile::tempdir().expect("a folder"));
    fake.queue(&order("r", "TERRAFORM"));
    let daemon = start(&fake, fake.runner().executor(planning(Outcome::Previewed)).working_dir(folder.path()));
    fake.until_over("r").await;
    daemon.drain().await;
    // Removed by a thread beside the runtime, for which paused time stands still.
    tokio::time::sleep(HOUR).await;
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_plan_is_uploaded_before_the_last_report_where_meshstack_asks_for_it() {
    let (fake, folder) = (Fake::new(), tempfile::tempdir().expect("a folder"));
    fake.queue(&order_with("r", "TERRAFORM", with_upload_link));
    let _daemon = start(&fake, fake.runner().executor(planning(Outcome::Previewed)).working_dir(folder.path()));
    fake.until_over("r").await;
    let run = fake.run("r");
    assert_eq!((run.uploaded.as_deref(), run.artifact, run.changes_detected), (Some(PLAN), None, Some(true)));
    assert_eq!(run.status, Some(RunStatus::Succeeded));
    let calls = fake.calls("r");
    let upload = calls.iter().position(|call| call.on == On::Upload).expect("an upload");
    assert!(calls[upload..].iter().any(|call| call.patch.as_ref().is_some_and(|p| p.changes_detected.is_some())));
}

#[tokio::test(start_paused = true)]
async fn a_plan_that_cannot_be_uploaded_fails_its_run() {
    let (fake, folder) = (Fake::new(), tempfile::tempdir().expect("a folder"));
    fake.queue(&order_with("r", "TERRAFORM", with_upload_link));
    fake.faults(On::Upload, [Fault::Error(unavailable())]);
    let _daemon = start(&fake, fake.runner().executor(planning(Outcome::Previewed)).working_dir(folder.path()));
    fake.until_over("r").await;
    let run = fake.run("r");
    assert_eq!((run.status, run.changes_detected), (Some(RunStatus::Failed), None));
    assert_eq!(run.step("plan").status, StepStatus::Failed);
    assert!(run.user_message("plan").starts_with("The saved plan could not be handed to meshStack."));
    assert!(run.system_message("plan").contains("503"));
}

#[tokio::test(start_paused = true)]
async fn a_run_shows_life_and_hears_of_an_abort_while_its_plan_is_uploaded() {
    let (fake, folder) = (Fake::new(), tempfile::tempdir().expect("a folder"));
    fake.queue(&order_with("r", "TERRAFORM", with_upload_link));
    fake.faults(On::Upload, [Fault::Slow(std::time::Duration::from_secs(60))]);
    let daemon = start(&fake, fake.runner().executor(planning(Outcome::Previewed)).working_dir(folder.path()));
    fake.until("an upload", |state| state.calls.iter().any(|call| call.on == On::Upload)).await;
    tokio::time::sleep(std::time::Duration::from_secs(45)).await;
    assert!(fake.patches("r").len() >= 4, "{:?}", fake.transcript("r"));
    fake.abort("r");
    tokio::time::sleep(HOUR).await;
    assert!(fake.patches("r").iter().all(|(_, patch)| patch.status == RunStatus::InProgress));
    assert_eq!(daemon.runner.status().runs_in_hand, 0);
}

#[tokio::test(start_paused = true)]
async fn a_plan_that_is_not_there_fails_its_run() {
    let fake = Fake::new();
    fake.queue(&order("r", "TERRAFORM"));
    let without = executor("TERRAFORM", &["plan"], |_ctx| {
        Box::pin(async { Ok(Outcome::Previewed(Preview { plan: "/nowhere/plan".into(), changes_detected: false })) })
    });
    let _daemon = start(&fake, fake.runner().executor(without));
    fake.until_over("r").await;
    assert_eq!(fake.run("r").status, Some(RunStatus::Failed));
    assert!(fake.run("r").user_message("plan").starts_with("The saved plan could not be handed"));
}
