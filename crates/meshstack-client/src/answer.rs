//! Answers, and what their status means.

use std::time::{Duration, SystemTime};

use reqwest::header::{CONTENT_TYPE, LOCATION, RETRY_AFTER};
use reqwest::{Response, Url};
use serde_json::Value;

use crate::auth::Authorization;
use crate::excerpt::{Hidden, excerpt};
use crate::http::Request;
use crate::{ApiError, Problem};

/// More than this is not waited for: a caller adds it to a clock.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

/// An answer as far as it was read.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
    /// There was more of the body than is read of an answer.
    pub(crate) cut: bool,
    method: &'static str,
    path: String,
    html: bool,
    retry_after: Option<Duration>,
    location: Option<String>,
    url: Url,
    hidden: Hidden,
}

impl Answer {
    /// An answer whose body is still to come.
    pub(crate) fn head(request: &Request, auth: Option<&Authorization>, response: &Response) -> Self {
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        Self {
            status: response.status().as_u16(),
            body: Vec::new(),
            cut: false,
            method: request.method,
            path: request.url.path().to_owned(),
            html: header(CONTENT_TYPE).is_some_and(|media| media.to_ascii_lowercase().starts_with("text/html")),
            retry_after: header(RETRY_AFTER).and_then(|text| wait_of(text, SystemTime::now())),
            location: header(LOCATION).map(str::to_owned),
            url: request.url.clone(),
            hidden: auth.map(|auth| auth.hidden().clone()).unwrap_or_default(),
        }
    }

    /// Hides more than the `Authorization` header: what the body of the request held.
    pub(crate) fn hiding(mut self, hidden: Hidden) -> Self {
        self.hidden = hidden;
        self
    }

    pub(crate) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Whether it is a redirect that names a place.
    pub(crate) fn redirect(&self) -> Option<Result<Url, ApiError>> {
        let location = self.location.as_deref().filter(|_| matches!(self.status, 301 | 302 | 303 | 307 | 308))?;
        let to = self.url.join(location).ok().filter(|to| matches!(to.scheme(), "http" | "https"));
        Some(to.ok_or_else(|| self.broken("it redirects to an address that is not http or https")))
    }

    /// The answer, if it is a success that a person's browser was not meant to get.
    pub(crate) fn checked(self) -> Result<Self, ApiError> {
        if self.is_success() && !self.is_html() { Ok(self) } else { Err(self.error()) }
    }

    /// Whether the body is text that does not even begin like a JSON object.
    pub(crate) fn is_other_text(&self) -> bool {
        self.body.trim_ascii().first().is_some_and(|first| *first != b'{')
    }

    /// The body as JSON; `null` where there is none.
    pub(crate) fn json(&self) -> Result<Value, ApiError> {
        self.whole()?;
        if self.body.trim_ascii().is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&self.body)
            .map_err(|e| self.broken(format!("its body is no JSON (line {}, column {})", e.line(), e.column())))
    }

    /// An error where the body is longer than what is read of an answer.
    pub(crate) fn whole(&self) -> Result<(), ApiError> {
        if self.cut {
            return Err(self.broken(format!("its body is longer than {} MiB", self.body.len() >> 20)));
        }
        Ok(())
    }

    /// An answer that makes no sense. Shows nothing of the body, which may hold a run's secrets or a token.
    pub(crate) fn broken(&self, reason: impl Into<String>) -> ApiError {
        self.with(Problem::BrokenAnswer { status: self.status, reason: reason.into(), excerpt: String::new() })
    }

    /// What an answer that is no success means.
    pub(crate) fn error(&self) -> ApiError {
        let status = self.status;
        let excerpt = excerpt(&self.body, self.cut, &self.hidden);
        self.with(match status {
            200..=299 => {
                let reason = "HTML in place of JSON (a proxy or a sign-in page?)".to_owned();
                Problem::BrokenAnswer { status, reason, excerpt }
            }
            401 | 403 => Problem::Unauthorised { status, excerpt },
            404 => Problem::Gone { excerpt },
            409 => Problem::Conflict { excerpt },
            408 | 425 | 429 | 500.. => Problem::TryAgain { status, retry_after: self.retry_after, excerpt },
            400..=499 => Problem::Refused { status, excerpt },
            _ => Problem::BrokenAnswer { status, reason: self.redirect_reason(), excerpt: String::new() },
        })
    }

    /// Names the host only: the rest of a redirect may be signed.
    fn redirect_reason(&self) -> String {
        let host = self.location.as_deref().and_then(|to| self.url.join(to).ok()).and_then(|to| {
            let host = to.host_str()?.to_owned();
            Some(to.port().map_or_else(|| host.clone(), |port| format!("{host}:{port}")))
        });
        match host {
            Some(host) => format!("a redirect to {host}, which is not followed"),
            None => "neither a success nor an error".to_owned(),
        }
    }

    fn is_html(&self) -> bool {
        self.html || self.body.trim_ascii_start().first() == Some(&b'<')
    }

    fn with(&self, problem: Problem) -> ApiError {
        ApiError { method: self.method, path: self.path.clone(), problem, source: None }
    }
}

/// `Retry-After`: seconds, or a date.
fn wait_of(text: &str, now: SystemTime) -> Option<Duration> {
    let text = text.trim();
    let wait = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => httpdate::parse_http_date(text).ok()?.duration_since(now).unwrap_or_default(),
    };
    Some(wait.min(LONGEST_WAIT))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::wait_of;

    #[test]
    fn a_wait_is_read_from_seconds_and_from_a_date_and_is_never_endless() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        assert_eq!(wait_of(" 17 ", now), Some(Duration::from_secs(17)));
        assert_eq!(wait_of("Sun, 06 Nov 1994 08:50:07 GMT", now), Some(Duration::from_secs(30)));
        assert_eq!(wait_of("Sun, 06 Nov 1994 08:00:00 GMT", now), Some(Duration::ZERO), "a date in the past");
        assert_eq!(wait_of("99999999999999", now), Some(Duration::from_secs(86_400)));
        assert_eq!(wait_of("soon", now), None);
    }
}
