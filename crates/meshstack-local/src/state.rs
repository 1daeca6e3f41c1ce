//! Everything a local meshStack knows, and the coordinator: queue, claim, end, abort, deliver again. No I/O.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::SystemTime;

use axum::body::Bytes;
use axum::http::HeaderMap;
use serde_json::{Value, json};

use crate::answer::Refusal;
use crate::event::Event;
use crate::fault::Faults;
use crate::identifier;
use crate::options::Options;
use crate::record::RequestLog;
use crate::run::Run;
use crate::runner::Runner;
use crate::seal::Sealer;
use crate::terraform::TerraformStates;
use crate::view::{RunStatus, RunView};
use crate::{order, wire};

/// How many violations are kept: the first ones tell what is wrong.
const KEEP_VIOLATIONS: usize = 1000;

/// What a run token is good for.
#[derive(Debug)]
pub(crate) struct RunToken {
    pub(crate) run: String,
    /// None: it has no end of its own.
    pub(crate) expires: Option<SystemTime>,
    /// The run was delivered again, under another token.
    pub(crate) replaced: bool,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) runs: HashMap<String, Run>,
    /// In the order in which they were ordered.
    pub(crate) run_order: Vec<String>,
    pub(crate) runners: HashMap<String, Runner>,
    pub(crate) run_tokens: HashMap<String, RunToken>,
    pub(crate) api_tokens: HashMap<String, SystemTime>,
    pub(crate) terraform: TerraformStates,
    pub(crate) faults: Faults,
    pub(crate) log: RequestLog,
    pub(crate) violations: Vec<String>,
    /// Plans put here by hand, by the run whose plan it is.
    artifacts: HashMap<String, Bytes>,
    /// Claimed runs with the time at which they are delivered again, the earliest first.
    in_flight: VecDeque<(SystemTime, String)>,
    /// Events to be sent once the lock is free.
    pub(crate) outbox: Vec<Event>,
}

