//! What is noted, and what becomes of it.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use runner_core::Outcome;
use runner_core::journal::{Durability, Entry, Found, Journal, JournalError, NotedStep, Stage};
use runner_core::meshstack_client::{RunStatus, StepStatus};
use serde_json::json;

use crate::fake::{Fake, On};
use crate::scene::{MINUTE, executor, instant, no_answer, order, seconds, start, unauthorised};

/// A journal in memory that outlives a runner, and may be full.
#[derive(Clone, Default)]
pub(crate) struct Notes(Arc<Mutex<Kept>>);

#[derive(Default)]
pub(crate) struct Kept {
    pub(crate) entries: Vec<Entry>,
    damaged: Vec<String>,
    /// Every write: the run, its stage, whether it was synced.
    writes: Vec<(String, Stage, Durability)>,
    full: bool,
}

impl Notes {
    pub(crate) fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn with(entry: Entry) -> Self {
        let notes = Self::default();
        notes.kept().entries.push(entry);
        notes
    }
}

#[async_trait]
impl Journal for Notes {
    async fn put(&self, entry: &Entry, durability: Durability) -> Result<(), JournalError> {
        let mut kept = self.kept();
        if kept.full {
            return Err(JournalError { doing: "written", source: "no space left on device".into() });
        }
        kept.writes.push((entry.run_uuid.clone(), entry.stage, durability));
        kept.entries.retain(|known| known.run_uuid != entry.run_uuid);
        kept.entries.push(entry.clone());
        Ok(())
    }

    async fn remove(&self, run_uuid: &str) {
        let mut kept = self.kept();
        kept.entries.retain(|known| known.run_uuid != run_uuid);
        kept.damaged.retain(|known| known != run_uuid);
    }

    async fn load(&self) -> Result<Vec<Found>, JournalError> {
        let kept = self.kept();
        let entries = kept.entries.iter().cloned().map(|entry| Found::Entry(Box::new(entry)));
        let damaged =
            kept.damaged.iter().cloned().map(|run_uuid| Found::Damaged { run_uuid, reason: "cut off".to_owned() });
        Ok(entries.chain(damaged).collect())
    }

