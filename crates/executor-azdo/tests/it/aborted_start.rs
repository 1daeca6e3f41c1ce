//! An abort while nobody knows whether the start arrived: what was started is found and cancelled all the same.

use std::fmt::Write as _;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use executor_azdo::AzdoSettings;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::fake::Effect;
use crate::fake::azure::Pipeline;
use crate::world::{World, quick};

/// Warnings of all runners of all tests.
static WARNINGS: Mutex<Vec<String>> = Mutex::new(Vec::new());

static LISTENS: LazyLock<()> = LazyLock::new(|| {
    tracing::subscriber::set_global_default(Warnings).expect("the only subscriber");
});

struct Warnings;

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let _ = write!(self.0, "{field}={value:?} ");
    }
}

impl Subscriber for Warnings {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == Level::WARN
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        WARNINGS.lock().unwrap_or_else(PoisonError::into_inner).push(line.0);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

fn warned(parts: &[&str]) -> bool {
    let warnings = WARNINGS.lock().unwrap_or_else(PoisonError::into_inner);
    warnings.iter().any(|line| parts.iter().all(|part| line.contains(part)))
}

async fn world() -> World {
    let world = World::with(Pipeline::taking(&["MESHSTACK_SELF_URL"])).await;
    world.fake.azure(|azure| azure.hold_new_at = Some(1));
    world
}

async fn place(world: &World) -> String {
    world.place(world.order(|_| {}).input("MESHSTACK_SELF_URL", "filled in", "STRING")).await
}

#[tokio::test]
async fn after_a_lost_answer_the_pipeline_is_found_and_cancelled() {
    let world = world().await;
    world.fake.fault("run_pipeline", 0, 1, Effect::CutAfter);
    // It shows up only after the abort.
    world.fake.azure(|azure| azure.hide_new_for = u64::MAX);
    let run = place(&world).await;
    let _life = world.live(quick());
    world.fake.until("it is looked for", |fake| fake.seen("list_runs").len() > 1).await;
    world.meshstack.abort(&run).await;
    world.asked(&run, "the runner has asked", |run| run.registers > 0).await;
    let looks = world.fake.seen("list_runs").len();
    world.fake.until("it is looked for on", |fake| fake.seen("list_runs").len() > looks + 3).await;
    world.fake.azure(|azure| azure.runs[0].hidden_for = 0);
    world.fake.until("the pipeline is cancelled", |fake| fake.only_run().cancelled == 1).await;
}

#[tokio::test]
async fn after_a_restart_the_pipeline_is_found_and_cancelled() {
    let world = world().await;
    world.fake.fault("run_pipeline", 0, 1, Effect::HangAfter);
    world.fake.azure(|azure| azure.hide_new_for = 3);
    let run = place(&world).await;
    let first = world.live(quick());
    world.fake.until("it is started", |fake| fake.faults_left() == 0).await;
    first.kill();
    world.meshstack.abort(&run).await;
    let _second = world.live(quick());
    world.fake.until("the pipeline is cancelled", |fake| fake.only_run().cancelled == 1).await;
    assert_eq!(world.fake.seen("run_pipeline").len(), 1);
}

#[tokio::test]
async fn what_cannot_be_found_is_told_to_the_platform_team_with_the_page_of_the_pipeline() {
    LazyLock::force(&LISTENS);
    for named in [true, false] {
        let world = world().await;
        world.fake.fault("run_pipeline", 0, 1, Effect::HangBefore);
        let run = if named {
            place(&world).await
        } else {
            world.place(world.order(|_| {}).input("MESHSTACK_SELF_URL", "https://no.example", "STRING")).await
        };
        let first = world.live(quick());
        world.fake.until("it is started", |fake| fake.faults_left() == 0).await;
        first.kill();
        world.meshstack.abort(&run).await;
        let _second = world.live(AzdoSettings { stop_grace: Duration::from_secs(1), ..quick() });
        let page = format!("{}/likvid/infra/_build?definitionId=12", world.fake.url());
        world.fake.until("it is told", |_| warned(&["no pipeline run was found", &page])).await;
    }
}
