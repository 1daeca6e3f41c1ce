//! The library's face.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::broadcast;
use tokio::task::JoinHandle;

use crate::event::Event;
use crate::fault::Fault;
use crate::options::Options;
use crate::order::{Order, OrderError};
use crate::record::Recorded;
use crate::runner::RunnerSpec;
use crate::server;
use crate::shared::Shared;
use crate::view::{RunView, RunnerView};

/// A meshStack to run against. Dropping it stops it, open connections included.
pub struct LocalMeshStack {
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

/// Only where it listens: what it holds is full of tokens.
impl fmt::Debug for LocalMeshStack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalMeshStack").field("url", &self.shared.url).finish_non_exhaustive()
    }
}

impl Drop for LocalMeshStack {
    fn drop(&mut self) {
        self.server.abort();
    }
}

#[expect(clippy::unused_async, reason = "all that asks or changes the server is awaited, whether it must wait or not")]
impl LocalMeshStack {
    /// What stands in a raw run object in place of the server's own address.
    pub const PLACEHOLDER_URL: &'static str = "http://meshstack.invalid";

    /// Starts on a free port of 127.0.0.1, in the current tokio runtime.
    ///
    /// # Errors
    /// When it cannot listen.
    pub async fn start() -> io::Result<Self> {
        Self::start_with(Options::default()).await
    }

    /// Starts with these options, in the current tokio runtime.
    ///
    /// # Errors
    /// When it cannot listen at `options.bind`.
    pub async fn start_with(options: Options) -> io::Result<Self> {
        let listener = TcpListener::bind(options.bind).await?;
        let mut address = listener.local_addr()?;
        if address.ip().is_unspecified() {
            address.set_ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
        }
        let shared = Arc::new(Shared::new(options, format!("http://{address}")));
        let server = tokio::spawn(server::run(listener, shared.clone()));
        Ok(Self { shared, server })
    }

    /// Where it listens: `http://127.0.0.1:<port>`.
    pub fn url(&self) -> String {
        self.shared.url.clone()
    }

    /// Client id and client secret for `/api/login`.
    pub fn api_key(&self) -> (String, String) {
        self.shared.options.api_key.clone()
    }

    /// Registers a runner and returns its UUID; one that is registered is updated.
    ///
    /// # Panics
    /// When the certificate is none, or is not for an RSA key of at least 2048 bits.
    pub async fn register_runner(&self, spec: RunnerSpec) -> String {
        self.shared.register_runner(&spec).unwrap_or_else(|error| panic!("the runner cannot be registered: {error}"))
    }

    /// A registered runner.
    pub async fn runner(&self, uuid: &str) -> Option<RunnerView> {
        self.shared.apply(|state, now| state.runners.get(uuid).map(|runner| runner.view(uuid, now)))
    }

    /// Orders a run from a runner and returns the run's UUID. Secrets are encrypted with the runner's certificate.
    ///
    /// # Panics
    /// Where [`try_order`](Self::try_order) gives an error.
    pub async fn order(&self, runner: &str, order: Order) -> String {
        self.try_order(runner, &order).await.unwrap_or_else(|error| panic!("{error}"))
    }

    /// Orders a run from a runner and returns the run's UUID.
    ///
    /// # Errors
    /// When the runner is not registered, or the order holds a secret and the runner has no certificate.
    pub async fn try_order(&self, runner: &str, order: &Order) -> Result<String, OrderError> {
        self.shared.order(runner, order)
    }

    /// Queues a run object as it is and returns the run's UUID (or a made-up one, if it has none). Only
    /// [`PLACEHOLDER_URL`](Self::PLACEHOLDER_URL) is replaced. Its `runToken` is honoured and never expires; a run of the
    /// same UUID is replaced.
    ///
    /// # Panics
    /// When the runner is not registered.
    pub async fn order_raw(&self, runner: &str, run: Value) -> String {
        self.shared.order_raw(runner, &run).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Aborts a run, as a person does in meshStack. Nothing happens if it has ended.
    pub async fn abort(&self, run: &str) {
        self.shared.apply(|state, _| state.abort(run));
    }

    /// Queues a claimed run again at once, as if it had had no end for too long: its token is void.
    pub async fn redeliver(&self, run: &str) {
        self.shared.apply(|state, _| state.redeliver(run));
    }

    /// A run.
    pub async fn run(&self, run: &str) -> Option<RunView> {
        self.shared.view(run)
    }

    /// All runs, in the order in which they were ordered.
    pub async fn runs(&self) -> Vec<RunView> {
        self.shared.runs()
    }

    /// Waits until a run is as wanted, for as long as it takes.
    ///
    /// # Panics
    /// When there is no such run.
    pub async fn wait_until(&self, run: &str, predicate: impl Fn(&RunView) -> bool) -> RunView {
        self.shared.wait_until(run, predicate).await.unwrap_or_else(|| panic!("there is no run {run}"))
    }

    /// Waits until a run has ended: SUCCEEDED, FAILED or ABORTED.
    ///
    /// # Panics
    /// When there is no such run.
    pub async fn wait_for_end(&self, run: &str) -> RunView {
        self.wait_until(run, |run| run.status.is_final()).await
    }

    /// What happens from now on. A listener that falls behind by more than 16,384 events is told that it missed some.
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.shared.subscribe()
    }

    /// The remembered requests, in the order of arrival; the operator's own are not among them.
    pub fn requests(&self) -> Vec<Recorded> {
        self.shared.apply(|state, _| state.log.all())
    }

    /// What was refused because no correct client sends it, the first thousand.
    pub fn violations(&self) -> Vec<String> {
        self.shared.apply(|state, _| state.violations.clone())
    }

    /// Plans a fault.
    pub fn fault(&self, fault: Fault) {
        self.shared.apply(|state, _| state.faults.plan(fault));
    }

    /// Forgets the planned faults.
    pub fn clear_faults(&self) {
        self.shared.apply(|state, _| state.faults.clear());
    }

    /// Puts a saved plan here as that of `run`, for runs that are ordered with [`Order::plan_of`]. Where `run` itself is
    /// a waiting APPLY, it is given the link.
    pub async fn put_plan_artifact(&self, run: &str, bytes: Vec<u8>) {
        let url = self.shared.public_url().to_owned();
        self.shared.apply(|state, _| state.put_artifact(run, bytes.into(), &url));
    }

    /// A building block's Terraform state.
    pub async fn state(&self, workspace: &str, building_block: &str) -> Option<Vec<u8>> {
        self.shared.apply(|state, _| state.terraform.state(workspace, building_block)).map(|state| state.to_vec())
    }

    /// Who holds the lock of a building block's Terraform state.
    pub async fn state_lock(&self, workspace: &str, building_block: &str) -> Option<Value> {
        self.shared.apply(|state, _| state.terraform.lock(workspace, building_block))
    }
}
