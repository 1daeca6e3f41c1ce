//! An Azure DevOps to test against: a real HTTP server with a state of its own. What it gets and what it answers is checked
//! against the description of the API; what deviates fails the test when the fake is dropped.

pub(crate) mod azure;
pub(crate) mod moments;
mod spec;

use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::Response;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

use azure::{Azure, Pipeline, Run};
use spec::Operation;

/// `:pat-secret`, as a header carries it.
const AUTHORIZATION: &str = "Basic OnBhdC1zZWNyZXQ=";

/// A page to sign in on.
pub(crate) const SIGN_IN: &str =
    "<!DOCTYPE html><html><head><title>Azure DevOps Services | Sign In</title></head><body>…</body></html>";

/// A request that came in.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) operation: &'static str,
    pub(crate) path: String,
    pub(crate) body: Option<Value>,
}

/// What goes wrong.
#[derive(Debug, Clone)]
pub(crate) enum Effect {
    /// This answer instead; nothing happens.
    Answer(u16, Vec<(&'static str, String)>, String),
    /// It happens, and the answer has this header too.
    Header(&'static str, &'static str),
    /// The connection is closed; nothing happens.
    CutBefore,
    /// It happens, and the connection is closed.
    CutAfter,
    /// Nothing happens, and there is never an answer.
    HangBefore,
    /// It happens, and there is never an answer.
    HangAfter,
    /// It happens, but the answer is this.
    Instead(Value),
}

impl Effect {
    pub(crate) fn status(status: u16) -> Self {
        Self::Answer(status, Vec::new(), String::new())
    }

    pub(crate) fn page(status: u16) -> Self {
        Self::Answer(status, vec![("content-type", "text/html; charset=utf-8".to_owned())], SIGN_IN.to_owned())
    }

    pub(crate) fn says(status: u16, message: &str) -> Self {
        Self::Answer(status, Vec::new(), serde_json::json!({ "$id": "1", "message": message }).to_string())
    }
}

struct Fault {
    /// None: every operation.
    operation: Option<&'static str>,
    skip: u64,
    times: u64,
    effect: Effect,
}

#[derive(Default)]
struct State {
    azure: Azure,
    authorization: String,
    /// What a wrong token gets.
    refusal: Option<Effect>,
    faults: Vec<Fault>,
    seen: Vec<Seen>,
    deviations: Vec<String>,
    /// Requests of this operation wait for [`Fake::go_on`].
    slow: Option<&'static str>,
}

struct Shared {
    state: Mutex<State>,
    changed: Notify,
    go_on: Semaphore,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// The fake.
pub(crate) struct Fake {
    shared: Arc<Shared>,
    url: String,
    _server: AbortOnDropHandle<()>,
}

impl Drop for Fake {
    fn drop(&mut self) {
        let deviations = std::mem::take(&mut self.shared.lock().deviations);
        if !std::thread::panicking() {
            assert_eq!(deviations, Vec::<String>::new(), "deviations from the description of the API");
        }
    }
}

impl Fake {
    /// One with this pipeline.
    pub(crate) async fn with(pipeline: Pipeline) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("its address"));
        let azure = Azure { base: url.clone(), pipelines: vec![pipeline], cancelling_takes: 1, ..Azure::default() };
        let state = State { azure, authorization: AUTHORIZATION.to_owned(), ..State::default() };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Notify::new(), go_on: Semaphore::new(0) });
        let server = tokio::spawn(serve(listener, Arc::clone(&shared)));
        Self { shared, url, _server: AbortOnDropHandle::new(server) }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Changes what there is.
    pub(crate) fn azure<T>(&self, work: impl FnOnce(&mut Azure) -> T) -> T {
        let result = work(&mut self.shared.lock().azure);
        self.shared.changed.notify_waiters();
        result
    }

    pub(crate) fn runs(&self) -> Vec<Run> {
        self.shared.lock().azure.runs.clone()
    }

