//! Answers, and what can go wrong with them.

use serde_json::{Value, json};

/// What goes wrong with a request.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// This answer instead, without any effect.
    Answer(Reply),
    /// The connection is closed before the request takes effect.
    CutBefore,
    /// The request takes effect, and its answer is lost.
    CutAfter,
    /// There is never an answer, and no effect.
    Hang,
    /// The request takes effect, and there is never an answer.
    HangAfter,
    /// It takes effect, and is answered when the test says so (`State::release`).
    Late,
}

/// What the server sends.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// Whether it is held against GitHub's description.
    pub(crate) described: bool,
}

impl Reply {
    pub(crate) fn json(status: u16, body: &Value) -> Self {
        let headers = vec![("content-type".to_owned(), "application/json; charset=utf-8".to_owned())];
        Self { status, headers, body: body.to_string().into_bytes(), described: true }
    }

    pub(crate) fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new(), described: true }
    }

    /// An error as GitHub words it.
    pub(crate) fn error(status: u16, message: &str) -> Self {
        Self::json(
            status,
            &json!({ "message": message, "documentation_url": "https://docs.github.com/rest",
            "status": status.to_string() }),
        )
    }

    /// A page of a proxy or of GitHub's front.
    pub(crate) fn page(status: u16) -> Self {
        let body =
            b"<!DOCTYPE html><html><head><title>Unicorn!</title></head><body>No server is available</body></html>";
        let headers = vec![("content-type".to_owned(), "text/html; charset=utf-8".to_owned())];
        Self { status, headers, body: body.to_vec(), described: false }
    }

    /// Something that GitHub never sends.
    pub(crate) fn odd(status: u16, body: &str) -> Self {
        Self { status, headers: Vec::new(), body: body.as_bytes().to_vec(), described: false }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }
}
