//! A meshStack, and executors that do what the figures ask for.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use meshstack_local::{LocalMeshStack, Order};
use runner_core::meshstack_client::{Client, ClientConfig, Credentials, ImplementationType, Secret};
use runner_core::{Executor, Failure, Outcome, Run, RunContext, Runner, RunnerBuilder, Serves, StepSpec};
use serde_json::json;

/// How runs of our own type are ordered.
pub(crate) fn order(kind: &str) -> Order {
    Order::new(json!({ "type": kind }))
}

/// A runner, as far as every figure wants it.
pub(crate) fn builder(url: String, (client_id, secret): (String, String), runner: &str) -> RunnerBuilder {
    let mut config = ClientConfig::new(runner);
    config.api_url = Some(url);
    config.credentials = Some(Credentials::ApiKey { client_id, client_secret: Secret::new(secret) });
    Runner::builder(Client::new(config).expect("a client"), runner).idle_poll(Duration::from_millis(20))
}

pub(crate) fn builder_of(meshstack: &LocalMeshStack, runner: &str) -> RunnerBuilder {
    builder(meshstack.url(), meshstack.api_key(), runner)
}

type Work = dyn for<'a> Fn(&'a RunContext) -> BoxFuture<'a, Result<Outcome, Failure>> + Send + Sync;

/// An executor of one type that does what a closure says.
pub(crate) struct Does {
    kind: &'static str,
    steps: Vec<StepSpec>,
    work: Arc<Work>,
}

impl Does {
    pub(crate) fn new<F>(kind: &'static str, steps: usize, work: F) -> Self
    where
        F: for<'a> Fn(&'a RunContext) -> BoxFuture<'a, Result<Outcome, Failure>> + Send + Sync + 'static,
    {
        let steps = (0..steps).map(|number| StepSpec::new(step(number), format!("Step {number}"))).collect();
        Self { kind, steps, work: Arc::new(work) }
    }
}

/// The id of a step.
pub(crate) fn step(number: usize) -> String {
    format!("step-{number}")
}

#[async_trait]
impl Executor for Does {
    fn serves(&self) -> Serves {
        Serves::Type(ImplementationType::Other(self.kind.to_owned()))
    }

    fn steps(&self, _run: &Run) -> Vec<StepSpec> {
        self.steps.clone()
    }

    async fn execute(&self, ctx: &RunContext) -> Result<Outcome, Failure> {
        (self.work)(ctx).await
    }
}

/// The value below which this part of the sorted values lies.
pub(crate) fn percentile(values: &mut [Duration], percent: usize) -> Duration {
    values.sort();
    values[(values.len() * percent / 100).min(values.len() - 1)]
}

pub(crate) fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// A count as a number to calculate with. None of ours comes near the limit.
pub(crate) fn count(number: usize) -> f64 {
    u32::try_from(number).map_or(f64::INFINITY, f64::from)
}
