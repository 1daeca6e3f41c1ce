//! Whatever executors do and whatever goes wrong on the way: a run ends once, as it came out, and
//! nothing that was said is lost.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;
use runner_core::meshstack_client::{Output, OutputType, Problem, RunStatus, StepStatus};
use runner_core::{Failure, Outcome, RunContext};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::fake::{Fake, Fault, On, RunState};
use crate::scene::{HOUR, MINUTE, asks_to_wait, executor, no_answer, order, refused, seconds, start, unavailable};

const STEPS: [&str; 3] = ["one", "two", "three"];

/// Something that an executor does.
#[derive(Debug, Clone)]
enum Action {
    Start(usize),
    Succeed(usize),
    Fail(usize),
    Log(usize),
    Message(usize),
    Output(usize),
    Summary,
    Sleep(u64),
}

/// How it ends.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Ending {
    Succeeds,
    HandsOver,
    Fails,
    Panics,
}

#[derive(Debug, Clone)]
struct Script {
    actions: Vec<Action>,
    ending: Ending,
    /// What goes wrong when it is registered and reported.
    register: Vec<Fault>,
    patch: Vec<Fault>,
}

fn action() -> impl Strategy<Value = Action> {
    let step = 0..STEPS.len();
    prop_oneof![
        step.clone().prop_map(Action::Start),
        step.clone().prop_map(Action::Succeed),
        step.clone().prop_map(Action::Fail),
        step.clone().prop_map(Action::Log),
        step.clone().prop_map(Action::Message),
        step.prop_map(Action::Output),
        Just(Action::Summary),
        (1..30_000u64).prop_map(Action::Sleep),
    ]
}

fn script() -> impl Strategy<Value = Script> {
    let ending = prop_oneof![
        4 => Just(Ending::Succeeds), 1 => Just(Ending::HandsOver), 2 => Just(Ending::Fails), 1 => Just(Ending::Panics)
    ];
    (prop::collection::vec(action(), 0..25), ending, register_faults(), faults())
        .prop_map(|(actions, ending, register, patch)| Script { actions, ending, register, patch })
}

/// Faults that a run survives. A refusal comes alone: what is refused without logs too is dropped.
fn faults() -> impl Strategy<Value = Vec<Fault>> {
    let broken = Problem::BrokenAnswer { status: 200, reason: "HTML".to_owned(), excerpt: String::new() };
    let fault = prop_oneof![
        6 => Just(vec![Fault::Fine]),
        2 => Just(vec![Fault::Error(unavailable())]),
        1 => Just(vec![Fault::Error(asks_to_wait(seconds(90)))]),
        1 => Just(vec![Fault::Error(broken)]),
        2 => Just(vec![Fault::Error(no_answer())]),
        2 => Just(vec![Fault::AnswerLost]),
        1 => Just(vec![Fault::Error(refused()), Fault::Fine]),
        1 => (1..40u64).prop_map(|time| vec![Fault::Slow(seconds(time))]),
    ];
    prop::collection::vec(fault, 0..20).prop_map(|faults| faults.concat())
}

/// Faults of registrations; a refusal would end the run.
fn register_faults() -> impl Strategy<Value = Vec<Fault>> {
    faults().prop_map(|faults| {
        let refusal = |fault: &Fault| matches!(fault, Fault::Error(Problem::Refused { .. }));
        faults.into_iter().filter(|fault| !refusal(fault)).collect()
    })
}

fn number(value: usize) -> Output {
    Output { value: json!(value), kind: OutputType::Integer, is_sensitive: false }
}

async fn act(ctx: &RunContext, script: &Script) -> Result<Outcome, Failure> {
    for (at, action) in script.actions.iter().enumerate() {
        match action {
            Action::Start(step) => ctx.step(STEPS[*step]).start(),
            Action::Succeed(step) => ctx.step(STEPS[*step]).succeed(),
            Action::Fail(step) => ctx.step(STEPS[*step]).fail(format!("failed at {at}")),
            Action::Log(step) => ctx.step(STEPS[*step]).log_line(format!("line {at}")),
            Action::Message(step) => ctx.step(STEPS[*step]).user_message(format!("message {at}")),
            Action::Output(step) => ctx.step(STEPS[*step]).output(&format!("key{}", at % 4), &number(at)),
            Action::Summary => ctx.summary(format!("summary {at}")),
            Action::Sleep(time) => {
                ctx.or_stopped(tokio::time::sleep(Duration::from_millis(*time))).await?;
            }
        }
    }
    match script.ending {
        Ending::Succeeds => Ok(Outcome::Succeeded),
        Ending::HandsOver => Ok(Outcome::HandedOver { watch: None }),
        Ending::Fails => Err(Failure::new("It failed.")),
        // A panic that says nothing on stderr.
        Ending::Panics => std::panic::resume_unwind(Box::new("it panicked")),
    }
}

/// A step as it should come out.
#[derive(Debug, Default, Clone, PartialEq)]
struct Expected {
    /// 0 pending, 1 in progress, 2 succeeded, 3 failed: it only grows.
    rank: u8,
    message: String,
    log: String,
    outputs: BTreeMap<String, Value>,
}

