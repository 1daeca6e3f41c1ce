//! What a run has to say, in memory: executors change it, the reporter sends the difference.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use meshstack_client::{Output, RunStatus, StatusPatch, StepPatch, StepRegistration, StepStatus};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::sync::Notify;

use crate::journal::NotedStep;
use crate::lifecycle::step_may_become;
use crate::log::StepLog;
use crate::mask::Masker;
use crate::{Failure, StepSpec};

/// A log of up to this many bytes is sent every second; a longer one less often in proportion, so
/// that what a run sends stays bounded however much it logs.
const LOG_BYTES_PER_SECOND: u64 = 128 * 1024;

/// As much of a log as is sent at most.
const LONGEST_LOG: u64 = 1024 * 1024;

/// The progress of one run: its steps, and what it says as a whole.
pub(crate) struct Progress {
    state: Mutex<State>,
    /// Wakes the reporter; it looks at the state to see how urgent it is.
    changed: Notify,
}

struct State {
    masker: Masker,
    steps: Vec<StepState>,
    summary: Option<String>,
    /// Where the work goes on: told with the registration.
    external: ExternalRun,
    /// Counts changes that people wait for: statuses, messages, outputs.
    urgent: u64,
}

/// A run as the platform calls it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExternalRun {
    /// Its name there.
    pub id: Option<String>,
    /// A link to it.
    pub url: Option<String>,
}

struct StepState {
    spec: StepSpec,
    status: StepStatus,
    user_message: Option<String>,
    outputs: Map<String, Value>,
    /// Counts changes of the outputs: a key may be given a second value.
    outputs_revision: u64,
    log: StepLog,
}

/// What meshStack has acknowledged. The difference to the progress is what is left to send.
#[derive(Clone, Default)]
pub(crate) struct Acknowledged {
    steps: Vec<AcknowledgedStep>,
    summary: Option<String>,
    urgent: u64,
}

#[derive(Clone, PartialEq)]
struct AcknowledgedStep {
    status: StepStatus,
    user_message: Option<String>,
    outputs_revision: u64,
    log_revision: u64,
}

impl Acknowledged {
    /// The same, but for logs that were left out: of those meshStack has what it had before.
    pub(crate) fn keep_logs_of(&mut self, before: &Self) {
        for (i, step) in self.steps.iter_mut().enumerate() {
            step.log_revision = before.steps.get(i).map_or(0, |step| step.log_revision);
        }
    }
}

/// What is left to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pending {
    /// Nothing.
    Nothing,
    /// More log only; it may wait this long after the last report.
    Log(Duration),
    /// Something that people wait for.
    Urgent,
}

