//! A journal that was cut off, by a crash of the machine say: the runner starts, the run that it hit ends once and
//! truthfully, and its neighbour is not touched. Real HTTP and real files.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use meshstack_local::{LocalMeshStack, Order, RunView, RunnerSpec};
use runner_core::journal::{Durability, Entry, FileJournal, Journal as _, NotedStep, OpenError, Stage};
use runner_core::meshstack_client::{
    Client, ClientConfig, Credentials, KeyRing, RunStatus, Secret, StatusPatch, StepStatus,
};
use runner_core::{Drained, Runner, Shutdown};
use serde_json::json;

use crate::scene::instant;

const TYPE: &str = "TEST";

struct World {
    meshstack: LocalMeshStack,
    runner: String,
    client: Client,
    folder: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let meshstack = LocalMeshStack::start().await.expect("a meshStack");
        let runner = meshstack.register_runner(RunnerSpec::new("ALL")).await;
        let (client_id, client_secret) = meshstack.api_key();
        let mut config = ClientConfig::new(&runner);
        config.api_url = Some(meshstack.url());
        config.credentials = Some(Credentials::ApiKey { client_id, client_secret: Secret::new(client_secret) });
        let client = Client::new(config).expect("a client");
        Self { meshstack, runner, client, folder: tempfile::tempdir().expect("a folder") }
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    fn journal(&self) -> FileJournal {
        // A write of the runner before may hold it for a moment.
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
        loop {
            match FileJournal::open(&self.state(), &KeyRing::empty()) {
                Err(OpenError::InUse { .. }) if std::time::Instant::now() < deadline => std::thread::yield_now(),
                opened => return opened.expect("the journal"),
            }
        }
    }

    /// A claimed run, as the journal has it at this stage.
    async fn claimed(&self, stage: Stage, change: impl FnOnce(&mut Entry)) -> Entry {
        self.meshstack.order(&self.runner, Order::new(json!({ "type": TYPE }))).await;
        let run = self.client.claim().await.expect("an answer").expect("a run");
        let mut entry = Entry::new(run.uuid(), run.raw().clone());
        entry.stage = stage;
        change(&mut entry);
        entry
    }

    /// Writes these entries, cuts the first one, and starts a runner on what is left. Gives how often it called its
    /// executor.
    async fn start_on(&self, entries: [&Entry; 2], length: impl FnOnce(usize) -> Option<usize>) -> usize {
        let journal = self.journal();
        for entry in entries {
            journal.put(entry, Durability::Buffered).await.expect("written");
        }
        drop(journal);
        cut(&self.state().join(format!("{}.run", entries[0].run_uuid)), length);

        let executor = instant(TYPE);
        let calls = executor.calls();
        let runner = Runner::builder(self.client.clone(), &self.runner)
            .executor(executor)
            .working_dir(self.folder.path().join("work"))
            .journal(self.journal())
            .idle_poll(Duration::from_millis(10))
            .build()
            .expect("a runner");
        let shutdown = Shutdown::new();
        let ended = async {
            for entry in entries {
                self.meshstack.wait_for_end(&entry.run_uuid).await;
            }
            shutdown.drain();
        };
        let (drained, ()) = tokio::join!(runner.run(&shutdown), ended);
        let Drained { left_behind, .. } = drained;
        assert_eq!(left_behind, 0);
        calls.count()
    }

    async fn run(&self, entry: &Entry) -> RunView {
        let run = self.meshstack.run(&entry.run_uuid).await.expect("the run");
        assert_eq!(run.ended_count, 1);
        run
    }
}

/// Cuts a file to this length; `None` leaves it whole.
fn cut(file: &Path, length: impl FnOnce(usize) -> Option<usize>) {
    let bytes = fs::read(file).expect("the entry");
    if let Some(length) = length(bytes.len()) {
        fs::write(file, &bytes[..length]).expect("cut");
    }
}

/// Where to cut: in and around the head (8 bytes), the nonce (12) and the tag (the last 16), and between.
fn places() -> Vec<fn(usize) -> Option<usize>> {
    vec![
        |_| Some(0),
        |_| Some(1),
        |_| Some(7),
        |_| Some(8),
        |_| Some(19),
        |_| Some(20),
        |_| Some(21),
        |_| Some(36),
        |length| Some(length / 4),
        |length| Some(length / 2),
        |length| Some(length / 2 + 1),
        |length| Some(length - length / 4),
        |length| Some(length - 17),
        |length| Some(length - 16),
        |length| Some(length - 15),
        |length| Some(length - 1),
    ]
}

/// Entries at `stage` with every cut, and whole: `whole` says what must become of that one, by status, a part of the
/// summary, and whether its executor is called.
async fn at_every_cut(stage: Stage, change: impl Fn(&mut Entry), whole: (&str, &str, bool)) {
    let world = World::new().await;
    for length in places() {
        let (hit, neighbour) = (world.claimed(stage, &change).await, world.claimed(Stage::Claimed, |_| {}).await);
        let calls = world.start_on([&hit, &neighbour], length).await;
        let told = world.run(&hit).await;
        let summary = told.summary.clone().unwrap_or_default();
        assert_eq!((told.status.word(), calls), ("FAILED", 1), "{summary}");
        assert!(summary.contains("its notes of this run are damaged, so it cannot say how the run ended"), "{summary}");
        assert_eq!(world.run(&neighbour).await.status, "SUCCEEDED");
    }
    let (hit, neighbour) = (world.claimed(stage, &change).await, world.claimed(Stage::Claimed, |_| {}).await);
    let calls = world.start_on([&hit, &neighbour], |_| None).await;
    let told = world.run(&hit).await;
    let summary = told.summary.clone().unwrap_or_default();
    assert_eq!((told.status.word(), calls), (whole.0, 1 + usize::from(whole.2)), "{summary}");
    assert!(summary.contains(whole.1), "{summary}");
    assert_eq!(world.run(&neighbour).await.status, "SUCCEEDED");
    assert_eq!(world.meshstack.violations(), Vec::<String>::new());
    let left = fs::read_dir(world.state()).expect("the folder").map(|entry| entry.expect("an entry").path());
    let left: Vec<_> = left.filter(|path| path.extension().is_some_and(|extension| extension == "run")).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn a_claimed_run_whose_entry_is_cut_off_ends_once() {
    at_every_cut(Stage::Claimed, |_| {}, ("SUCCEEDED", "", true)).await;
}

#[tokio::test]
async fn a_started_run_whose_entry_is_cut_off_ends_once() {
    let step = NotedStep { id: "work".to_owned(), display_name: "Work".to_owned(), status: StepStatus::InProgress };
    let change = |entry: &mut Entry| entry.steps = vec![step.clone()];
    at_every_cut(Stage::Started, change, ("FAILED", "interrupted by a restart of the runner", false)).await;
}

#[tokio::test]
async fn a_run_with_a_checkpoint_whose_entry_is_cut_off_ends_once() {
    let change = |entry: &mut Entry| entry.checkpoint = Some(json!({ "pipeline": 42 }));
    at_every_cut(Stage::Started, change, ("FAILED", "interrupted by a restart of the runner", false)).await;
}

#[tokio::test]
async fn an_ended_run_whose_entry_is_cut_off_ends_once() {
    let end = StatusPatch { summary: Some("as it was".to_owned()), ..StatusPatch::new(RunStatus::Succeeded) };
    let change = |entry: &mut Entry| entry.end = Some(end.clone());
    at_every_cut(Stage::Ended, change, ("SUCCEEDED", "as it was", false)).await;
}
