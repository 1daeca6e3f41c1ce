//! A meshStack in memory: answers as scripted, records every call, and enforces the order that
//! `protocol/run-api.md` has. A breach is remembered, and fails the test at its end.

mod rules;

use std::collections::{HashMap, VecDeque};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use runner_core::meshstack_client::{
    ApiError, PatchAnswer, Problem, RunAccess, RunObject, RunStatus, SourceRegistration, StatusPatch, StepStatus,
};
use runner_core::{RunApi, Runner, RunnerBuilder};
use serde_json::json;
use tokio::sync::Notify;
use tokio::time::Instant;

use self::rules::{error, line};

/// As whom the runner under test reports.
pub(crate) const RUNNER: &str = "runner-1";

/// What goes wrong with one call.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// It is answered with this, and has no effect.
    Error(Problem),
    /// It takes effect, but the answer does not arrive.
    AnswerLost,
    /// It takes effect and is answered after this time.
    Slow(Duration),
    /// It is answered with this after this time, and has no effect.
    SlowError(Duration, Problem),
    /// It takes effect; the run is aborted in meshStack just before.
    Abort,
    /// It takes effect.
    Fine,
}

/// Which call a fault is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum On {
    Claim,
    Register,
    Patch,
    Upload,
    Read,
}

/// One call, as meshStack saw it.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// When it came in.
    pub(crate) at: Instant,
    pub(crate) on: On,
    /// Run; empty for a claim that brought none.
    pub(crate) run: String,
    /// As whom: the run token.
    pub(crate) token: String,
    /// Whether it took effect.
    pub(crate) taken: bool,
    pub(crate) registration: Option<SourceRegistration>,
    pub(crate) patch: Option<StatusPatch>,
}

/// A run as meshStack knows it.
#[derive(Debug, Clone, Default)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts about a run")]
pub(crate) struct RunState {
    pub(crate) token: String,
    pub(crate) registered: bool,
    pub(crate) register_attempted: bool,
    pub(crate) status: Option<RunStatus>,
    pub(crate) aborted: bool,
    pub(crate) summary: Option<String>,
    pub(crate) steps: Vec<Step>,
    pub(crate) artifact: Option<String>,
    pub(crate) changes_detected: Option<bool>,
    pub(crate) uploaded: Option<Vec<u8>>,
    in_flight: bool,
    /// The runner knows that it said its last word.
    end_answered: bool,
}

/// A step as meshStack knows it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Step {
    pub(crate) id: String,
    pub(crate) status: StepStatus,
    pub(crate) user_message: Option<String>,
    pub(crate) system_message: Option<String>,
    pub(crate) outputs: serde_json::Map<String, serde_json::Value>,
}

impl RunState {
    pub(crate) fn step(&self, id: &str) -> &Step {
        self.steps.iter().find(|step| step.id == id).unwrap_or_else(|| panic!("meshStack knows no step {id}"))
    }

    pub(crate) fn user_message(&self, step: &str) -> &str {
        self.step(step).user_message.as_deref().unwrap_or_default()
    }

    pub(crate) fn system_message(&self, step: &str) -> &str {
        self.step(step).system_message.as_deref().unwrap_or_default()
    }

    /// Whether meshStack takes nothing more for it.
    pub(crate) fn is_over(&self) -> bool {
        self.aborted || matches!(self.status, Some(RunStatus::Succeeded | RunStatus::Failed))
    }
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) queue: VecDeque<RunObject>,
    pub(crate) calls: Vec<Call>,
    pub(crate) runs: HashMap<String, RunState>,
    /// By kind of call and run; of any run where there is none.
    faults: HashMap<(On, String), VecDeque<Fault>>,
    outages: HashMap<On, Problem>,
    pub(crate) breaches: Vec<String>,
}

/// The fake; all clones are one.
#[derive(Clone, Default)]
pub(crate) struct Fake(Arc<(Mutex<State>, Notify)>);

