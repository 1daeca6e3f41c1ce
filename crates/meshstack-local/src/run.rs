//! A run and the rules of reporting for it: who may say what, and when. No I/O.

use std::collections::{BTreeMap, HashSet};
use std::time::SystemTime;

use axum::body::Bytes;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use tokio::sync::watch;

use crate::answer::Refusal;
use crate::record::RequestLog;
use crate::view::{OutputView, RunStatus, RunView, SourceView, StepStatus, StepView};
use crate::wire;

/// A run as the coordinator keeps it.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) uuid: String,
    pub(crate) runner: String,
    /// The run object; a claim puts the token into it.
    pub(crate) object: Value,
    pub(crate) status: RunStatus,
    /// The token in force.
    pub(crate) token: Option<String>,
    /// The next claim makes a token. A raw run without one stays without.
    pub(crate) needs_token: bool,
    /// When it is delivered again, if it has not ended by then.
    pub(crate) due: Option<SystemTime>,
    pub(crate) claims: u64,
    pub(crate) registers: u64,
    /// The numbers of the requests about it.
    pub(crate) requests: Vec<u64>,
    /// Wakes those who wait for a change.
    pub(crate) changed: watch::Sender<()>,
    summary: Option<String>,
    sources: Vec<SourceView>,
    steps: Vec<Step>,
    artifact: Option<Bytes>,
    changes_detected: Option<bool>,
    patches: u64,
    patches_after_end: u64,
    ended_count: u64,
}

#[derive(Debug)]
struct Step {
    view: StepView,
    /// The run was delivered again, so the step may start over, once.
    reopened: bool,
}

/// A patch that was found to be in order, ready to be merged.
struct CheckedPatch {
    status: Option<RunStatus>,
    steps: Vec<CheckedStep>,
    artifact: Option<Bytes>,
}

struct CheckedStep {
    id: String,
    display_name: Option<String>,
    status: Option<StepStatus>,
    user_message: Option<String>,
    system_message: Option<String>,
    outputs: Option<BTreeMap<String, OutputView>>,
}

impl Run {
    /// A run that waits for its runner.
    pub(crate) fn new(uuid: String, runner: String, object: Value) -> Self {
        Self {
            uuid,
            runner,
            object,
            status: RunStatus::Pending,
            token: None,
            needs_token: false,
            due: None,
            claims: 0,
            registers: 0,
            requests: Vec::new(),
            changed: watch::Sender::new(()),
            summary: None,
            sources: Vec::new(),
            steps: Vec::new(),
            artifact: None,
            changes_detected: None,
            patches: 0,
            patches_after_end: 0,
            ended_count: 0,
        }
    }