impl Progress {
    pub(crate) fn new(masker: Masker, steps: &[StepSpec]) -> Self {
        let mut state = State { masker, steps: Vec::new(), summary: None, external: ExternalRun::default(), urgent: 0 };
        for spec in steps {
            state.step(&spec.id, Some(&spec.display_name));
        }
        Self { state: Mutex::new(state), changed: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic of an executor in the middle of a change must not silence the report of it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a change since the last call.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    pub(crate) fn masker(&self) -> Masker {
        self.lock().masker.clone()
    }

    /// A step by its id; made if it is not there.
    pub(crate) fn ensure_step(&self, id: &str, display_name: Option<&str>) {
        let mut state = self.lock();
        let before = state.steps.len();
        state.step(id, display_name);
        if state.steps.len() > before {
            state.urgent += 1;
            drop(state);
            self.changed.notify_one();
        }
    }

    pub(crate) fn set_status(&self, id: &str, status: StepStatus) {
        let mut state = self.lock();
        let step = state.step(id, None);
        if step.status == status {
            return;
        }
        if !step_may_become(step.status, status) {
            tracing::warn!(step = id, from = ?step.status, to = ?status, "a step cannot go back; the change is left out");
            return;
        }
        step.status = status;
        if matches!(status, StepStatus::Succeeded | StepStatus::Failed) {
            step.log.finish_line();
        }
        state.urgent += 1;
        drop(state);
        self.changed.notify_one();
    }

    pub(crate) fn log(&self, id: &str, chunk: &[u8]) {
        let mut state = self.lock();
        let log = &mut state.step(id, None).log;
        log.push(chunk);
        if let Some(error) = log.take_tee_error() {
            tracing::warn!(step = id, %error, "the log of a step cannot be kept in full; the run goes on");
        }
        drop(state);
        self.changed.notify_one();
    }

    /// A whole line: what was held back of an earlier one is let out first.
    pub(crate) fn log_line(&self, id: &str, line: &str) {
        let mut state = self.lock();
        let log = &mut state.step(id, None).log;
        log.finish_line();
        log.push(line.as_bytes());
        log.push(b"\n");
        drop(state);
        self.changed.notify_one();
    }

    pub(crate) fn tee_log(&self, id: &str, sink: Box<dyn std::io::Write + Send>) {
        self.lock().step(id, None).log.tee(sink);
    }

    pub(crate) fn set_user_message(&self, id: &str, message: &str) {
        let mut state = self.lock();
        let message = state.masker.mask(message).into_owned();
        state.step(id, None).user_message = Some(message);
        state.urgent += 1;
        drop(state);
        self.changed.notify_one();
    }

    pub(crate) fn set_output(&self, id: &str, key: &str, output: &Output) {
        if output.value.is_null() {
            return;
        }
        let value = serde_json::to_value(output).unwrap_or(Value::Null);
        let mut state = self.lock();
        let step = state.step(id, None);
        step.outputs.insert(key.to_owned(), value);
        step.outputs_revision += 1;
        state.urgent += 1;
        drop(state);
        self.changed.notify_one();
    }

    pub(crate) fn set_summary(&self, summary: &str) {
        let mut state = self.lock();
        state.summary = Some(state.masker.mask(summary).into_owned());
        state.urgent += 1;
        drop(state);
        self.changed.notify_one();
    }

    pub(crate) fn set_external(&self, external: ExternalRun) {
        let mut state = self.lock();
        state.external = external;
        state.urgent += 1;
        drop(state);
        self.changed.notify_one();
    }

    pub(crate) fn external(&self) -> ExternalRun {
        self.lock().external.clone()
    }

    /// The steps as they are registered, and what meshStack then knows of them.
    pub(crate) fn registration(&self) -> (Vec<StepRegistration>, Acknowledged) {
        let state = self.lock();
        let registered = state.steps.iter().map(|step| StepRegistration {
            id: step.spec.id.clone(),
            display_name: step.spec.display_name.clone(),
            status: StepStatus::Pending,
        });
        let known =
            AcknowledgedStep { status: StepStatus::Pending, user_message: None, outputs_revision: 0, log_revision: 0 };
        let acknowledged = Acknowledged { steps: vec![known; state.steps.len()], summary: None, urgent: 0 };
        (registered.collect(), acknowledged)
    }

    /// Status of each step, in order.
    fn statuses(&self) -> Vec<(String, StepStatus)> {
        self.lock().steps.iter().map(|step| (step.spec.id.clone(), step.status)).collect()
    }

    /// The steps as the journal keeps them.
    pub(crate) fn noted(&self) -> Vec<NotedStep> {
        let state = self.lock();
        let note = |step: &StepState| NotedStep {
            id: step.spec.id.clone(),
            display_name: step.spec.display_name.clone(),
            status: step.status,
        };
        state.steps.iter().map(note).collect()
    }

    /// Takes up the steps where an earlier process left them.
    pub(crate) fn restore(&self, noted: &[NotedStep]) {
        let mut state = self.lock();
        for note in noted {
            state.step(&note.id, Some(&note.display_name)).status = note.status;
        }
        state.urgent += u64::from(!noted.is_empty());
    }

    /// Says in the first step that the run waits for room.
    pub(crate) fn wait_notice(&self, running: &str) {
        let Some((first, _)) = self.statuses().into_iter().next() else { return };
        self.set_user_message(&first, &format!("Waiting: the runner already carries out {running} at once."));
    }

    /// Takes the notice back: an empty message, since one left out would keep the old one.
    pub(crate) fn clear_wait_notice(&self) {
        let mut state = self.lock();
        let Some(step) = state.steps.first_mut().filter(|step| step.user_message.is_some()) else { return };
        step.user_message = Some(String::new());
        state.urgent += 1;
        drop(state);
        self.changed.notify_one();
    }

    /// Steps that are under way when the run has succeeded have succeeded too.
    pub(crate) fn succeed_open_steps(&self) {
        let open = |(id, status)| (status == StepStatus::InProgress).then_some(id);
        for id in self.statuses().into_iter().filter_map(open) {
            self.set_status(&id, StepStatus::Succeeded);
        }
    }

    /// From now on texts are masked with this one.
    pub(crate) fn set_masker(&self, masker: Masker) {
        let mut state = self.lock();
        for step in &mut state.steps {
            step.log.mask_with(&masker);
        }
        state.masker = masker;
    }

    /// Marks the failure: on the step that it names (else the one under way, else the first one that
    /// failed, else the first one not begun, else the last), with its message and cause; open steps
    /// after it fail because of it.
    pub(crate) fn fail(&self, failure: &Failure) {
        let (message, causes) = (failure.user_message(), failure.causes());
        let mut state = self.lock();
        let at = state.failing_step(failure.step());
        let masked = state.masker.mask(message).into_owned();
        for step in &mut state.steps[at..] {
            step.log.finish_line();
        }
        let Some((failed, after)) = state.steps[at..].split_first_mut() else { return };
        failed.status = StepStatus::Failed;
        failed.user_message = Some(masked.clone());
        let reason = if causes.is_empty() { message } else { &causes };
        failed.log.push(reason.as_bytes());
        failed.log.push(b"\n");
        failed.log.finish_line();
        let open = |step: &&mut StepState| matches!(step.status, StepStatus::Pending | StepStatus::InProgress);
        for step in after.iter_mut().filter(open) {
            let why: &[u8] = match step.status {
                StepStatus::Pending => b"Not carried out: an earlier step failed.\n",
                _ => b"Not followed to its end: the run failed.\n",
            };
            step.status = StepStatus::Failed;
            step.log.push(why);
            step.log.finish_line();
        }
        state.summary = Some(masked);
        state.urgent += 1;
        drop(state);
        self.changed.notify_one();
    }

    /// What is left to send, and how urgent it is.
    pub(crate) fn pending(&self, acknowledged: &Acknowledged) -> Pending {
        let state = self.lock();
        if state.urgent != acknowledged.urgent {
            return Pending::Urgent;
        }
        let grown = state.steps.iter().enumerate().filter(|(i, step)| {
            acknowledged.steps.get(*i).map_or(0, |acked| acked.log_revision) != step.log.revision()
        });
        let bytes: Vec<u64> = grown.map(|(_, step)| step.log.total_bytes().min(LONGEST_LOG)).collect();
        if bytes.is_empty() {
            return Pending::Nothing;
        }
        let seconds = bytes.iter().sum::<u64>() / LOG_BYTES_PER_SECOND;
        Pending::Log(Duration::from_secs(seconds.max(1)))
    }

    /// The difference between what is acknowledged and what is now, and what will be acknowledged
    /// once meshStack has taken it.
    pub(crate) fn difference(&self, acknowledged: &Acknowledged, status: RunStatus) -> (StatusPatch, Acknowledged) {
        let state = self.lock();
        let mut patch = StatusPatch::new(status);
        if state.summary != acknowledged.summary {
            patch.summary.clone_from(&state.summary);
        }
        let mut next = Acknowledged { steps: Vec::new(), summary: state.summary.clone(), urgent: state.urgent };
        for (i, step) in state.steps.iter().enumerate() {
            let now = step.acknowledged();
            let before = acknowledged.steps.get(i);
            if before.is_none_or(|before| *before != now) {
                patch.steps.push(step.patch(before));
            }
            next.steps.push(now);
        }
        (patch, next)
    }
}

impl State {
    fn step(&mut self, id: &str, display_name: Option<&str>) -> &mut StepState {
        let at = self.steps.iter().position(|step| step.spec.id == id).unwrap_or_else(|| {
            self.steps.push(StepState {
                spec: StepSpec::new(id, display_name.unwrap_or(id)),
                status: StepStatus::Pending,
                user_message: None,
                outputs: Map::new(),
                outputs_revision: 0,
                log: StepLog::new(&self.masker),
            });
            self.steps.len() - 1
        });
        &mut self.steps[at]
    }

    fn failing_step(&mut self, named: Option<&str>) -> usize {
        if self.steps.is_empty() {
            self.step("validation", Some("Validation"));
        }
        if let Some(at) = named.and_then(|id| self.steps.iter().position(|step| step.spec.id == id)) {
            return at;
        }
        let first = |status| self.steps.iter().position(|step| step.status == status);
        first(StepStatus::InProgress)
            .or_else(|| first(StepStatus::Failed))
            .or_else(|| first(StepStatus::Pending))
            .unwrap_or(self.steps.len() - 1)
    }
}

impl StepState {
    fn acknowledged(&self) -> AcknowledgedStep {
        AcknowledgedStep {
            status: self.status,
            user_message: self.user_message.clone(),
            outputs_revision: self.outputs_revision,
            log_revision: self.log.revision(),
        }
    }

    fn patch(&self, before: Option<&AcknowledgedStep>) -> StepPatch {
        let log_changed = before.map_or(0, |b| b.log_revision) != self.log.revision();
        let outputs_changed = before.map_or(0, |b| b.outputs_revision) != self.outputs_revision;
        let message_changed = before.and_then(|b| b.user_message.as_ref()) != self.user_message.as_ref();
        StepPatch {
            id: self.spec.id.clone(),
            display_name: Some(self.spec.display_name.clone()),
            status: self.status,
            user_message: if message_changed { self.user_message.clone() } else { None },
            system_message: if log_changed && !self.log.is_empty() { Some(self.log.text()) } else { None },
            outputs: if outputs_changed { self.outputs.clone() } else { Map::new() },
        }
    }
}