impl Fake {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// A builder of a runner that talks to this meshStack.
    pub(crate) fn runner(&self) -> RunnerBuilder {
        Runner::builder(self.clone(), RUNNER)
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a run; a run that is queued again forgets what was reported.
    pub(crate) fn queue(&self, run: &RunObject) {
        self.state().queue.push_back(run.clone());
    }

    /// A run that somebody else was given: known, but not in the queue.
    pub(crate) fn know(&self, run: &RunObject) {
        let state = RunState { token: run.run_token().expose().to_owned(), ..RunState::default() };
        self.state().runs.insert(run.uuid().to_owned(), state);
    }

    /// The next calls of this kind fail like this, in order.
    pub(crate) fn faults(&self, on: On, faults: impl IntoIterator<Item = Fault>) {
        self.faults_of("", on, faults);
    }

    /// The same for the calls of one run.
    pub(crate) fn faults_of(&self, run: &str, on: On, faults: impl IntoIterator<Item = Fault>) {
        self.state().faults.entry((on, run.to_owned())).or_default().extend(faults);
    }

    /// Every call of this kind is answered with this, until [`repair`](Self::repair).
    pub(crate) fn outage(&self, on: On, problem: Problem) {
        self.state().outages.insert(on, problem);
    }

    pub(crate) fn repair(&self) {
        self.state().outages.clear();
    }

    pub(crate) fn abort(&self, run: &str) {
        self.state().runs.get_mut(run).expect("a run that was claimed").aborted = true;
    }

    /// The pipeline, another source, reports the end.
    pub(crate) fn end_by_pipeline(&self, run: &str, status: RunStatus) {
        self.state().runs.get_mut(run).expect("a run that was claimed").status = Some(status);
    }

    pub(crate) fn run(&self, run: &str) -> RunState {
        self.state().runs.get(run).cloned().unwrap_or_else(|| panic!("{run} was never claimed"))
    }

    /// Calls about one run, in order.
    pub(crate) fn calls(&self, run: &str) -> Vec<Call> {
        self.state().calls.iter().filter(|call| call.run == run).cloned().collect()
    }

    /// The patches of one run that came in, in order.
    pub(crate) fn patches(&self, run: &str) -> Vec<(Instant, StatusPatch)> {
        self.calls(run).into_iter().filter_map(|call| Some((call.at, call.patch?))).collect()
    }

    pub(crate) fn claims(&self) -> Vec<Instant> {
        self.state().calls.iter().filter(|call| call.on == On::Claim).map(|call| call.at).collect()
    }

    /// What was said of a run, a line per call.
    pub(crate) fn transcript(&self, run: &str) -> Vec<String> {
        self.calls(run).iter().map(line).collect()
    }

    /// Waits until `enough` is true of what meshStack knows. Fails after ten days (of paused time).
    pub(crate) async fn until(&self, what: &str, enough: impl Fn(&State) -> bool) {
        let wait = async {
            loop {
                let changed = self.0.1.notified();
                if enough(&self.state()) {
                    return;
                }
                changed.await;
            }
        };
        let limit = Duration::from_secs(10 * 24 * 3600);
        if tokio::time::timeout(limit, wait).await.is_err() {
            let calls: Vec<_> = self.state().calls.iter().filter(|call| !call.run.is_empty()).map(line).collect();
            panic!("meshStack never saw: {what}; calls: {calls:#?}");
        }
    }

    pub(crate) async fn until_over(&self, run: &str) {
        self.until(&format!("the end of {run}"), |state| state.runs.get(run).is_some_and(RunState::is_over)).await;
    }

    pub(crate) async fn until_claimed(&self, run: &str) {
        self.until(&format!("the claim of {run}"), |state| state.runs.contains_key(run)).await;
    }

    /// Fails if the runner broke a rule of the API.
    pub(crate) fn check(&self) {
        let breaches = std::mem::take(&mut self.state().breaches);
        assert!(breaches.is_empty(), "against the rules of the run API: {breaches:#?}");
    }

    fn note(&self, on: On, run: &RunAccess) -> usize {
        let mut state = self.state();
        state.calls.push(Call {
            at: Instant::now(),
            on,
            run: run.uuid.clone(),
            token: run.token.expose().to_owned(),
            taken: false,
            registration: None,
            patch: None,
        });
        state.calls.len() - 1
    }

    /// Plays out what is scripted for this call around its `effect`.
    async fn play<T>(
        &self,
        on: On,
        run: &str,
        effect: impl FnOnce(&mut State) -> Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        let fault = {
            let mut state = self.state();
            let outage = state.outages.get(&on).cloned().map(Fault::Error);
            let mut scripted = |run: &str| state.faults.get_mut(&(on, run.to_owned()))?.pop_front();
            outage.or_else(|| scripted(run)).or_else(|| scripted("")).unwrap_or(Fault::Fine)
        };
        // Every request takes a moment: whatever runs beside it gets its turn.
        tokio::time::sleep(Duration::from_millis(5)).await;
        if let Fault::Slow(time) | Fault::SlowError(time, _) = fault {
            tokio::time::sleep(time).await;
        }
        let result = match fault {
            Fault::Error(problem) | Fault::SlowError(_, problem) => Err(error(on, problem)),
            Fault::AnswerLost => {
                effect(&mut self.state()).and_then(|_| Err(error(on, Problem::NoAnswer { connect: false })))
            }
            Fault::Abort => {
                self.abort(run);
                effect(&mut self.state())
            }
            Fault::Slow(_) | Fault::Fine => effect(&mut self.state()),
        };
        if let Some(known) = self.state().runs.get_mut(run) {
            known.in_flight = false;
            known.end_answered |= on == On::Patch && result.is_ok() && known.is_over();
        }
        self.0.1.notify_waiters();
        result
    }

    /// One request of a run at a time, and none after the end that was acknowledged.
    fn enter(&self, on: On, access: &RunAccess) {
        let mut state = self.state();
        let Some(run) = state.runs.get_mut(&access.uuid) else { return };
        let mut breaches = Vec::new();
        if run.in_flight {
            breaches.push(format!("two requests of {} at once", access.uuid));
        }
        if run.end_answered {
            breaches.push(format!("{on:?} of {} after its end", access.uuid));
        }
        run.in_flight = true;
        state.breaches.extend(breaches);
    }
}

#[async_trait]
impl RunApi for Fake {
    async fn claim(&self) -> Result<Option<RunObject>, ApiError> {
        let nobody = RunAccess {
            uuid: String::new(),
            token: String::new().into(),
            register_link: None,
            update_link: None,
            self_link: None,
        };
        let call = self.note(On::Claim, &nobody);
        self.play(On::Claim, "", |state| {
            let Some(run) = state.queue.pop_front() else { return Ok(None) };
            (state.calls[call].run, state.calls[call].taken) = (run.uuid().to_owned(), true);
            let token = run.run_token().expose().to_owned();
            state.runs.insert(run.uuid().to_owned(), RunState { token, ..RunState::default() });
            Ok(Some(run))
        })
        .await
    }

