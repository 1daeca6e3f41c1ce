//! What a request is answered.

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use serde_json::{Value, json};

/// The media type of run objects and of what is sent about runs.
pub(crate) const RUN: &str = "application/vnd.meshcloud.api.meshbuildingblockrun.v1.hal+json";
/// The media type of runner objects.
pub(crate) const RUNNER: &str = "application/vnd.meshcloud.api.meshbuildingblockrunner.v1-preview.hal+json";
/// JSON.
pub(crate) const JSON: &str = "application/json";
/// Bytes: plans.
pub(crate) const OCTETS: &str = "application/octet-stream";

/// An answer that was decided, before it is sent.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_type: Option<&'static str>,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn new(status: u16, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        Self { status, content_type: Some(content_type), body: body.into() }
    }

    pub(crate) fn json(status: u16, content_type: &'static str, body: &Value) -> Self {
        Self::new(status, content_type, body.to_string())
    }

    pub(crate) fn empty(status: u16) -> Self {
        Self { status, content_type: None, body: Bytes::new() }
    }

    /// The same with half of its body: JSON that breaks off.
    pub(crate) fn broken(mut self) -> Self {
        self.body.truncate(self.body.len() / 2);
        self
    }

    pub(crate) fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = StatusCode::from_u16(self.status).expect("every answer has a valid status");
        if let Some(content_type) = self.content_type {
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        response
    }
}

/// Why a request was refused.
#[derive(Debug, Clone)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) message: String,
    /// Whether a correct client could not have sent it.
    pub(crate) violation: bool,
    /// The answer's body, where it is not just the message.
    body: Option<Value>,
}

impl Refusal {
    /// The request broke the protocol.
    pub(crate) fn violation(status: u16, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), violation: true, body: None }
    }

    /// The request was in order, the moment was not.
    pub(crate) fn expected(status: u16, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), violation: false, body: None }
    }

    /// The run was aborted by a person.
    pub(crate) fn aborted() -> Self {
        Self { body: Some(json!({ "runAborted": true })), ..Self::expected(409, "the run was aborted") }
    }

    pub(crate) fn answer(&self) -> Answer {
        let body = self.body.clone().unwrap_or_else(|| json!({ "message": self.message }));
        Answer::json(self.status, JSON, &body)
    }
}