    fn is_durable(&self) -> bool {
        true
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_is_noted_when_it_is_claimed_started_and_ended_and_forgotten_when_its_end_is_taken() {
    let (fake, notes) = (Fake::new(), Notes::default());
    fake.queue(&order("r", "TERRAFORM"));
    let daemon = start(&fake, fake.runner().executor(instant("TERRAFORM")).journal(notes.clone()));
    fake.until_over("r").await;
    daemon.drain().await;
    let kept = notes.kept();
    let writes: Vec<_> = kept.writes.iter().map(|(_, stage, durability)| (*stage, *durability)).collect();
    assert_eq!(writes[0], (Stage::Claimed, Durability::Synced));
    // A start and an end are synced beside what goes on, so these come when they come.
    let awaited: Vec<_> = writes[1..].iter().filter(|(_, durability)| *durability == Durability::Buffered).collect();
    assert_eq!(awaited, [&(Stage::Started, Durability::Buffered), &(Stage::Ended, Durability::Buffered)]);
    assert!(writes[1..].iter().any(|(_, durability)| *durability == Durability::Synced));
    assert!(kept.entries.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_run_that_cannot_be_noted_is_not_started() {
    let (fake, notes) = (Fake::new(), Notes::default());
    notes.kept().full = true;
    fake.queue(&order("r", "TERRAFORM"));
    let executor = instant("TERRAFORM");
    let calls = executor.calls();
    let daemon = start(&fake, fake.runner().executor(executor).journal(notes.clone()));
    fake.until_over("r").await;
    assert_eq!((fake.run("r").status, calls.count()), (Some(RunStatus::Failed), 0));
    assert!(fake.run("r").summary.unwrap_or_default().contains("disk"));

    notes.kept().full = false;
    fake.queue(&order("s", "TERRAFORM"));
    fake.until_over("s").await;
    assert_eq!(fake.run("s").status, Some(RunStatus::Succeeded), "the runner lives on");
    daemon.drain().await;
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_that_cannot_be_noted_fails_the_run() {
    let (fake, notes) = (Fake::new(), Notes::default());
    fake.queue(&order("r", "MANUAL"));
    let full = notes.clone();
    let triggering = executor("MANUAL", &["trigger"], move |ctx| {
        full.kept().full = true;
        Box::pin(async move {
            ctx.step("trigger").start();
            ctx.checkpoint(&json!("about to trigger")).await?;
            Ok(Outcome::Succeeded)
        })
    });
    let daemon = start(&fake, fake.runner().executor(triggering).journal(notes));
    fake.until_over("r").await;
    assert_eq!(fake.run("r").status, Some(RunStatus::Failed));
    assert!(fake.run("r").user_message("trigger").contains("nothing was started"));
    daemon.drain().await;
}

#[tokio::test(start_paused = true)]
async fn a_run_whose_notes_are_damaged_is_ended_failed() {
    let (fake, notes) = (Fake::new(), Notes::default());
    let run = crate::scene::with_token(&order("r", "MANUAL"), "");
    fake.know(&run);
    notes.kept().damaged.push("r".to_owned());
    let daemon = start(&fake, fake.runner().executor(instant("MANUAL")).journal(notes.clone()));
    fake.until_over("r").await;
    assert_eq!(fake.run("r").status, Some(RunStatus::Failed));
    assert!(fake.run("r").summary.unwrap_or_default().contains("cannot say how the run ended"));
    daemon.drain().await;
    assert!(notes.kept().damaged.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_run_that_was_only_claimed_is_started_by_the_next_process() {
    let fake = Fake::new();
    let run = order("r", "TERRAFORM");
    fake.know(&run);
    let notes = Notes::with(Entry::new("r", run.raw().clone()));
    let executor = instant("TERRAFORM");
    let calls = executor.calls();
    let daemon = start(&fake, fake.runner().executor(executor).journal(notes));
    fake.until_over("r").await;
    assert_eq!((fake.run("r").status, calls.count()), (Some(RunStatus::Succeeded), 1));
    daemon.drain().await;
}

#[tokio::test(start_paused = true)]
async fn a_run_that_was_started_is_told_as_interrupted_where_it_was() {
    let fake = Fake::new();
    let run = order("r", "TERRAFORM");
    fake.know(&run);
    let mut entry = Entry::new("r", run.raw().clone());
    entry.stage = Stage::Started;
    let step = |id: &str, status| NotedStep { id: id.to_owned(), display_name: id.to_owned(), status };
    entry.steps = vec![step("work", StepStatus::Succeeded), step("more", StepStatus::InProgress)];
    let executor = executor("TERRAFORM", &["work", "more"], |_| Box::pin(async { Ok(Outcome::Succeeded) }));
    let calls = executor.calls();
    let daemon = start(&fake, fake.runner().executor(executor).journal(Notes::with(entry)));
    fake.until_over("r").await;
    let told = fake.run("r");
    assert_eq!((told.status, calls.count()), (Some(RunStatus::Failed), 0));
    assert!(told.summary.clone().unwrap_or_default().contains("interrupted by a restart of the runner"));
    let statuses: Vec<_> = told.steps.iter().map(|step| (step.id.as_str(), step.status)).collect();
    assert_eq!(statuses, [("work", StepStatus::Succeeded), ("more", StepStatus::Failed)]);
    daemon.drain().await;
}

#[tokio::test(start_paused = true)]
async fn an_end_that_was_not_delivered_is_delivered_by_the_next_process() {
    let (fake, notes) = (Fake::new(), Notes::default());
    fake.queue(&order("r", "TERRAFORM"));
    fake.outage(On::Patch, no_answer());
    let daemon = start(&fake, fake.runner().executor(instant("TERRAFORM")).journal(notes.clone()));
    tokio::time::sleep(MINUTE).await;
    daemon.drain().await;
    assert_eq!(notes.kept().entries[0].stage, Stage::Ended);

    fake.repair();
    let executor = instant("TERRAFORM");
    let calls = executor.calls();
    let daemon = start(&fake, fake.runner().executor(executor).journal(notes.clone()));
    fake.until_over("r").await;
    assert_eq!((fake.run("r").status, calls.count()), (Some(RunStatus::Succeeded), 0));
    daemon.drain().await;
    assert!(notes.kept().entries.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_leaves_a_run_that_waits_for_its_token_to_the_next_process() {
    let (fake, notes) = (Fake::new(), Notes::default());
    fake.queue(&order("r", "TERRAFORM"));
    fake.outage(On::Patch, unauthorised());
    let daemon = start(&fake, fake.runner().executor(instant("TERRAFORM")).journal(notes.clone()));
    tokio::time::sleep(MINUTE).await;
    let asked = tokio::time::Instant::now();
    daemon.drain().await;
    assert!(asked.elapsed() < seconds(1));
    assert_eq!(notes.kept().entries.len(), 1);
}

/// What this page promises is tested by name.
#[test]
fn every_row_of_what_happens_when_names_tests_that_are_there() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let page = std::fs::read_to_string(root.join("docs/src/what-happens-when.md")).expect("the page");
    let mut sources = String::new();
    let mut folders = vec![root.join("crates")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                sources.push_str(&std::fs::read_to_string(path).expect("a source"));
            }
        }
    }
    let rows: Vec<&str> =
        page.lines().filter(|line| line.starts_with("| ") && line.matches('|').count() == 4).collect();
    assert!(rows.len() > 15);
    for row in &rows[2..] {
        let tests = row.rsplit('|').nth(1).unwrap_or_default();
        let names: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "{row}");
        for name in names {
            assert!(sources.contains(&format!("fn {name}()")), "there is no test {name}");
        }
    }
}
