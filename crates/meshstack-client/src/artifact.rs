//! Saved plans: downloaded to disk, uploaded from disk, never held in memory.
//!
//! Source: `protocol/run-api.md`, "Plan artifact".

use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use reqwest::{Body, Response, Url};
use tokio::fs::{self, File, OpenOptions};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use crate::address;
use crate::answer::Answer;
use crate::auth::Authorization;
use crate::http::Request;
use crate::{ApiError, Client, Problem, RunAccess};

/// Redirects that are followed.
const REDIRECTS: usize = 10;
/// How much is read from disk at once.
const CHUNK: usize = 64 << 10;

impl Client {
    /// Downloads a saved plan into a new file that only its owner can read, and returns its length in bytes.
    ///
    /// At most 128 MiB; one byte more is an error. Up to ten redirects are followed; the token stays behind as soon as
    /// scheme, host or port change. On an error, and when the future is dropped, there is no file.
    pub async fn download_plan(&self, run: &RunAccess, href: &str, to: &Path) -> Result<u64, ApiError> {
        let mut request = plan_request("GET", href)?;
        request.accept = "application/octet-stream";
        self.check_origin(&request)?;
        let auth = self.authorization(run, &request).await?;
        let response = self.follow(&mut request, auth).await?;
        self.save(&request, response, to).await
    }

    /// Uploads a saved plan.
    pub async fn upload_plan(&self, run: &RunAccess, href: &str, from: &Path) -> Result<(), ApiError> {
        let mut request = plan_request("PUT", href)?;
        request.content_type = Some("application/octet-stream");
        self.check_origin(&request)?;
        let auth = self.authorization(run, &request).await?;
        let cannot_read = |error| disk(&request, "the plan cannot be read from disk", error);
        let file = File::open(from).await.map_err(cannot_read)?;
        let length = file.metadata().await.map_err(cannot_read)?.len();
        let sent = Arc::new(AtomicU64::new(0));
        let body = (progressing(file, Arc::clone(&sent)), length);
        let sending = self.0.http.send(&request, Some(&auth), Some(body), None);
        let response = while_progressing(&request, self.0.http.limits.idle, &sent, sending).await?;
        let answer = self.within_idle(&request, self.0.http.read(&request, Some(&auth), response)).await?;
        if answer.is_success() { Ok(()) } else { Err(answer.error()) }
    }

    /// Goes after redirects until there is an answer.
    async fn follow(&self, request: &mut Request, auth: Authorization) -> Result<Response, ApiError> {
        let mut auth = Some(auth);
        for _ in 0..=REDIRECTS {
            let sending = self.0.http.send(request, auth.as_ref(), None, None);
            let response = self.within_idle(request, sending).await?;
            if response.status().is_success() {
                return Ok(response);
            }
            let Some(to) = Answer::head(request, auth.as_ref(), &response).redirect() else {
                let reading = self.0.http.read(request, auth.as_ref(), response);
                return Err(self.within_idle(request, reading).await?.error());
            };
            let to = to?;
            if to.origin() != request.url.origin() {
                auth = None;
                self.refuse_if_strict(request, &to)?;
            }
            request.url = to;
        }
        let reason = format!("more than {REDIRECTS} redirects");
        Err(request.error(Problem::BrokenAnswer { status: 302, reason, excerpt: String::new() }))
    }

    async fn save(&self, request: &Request, mut response: Response, to: &Path) -> Result<u64, ApiError> {
        let limit = self.0.http.limits.artifact;
        let status = response.status().as_u16();
        let too_long = || {
            let reason = format!("the plan is longer than {} MiB", limit >> 20);
            request.error(Problem::BrokenAnswer { status, reason, excerpt: String::new() })
        };
        if response.content_length().is_some_and(|length| length > limit) {
            return Err(too_long());
        }
        let cannot_write = |error| disk(request, "the plan cannot be written to disk", error);
        let mut file = create(to).await.map_err(cannot_write)?;
        let unfinished = Unfinished(Some(to.to_owned()));
        let mut length = 0;
        loop {
            let reading = async { response.chunk().await.map_err(|error| request.network(error)) };
            let Some(chunk) = self.within_idle(request, reading).await? else { break };
            length += chunk.len() as u64;
            if length > limit {
                return Err(too_long());
            }
            file.write_all(&chunk).await.map_err(cannot_write)?;
        }
        file.flush().await.map_err(cannot_write)?;
        unfinished.keep();
        Ok(length)
    }

