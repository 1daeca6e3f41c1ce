//! Requests without an answer that can be used.

use std::error::Error;

/// Why there is no answer, or none that can be read. Shows no address: it may hold a secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WebError {
    /// No client can be made.
    #[error("no connection can be set up with the certificates at hand")]
    Setup {
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// No connection came about: the request never arrived.
    #[error("no connection could be made")]
    NotSent {
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// The connection broke off, or took too long: the request may have arrived.
    #[error("the connection broke off before there was a whole answer")]
    NoAnswer {
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// The answer goes on and on.
    #[error("the answer is longer than {} MiB", limit >> 20)]
    TooLong {
        /// Bytes that are read at most.
        limit: usize,
    },
    /// The answer is not the JSON that was expected.
    #[error("the answer is not the JSON that was expected")]
    NotJson {
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
}

impl WebError {
    pub(super) fn network(error: reqwest::Error) -> Self {
        let source = error.without_url();
        if source.is_connect() || source.is_builder() { Self::NotSent { source } } else { Self::NoAnswer { source } }
    }

    /// Whether the platform may have got the request. What must not happen twice is sent again only if not.
    pub fn may_have_arrived(&self) -> bool {
        !matches!(self, Self::Setup { .. } | Self::NotSent { .. })
    }

    /// Whether the platform's certificate is not trusted: an authority is missing.
    pub fn certificate(&self) -> bool {
        let mut next = self.source();
        while let Some(error) = next {
            let text = error.to_string();
            if text.contains("UnknownIssuer") || text.contains("invalid peer certificate") {
                return true;
            }
            next = error.source();
        }
        false
    }
}
