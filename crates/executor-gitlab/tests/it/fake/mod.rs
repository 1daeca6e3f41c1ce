//! A GitLab that keeps state and is as strict as the real one.
//!
//! It shares no type with the executor. Every request, and every answer that no fault has made up, is checked against
//! the description of GitLab's API in `tests/fixtures/gitlab-api.json`; what deviates fails the test when the fake is
//! dropped.

mod form;
mod gitlab;
mod schema;
mod server;
mod shown;
mod spec;
mod time;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio_rustls::TlsAcceptor;
use tokio_util::task::AbortOnDropHandle;

pub(crate) use self::gitlab::{Gitlab, Pipeline, Scope};
pub(crate) use self::shown::job;

/// What a request is about, by its name in the description.
pub(crate) type Operation = &'static str;

/// What goes wrong with one request.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// This answer instead; the request has no effect.
    Answer { status: u16, headers: Vec<(&'static str, String)>, body: String },
    /// The request takes effect, and this answer comes in place of the true one.
    Instead { status: u16, headers: Vec<(&'static str, String)>, body: String },
    /// The connection is closed; the request has no effect.
    CutBefore,
    /// The request takes effect, and the connection is closed.
    CutAfter,
    /// The runner dies; the request has no effect.
    KillBefore,
    /// The request takes effect, and the runner dies before the answer.
    KillAfter,
    /// The request takes effect and is answered, and the runner dies.
    KillAnswered,
    /// The request takes effect, and is answered once [`Fake::let_go`] was called.
    Held,
}

impl Fault {
    pub(crate) fn json(status: u16, body: &str) -> Self {
        let headers = vec![("content-type", "application/json".to_owned())];
        Self::Answer { status, headers, body: body.to_owned() }
    }

    pub(crate) fn html(status: u16, body: &str) -> Self {
        let headers = vec![("content-type", "text/html; charset=utf-8".to_owned())];
        Self::Answer { status, headers, body: body.to_owned() }
    }

    pub(crate) fn text(status: u16, body: &str) -> Self {
        Self::Answer { status, headers: vec![("content-type", "text/plain".to_owned())], body: body.to_owned() }
    }
}

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) operation: Operation,
    /// As it was sent, without the query.
    pub(crate) path: String,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// The fields of a form, in their order.
    pub(crate) fields: Vec<(String, String)>,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// What all connections share.
pub(crate) struct Shared {
    gitlab: Mutex<Gitlab>,
    /// Where the API is, below the host: empty or `/git/lab`.
    sub_path: String,
    url: String,
    requests: Mutex<Vec<Seen>>,
    violations: Mutex<Vec<String>>,
    faults: Mutex<Vec<(Option<Operation>, Fault)>>,
    /// The number of the request at which the runner dies, counted from the last plan.
    kill: Mutex<Option<(usize, Fault)>>,
    killed: Notify,
    let_go: watch::Sender<bool>,
    /// Whether a status that the description does not have is passed over.
    new_words: AtomicBool,
    /// Counts requests that were answered.
    happened: watch::Sender<u64>,
}

/// The GitLab. Dropping it stops it, and fails the test if something was not as described.
pub(crate) struct Fake {
    shared: Arc<Shared>,
    _server: AbortOnDropHandle<()>,
}

impl Fake {
    pub(crate) async fn start() -> Self {
        Self::start_with("", None).await
    }

    /// With a sub-path, or with https.
    pub(crate) async fn start_with(sub_path: &str, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let scheme = if tls.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://{address}{sub_path}");
        let shared = Arc::new(Shared {
            gitlab: Mutex::new(Gitlab::new(&url)),
            sub_path: sub_path.to_owned(),
            url,
            requests: Mutex::default(),
            violations: Mutex::default(),
            faults: Mutex::default(),
            kill: Mutex::default(),
            killed: Notify::new(),
            let_go: watch::channel(false).0,
            new_words: AtomicBool::new(false),
            happened: watch::channel(0).0,
        });
        let server = AbortOnDropHandle::new(tokio::spawn(server::run(listener, tls, Arc::clone(&shared))));
        Self { shared, _server: server }
    }

    /// Its base URL, without a slash at the end.
    pub(crate) fn url(&self) -> String {
        self.shared.url.clone()
    }

    /// The same as the key of a read token.
    pub(crate) fn place(&self) -> String {
        self.shared.url.split_once("://").expect("a scheme").1.to_owned()
    }

    /// Looks at what it holds, or changes it.
    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut Gitlab) -> T) -> T {
        let done = work(&mut self.shared.gitlab.lock().unwrap_or_else(PoisonError::into_inner));
        self.shared.happened.send_modify(|count| *count += 1);
        done
    }

    pub(crate) fn pipelines(&self) -> Vec<Pipeline> {
        self.with(|gitlab| gitlab.pipelines.clone())
    }

    /// Plans a fault for the next request of an operation that has none planned before.
    pub(crate) fn fault(&self, operation: Operation, fault: Fault) {
        self.shared.faults.lock().expect("faults").push((Some(operation), fault));
    }

    /// Lets the runner die at this request, counted from 1 and from now.
    pub(crate) fn kill_at(&self, number: usize, how: Fault) {
        *self.shared.kill.lock().expect("the kill") = Some((number, how));
    }

    /// Whether the planned death is still to come.
    pub(crate) fn kill_is_planned(&self) -> bool {
        self.shared.kill.lock().expect("the kill").is_some()
    }

    pub(crate) fn forget_kill(&self) {
        *self.shared.kill.lock().expect("the kill") = None;
    }

    /// Waits until the runner has to die.
    pub(crate) async fn killed(&self) {
        self.shared.killed.notified().await;
    }

    /// From now on a pipeline may have a status that the description does not have.
    pub(crate) fn allow_new_words(&self) {
        self.shared.new_words.store(true, Ordering::Relaxed);
    }

    /// Lets held answers go.
    pub(crate) fn let_go(&self) {
        self.shared.let_go.send_replace(true);
    }

    pub(crate) fn requests(&self) -> Vec<Seen> {
        self.shared.requests.lock().expect("the requests").clone()
    }

    /// Requests of one operation.
    pub(crate) fn seen(&self, operation: Operation) -> Vec<Seen> {
        self.requests().into_iter().filter(|seen| seen.operation == operation).collect()
    }

    /// Waits until something is the case, looking again after every request and change.
    pub(crate) async fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let mut happened = self.shared.happened.subscribe();
        let waiting = async {
            while !is_so(self) {
                happened.changed().await.expect("the fake is there");
                // `is_so` may count as something that happens itself.
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), waiting).await.unwrap_or_else(|_| panic!("never: {what}"));
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let violations = self.shared.violations.lock().expect("the violations");
            assert!(violations.is_empty(), "not as described: {violations:#?}");
        }
    }
}