impl State {
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            runs: HashMap::new(),
            run_order: Vec::new(),
            runners: HashMap::new(),
            run_tokens: HashMap::new(),
            api_tokens: HashMap::new(),
            terraform: TerraformStates::default(),
            faults: Faults::default(),
            log: RequestLog::new(options.keep_requests, options.keep_body_bytes),
            violations: Vec::new(),
            artifacts: HashMap::new(),
            in_flight: VecDeque::new(),
            outbox: Vec::new(),
        }
    }

    pub(crate) fn violation(&mut self, text: String) {
        if self.violations.len() < KEEP_VIOLATIONS {
            self.violations.push(text.clone());
        }
        self.outbox.push(Event::Violation { text });
    }

    pub(crate) fn register_runner(&mut self, uuid: &str, runner: Runner) {
        match self.runners.get_mut(uuid) {
            // What waits for it goes on waiting, and its last sign of life stays.
            Some(known) => (known.object, known.sealer) = (runner.object, runner.sealer),
            None => drop(self.runners.insert(uuid.to_owned(), runner)),
        }
        self.outbox.push(Event::RunnerRegistered { runner: uuid.to_owned() });
    }

    /// Queues a run; one of the same UUID is replaced.
    pub(crate) fn queue(&mut self, mut run: Run, given_token: Option<String>) -> Result<(), order::OrderError> {
        let uuid = run.uuid.clone();
        let Some(runner) = self.runners.get_mut(&run.runner) else {
            return Err(order::OrderError::UnknownRunner { runner: run.runner });
        };
        runner.queue.retain(|queued| *queued != uuid);
        runner.queue.push_back(uuid.clone());
        if self.runs.contains_key(&uuid) {
            self.run_tokens.retain(|_, token| token.run != uuid);
        }
        if let Some(token) = given_token {
            self.run_tokens.insert(token.clone(), RunToken { run: uuid.clone(), expires: None, replaced: false });
            run.token = Some(token);
        }
        if let Some(replaced) = self.runs.insert(uuid.clone(), run) {
            replaced.changed.send_replace(());
        } else {
            self.run_order.push(uuid.clone());
        }
        self.outbox.push(Event::Queued { run: uuid });
        Ok(())
    }

    /// Hands out the oldest run that waits for this runner.
    pub(crate) fn claim(
        &mut self,
        runner: &str,
        headers: &HeaderMap,
        request: u64,
        now: SystemTime,
        options: &Options,
    ) -> Result<Value, Refusal> {
        let Some(claiming) = self.runners.get_mut(runner) else {
            return Err(Refusal::violation(403, format!("runner {runner} is not registered")));
        };
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        claiming.last_claim = Some(now);
        claiming.polls += 1;
        claiming.last_version = text("x-meshcloud-runner-version").or(claiming.last_version.take());
        claiming.last_name = text("x-meshcloud-runner-name").or(claiming.last_name.take());
        claiming.last_node_id = text("x-block-runner-node-id").or(claiming.last_node_id.take());
        let next = claiming.queue.pop_front();
        let Some(run) = next.as_ref().and_then(|uuid| self.runs.get_mut(uuid)) else {
            self.outbox.push(Event::IdleClaim { runner: runner.to_owned() });
            return Err(Refusal::expected(404, "nothing is queued"));
        };
        run.claims += 1;
        run.requests.push(request);
        run.status = RunStatus::InProgress;
        if std::mem::take(&mut run.needs_token) {
            let token = identifier::run_token(&run.uuid, now, options.run_token_lifetime);
            let made =
                RunToken { run: run.uuid.clone(), expires: Some(now + options.run_token_lifetime), replaced: false };
            self.run_tokens.insert(token.clone(), made);
            if let Some(place) = run.object.pointer_mut("/spec/runToken") {
                *place = token.clone().into();
            }
            run.token = Some(token);
        }
        let due = now + options.redeliver_after;
        run.due = Some(due);
        self.in_flight.push_back((due, run.uuid.clone()));
        run.changed.send_replace(());
        let object = if run.object.get("status").is_some() { run.current_object() } else { run.object.clone() };
        self.outbox.push(Event::Claimed { run: run.uuid.clone(), runner: runner.to_owned() });
        Ok(object)
    }

    /// Queues claimed runs again that had no end for too long.
    pub(crate) fn redeliver_due(&mut self, now: SystemTime) {
        while self.in_flight.front().is_some_and(|(due, _)| *due <= now) {
            let Some((due, uuid)) = self.in_flight.pop_front() else { return };
            // An older claim of a run that was delivered again since, or ordered anew, says nothing.
            if self.runs.get(&uuid).is_some_and(|run| run.due == Some(due)) {
                self.redeliver(&uuid);
            }
        }
    }

    /// Queues a claimed run again, under a token that is made at the next claim. An ended or waiting run stays as it is.
    pub(crate) fn redeliver(&mut self, uuid: &str) {
        let Some(run) = self.runs.get_mut(uuid).filter(|run| run.status == RunStatus::InProgress) else { return };
        run.reopen();
        if let Some(token) = run.token.take().and_then(|token| self.run_tokens.get_mut(&token)) {
            token.replaced = true;
            run.needs_token = true;
        }
        if let Some(runner) = self.runners.get_mut(&run.runner) {
            runner.queue.push_back(uuid.to_owned());
        }
        run.changed.send_replace(());
        self.outbox.push(Event::Redelivered { run: uuid.to_owned() });
    }

    pub(crate) fn run_mut(&mut self, uuid: &str) -> Result<&mut Run, Refusal> {
        self.runs.get_mut(uuid).ok_or_else(|| Refusal::violation(404, format!("there is no run {uuid}")))
    }

    pub(crate) fn register_source(&mut self, uuid: &str, registration: wire::Registration) -> Result<(), Refusal> {
        let run = self.run_mut(uuid)?;
        let source = run.register(registration)?;
        run.changed.send_replace(());
        self.outbox.push(Event::Registered { run: uuid.to_owned(), source });
        Ok(())
    }

    pub(crate) fn patch(&mut self, uuid: &str, source: &str, patch: wire::Patch) -> Result<(), Refusal> {
        let run = self.run_mut(uuid)?;
        let with_plan = patch.artifact.is_some();
        run.patch(source, patch)?;
        run.changed.send_replace(());
        let (status, plan_size) = (run.status, run.artifact().map_or(0, Bytes::len));
        if with_plan {
            self.outbox.push(Event::ArtifactStored { run: uuid.to_owned(), bytes: plan_size });
        }
        self.outbox.push(Event::Patched { run: uuid.to_owned(), source: source.to_owned(), status });
        if status.is_final() {
            self.dequeue(uuid);
            self.outbox.push(Event::Ended { run: uuid.to_owned(), status });
        }
        Ok(())
    }

    pub(crate) fn abort(&mut self, uuid: &str) {
        let Some(run) = self.runs.get_mut(uuid) else { return };
        if run.abort() {
            run.changed.send_replace(());
            self.dequeue(uuid);
            self.outbox.push(Event::Aborted { run: uuid.to_owned() });
        }
    }

    /// An ended run is not handed out.
    fn dequeue(&mut self, uuid: &str) {
        let runner = self.runs.get(uuid).and_then(|run| self.runners.get_mut(&run.runner));
        if let Some(runner) = runner {
            runner.queue.retain(|queued| queued != uuid);
        }
    }

    pub(crate) fn view(&self, uuid: &str) -> Option<RunView> {
        self.runs.get(uuid).map(|run| run.view(&self.log))
    }

    /// The plan of a run: put here by hand, or reported or uploaded by the run.
    pub(crate) fn artifact(&self, uuid: &str) -> Option<Bytes> {
        self.artifacts.get(uuid).or_else(|| self.runs.get(uuid)?.artifact()).cloned()
    }

    /// Puts a plan here by hand. An APPLY that waits and links to no plan is given the link.
    pub(crate) fn put_artifact(&mut self, uuid: &str, plan: Bytes, url: &str) {
        self.artifacts.insert(uuid.to_owned(), plan);
        let Some(run) = self.runs.get_mut(uuid).filter(|run| run.status == RunStatus::Pending) else { return };
        if run.behavior() != "APPLY" || order::plan_of(&run.object).is_some() {
            return;
        }
        if let Some(Value::Object(links)) = run.object.get_mut("_links") {
            links.insert("planArtifact".to_owned(), json!({ "href": order::artifact_url(url, uuid) }));
        }
    }

    pub(crate) fn upload_artifact(&mut self, uuid: &str, plan: Bytes) -> Result<(), Refusal> {
        let bytes = plan.len();
        let run = self.run_mut(uuid)?;
        if run.object.pointer("/_links/planArtifactUpload").is_none() {
            return Err(Refusal::violation(404, "the run has no link to upload a plan to"));
        }
        if run.status == RunStatus::Aborted {
            return Err(Refusal::aborted());
        }
        if run.status.is_final() {
            return Err(Refusal::expected(409, "the run is over"));
        }
        run.store_artifact(plan);
        run.changed.send_replace(());
        self.outbox.push(Event::ArtifactStored { run: uuid.to_owned(), bytes });
        Ok(())
    }

    /// The runs whose plan the holder of this run's token may read: its own, and the one it is to apply.
    pub(crate) fn readable_plans(&self, uuid: &str) -> HashSet<String> {
        let of = self.runs.get(uuid).and_then(|run| order::plan_of(&run.object)).map(str::to_owned);
        std::iter::once(uuid.to_owned()).chain(of).collect()
    }

    pub(crate) fn sealer(&self, runner: &str) -> Result<Option<Arc<Sealer>>, order::OrderError> {
        let unknown = || order::OrderError::UnknownRunner { runner: runner.to_owned() };
        self.runners.get(runner).map(|runner| runner.sealer.clone()).ok_or_else(unknown)
    }
}
