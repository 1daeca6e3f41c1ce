//! The operator's own small API, for another process or a person: order, abort, look on, plan faults.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::Router;
use axum::extract::{Path, Query, State as Extract};
use axum::http::StatusCode;
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::fault::{Effect, Fault, Operation};
use crate::order::Order;
use crate::runner::RunnerSpec;
use crate::shared::Shared;
use crate::view::RunView;

type Refused = (StatusCode, String);

/// How long `?wait=end` waits when it does not say.
const DEFAULT_WAIT_SECS: u64 = 60;

pub(crate) fn router() -> Router<Arc<Shared>> {
    Router::new()
        .route("/runners", post(register_runner))
        .route("/runners/{uuid}", get(runner))
        .route("/runs", get(runs).post(order))
        .route("/runs/{run}", get(run))
        .route("/runs/{run}/abort", post(abort))
        .route("/violations", get(violations))
        .route("/requests", get(requests))
        .route("/faults", post(plan_fault).delete(clear_faults))
}

fn bad_request(message: &impl ToString) -> Refused {
    (StatusCode::BAD_REQUEST, message.to_string())
}

fn no_run(run: &str) -> Refused {
    (StatusCode::NOT_FOUND, format!("there is no run {run}"))
}

async fn register_runner(
    Extract(shared): Extract<Arc<Shared>>,
    Json(spec): Json<RunnerSpec>,
) -> Result<Json<Value>, Refused> {
    let uuid = shared.register_runner(&spec).map_err(|error| bad_request(&error))?;
    Ok(Json(json!({ "uuid": uuid })))
}

async fn runner(
    Extract(shared): Extract<Arc<Shared>>,
    Path(uuid): Path<String>,
) -> Result<Json<crate::RunnerView>, Refused> {
    let view = shared.apply(|state, now| state.runners.get(&uuid).map(|runner| runner.view(&uuid, now)));
    view.map(Json).ok_or_else(|| (StatusCode::NOT_FOUND, format!("there is no runner {uuid}")))
}

#[derive(Deserialize)]
struct ForRunner {
    runner: String,
}

/// The body is a run object, or `{"order": …}`.
async fn order(
    Extract(shared): Extract<Arc<Shared>>,
    Query(query): Query<ForRunner>,
    Json(mut body): Json<Value>,
) -> Result<Json<Value>, Refused> {
    let uuid = match body.get_mut("order").map(Value::take) {
        Some(order) => {
            let order: Order = serde_json::from_value(order).map_err(|error| bad_request(&error))?;
            shared.order(&query.runner, &order).map_err(|error| bad_request(&error))?
        }
        None => shared.order_raw(&query.runner, &body).map_err(|error| bad_request(&error))?,
    };
    Ok(Json(json!({ "uuid": uuid })))
}

async fn runs(Extract(shared): Extract<Arc<Shared>>) -> Json<Vec<RunView>> {
    Json(shared.runs())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wait {
    wait: Option<String>,
    timeout_secs: Option<u64>,
}

/// With `?wait=end` answers when the run has ended, or when the time is up; the status tells which.
async fn run(
    Extract(shared): Extract<Arc<Shared>>,
    Path(run): Path<String>,
    Query(query): Query<Wait>,
) -> Result<Json<RunView>, Refused> {
    match query.wait.as_deref() {
        None => {}
        Some("end") => {
            let limit = Duration::from_secs(query.timeout_secs.unwrap_or(DEFAULT_WAIT_SECS));
            let end = shared.wait_until(&run, |view| view.status.is_final());
            // When the time is up, the run is shown as it is.
            let _ = tokio::time::timeout(limit, end).await;
        }
        Some(other) => return Err(bad_request(&format!("it can be waited for `end`, not for `{other}`"))),
    }
    shared.view(&run).map(Json).ok_or_else(|| no_run(&run))
}

async fn abort(Extract(shared): Extract<Arc<Shared>>, Path(run): Path<String>) -> Result<Json<RunView>, Refused> {
    shared.apply(|state, _| state.abort(&run));
    shared.view(&run).map(Json).ok_or_else(|| no_run(&run))
}

async fn violations(Extract(shared): Extract<Arc<Shared>>) -> Json<Vec<String>> {
    Json(shared.apply(|state, _| state.violations.clone()))
}

async fn requests(Extract(shared): Extract<Arc<Shared>>) -> Json<Vec<crate::Recorded>> {
    Json(shared.apply(|state, _| state.log.all()))
}

/// A fault as JSON: `{"effect": "status", "operation": "patch", "times": 2, "code": 503}`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PlannedFault {
    effect: String,
    operation: Option<Operation>,
    method: Option<String>,
    path_part: Option<String>,
    #[serde(default)]
    skip: u64,
    /// 1 if absent; 0 means always.
    times: Option<u64>,
    /// Of `status`.
    code: Option<u16>,
    #[serde(default)]
    headers: Vec<(String, String)>,
    #[serde(default)]
    body: String,
    /// Of `delay`.
    millis: Option<u64>,
    /// Of `hugeBody`.
    bytes: Option<u64>,
}

impl PlannedFault {
    fn read(self) -> Result<Fault, Refused> {
        let missing = |field: &str| bad_request(&format!("the effect {} needs `{field}`", self.effect));
        let effect = match self.effect.as_str() {
            "status" => {
                let code = self.code.ok_or_else(|| missing("code"))?;
                Effect::Status { code, headers: self.headers, body: self.body }
            }
            "delay" => Effect::Delay(Duration::from_millis(self.millis.ok_or_else(|| missing("millis"))?)),
            "cutBefore" => Effect::CutBefore,
            "cutAfter" => Effect::CutAfter,
            "html" => Effect::Html,
            "hugeBody" => Effect::HugeBody(self.bytes.ok_or_else(|| missing("bytes"))?),
            "brokenJson" => Effect::BrokenJson,
            "hang" => Effect::Hang,
            other => return Err(bad_request(&format!("there is no effect {other:?}"))),
        };
        Ok(Fault {
            operation: self.operation,
            method: self.method,
            path_part: self.path_part,
            skip: self.skip,
            times: Some(self.times.unwrap_or(1)).filter(|times| *times > 0),
            effect,
        })
    }
}

async fn plan_fault(
    Extract(shared): Extract<Arc<Shared>>,
    Json(fault): Json<PlannedFault>,
) -> Result<StatusCode, Refused> {
    let fault = fault.read()?;
    shared.apply(|state, _| state.faults.plan(fault));
    Ok(StatusCode::NO_CONTENT)
}

async fn clear_faults(Extract(shared): Extract<Arc<Shared>>) -> StatusCode {
    shared.apply(|state, _| state.faults.clear());
    StatusCode::NO_CONTENT
}