/// What a run with this script should look like in the end, before its ending.
fn expected(script: &Script) -> (Vec<Expected>, Option<String>) {
    let mut steps = vec![Expected::default(); STEPS.len()];
    let mut summary = None;
    for (at, action) in script.actions.iter().enumerate() {
        match action {
            Action::Start(step) => steps[*step].rank = steps[*step].rank.max(1),
            Action::Succeed(step) => steps[*step].rank = steps[*step].rank.max(2),
            Action::Fail(step) => {
                steps[*step].rank = 3;
                steps[*step].message = format!("failed at {at}");
            }
            Action::Log(step) => steps[*step].log.extend(["line ", &at.to_string(), "\n"]),
            Action::Message(step) => steps[*step].message = format!("message {at}"),
            Action::Output(step) => {
                steps[*step].outputs.insert(format!("key{}", at % 4), json!(at));
            }
            Action::Summary => summary = Some(format!("summary {at}")),
            Action::Sleep(_) => {}
        }
    }
    (steps, summary)
}

fn seen(run: &RunState, step: &str) -> Expected {
    let known = run.step(step);
    let rank = match known.status {
        StepStatus::Pending => 0,
        StepStatus::InProgress => 1,
        StepStatus::Succeeded => 2,
        StepStatus::Failed => 3,
    };
    Expected {
        rank,
        message: run.user_message(step).to_owned(),
        log: run.system_message(step).to_owned(),
        outputs: known.outputs.iter().map(|(key, output)| (key.clone(), output["value"].clone())).collect(),
    }
}

/// Checks one run that is over.
fn check(fake: &Fake, uuid: &str, script: &Script) -> TestCaseResult {
    let run = fake.run(uuid);
    let logs_refused = script.patch.iter().any(|fault| matches!(fault, Fault::Error(Problem::Refused { .. })));
    let ends = fake
        .calls(uuid)
        .into_iter()
        .filter(|call| call.taken && call.patch.as_ref().is_some_and(|patch| patch.status != RunStatus::InProgress));
    if run.aborted {
        // A lost answer may have told the end just before.
        prop_assert!(ends.count() <= 1);
        return Ok(());
    }
    prop_assert_eq!(ends.count(), usize::from(script.ending != Ending::HandsOver));
    let failed = matches!(script.ending, Ending::Fails | Ending::Panics);
    let status = match script.ending {
        Ending::HandsOver => RunStatus::InProgress,
        _ if failed => RunStatus::Failed,
        _ => RunStatus::Succeeded,
    };
    prop_assert_eq!(run.status, Some(status));
    let (steps, summary) = expected(script);
    for (name, mut step) in STEPS.iter().zip(steps) {
        let mut seen = seen(&run, name);
        if failed {
            prop_assert!(seen.rank != 1 && seen.rank >= step.rank, "{}: {:?}", name, seen);
            prop_assert_eq!(&seen.outputs, &step.outputs);
            prop_assert!(logs_refused || seen.log.starts_with(&step.log));
            continue;
        }
        if step.rank == 1 {
            step.rank = 2;
        }
        if logs_refused {
            (seen.log, step.log) = (String::new(), String::new());
        }
        prop_assert_eq!(&seen, &step, "{}", name);
    }
    let told = run.summary.as_deref().unwrap_or_default();
    match script.ending {
        Ending::Fails => prop_assert_eq!(told, "It failed."),
        Ending::Panics => prop_assert!(told.contains("mistake of its own")),
        _ => prop_assert_eq!(run.summary, summary),
    }
    Ok(())
}

async fn play(scripts: Vec<Script>, abort: Option<u64>) -> TestCaseResult {
    let fake = Fake::new();
    for (number, script) in scripts.iter().enumerate() {
        let uuid = number.to_string();
        fake.faults_of(&uuid, On::Register, script.register.clone());
        fake.faults_of(&uuid, On::Patch, script.patch.clone());
        fake.queue(&order(&uuid, "MANUAL"));
    }
    let scripts = Arc::new(scripts);
    let scripted = executor("MANUAL", &STEPS, {
        let scripts = Arc::clone(&scripts);
        move |ctx| {
            let at: usize = ctx.run().uuid().parse().expect("a number");
            let script = scripts[at].clone();
            Box::pin(async move { act(ctx, &script).await })
        }
    });
    let calls = scripted.calls();
    let daemon = start(&fake, fake.runner().executor_with_limit(scripted, 2).max_concurrent_runs(3));
    if let Some(after) = abort {
        tokio::time::sleep(seconds(after)).await;
        if fake.state().runs.get("0").is_some_and(|run| !run.is_over()) {
            fake.abort("0");
        }
    }
    let began = Instant::now();
    while daemon.runner.status().runs_in_hand > 0 || !fake.state().queue.is_empty() {
        prop_assert!(began.elapsed() < 3 * HOUR, "{:?}", fake.transcript("0"));
        tokio::time::sleep(seconds(10)).await;
    }
    // Nobody says anything more.
    tokio::time::sleep(MINUTE).await;
    let mut started = calls.runs();
    started.dedup();
    prop_assert_eq!(started.len(), calls.count(), "no run is started twice");
    for (at, script) in scripts.iter().enumerate() {
        check(&fake, &at.to_string(), script)?;
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_run_ends_once_as_it_came_out_and_nothing_is_lost(
        scripts in prop::collection::vec(script(), 1..5),
        abort in prop::option::weighted(0.2, 1..120u64),
    ) {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build().expect("a runtime");
        runtime.block_on(play(scripts, abort))?;
    }
}