    /// The only run there is.
    pub(crate) fn only_run(&self) -> Run {
        let mut runs = self.runs();
        assert_eq!(runs.len(), 1, "runs were started");
        runs.remove(0)
    }

    /// The token is another one from now on; the old one gets this.
    pub(crate) fn revoke(&self, refusal: Effect) {
        let mut state = self.shared.lock();
        "Basic of somebody else".clone_into(&mut state.authorization);
        state.refusal = Some(refusal);
    }

    /// The next `times` requests of an operation, after `skip` others, suffer this.
    pub(crate) fn fault(&self, operation: &'static str, skip: u64, times: u64, effect: Effect) {
        self.shared.lock().faults.push(Fault { operation: Some(operation), skip, times, effect });
    }

    /// The request after `skip` others, whatever it is, suffers this.
    pub(crate) fn fault_any(&self, skip: u64, effect: Effect) {
        self.shared.lock().faults.push(Fault { operation: None, skip, times: 1, effect });
    }

    /// Requests of an operation wait, before they have an effect, until [`go_on`](Self::go_on).
    pub(crate) fn slow(&self, operation: &'static str) {
        self.shared.lock().slow = Some(operation);
    }

    pub(crate) fn go_on(&self) {
        self.shared.lock().slow = None;
        self.shared.go_on.add_permits(1000);
    }

    /// How many faults have not struck yet.
    pub(crate) fn faults_left(&self) -> usize {
        self.shared.lock().faults.iter().filter(|fault| fault.times > 0).count()
    }

    pub(crate) fn seen(&self, operation: &str) -> Vec<Seen> {
        self.shared.lock().seen.iter().filter(|seen| seen.operation == operation).cloned().collect()
    }

