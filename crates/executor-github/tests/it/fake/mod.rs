//! A GitHub to run against: a real HTTP server with its own types, that keeps to GitHub's description of its API and
//! enforces what GitHub enforces. Workflow runs move on with each look at them, so no test has to sleep.

mod answer;
mod app;
mod routes;
pub(crate) mod script;
mod server;
pub(crate) mod spec;
mod state;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;
use tokio_util::task::AbortOnDropHandle;

pub(crate) use self::answer::{Fault, Reply};
pub(crate) use self::script::{Script, Workflow, job};
pub(crate) use self::state::{Details, FakeRun, Seen, State};

/// Nothing here takes this long; a test that waits for ever must fail and not hang.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// The fake. At its end, nothing must have broken the rules.
pub(crate) struct Fake {
    state: Arc<Mutex<State>>,
    changed: Arc<Notify>,
    _servers: [AbortOnDropHandle<()>; 2],
}

impl Fake {
    pub(crate) async fn start() -> Self {
        Self::start_below("").await
    }

    /// With an API root below the host's, as an Enterprise Server has it: `/api/v3`.
    pub(crate) async fn start_below(prefix: &str) -> Self {
        Self::start_with(prefix, None).await
    }

    /// Over TLS, if there is something to accept it with.
    pub(crate) async fn start_with(prefix: &str, tls: Option<TlsAcceptor>) -> Self {
        let api = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let logs = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = |listener: &TcpListener| format!("http://{}", listener.local_addr().expect("an address"));
        let root = if tls.is_some() { address(&api).replace("http:", "https:") } else { address(&api) };
        let state = State::new(format!("{root}{prefix}"), prefix.to_owned(), address(&logs));
        let (state, changed) = (Arc::new(Mutex::new(state)), Arc::new(Notify::new()));
        let serve = |listener, role, tls| {
            let server = server::run(listener, Arc::clone(&state), Arc::clone(&changed), role, tls);
            AbortOnDropHandle::new(tokio::spawn(server))
        };
        let servers = [serve(api, server::Role::Api, tls), serve(logs, server::Role::Logs, None)];
        Self { state, changed, _servers: servers }
    }

    /// The API's root.
    pub(crate) fn url(&self) -> String {
        self.state().url.clone()
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a workflow file into the repository.
    pub(crate) fn workflow(&self, file: &str, workflow: Workflow) {
        self.state().workflows.insert(file.to_owned(), workflow);
    }

    /// Plans a fault for the next request of an operation.
    pub(crate) fn fault(&self, operation: &str, fault: Fault) {
        self.faults(operation, 0, 1, fault);
    }

    /// Plans a fault for `times` requests of an operation, after `skip` of them.
    pub(crate) fn faults(&self, operation: &str, skip: u32, times: u32, fault: Fault) {
        self.state().faults.push((operation.to_owned(), skip, times, fault));
    }

    /// The requests of an operation so far.
    pub(crate) fn seen(&self, operation: &str) -> Vec<Seen> {
        self.state().seen.iter().filter(|seen| seen.operation == operation).cloned().collect()
    }

    /// The requests that count against the rate limit.
    pub(crate) fn counted(&self) -> Vec<String> {
        let state = self.state();
        let counted = state.seen.iter().filter(|seen| seen.status.is_some_and(|status| status != 304));
        counted.map(|seen| seen.operation.clone()).collect()
    }

    /// The workflow runs, in the order of their dispatch.
    pub(crate) fn runs(&self) -> Vec<FakeRun> {
        self.state().runs.values().cloned().collect()
    }

    /// Somebody else starts a workflow.
    pub(crate) fn start_from_outside(&self, file: &str, inputs: Value) -> u64 {
        self.state().start(file, "main", inputs)
    }

    /// Waits until the state is as wanted.
    pub(crate) async fn until<T>(&self, what: &str, mut wanted: impl FnMut(&State) -> Option<T>) -> T {
        let waiting = async {
            loop {
                let changed = self.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                let found = wanted(&self.state());
                if let Some(found) = found {
                    return found;
                }
                changed.await;
            }
        };
        let found = tokio::time::timeout(PATIENCE, waiting).await;
        found.unwrap_or_else(|_| panic!("waited in vain: {what}; {:#?}", self.state().seen))
    }

    /// Waits until an operation was asked for so often.
    pub(crate) async fn asked(&self, operation: &str, times: usize) {
        let count = |state: &State| state.seen.iter().filter(|seen| seen.operation == operation).count();
        self.until(operation, |state| (count(state) >= times).then_some(())).await;
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_eq!(self.state().violations, Vec::<String>::new());
        }
    }
}
