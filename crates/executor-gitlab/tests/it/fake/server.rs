//! Connections: a request comes in, a fault may strike, GitLab decides, an answer goes out.

use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use axum::body::{Body, to_bytes};
use axum::http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Map, Value};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::gitlab::Answer;
use super::{Fault, Seen, Shared, form, spec};

pub(super) async fn run(listener: TcpListener, tls: Option<TlsAcceptor>, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                let (shared, tls) = (Arc::clone(&shared), tls.clone());
                connections.spawn(async move {
                    match tls {
                        None => serve(stream, shared).await,
                        // A client that does not trust us hangs up.
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(stream, shared).await;
                            }
                        }
                    }
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, shared: Arc<Shared>) {
    let service = service_fn(move |request| {
        let shared = Arc::clone(&shared);
        async move { answer(&shared, request).await }
    });
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

/// An error closes the connection.
async fn answer(shared: &Shared, request: Request<Incoming>) -> io::Result<Response<Body>> {
    let (parts, body) = request.into_parts();
    let body = to_bytes(Body::new(body), usize::MAX).await.map_err(io::Error::other)?.to_vec();
    let headers: Vec<(String, String)> = (parts.headers.iter())
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect();
    let path = parts.uri.path().strip_prefix(shared.sub_path.as_str()).unwrap_or_default().to_owned();
    let query = query(parts.uri.query().unwrap_or_default());
    let (operation, parameters) = spec::operation(parts.method.as_str(), &path).unwrap_or(("unknown", Map::new()));
    let mut seen = Seen { operation, path, query, headers, body, fields: Vec::new() };
    let mut wrong = Vec::new();
    if operation == "unknown" {
        wrong.push(format!("there is no {} {}", parts.method, parts.uri));
    } else {
        if !seen.body.is_empty() {
            match form::read(seen.header("content-type").unwrap_or_default(), &seen.body) {
                Ok(fields) => seen.fields = fields,
                Err(what) => wrong.push(what),
            }
        }
        wrong.extend(spec::request(&seen, &parameters));
    }
    shared.requests.lock().expect("the requests").push(seen.clone());
    shared.violations.lock().expect("the violations").extend(wrong);
    let answered = with_fault(shared, &seen, &parameters).await;
    shared.happened.send_modify(|count| *count += 1);
    answered
}

async fn with_fault(shared: &Shared, seen: &Seen, parameters: &Map<String, Value>) -> io::Result<Response<Body>> {
    let cut = || io::Error::from(io::ErrorKind::ConnectionAborted);
    let fault = strike(shared, seen);
    match fault {
        Some(Fault::Answer { status, headers, body }) => return Ok(response(status, &headers, body)),
        Some(Fault::CutBefore) => return Err(cut()),
        Some(Fault::KillBefore) => {
            shared.killed.notify_one();
            return std::future::pending().await;
        }
        _ => {}
    }
    let answer = shared.gitlab.lock().unwrap_or_else(PoisonError::into_inner).answer(seen, parameters);
    shared.happened.send_modify(|count| *count += 1);
    let Answer { status, headers, body } = answer;
    let mut wrong = spec::answer(seen.operation, status, &body);
    if shared.new_words.load(Ordering::Relaxed) {
        wrong.retain(|what| !what.contains(".status is "));
    }
    shared.violations.lock().expect("the violations").extend(wrong);
    let answer = response(status, &headers, body.to_string());
    match fault {
        Some(Fault::Instead { status, headers, body }) => Ok(response(status, &headers, body)),
        Some(Fault::CutAfter) => Err(cut()),
        Some(Fault::KillAfter) => {
            shared.killed.notify_one();
            std::future::pending().await
        }
        Some(Fault::KillAnswered) => {
            shared.killed.notify_one();
            Ok(answer)
        }
        Some(Fault::Held) => {
            let _ = shared.let_go.subscribe().wait_for(|go| *go).await;
            Ok(answer)
        }
        _ => Ok(answer),
    }
}

fn strike(shared: &Shared, seen: &Seen) -> Option<Fault> {
    let mut kill = shared.kill.lock().expect("the kill");
    if let Some((number, how)) = kill.take() {
        if number <= 1 {
            return Some(how);
        }
        *kill = Some((number - 1, how));
    }
    let mut faults = shared.faults.lock().expect("faults");
    let at = faults.iter().position(|(operation, _)| operation.is_none_or(|wanted| wanted == seen.operation))?;
    Some(faults.remove(at).1)
}

fn response(status: u16, headers: &[(&'static str, String)], body: String) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(status).expect("a status");
    for (name, value) in headers {
        let value = HeaderValue::from_str(value).expect("a value");
        response.headers_mut().append(HeaderName::from_static(name), value);
    }
    response
}

fn query(text: &str) -> Vec<(String, String)> {
    let decode = |text: &str| spec::decoded(&text.replace('+', " ")).unwrap_or_else(|| "(unreadable)".to_owned());
    (text.split('&').filter(|pair| !pair.is_empty()))
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (decode(name), decode(value)))
        .collect()
}