    /// A plan decides what is changed, so the operator hears once, or it is refused, if it comes from elsewhere.
    fn check_origin(&self, request: &Request) -> Result<(), ApiError> {
        let Some(base) = self.0.base.as_ref().filter(|base| base.origin() != request.url.origin()) else {
            return Ok(());
        };
        self.refuse_if_strict(request, &request.url)?;
        if !self.0.warned_of_origin.swap(true, Ordering::Relaxed) {
            let (link, api) = (request.url.host_str(), base.host_str());
            tracing::warn!(
                link,
                api,
                "plans are linked at another address than `api.url`; `api.strictOrigins` refuses that"
            );
        }
        Ok(())
    }

    fn refuse_if_strict(&self, request: &Request, to: &Url) -> Result<(), ApiError> {
        let foreign = self.0.base.as_ref().is_some_and(|base| base.origin() != to.origin());
        if self.0.strict_origins && foreign {
            let host = to.host_str().unwrap_or_default();
            let reason = format!("the plan is at {host}, not where `api.url` is, and `api.strictOrigins` is on");
            return Err(request.error(Problem::Local { reason }));
        }
        Ok(())
    }

    async fn within_idle<T>(
        &self,
        request: &Request,
        work: impl Future<Output = Result<T, ApiError>>,
    ) -> Result<T, ApiError> {
        timeout(self.0.http.limits.idle, work).await.unwrap_or_else(|_| Err(silent(request)))
    }
}

fn plan_request(method: &'static str, href: &str) -> Result<Request, ApiError> {
    let url = address::link(href).map_err(|problem| ApiError { method, path: String::new(), problem, source: None })?;
    let mut request = Request::new(method, url, "*/*");
    request.content_type = None;
    Ok(request)
}

fn silent(request: &Request) -> ApiError {
    request.error(Problem::NoAnswer { connect: false })
}

fn disk(request: &Request, what: &str, error: std::io::Error) -> ApiError {
    request.caused(Problem::Local { reason: what.to_owned() }, error)
}

/// A new file with mode 0600; what was there before is gone, so that neither its mode nor a link is taken over.
async fn create(path: &Path) -> std::io::Result<File> {
    match fs::remove_file(path).await {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    options.mode(0o600);
    options.open(path).await
}

/// Removes a file that was not finished, however the download ends.
struct Unfinished(Option<PathBuf>);

impl Unfinished {
    fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(path) = self.0.take() {
            // Already gone is as good; anything else was reported when writing failed.
            drop(std::fs::remove_file(path));
        }
    }
}

/// The content of a file as a body, counting what was taken.
fn progressing(file: File, sent: Arc<AtomicU64>) -> Body {
    Body::wrap_stream(stream::try_unfold((file, sent), |(mut file, sent)| async move {
        let mut chunk = vec![0; CHUNK];
        let length = file.read(&mut chunk).await?;
        chunk.truncate(length);
        sent.fetch_add(length as u64, Ordering::Relaxed);
        Ok::<_, std::io::Error>((length > 0).then(|| (Bytes::from(chunk), (file, sent))))
    }))
}

/// Waits for an answer as long as the body is being taken.
async fn while_progressing(
    request: &Request,
    idle: Duration,
    sent: &AtomicU64,
    sending: impl Future<Output = Result<Response, ApiError>>,
) -> Result<Response, ApiError> {
    let mut sending = pin!(sending);
    let mut before = 0;
    loop {
        if let Ok(answer) = timeout(idle, sending.as_mut()).await {
            return answer;
        }
        let now = sent.load(Ordering::Relaxed);
        if now == before {
            return Err(silent(request));
        }
        before = now;
    }
}
