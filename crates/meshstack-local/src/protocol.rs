//! The protocol's endpoints: a request comes in, a fault may strike, the state decides, an answer goes out.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::SystemTime;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State as Extract};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use futures_util::stream;
use serde_json::json;

use crate::answer::{Answer, JSON, OCTETS, RUN, RUNNER, Refusal};
use crate::event::Event;
use crate::fault::Effect;
use crate::identifier;
use crate::request::{Asked, CheckedRunner, Route};
use crate::runner::Runner;
use crate::server::cut;
use crate::shared::Shared;
use crate::state::State;
use crate::wire;

/// Room for a plan of 128 MiB in base64, and for the largest states.
const LARGEST_BODY: usize = 256 * 1024 * 1024;

/// Answers every request that is not the operator's.
pub(crate) async fn serve(Extract(shared): Extract<Arc<Shared>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    // What does not arrive as a whole never happened.
    let Ok(body) = to_bytes(body, LARGEST_BODY).await else { return Answer::empty(413).into_response() };
    let route = Route::of(&parts.method, parts.uri.path());
    let (number, fault) = shared.arrived(&route, &parts, &body);
    match &fault {
        None | Some(Effect::CutAfter | Effect::BrokenJson) => {}
        Some(Effect::Delay(time)) => tokio::time::sleep(*time).await,
        Some(Effect::CutBefore) => return cut(),
        Some(Effect::Hang) => std::future::pending().await,
        Some(Effect::Status { code, headers, body }) => {
            return record(&shared, number, &parts, planned_answer(*code, headers, body));
        }
        Some(Effect::Html) => return record(&shared, number, &parts, html()),
        Some(Effect::HugeBody(bytes)) => return record(&shared, number, &parts, huge(*bytes)),
    }
    let answer = answer(&shared, number, &route, &parts, &body);
    match fault {
        Some(Effect::CutAfter) => cut(),
        Some(Effect::BrokenJson) => answer.broken().into_response(),
        _ => answer.into_response(),
    }
}

fn answer(shared: &Shared, number: u64, route: &Route, parts: &Parts, body: &Bytes) -> Answer {
    // Read before the lock is taken: a log of a megabyte holds nobody up.
    let asked = Asked::read(route, parts, body);
    shared.decide(number, parts, |state, now| {
        state.authorize(route, &parts.headers, now, &shared.options)?;
        match asked? {
            Asked::Login(login) => state.login(login, now, shared),
            Asked::Claim { runner } => {
                let run = state.claim(&runner, &parts.headers, number, now, &shared.options)?;
                Ok(Answer::json(200, RUN, &run))
            }
            Asked::Register { run, registration } => {
                state.register_source(&run, registration)?;
                Ok(Answer::json(200, RUN, &json!({})))
            }
            Asked::Patch { run, source, patch } => {
                state.patch(&run, &source, patch)?;
                Ok(Answer::json(200, RUN, &json!({ "runAborted": false })))
            }
            Asked::ReadRun { run } => Ok(Answer::json(200, RUN, &state.run_mut(&run)?.current_object())),
            Asked::DownloadPlan { run } => {
                let plan = state.artifact(&run).ok_or_else(|| Refusal::expected(404, "the run has no plan"))?;
                Ok(Answer::new(200, OCTETS, plan))
            }
            Asked::UploadPlan { run, plan } => {
                state.upload_artifact(&run, plan)?;
                Ok(Answer::empty(204))
            }
            Asked::TerraformState { workspace, building_block, call } => {
                let writes = parts.method == "POST";
                let answer = state.terraform.answer(&workspace, &building_block, call)?;
                if writes && answer.status == 200 {
                    state.outbox.push(Event::StateWritten { workspace, building_block });
                }
                Ok(answer)
            }
            Asked::CreateRunner(runner) => Ok(state.store_runner(201, &identifier::uuid(), runner)),
            Asked::ReadRunner { uuid } => {
                let runner = state.runners.get(&uuid);
                let runner =
                    runner.ok_or_else(|| Refusal::expected(404, format!("runner {uuid} was never created")))?;
                Ok(Answer::json(200, RUNNER, &runner.stored()))
            }
            Asked::UpdateRunner { uuid, runner } if state.runners.contains_key(&uuid) => {
                Ok(state.store_runner(200, &uuid, runner))
            }
            Asked::UpdateRunner { uuid, .. } => Err(Refusal::expected(404, format!("runner {uuid} was never created"))),
        }
    })
}

impl State {
    fn store_runner(&mut self, status: u16, uuid: &str, mut runner: CheckedRunner) -> Answer {
        runner.object["metadata"]["uuid"] = uuid.into();
        let answer = Answer::json(status, RUNNER, &runner.object);
        self.register_runner(uuid, Runner::new(runner.object, Some(runner.sealer)));
        answer
    }

    fn login(&mut self, login: wire::Login, now: SystemTime, shared: &Shared) -> Result<Answer, Refusal> {
        if (login.client_id, login.client_secret) != shared.options.api_key {
            return Err(Refusal::expected(401, "the client id or the client secret is wrong"));
        }
        self.api_tokens.retain(|_, expires| *expires > now);
        let (token, lifetime) = (identifier::random_hex(16), shared.options.api_token_lifetime);
        self.api_tokens.insert(token.clone(), now + lifetime);
        Ok(Answer::json(200, JSON, &json!({ "access_token": token, "expires_in": lifetime.as_secs() })))
    }
}

/// Remembers the status of an answer that a fault has made up.
fn record(shared: &Shared, number: u64, parts: &Parts, response: Response) -> Response {
    let status = response.status().as_u16();
    shared.decide(number, parts, |_, _| Ok(Answer::empty(status)));
    response
}

fn planned_answer(code: u16, headers: &[(String, String)], body: &str) -> Response {
    let mut response = Response::new(Body::from(body.to_owned()));
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in headers {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(value)) {
            response.headers_mut().append(name, value);
        }
    }
    response
}

fn html() -> Response {
    let headers = [(header::CONTENT_TYPE.to_string(), "text/html; charset=utf-8".to_owned())];
    planned_answer(200, &headers, "<!doctype html>\n<html><body><h1>Please sign in</h1></body></html>\n")
}

/// A JSON object with one long text, made while it is sent.
fn huge(bytes: u64) -> Response {
    const CHUNK: usize = 64 * 1024;
    const START: &[u8] = b"{\"padding\":\"";
    const END: &[u8] = b"\"}";
    static PADDING: [u8; CHUNK] = [b'x'; CHUNK];
    let mut padding = usize::try_from(bytes).unwrap_or(usize::MAX).saturating_sub(START.len() + END.len());
    let chunks = std::iter::from_fn(move || {
        let size = CHUNK.min(padding);
        padding -= size;
        (size > 0).then(|| Bytes::from_static(&PADDING[..size]))
    });
    let all = std::iter::once(Bytes::from_static(START)).chain(chunks).chain([Bytes::from_static(END)]);
    let mut response = Response::new(Body::from_stream(stream::iter(all.map(Ok::<_, Infallible>))));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(RUN));
    response
}
