//! Errors of the API, typed by what the caller must do.

use std::fmt;
use std::time::Duration;

/// A request that did not give what was asked for.
///
/// Prints the method, the path, the status and a bounded excerpt of the body, never a secret. What
/// the network said is the [`source`](std::error::Error::source).
#[derive(Debug, thiserror::Error)]
#[error("{method} {path}: {problem}")]
pub struct ApiError {
    /// HTTP method.
    pub method: &'static str,
    /// Path of the request, without host and query.
    pub path: String,
    /// What went wrong.
    pub problem: Problem,
    /// What lies below, if there is something.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// What went wrong, and so what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// 401 or 403: the credentials are wrong, or (run token) run out. Trying again does not help.
    Unauthorised {
        /// HTTP status.
        status: u16,
        /// Start of the body.
        excerpt: String,
    },
    /// 404: it is not there (any more).
    Gone {
        /// Start of the body.
        excerpt: String,
    },
    /// 409: it contradicts what meshStack has; for a patch, the run is over.
    Conflict {
        /// Start of the body.
        excerpt: String,
    },
    /// 408, 425, 429, 5xx: try the same again later.
    TryAgain {
        /// HTTP status.
        status: u16,
        /// What `Retry-After` asked for.
        retry_after: Option<Duration>,
        /// Start of the body.
        excerpt: String,
    },
    /// No answer: not connected, cut, timed out. Try again; it may have taken effect.
    NoAnswer {
        /// Whether no connection came about, so that the request was surely not seen.
        connect: bool,
    },
    /// An answer that makes no sense (HTML from a proxy, truncated JSON, too long, a redirect).
    BrokenAnswer {
        /// HTTP status.
        status: u16,
        /// What is wrong with it.
        reason: String,
        /// Start of the body.
        excerpt: String,
    },
    /// Any other 4xx: this request will never be taken.
    Refused {
        /// HTTP status.
        status: u16,
        /// Start of the body.
        excerpt: String,
    },
    /// The request could not be made here: a bad address, a file that cannot be read.
    Local {
        /// What is wrong.
        reason: String,
    },
}

impl Problem {
    /// Whether the same request may succeed later.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::TryAgain { .. } | Self::NoAnswer { .. } | Self::BrokenAnswer { .. })
    }

    /// Whether meshStack understood the request and will never take it.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused { .. })
    }

    /// The wait that meshStack asked for.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::TryAgain { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (status, what, excerpt): (Option<u16>, &str, &str) = match self {
            Self::Unauthorised { status, excerpt } => (Some(*status), "the credentials were refused", excerpt),
            Self::Gone { excerpt } => (Some(404), "not found", excerpt),
            Self::Conflict { excerpt } => (Some(409), "conflict", excerpt),
            Self::TryAgain { status, excerpt, .. } => (Some(*status), "not available now", excerpt),
            Self::NoAnswer { connect: true } => (None, "no connection", ""),
            Self::NoAnswer { connect: false } => (None, "no answer", ""),
            Self::BrokenAnswer { status, reason, excerpt } => (Some(*status), reason, excerpt),
            Self::Refused { status, excerpt } => (Some(*status), "refused", excerpt),
            Self::Local { reason } => (None, reason, ""),
        };
        if let Some(status) = status {
            write!(f, "HTTP {status}, ")?;
        }
        f.write_str(what)?;
        if !excerpt.is_empty() {
            write!(f, ": {excerpt}")?;
        }
        Ok(())
    }
}