    /// The operation of the last request.
    pub(crate) fn last(&self) -> Option<&'static str> {
        self.shared.lock().seen.last().map(|seen| seen.operation)
    }

    pub(crate) fn requests(&self) -> usize {
        self.shared.lock().seen.len()
    }

    /// Waits until nothing is asked for a while: as long as hundreds of looks take.
    pub(crate) async fn until_quiet(&self) {
        let mut before = self.requests();
        for _ in 0..60 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let now = self.requests();
            if now == before {
                return;
            }
            before = now;
        }
        panic!("requests never cease");
    }

    /// Waits until something holds.
    pub(crate) async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let waiting = async {
            loop {
                let changed = self.shared.changed.notified();
                if holds(self) {
                    return;
                }
                let _ = tokio::time::timeout(Duration::from_millis(100), changed).await;
            }
        };
        assert!(tokio::time::timeout(Duration::from_secs(60), waiting).await.is_ok(), "waited in vain until {what}");
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                let shared = Arc::clone(&shared);
                connections.spawn(async move {
                    let _ = stream.set_nodelay(true);
                    let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| answer(request.map(Body::new), Arc::clone(&shared)));
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn answer(request: Request, shared: Arc<Shared>) -> io::Result<Response<Body>> {
    let (parts, body) = request.into_parts();
    let bytes = to_bytes(body, 64 << 20).await.map_err(io::Error::other)?;
    let operation = Operation::of(parts.method.as_str(), below(parts.uri.path())).map(|operation| operation.name);
    let slow = {
        let mut state = shared.lock();
        let slow = operation.is_some() && state.slow == operation;
        if let (true, Some(operation)) = (slow, operation) {
            state.seen.push(Seen { operation, path: parts.uri.path().to_owned(), body: None });
        }
        slow
    };
    if slow {
        shared.changed.notify_waiters();
        shared.go_on.acquire().await.map_err(io::Error::other)?.forget();
    }
    let answered = {
        let mut state = shared.lock();
        handle(&mut state, &parts, &bytes)
    };
    shared.changed.notify_waiters();
    match answered {
        Handled::Answer(response) => Ok(response),
        Handled::Cut => Err(io::ErrorKind::ConnectionAborted.into()),
        Handled::Hang => std::future::pending().await,
    }
}

/// The path below the folder that an Azure DevOps Server lives in, if it does.
fn below(path: &str) -> &str {
    path.strip_prefix("/tfs").filter(|rest| rest.starts_with('/')).unwrap_or(path)
}

enum Handled {
    Answer(Response<Body>),
    Cut,
    Hang,
}

fn handle(state: &mut State, parts: &axum::http::request::Parts, bytes: &[u8]) -> Handled {
    let path = parts.uri.path().to_owned();
    let Some(mut operation) = Operation::of(parts.method.as_str(), below(&path)) else {
        state.deviations.push(format!("{} {path} is no operation of the API", parts.method));
        return plain(404, "");
    };
    for (_, value) in &mut operation.values {
        *value = decode(value);
    }
    let query = parts.uri.query().unwrap_or_default();
    let query: Vec<(String, String)> =
        query.split('&').filter_map(|pair| pair.split_once('=')).map(|(k, v)| (decode(k), decode(v))).collect();
    let body =
        (!bytes.is_empty()).then(|| serde_json::from_slice(bytes).unwrap_or(Value::String("no JSON".to_owned())));
    let wrong = operation.check_request(&query, body.as_ref());
    state.deviations.extend(wrong.into_iter().map(|wrong| format!("{}: {wrong}", operation.name)));
    state.seen.push(Seen { operation: operation.name, path, body: body.clone() });

    let authorization = parts.headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let strike = state.strike(operation.name);
    if strike.is_none() && authorization != state.authorization {
        let refusal = state.refusal.clone().unwrap_or_else(|| Effect::page(203));
        let Effect::Answer(status, headers, body) = refusal else { panic!("a refusal is an answer") };
        return full(status, &headers, body);
    }
    match &strike {
        Some(Effect::Answer(status, headers, body)) => return full(*status, headers, body.clone()),
        Some(Effect::CutBefore) => return Handled::Cut,
        Some(Effect::HangBefore) => return Handled::Hang,
        _ => {}
    }
    let decision = state.azure.carry_out(&operation, body.as_ref());
    match strike {
        Some(Effect::CutAfter) => return Handled::Cut,
        Some(Effect::HangAfter) => return Handled::Hang,
        Some(Effect::Instead(body)) => return plain(200, &body.to_string()),
        _ => {}
    }
    if decision.status < 300 {
        let wrong = operation.check_answer(decision.status, decision.body.as_ref());
        state.deviations.extend(wrong.into_iter().map(|wrong| format!("answer to {}: {wrong}", operation.name)));
    }
    let kind = if decision.text.is_some() { "text/plain" } else { "application/json; charset=utf-8; api-version=7.1" };
    let mut headers = vec![("content-type", kind.to_owned())];
    if let Some(Effect::Header(name, value)) = strike {
        headers.push((name, value.to_owned()));
    }
    full(decision.status, &headers, decision.text.or(decision.body.map(|body| body.to_string())).unwrap_or_default())
}

impl State {
    fn strike(&mut self, operation: &str) -> Option<Effect> {
        for fault in &mut self.faults {
            if fault.times == 0 || fault.operation.is_some_and(|wanted| wanted != operation) {
                continue;
            }
            if fault.skip > 0 {
                fault.skip -= 1;
                continue;
            }
            fault.times -= 1;
            return Some(fault.effect.clone());
        }
        None
    }
}

fn plain(status: u16, body: &str) -> Handled {
    full(status, &[("content-type", "application/json".to_owned())], body.to_owned())
}

fn full(status: u16, headers: &[(&'static str, String)], body: String) -> Handled {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, value);
    }
    Handled::Answer(response.body(Body::from(body)).expect("an answer"))
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits: Vec<u8> = rest.by_ref().take(2).collect();
            let code = std::str::from_utf8(&digits).expect("digits");
            bytes.push(u8::from_str_radix(code, 16).unwrap_or_else(|_| panic!("{text} is not encoded well")));
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).expect("UTF-8")
}
