//! Connections, and everything that is the same for all operations.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, UNIX_EPOCH};

use axum::body::{Body, Bytes, to_bytes};
use axum::http::request::Parts;
use axum::http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use runner_core::web::Url;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::answer::{Fault, Reply};
use super::routes;
use super::spec::{self, Operation};
use super::state::{Seen, State};

/// What a port is for.
#[derive(Clone, Copy)]
pub(crate) enum Role {
    Api,
    /// Serves logs, on another host as it were.
    Logs,
}

type Shared = (Arc<Mutex<State>>, Arc<Notify>);

pub(crate) async fn run(
    listener: TcpListener,
    state: Arc<Mutex<State>>,
    changed: Arc<Notify>,
    role: Role,
    tls: Option<TlsAcceptor>,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                let _ = stream.set_nodelay(true);
                let shared = (Arc::clone(&state), Arc::clone(&changed));
                let tls = tls.clone();
                connections.spawn(async move {
                    let service = service_fn(move |request| serve(shared.clone(), role, request));
                    let http = http1::Builder::new();
                    match tls {
                        None => drop(http.serve_connection(TokioIo::new(stream), service).await),
                        // A client that does not trust the certificate goes away.
                        Some(tls) => if let Ok(stream) = tls.accept(stream).await {
                            drop(http.serve_connection(TokioIo::new(stream), service).await);
                        },
                    }
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// What becomes of a request.
enum Fate {
    Answer(Reply),
    Cut,
    Never,
    /// Answered once the test says so.
    Late(Reply),
}

async fn serve(shared: Shared, role: Role, request: Request<Incoming>) -> io::Result<Response<Body>> {
    let (parts, body) = request.into_parts();
    let body = to_bytes(Body::new(body), usize::MAX).await.map_err(io::Error::other)?;
    let fate = {
        let mut state = shared.0.lock().unwrap_or_else(PoisonError::into_inner);
        match role {
            Role::Api => state.receive(&parts, &body),
            Role::Logs => Fate::Answer(state.receive_logs(&parts)),
        }
    };
    shared.1.notify_waiters();
    if matches!(role, Role::Api) {
        take_time(&shared.0, &parts).await;
    }
    let reply = match fate {
        Fate::Answer(reply) => reply,
        Fate::Late(reply) => {
            while !shared.0.lock().unwrap_or_else(PoisonError::into_inner).released {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            reply
        }
        Fate::Cut => return Err(io::ErrorKind::ConnectionAborted.into()),
        Fate::Never => std::future::pending().await,
    };
    let mut response = Response::builder().status(reply.status);
    for (name, value) in &reply.headers {
        response = response.header(name, value);
    }
    response.body(Body::from(reply.body)).map_err(io::Error::other)
}

/// Answers later, and counts how many requests about one run are under way meanwhile.
async fn take_time(state: &Mutex<State>, parts: &Parts) {
    let lock = || state.lock().unwrap_or_else(PoisonError::into_inner);
    let latency = lock().latency;
    if latency.is_zero() {
        return;
    }
    let run = parts.uri.path().split("/actions/runs/").nth(1).and_then(|rest| rest.split('/').next()?.parse().ok());
    if let Some(run) = run {
        let mut state = lock();
        let now = state.in_flight.entry(run).or_default();
        *now += 1;
        state.most_in_flight = state.most_in_flight.max(state.in_flight[&run]);
    }
    tokio::time::sleep(latency).await;
    if let Some(now) = run.and_then(|run| lock().in_flight.get(&run).copied()) {
        lock().in_flight.insert(run.unwrap_or_default(), now - 1);
    }
}

impl State {
    fn receive_logs(&mut self, parts: &Parts) -> Reply {
        if parts.headers.contains_key("authorization") {
            self.violations.push("the token went to the host of the logs".to_owned());
        }
        if parts.uri.query() != Some("sig=s3cret") {
            self.violations.push(format!("a log was asked for without its signature: {}", parts.uri));
        }
        let id = parts.uri.path().trim_start_matches('/').parse().unwrap_or_default();
        Reply::odd(200, &format!("\u{feff}{}", self.log(id).unwrap_or_default()))
    }

    fn receive(&mut self, parts: &Parts, body: &Bytes) -> Fate {
        let url = Url::parse(&format!("http://host{}", parts.uri)).expect("an address");
        let query: Vec<(String, String)> = url.query_pairs().into_owned().collect();
        let path = url.path().strip_prefix(self.prefix.as_str()).unwrap_or("/outside").to_owned();
        let mut segments: Vec<String> = path.split('/').skip(1).map(decoded).collect();
        let moved = self.moved(&mut segments);
        let operation = spec::operation(parts.method.as_str(), &segments);
        let headers: HashMap<String, String> = parts
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap_or("no text").to_owned()))
            .collect();
        let number = self.seen.len();
        self.seen.push(Seen {
            operation: operation.as_ref().map_or("unknown", |operation| operation.name).to_owned(),
            path: parts.uri.to_string(),
            headers: headers.clone(),
            body: serde_json::from_slice(body).unwrap_or_default(),
            status: None,
            at: Instant::now(),
        });
        let Some(operation) = operation else {
            self.violations.push(format!("there is no {} {}", parts.method, parts.uri));
            return Fate::Answer(Reply::error(404, "Not Found"));
        };
        self.violations.extend(spec::judge_request(operation.name, &operation.parameters, &query, body));
        let fault = self.strikes(operation.name);
        if matches!(fault, Some(Fault::CutBefore)) {
            return Fate::Cut;
        }
        if matches!(fault, Some(Fault::Hang)) {
            return Fate::Never;
        }
        let reply = match &fault {
            Some(Fault::Answer(reply)) => reply.clone(),
            _ => match moved {
                Some(to) => self.redirect(parts, &to),
                None => self.carry_out(&operation, query, &headers, body),
            },
        };
        if reply.described && self.described {
            self.violations.extend(spec::judge_answer(operation.name, reply.status, &reply.body));
        }
        let reply = self.finish(reply, &headers, parts.method == "GET");
        if !matches!(fault, Some(Fault::CutAfter | Fault::HangAfter)) {
            self.seen[number].status = Some(reply.status);
        }
        match fault {
            Some(Fault::CutAfter) => Fate::Cut,
            Some(Fault::HangAfter) => Fate::Never,
            Some(Fault::Late) => Fate::Late(reply),
            _ => Fate::Answer(reply),
        }
    }

    fn carry_out(
        &mut self,
        operation: &Operation,
        query: Vec<(String, String)>,
        headers: &HashMap<String, String>,
        body: &Bytes,
    ) -> Reply {
        let header = |name: &str| headers.get(name).map(String::as_str).unwrap_or_default();
        if header("user-agent").is_empty() {
            return Reply::error(
                403,
                "Request forbidden by administrative rules. Please make sure your request has a User-Agent header",
            );
        }
        let sent = (header("accept"), header("x-github-api-version"));
        if sent != ("application/vnd.github+json", "2022-11-28") {
            self.violations.push(format!("{} was asked for with the headers {sent:?}", operation.name));
        }
        if let Some(reply) = self.limit() {
            return reply;
        }
        let authorization = header("authorization").to_owned();
        let body = serde_json::from_slice(body).unwrap_or_default();
        self.answer(operation, &routes::Request { query, authorization, body })
    }

    /// Whether the requests of this hour are used up.
    fn limit(&mut self) -> Option<Reply> {
        if self.left == Some(0) {
            if self.now() >= self.reset {
                self.left = None;
                return None;
            }
            return Some(Reply::error(403, "API rate limit exceeded for installation ID 5000000001."));
        }
        self.left = self.left.map(|left| left - 1);
        None
    }

    /// Headers that every answer has; an answer that is as before becomes a 304.
    fn finish(&mut self, mut reply: Reply, headers: &HashMap<String, String>, get: bool) -> Reply {
        let date = UNIX_EPOCH + Duration::from_secs(u64::try_from(self.now()).expect("after 1970"));
        let left = self.left.unwrap_or(4999);
        if self.etags && get && reply.status == 200 {
            let etag = format!("W/\"{:x}\"", hash(&reply.body));
            if headers.get("if-none-match") == Some(&etag) {
                reply = Reply::empty(304);
                // It costs nothing.
                self.left = self.left.map(|left| left + 1);
            }
            reply = reply.header("etag", &etag);
        }
        let dated = reply.headers.iter().any(|(name, _)| name == "date");
        reply = reply.header("x-ratelimit-limit", "5000").header("x-ratelimit-reset", &self.reset.to_string());
        if !reply.headers.iter().any(|(name, _)| name == "x-ratelimit-remaining") {
            reply = reply.header("x-ratelimit-remaining", &left.to_string());
        }
        if dated { reply } else { reply.header("date", &httpdate::fmt_http_date(date)) }
    }

    /// The planned fault that strikes a request.
    fn strikes(&mut self, operation: &str) -> Option<Fault> {
        let at =
            self.faults.iter().position(|(name, _, times, _)| (name == operation || name == "any") && *times > 0)?;
        let (_, skip, times, fault) = &mut self.faults[at];
        if *skip > 0 {
            *skip -= 1;
            return None;
        }
        *times -= 1;
        let fault = fault.clone();
        self.faults.retain(|(_, _, times, _)| *times > 0);
        Some(fault)
    }

    /// Puts the repository's name in place of its number. `Some`: the name is a former one.
    fn moved(&self, segments: &mut Vec<String>) -> Option<String> {
        if segments.first().is_some_and(|first| first == "repositories") && segments.len() > 2 {
            segments.splice(0..2, ["repos".to_owned(), self.owner.clone(), self.repository.clone()]);
            return None;
        }
        let former = self.former.as_deref()?;
        let is_former = segments.len() > 2 && segments[0] == "repos" && segments[2] == former;
        is_former.then(|| segments[3..].join("/"))
    }

    fn redirect(&self, parts: &Parts, rest: &str) -> Reply {
        let query = parts.uri.query().map_or_else(String::new, |query| format!("?{query}"));
        let to = format!("{}/repositories/42/{rest}{query}", self.url);
        let status = if parts.method == "GET" { 301 } else { 307 };
        Reply::error(status, "Moved Permanently").header("location", &to)
    }
}

fn decoded(segment: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = segment.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits: Vec<u8> = rest.by_ref().take(2).collect();
            let digits = std::str::from_utf8(&digits).expect("digits");
            bytes.push(u8::from_str_radix(digits, 16).expect("digits"));
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).expect("text")
}

fn hash(bytes: &[u8]) -> u64 {
    use std::hash::{DefaultHasher, Hasher as _};
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    hasher.finish()
}
