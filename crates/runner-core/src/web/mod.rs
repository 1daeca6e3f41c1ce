//! Requests to a platform's API.
//!
//! ```text
//! executor ─▶ Web::request ─▶ (headers, body) ─▶ Web::send ─▶ Answer, or WebError
//! ```
//! The operator's certificate authorities are trusted and the proxies of the environment obeyed, as for meshStack. No
//! redirect is followed by itself, since a token must not go where a platform points to; no body is read without a limit.
//! What an answer means, and whether to try again, is the executor's to say.

mod answer;
mod error;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use meshstack_client::Connections;
pub use reqwest::{self, Method, StatusCode, Url, header};
use reqwest::{RequestBuilder, Response};

pub use self::answer::{Answer, last_lines};
pub use self::error::WebError;

/// Bytes of a body that are read at most.
const LONGEST_BODY: usize = 16 << 20;

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(10);

const USER_AGENT: &str = concat!("bb-runner/", env!("CARGO_PKG_VERSION"));

/// How requests are made.
#[derive(Debug, Clone)]
pub struct WebSettings {
    /// Files and folders with certificates (PEM) of further authorities.
    pub ca_paths: Vec<PathBuf>,
    /// How long a request may take, with its answer. Default: 30 s.
    pub timeout: Duration,
}

impl Default for WebSettings {
    fn default() -> Self {
        Self { ca_paths: Vec::new(), timeout: Duration::from_secs(30) }
    }
}

/// Makes requests. Cheap to clone; clones share connections.
#[derive(Clone)]
pub struct Web {
    connections: Arc<Connections>,
    timeout: Duration,
}

impl Web {
    /// Nothing is loaded and no connection made before the first request.
    pub fn new(settings: WebSettings) -> Self {
        Self { connections: Arc::new(Connections::new(settings.ca_paths, CONNECT)), timeout: settings.timeout }
    }

    /// A request that says who sends it.
    pub async fn request(&self, method: Method, url: Url) -> Result<RequestBuilder, WebError> {
        let client = self.connections.client_for(&url).await.map_err(|source| WebError::Setup { source })?;
        Ok(client.request(method, url).header(header::USER_AGENT, USER_AGENT).timeout(self.timeout))
    }

    /// Sends it, and reads the answer to its end: up to 16 MiB, more is an error.
    pub async fn send(&self, request: RequestBuilder) -> Result<Answer, WebError> {
        let (mut answer, mut response) = begin(request).await?;
        while let Some(chunk) = next(&mut response).await? {
            if answer.body.len() + chunk.len() > LONGEST_BODY {
                return Err(WebError::TooLong { limit: LONGEST_BODY });
            }
            answer.body.extend_from_slice(&chunk);
        }
        Ok(answer)
    }

    /// Sends it, and keeps the last `bytes` of the body only, however long it is.
    pub async fn send_tail(&self, request: RequestBuilder, bytes: usize) -> Result<Answer, WebError> {
        let (mut answer, mut response) = begin(request).await?;
        while let Some(chunk) = next(&mut response).await? {
            answer.body.extend_from_slice(&chunk);
            // Not at every chunk: moving the rest to the front costs as much as it is long.
            if answer.body.len() > bytes.saturating_mul(2).saturating_add(chunk.len()) {
                answer.keep_last(bytes);
            }
        }
        answer.keep_last(bytes);
        Ok(answer)
    }
}

async fn begin(request: RequestBuilder) -> Result<(Answer, Response), WebError> {
    let response = request.send().await.map_err(WebError::network)?;
    let answer = Answer {
        status: response.status(),
        headers: response.headers().clone(),
        body: Vec::new(),
        cut: false,
        url: response.url().clone(),
    };
    Ok((answer, response))
}

async fn next(response: &mut Response) -> Result<Option<Bytes>, WebError> {
    response.chunk().await.map_err(WebError::network)
}
