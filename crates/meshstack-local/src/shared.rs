//! The state behind its lock, the clock, and those who listen.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use axum::body::Bytes;
use axum::http::request::Parts;
use serde_json::Value;
use tokio::sync::broadcast;

use crate::answer::{Answer, Refusal};
use crate::event::Event;
use crate::fault::Effect;
use crate::options::Options;
use crate::order::{Order, OrderError, run_object};
use crate::request::Route;
use crate::run::Run;
use crate::runner::{Runner, RunnerSpec};
use crate::seal::{CertificateError, Sealer};
use crate::state::State;
use crate::view::RunView;
use crate::{LocalMeshStack, identifier};

/// How many events a slow listener may be behind.
const EVENTS: usize = 16_384;

/// What the server's tasks share.
pub(crate) struct Shared {
    pub(crate) options: Options,
    /// The address listened on, as a URL.
    pub(crate) url: String,
    state: Mutex<State>,
    events: broadcast::Sender<Event>,
}

impl Shared {
    pub(crate) fn new(options: Options, url: String) -> Self {
        let state = Mutex::new(State::new(&options));
        Self { options, url, state, events: broadcast::Sender::new(EVENTS) }
    }

    /// What links start with.
    pub(crate) fn public_url(&self) -> &str {
        self.options.public_url.as_deref().unwrap_or(&self.url).trim_end_matches('/')
    }

    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something to the state; events are sent afterwards, in order, so that whoever hears them sees it done.
    pub(crate) fn apply<T>(&self, change: impl FnOnce(&mut State, SystemTime) -> T) -> T {
        let mut state = self.lock();
        let now = self.options.clock.now();
        state.redeliver_due(now);
        let done = change(&mut state, now);
        let outbox = std::mem::take(&mut state.outbox);
        // Sending does not block. Under the lock, so that events of two requests keep the order of the changes.
        for event in outbox {
            // Nobody listening is no error.
            let _ = self.events.send(event);
        }
        done
    }

    /// Remembers a request and says which fault strikes it.
    pub(crate) fn arrived(&self, route: &Route, parts: &Parts, body: &Bytes) -> (u64, Option<Effect>) {
        let path = parts.uri.path_and_query().map_or("", |path| path.as_str());
        self.apply(|state, _| {
            let operation = route.operation();
            let number = state.log.arrived(operation, parts, body);
            if let Some(run) = route.run().and_then(|run| state.runs.get_mut(run)) {
                run.requests.push(number);
                run.registers += u64::from(matches!(route, Route::Register { .. }));
            }
            let effect = state.faults.strike(operation, parts.method.as_str(), path);
            if let Some(effect) = &effect {
                state.log.struck(number, effect.name());
                state.outbox.push(Event::FaultStruck { operation, effect: effect.name() });
            }
            (number, effect)
        })
    }

    /// Decides about a request. The status is remembered in the same breath: whoever sees the change sees its answer.
    pub(crate) fn decide(
        &self,
        number: u64,
        parts: &Parts,
        decide: impl FnOnce(&mut State, SystemTime) -> Result<Answer, Refusal>,
    ) -> Answer {
        self.apply(|state, now| {
            let answer = decide(state, now).unwrap_or_else(|refusal| {
                if refusal.violation {
                    let (method, path) = (&parts.method, parts.uri.path());
                    state.violation(format!("{method} {path}: {}", refusal.message));
                }
                refusal.answer()
            });
            state.log.answered(number, answer.status);
            answer
        })
    }

    pub(crate) fn register_runner(&self, spec: &RunnerSpec) -> Result<String, CertificateError> {
        let uuid = spec.uuid.clone().unwrap_or_else(identifier::uuid);
        let sealer = spec.certificate_pem.as_deref().map(Sealer::from_certificate).transpose()?;
        let runner = Runner::new(spec.object(&uuid), sealer.map(Arc::new));
        self.apply(|state, _| state.register_runner(&uuid, runner));
        Ok(uuid)
    }

    pub(crate) fn order(&self, runner: &str, order: &Order) -> Result<String, OrderError> {
        let sealer = self.apply(|state, _| state.sealer(runner))?;
        let run = identifier::uuid();
        let object = run_object(&run, order, sealer.as_deref(), self.public_url(), self.options.plan_artifact_upload)
            .map_err(|_| OrderError::NoCertificate { runner: runner.to_owned() })?;
        let mut queued = Run::new(run.clone(), runner.to_owned(), object);
        queued.needs_token = true;
        self.apply(|state, _| state.queue(queued, None))?;
        Ok(run)
    }

    pub(crate) fn order_raw(&self, runner: &str, run: &Value) -> Result<String, OrderError> {
        let text = run.to_string().replace(LocalMeshStack::PLACEHOLDER_URL, self.public_url());
        let object: Value = serde_json::from_str(&text).expect("a URL does not break JSON");
        let uuid =
            object.pointer("/metadata/uuid").and_then(Value::as_str).map_or_else(identifier::uuid, str::to_owned);
        let token = object.pointer("/spec/runToken").and_then(Value::as_str).map(str::to_owned);
        let queued = Run::new(uuid.clone(), runner.to_owned(), object);
        self.apply(|state, _| state.queue(queued, token))?;
        Ok(uuid)
    }

    pub(crate) fn view(&self, run: &str) -> Option<RunView> {
        self.apply(|state, _| state.view(run))
    }

    pub(crate) fn runs(&self) -> Vec<RunView> {
        self.apply(|state, _| state.run_order.iter().filter_map(|run| state.view(run)).collect())
    }

    /// None: there is no such run.
    pub(crate) async fn wait_until(&self, run: &str, done: impl Fn(&RunView) -> bool) -> Option<RunView> {
        loop {
            let mut changed = self.apply(|state, _| state.runs.get(run).map(|run| run.changed.subscribe()))?;
            loop {
                let view = self.view(run)?;
                if done(&view) {
                    return Some(view);
                }
                // An error: the run was replaced by another of the same UUID.
                if changed.changed().await.is_err() {
                    break;
                }
            }
        }
    }
}