    fn text(&self, pointer: &str) -> &str {
        self.object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    pub(crate) fn behavior(&self) -> &str {
        self.text("/spec/behavior")
    }

    pub(crate) fn workspace(&self) -> &str {
        self.text("/spec/buildingBlock/spec/workspaceIdentifier")
    }

    pub(crate) fn building_block(&self) -> &str {
        self.text("/spec/buildingBlock/uuid")
    }

    /// The run object with the status of this moment.
    pub(crate) fn current_object(&self) -> Value {
        let mut object = self.object.clone();
        if let Value::Object(fields) = &mut object {
            fields.insert("status".to_owned(), self.status.word().into());
        }
        object
    }

    /// Queued again: a new runner, or the same one, may begin every step anew.
    pub(crate) fn reopen(&mut self) {
        self.status = RunStatus::Pending;
        for step in &mut self.steps {
            step.reopened = true;
        }
    }

    /// Registers a source and its steps.
    pub(crate) fn register(&mut self, registration: wire::Registration) -> Result<String, Refusal> {
        if self.claims == 0 {
            return Err(Refusal::violation(409, "the run was not claimed yet"));
        }
        let source = registration.source;
        let id = source.id.filter(|id| !id.is_empty()).ok_or_else(|| refused("the source has no id"))?;
        if !matches!(source.external_run_id, None | Some(Value::String(_) | Value::Number(_))) {
            return Err(refused("externalRunId is neither a string nor a number"));
        }
        let steps = registered_steps(&id, registration.steps.unwrap_or_default())?;
        if self.status == RunStatus::Aborted {
            return Err(Refusal::aborted());
        }
        if self.status.is_final() {
            return Err(Refusal::expected(409, "the run is over"));
        }
        if self.sources.iter().any(|known| known.id == id) {
            return Err(Refusal::expected(409, format!("source {id} is already registered")));
        }
        self.sources.push(SourceView {
            id: id.clone(),
            external_run_id: source.external_run_id,
            external_run_url: source.external_run_url,
        });
        // A final report of a source that could not register may have named them before.
        for step in steps {
            if !self.steps.iter().any(|known| known.view.source == id && known.view.id == step.id) {
                self.steps.push(Step { view: step, reopened: false });
            }
        }
        Ok(id)
    }

    /// Applies a patch of `source`, whole or not at all.
    pub(crate) fn patch(&mut self, source: &str, patch: wire::Patch) -> Result<(), Refusal> {
        let (summary, changes) = (patch.summary.clone(), patch.changes_detected);
        let checked = self.check(source, patch);
        if self.status.is_final() {
            self.patches_after_end += 1;
        }
        let checked = checked?;
        if self.status == RunStatus::Aborted {
            return Err(Refusal::aborted());
        }
        if self.status.is_final() {
            return Err(Refusal::expected(409, format!("the run is over: {}", self.status)));
        }
        self.patches += 1;
        self.summary = summary.or(self.summary.take());
        self.changes_detected = changes.or(self.changes_detected);
        self.artifact = checked.artifact.or(self.artifact.take());
        for step in checked.steps {
            self.merge_step(source, step);
        }
        if let Some(status) = checked.status {
            // Progress reported for a run that is queued again does not take it out of the queue; an end does.
            if status.is_final() || self.status != RunStatus::Pending {
                self.status = status;
            }
            self.ended_count += u64::from(status.is_final());
        }
        Ok(())
    }

    fn check(&self, source: &str, patch: wire::Patch) -> Result<CheckedPatch, Refusal> {
        let status = patch.status.as_deref().map(run_status).transpose()?;
        // Of an ended run everybody learns that it has ended: a source may have been too late to register.
        if !self.status.is_final() && !self.sources.iter().any(|known| known.id == source) {
            // Who tried to register and got no answer may still report the end (protocol/run-api.md, Register).
            let last_word = self.sources.is_empty() && self.registers > 0 && status == Some(RunStatus::Failed);
            if !last_word {
                return Err(refused(format!("source {source} is not registered for this run")));
            }
        }
        let detect_only = patch.artifact.is_some() || patch.changes_detected.is_some();
        if detect_only && self.behavior() != "DETECT" {
            return Err(refused(format!("artifact and changesDetected are for DETECT, this is {}", self.behavior())));
        }
        let artifact = patch
            .artifact
            .map(|text| STANDARD.decode(text).map(Bytes::from).map_err(|_| refused("the artifact is not base64")))
            .transpose()?;
        let mut seen = HashSet::new();
        let mut steps = Vec::new();
        for step in patch.steps.unwrap_or_default() {
            let step = self.check_step(source, step)?;
            if !seen.insert(step.id.clone()) {
                return Err(refused(format!("step {} is there twice", step.id)));
            }
            steps.push(step);
        }
        Ok(CheckedPatch { status, steps, artifact })
    }

    fn check_step(&self, source: &str, step: wire::PatchedStep) -> Result<CheckedStep, Refusal> {
        let id = step.id.filter(|id| !id.is_empty()).ok_or_else(|| refused("a step has no id"))?;
        let status = step.status.as_deref().map(|word| step_status(&id, word)).transpose()?;
        let known = self.steps.iter().find(|known| known.view.source == source && known.view.id == id);
        let display_name = step.display_name.filter(|name| !name.is_empty());
        match known {
            None if display_name.is_none() => {
                return Err(refused(format!("step {id} is new and has no displayName")));
            }
            Some(known) if !known.reopened => {
                let before = known.view.status;
                if status.is_some_and(|status| goes_back(before, status)) {
                    let after = status.map_or("", StepStatus::word);
                    return Err(refused(format!("step {id} goes back from {before} to {after}")));
                }
            }
            _ => {}
        }
        Ok(CheckedStep {
            display_name,
            status,
            user_message: step.user_message,
            system_message: step.system_message,
            outputs: step.outputs.map(|outputs| checked_outputs(&id, outputs)).transpose()?,
            id,
        })
    }

    fn merge_step(&mut self, source: &str, step: CheckedStep) {
        let known = self.steps.iter_mut().position(|known| known.view.source == source && known.view.id == step.id);
        let index = known.unwrap_or_else(|| {
            self.steps.push(Step { view: new_step(source, step.id, String::new()), reopened: false });
            self.steps.len() - 1
        });
        let Step { view, reopened } = &mut self.steps[index];
        if let Some(status) = step.status {
            view.status = status;
            *reopened = false;
        }
        view.display_name = step.display_name.unwrap_or_else(|| std::mem::take(&mut view.display_name));
        view.user_message = step.user_message.or(view.user_message.take());
        view.system_message = step.system_message.or(view.system_message.take());
        if let Some(outputs) = step.outputs {
            view.outputs = outputs;
        }
    }

    /// A person aborts it; says whether that changed anything.
    pub(crate) fn abort(&mut self) -> bool {
        let open = !self.status.is_final();
        if open {
            self.status = RunStatus::Aborted;
        }
        open
    }

    pub(crate) fn artifact(&self) -> Option<&Bytes> {
        self.artifact.as_ref()
    }

    pub(crate) fn store_artifact(&mut self, plan: Bytes) {
        self.artifact = Some(plan);
    }

    pub(crate) fn view(&self, log: &RequestLog) -> RunView {
        let mut outputs = BTreeMap::new();
        for step in &self.steps {
            outputs.extend(step.view.outputs.clone());
        }
        RunView {
            uuid: self.uuid.clone(),
            runner: self.runner.clone(),
            behavior: self.behavior().to_owned(),
            display_name: self.text("/spec/buildingBlock/spec/displayName").to_owned(),
            status: self.status,
            summary: self.summary.clone(),
            steps: self.steps.iter().map(|step| step.view.clone()).collect(),
            outputs,
            sources: self.sources.clone(),
            artifact: self.artifact.clone(),
            changes_detected: self.changes_detected,
            claims: self.claims,
            registers: self.registers,
            patches: self.patches,
            patches_after_end: self.patches_after_end,
            ended_count: self.ended_count,
            requests: log.some(&self.requests),
        }
    }
}

fn refused(message: impl Into<String>) -> Refusal {
    Refusal::violation(400, message)
}

fn run_status(word: &str) -> Result<RunStatus, Refusal> {
    match word {
        "IN_PROGRESS" => Ok(RunStatus::InProgress),
        "SUCCEEDED" => Ok(RunStatus::Succeeded),
        "FAILED" => Ok(RunStatus::Failed),
        "ABORTED" => Ok(RunStatus::Aborted),
        "PENDING" => Err(Refusal::violation(500, "the run status PENDING is never sent")),
        _ => Err(refused(format!("there is no run status {word:?}"))),
    }
}

fn step_status(step: &str, word: &str) -> Result<StepStatus, Refusal> {
    match word {
        "PENDING" => Ok(StepStatus::Pending),
        "IN_PROGRESS" => Ok(StepStatus::InProgress),
        "SUCCEEDED" => Ok(StepStatus::Succeeded),
        "FAILED" => Ok(StepStatus::Failed),
        _ => Err(refused(format!("step {step}: there is no step status {word:?}"))),
    }
}

/// A step that ended stays ended, though it may turn out to have failed; one that began does not become pending.
fn goes_back(before: StepStatus, after: StepStatus) -> bool {
    after < before && after < StepStatus::Succeeded
}

fn new_step(source: &str, id: String, display_name: String) -> StepView {
    StepView {
        source: source.to_owned(),
        id,
        display_name,
        status: StepStatus::Pending,
        user_message: None,
        system_message: None,
        outputs: BTreeMap::new(),
    }
}

fn registered_steps(source: &str, steps: Vec<wire::RegisteredStep>) -> Result<Vec<StepView>, Refusal> {
    let mut registered: Vec<StepView> = Vec::with_capacity(steps.len());
    for step in steps {
        let id = step.id.filter(|id| !id.is_empty()).ok_or_else(|| refused("a step has no id"))?;
        let name = step.display_name.filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| refused(format!("step {id} has no displayName")))?;
        if !matches!(step.status.as_deref(), None | Some("PENDING")) {
            return Err(refused(format!("step {id} is registered with a status other than PENDING")));
        }
        if registered.iter().any(|known| known.id == id) {
            return Err(refused(format!("step {id} is there twice")));
        }
        registered.push(new_step(source, id, name));
    }
    Ok(registered)
}

fn checked_outputs(
    step: &str,
    outputs: BTreeMap<String, wire::Output>,
) -> Result<BTreeMap<String, OutputView>, Refusal> {
    let mut checked = BTreeMap::new();
    for (key, output) in outputs {
        let value =
            output.value.ok_or_else(|| refused(format!("step {step}: output {key} has no value, or it is null")))?;
        let kind = output.kind.filter(|kind| ["STRING", "INTEGER", "BOOLEAN", "CODE"].contains(&kind.as_str()));
        let kind = kind.ok_or_else(|| refused(format!("step {step}: output {key} has no type that is known")))?;
        checked.insert(key, OutputView { value, kind, sensitive: output.sensitive.unwrap_or_default() });
    }
    Ok(checked)
}
