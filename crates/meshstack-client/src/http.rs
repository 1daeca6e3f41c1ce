//! The one place that sends requests: it sets the time limits, bounds bodies, and says what went wrong.

use std::time::Duration;

use bytes::Bytes;
use futures_util::TryFutureExt as _;
use reqwest::header::{
    ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, USER_AGENT,
};
use reqwest::{Method, Response, Url};

use crate::answer::Answer;
use crate::auth::Authorization;
use crate::connect::Connections;
use crate::{ApiError, ClientConfig, ClientConfigError, Problem};

/// Bytes a second that a line is expected to take.
const SLOWEST_LINE: u64 = 256 << 10;

/// What is waited for, and what is read at most.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Until a connection is made.
    pub(crate) connect: Duration,
    /// From the first byte sent to the last one read of an API call, without what a long body takes.
    pub(crate) total: Duration,
    /// Between two signs of life of an artifact transfer.
    pub(crate) idle: Duration,
    /// Bytes of an answer that is a JSON document; runs can be big.
    pub(crate) document: usize,
    /// Bytes of an answer that is an error.
    pub(crate) error: usize,
    /// Bytes of a plan.
    pub(crate) artifact: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            total: Duration::from_secs(30),
            idle: Duration::from_secs(60),
            document: 8 << 20,
            error: 64 << 10,
            artifact: 128 << 20,
        }
    }
}

/// A request, without credentials.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: &'static str,
    pub(crate) url: Url,
    pub(crate) accept: &'static str,
    pub(crate) content_type: Option<&'static str>,
    /// `X-Block-Runner-Node-Id`, on run endpoints.
    pub(crate) node: Option<HeaderValue>,
    pub(crate) body: Bytes,
}

impl Request {
    /// A request that sends and receives one media type.
    pub(crate) fn new(method: &'static str, url: Url, media: &'static str) -> Self {
        Self { method, url, accept: media, content_type: Some(media), node: None, body: Bytes::new() }
    }

    pub(crate) fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// An error of this request.
    pub(crate) fn error(&self, problem: Problem) -> ApiError {
        ApiError { method: self.method, path: self.url.path().to_owned(), problem, source: None }
    }

    /// An error of this request that something else caused.
    pub(crate) fn caused(
        &self,
        problem: Problem,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> ApiError {
        ApiError { source: Some(source.into()), ..self.error(problem) }
    }

    /// The error for what the network said.
    pub(crate) fn network(&self, error: reqwest::Error) -> ApiError {
        let problem = if error.is_builder() {
            Problem::Local { reason: "the request cannot be made".to_owned() }
        } else {
            Problem::NoAnswer { connect: error.is_connect() }
        };
        // The address may be signed, so it is left out.
        self.caused(problem, error.without_url())
    }
}

/// Sends requests.
pub(crate) struct Http {
    connections: Connections,
    /// Sent with everything.
    headers: HeaderMap,
    pub(crate) limits: Limits,
}

impl Http {
    pub(crate) fn new(config: &ClientConfig, limits: Limits) -> Result<Self, ClientConfigError> {
        let agent = format!("meshcloud-{}/{}", config.runner_name, config.version);
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, header("the runner's name or version", &agent)?);
        let name = header("the runner's name", &config.runner_name)?;
        headers.insert(HeaderName::from_static("x-meshcloud-runner-name"), name);
        let version = header("the runner's version", &config.version)?;
        headers.insert(HeaderName::from_static("x-meshcloud-runner-version"), version);
        Ok(Self { connections: Connections::new(config.ca_paths.clone(), limits.connect), headers, limits })
    }

    /// Sends an API call and reads the whole answer, whatever its status.
    pub(crate) async fn call(&self, request: &Request, auth: Option<&Authorization>) -> Result<Answer, ApiError> {
        // A plan that travels in a patch needs longer than 30 s on a slow line.
        let total = self.limits.total + Duration::from_secs(request.body.len() as u64 / SLOWEST_LINE);
        let response = self.send(request, auth, None, Some(total)).await?;
        self.read(request, auth, response).await
    }

    /// Sends a request and returns when the head of the answer is there. Without a `total` limit, the caller limits.
    ///
    /// A `stream` of known length is sent in place of the request's own body.
    pub(crate) async fn send(
        &self,
        request: &Request,
        auth: Option<&Authorization>,
        stream: Option<(reqwest::Body, u64)>,
        total: Option<Duration>,
    ) -> Result<Response, ApiError> {
        let client = self.connections.client_for(&request.url).await.map_err(|error| {
            let reason = "TLS cannot be set up: check the certificates of the system and of CUSTOM_CA_CERTS_PATH";
            request.caused(Problem::Local { reason: reason.to_owned() }, error)
        })?;
        let mut headers = self.headers.clone();
        headers.insert(ACCEPT, HeaderValue::from_static(request.accept));
        if let Some(media) = request.content_type {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(media));
        }
        if let Some(node) = &request.node {
            headers.insert(HeaderName::from_static("x-block-runner-node-id"), node.clone());
        }
        if let Some(auth) = auth {
            headers.insert(AUTHORIZATION, auth.header().clone());
        }
        let method = Method::from_bytes(request.method.as_bytes()).unwrap_or_default();
        let mut builder = client.request(method, request.url.clone());
        if let Some((body, length)) = stream {
            // Said up front: storage behind signed links takes no chunked bodies.
            headers.insert(CONTENT_LENGTH, length.into());
            builder = builder.body(body);
        } else if request.method != "GET" {
            // Said also where it is 0: some proxies answer 411 to a POST that does not.
            headers.insert(CONTENT_LENGTH, request.body.len().into());
            builder = builder.body(request.body.clone());
        }
        if let Some(total) = total {
            builder = builder.timeout(total);
        }
        builder.headers(headers).send().map_err(|error| request.network(error)).await
    }

    /// Reads a body up to its limit and no further: the rest stays where it is, and the connection is closed.
    pub(crate) async fn read(
        &self,
        request: &Request,
        auth: Option<&Authorization>,
        mut response: Response,
    ) -> Result<Answer, ApiError> {
        let limit = if response.status().is_success() { self.limits.document } else { self.limits.error };
        let mut answer = Answer::head(request, auth, &response);
        while let Some(chunk) = response.chunk().await.map_err(|error| request.network(error))? {
            let room = limit - answer.body.len();
            answer.body.extend_from_slice(&chunk[..chunk.len().min(room)]);
            if chunk.len() > room {
                answer.cut = true;
                break;
            }
        }
        Ok(answer)
    }
}

/// A setting as the value of a header.
pub(crate) fn header(setting: &'static str, value: &str) -> Result<HeaderValue, ClientConfigError> {
    HeaderValue::from_str(value).map_err(|_| ClientConfigError::BadHeader { setting })
}