    async fn register(&self, run: &RunAccess, body: &SourceRegistration) -> Result<(), ApiError> {
        let call = self.note(On::Register, run);
        self.state().calls[call].registration = Some(body.clone());
        self.enter(On::Register, run);
        if let Some(known) = self.state().runs.get_mut(&run.uuid) {
            known.register_attempted = true;
        }
        self.play(On::Register, &run.uuid, |state| state.register(call, run, body)).await
    }

    async fn patch(&self, run: &RunAccess, patch: &StatusPatch) -> Result<PatchAnswer, ApiError> {
        let call = self.note(On::Patch, run);
        self.state().calls[call].patch = Some(patch.clone());
        self.enter(On::Patch, run);
        self.play(On::Patch, &run.uuid, |state| state.patch(call, run, patch)).await
    }

    async fn read_run(&self, run: &RunAccess) -> Result<RunObject, ApiError> {
        let call = self.note(On::Read, run);
        self.play(On::Read, &run.uuid, |state| {
            state.calls[call].taken = true;
            let status = match state.known(run)? {
                known if known.aborted => "ABORTED",
                RunState { status: Some(RunStatus::Succeeded), .. } => "SUCCEEDED",
                RunState { status: Some(RunStatus::Failed), .. } => "FAILED",
                _ => "IN_PROGRESS",
            };
            let object = json!({ "metadata": { "uuid": run.uuid }, "status": status });
            Ok(RunObject::from_value(object).expect("a run object"))
        })
        .await
    }

    async fn download_plan(&self, _run: &RunAccess, _href: &str, _to: &Path) -> Result<u64, ApiError> {
        Err(error(On::Upload, Problem::Gone { excerpt: String::new() }))
    }

    async fn upload_plan(&self, run: &RunAccess, href: &str, from: &Path) -> Result<(), ApiError> {
        let call = self.note(On::Upload, run);
        let plan = std::fs::read(from).expect("a plan to upload");
        let href = href.to_owned();
        self.play(On::Upload, &run.uuid, |state| {
            state.calls[call].taken = true;
            assert_eq!(href, "https://mesh.example/upload");
            state.known(run)?.uploaded = Some(plan);
            Ok(())
        })
        .await
    }
}
