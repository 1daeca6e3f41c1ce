//! What an answer of Azure DevOps means.
//!
//! Source: `protocol/executors.md`, `AZURE_DEVOPS`, 4.

use std::time::Duration;

use runner_core::web::{Answer, StatusCode, WebError};
use serde_json::Value;

/// A JSON answer.
#[derive(Debug)]
pub(crate) struct Answered {
    /// The body; null where there is none.
    pub(crate) value: Value,
    /// Where Azure DevOps asks to slow down.
    pub(crate) slow_down: Option<SlowDown>,
}

/// A good answer that asks to slow down all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum SlowDown {
    /// This request was held back so long (`X-RateLimit-Delay`); the next ones will be held back longer.
    Delayed(Duration),
    /// Not before this time (`Retry-After`).
    Asked(Duration),
}

/// More than this is not waited for.
pub(crate) const LONGEST_WAIT: Duration = Duration::from_secs(15 * 60);

impl SlowDown {
    /// The wait before the next request, where `usual` would be enough without.
    pub(crate) fn wait(asked: Option<Self>, usual: Duration) -> Duration {
        match asked {
            None => usual,
            Some(Self::Delayed(by)) => usual * 3 + by.min(LONGEST_WAIT),
            Some(Self::Asked(wait)) => usual.max(wait.min(LONGEST_WAIT)),
        }
    }
}

/// A request without the answer that was wanted. Shows what Azure DevOps says; the run's secrets are masked by whoever
/// shows it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    /// A sign-in page, or another way to say that the token is not good.
    #[error("Azure DevOps does not accept the personal access token (status {status})")]
    SignIn {
        /// Its status: 203, 302, 401 or 403.
        status: u16,
    },
    /// The token is good, but not for this.
    #[error("Azure DevOps does not allow this with the personal access token (status 403): {message}")]
    Denied {
        /// What it says.
        message: String,
    },
    /// There is no such thing, or the token may not see it.
    #[error("Azure DevOps does not find this (status 404): {message}")]
    NotFound {
        /// What it says.
        message: String,
    },
    /// It was understood, and refused.
    #[error("Azure DevOps refused this (status {status}): {message}")]
    Refused {
        /// Its status.
        status: u16,
        /// What it says.
        message: String,
        /// Whether these are words of Azure DevOps, not those of a web page or of nobody.
        explained: bool,
    },
    /// Too many requests.
    #[error("Azure DevOps asks to slow down (status 429)")]
    Throttled {
        /// How long to wait, if it says so.
        wait: Option<Duration>,
    },
    /// It points elsewhere, and the token does not follow.
    #[error("Azure DevOps points to another address (status {status}): {to}")]
    Moved {
        /// Its status.
        status: u16,
        /// Where to, without a query.
        to: String,
    },
    /// Something between is broken.
    #[error("Azure DevOps answered with status {status}: {message}")]
    Broken {
        /// Its status.
        status: u16,
        /// What it says.
        message: String,
        /// How long to wait, if it says so.
        wait: Option<Duration>,
    },
    /// A page where JSON belongs, not a sign-in page that is known.
    #[error("a web page came in place of an answer of Azure DevOps: {title}")]
    Page {
        /// Its title.
        title: String,
    },
    /// No answer, or none that can be read.
    #[error(transparent)]
    Web(#[from] WebError),
}

impl ApiError {
    /// Whether it may work in a while.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Throttled { .. } | Self::Broken { .. } | Self::Page { .. } => true,
            Self::Web(error) => !error.certificate(),
            _ => false,
        }
    }

    /// Whether the request may have had its effect all the same.
    pub(crate) fn may_have_arrived(&self) -> bool {
        match self {
            Self::Broken { .. } | Self::Page { .. } => true,
            Self::Web(error) => error.may_have_arrived(),
            _ => false,
        }
    }

    /// How long Azure DevOps asks to wait.
    pub(crate) fn wait(&self) -> Option<Duration> {
        match self {
            Self::Throttled { wait } | Self::Broken { wait, .. } => *wait,
            _ => None,
        }
    }
}

/// Judges an answer by its status; the body may then be anything.
pub(crate) fn judge(answer: Answer) -> Result<Answer, ApiError> {
    let status = answer.status.as_u16();
    match status {
        203 if answer.is_html() => Err(ApiError::SignIn { status }),
        200..=299 => Ok(answer),
        401 => Err(ApiError::SignIn { status }),
        403 if message(&answer).contains("TF400813") => Err(ApiError::SignIn { status }),
        403 => Err(ApiError::Denied { message: message(&answer) }),
        404 => Err(ApiError::NotFound { message: message(&answer) }),
        300..=399 => Err(redirected(&answer)),
        429 => Err(ApiError::Throttled { wait: retry_after(&answer) }),
        408 | 500..=599 => Err(ApiError::Broken { status, message: message(&answer), wait: retry_after(&answer) }),
        _ => {
            let explained = !answer.is_html() && !answer.body.trim_ascii().is_empty();
            Err(ApiError::Refused { status, message: message(&answer), explained })
        }
    }
}

/// Judges an answer that is to be JSON. A 204 or an empty body is null: a run without a plan has no timeline yet.
pub(crate) fn judge_json(answer: Answer) -> Result<Answered, ApiError> {
    let answer = judge(answer)?;
    let slow_down = slow_down(&answer);
    if answer.status == StatusCode::NO_CONTENT || answer.body.trim_ascii().is_empty() {
        return Ok(Answered { value: Value::Null, slow_down });
    }
    if answer.is_html() {
        return Err(ApiError::Page { title: answer.excerpt() });
    }
    Ok(Answered { value: answer.json()?, slow_down })
}

/// 302 and 303 lead to a sign-in page; the others say that the address is an old one.
fn redirected(answer: &Answer) -> ApiError {
    let status = answer.status.as_u16();
    let to = answer.redirect();
    let path = to.as_ref().map(|to| to.path().to_ascii_lowercase()).unwrap_or_default();
    if matches!(status, 302 | 303) || path.contains("signin") || path.contains("login") {
        return ApiError::SignIn { status };
    }
    let to = to.map_or_else(
        || "nowhere".to_owned(),
        |mut to| {
            to.set_query(None);
            to.set_fragment(None);
            to.to_string()
        },
    );
    ApiError::Moved { status, to }
}

/// What an error body says: its `message`, or its start.
fn message(answer: &Answer) -> String {
    let said = answer.json::<Value>().ok();
    let text = said.as_ref().and_then(|body| body.get("message")).and_then(Value::as_str);
    match text.map(str::trim).filter(|text| !text.is_empty()) {
        Some(text) => one_line(text),
        None if answer.body.trim_ascii().is_empty() => "it gives no reason".to_owned(),
        None => answer.excerpt(),
    }
}

/// Longest message that is shown, in characters: one names all variables that are refused.
const LONGEST_MESSAGE: usize = 2000;

fn one_line(text: &str) -> String {
    let words: Vec<&str> =
        text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|w| !w.is_empty()).collect();
    words.join(" ").chars().take(LONGEST_MESSAGE).collect()
}

/// How long to wait (`Retry-After`). A number that is no duration says nothing.
fn retry_after(answer: &Answer) -> Option<Duration> {
    let number = answer.header("retry-after").and_then(|text| text.trim().parse::<f64>().ok());
    if number.is_some_and(|seconds| !seconds.is_finite() || seconds.is_sign_negative()) {
        return None;
    }
    answer.retry_after()
}

/// An answer may be good and still ask to slow down.
fn slow_down(answer: &Answer) -> Option<SlowDown> {
    let delayed = || {
        let seconds = answer.header("x-ratelimit-delay")?.trim().parse::<f64>().ok()?;
        let delay = Duration::try_from_secs_f64(seconds).ok()?;
        (!delay.is_zero()).then_some(SlowDown::Delayed(delay))
    };
    retry_after(answer).map(SlowDown::Asked).or_else(delayed)
}

#[cfg(test)]
mod tests {
    use runner_core::web::Url;
    use runner_core::web::header::{HeaderMap, HeaderName, HeaderValue};

    use super::*;

    fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(HeaderName::try_from(*name).unwrap(), HeaderValue::from_str(value).unwrap());
        }
        let url = Url::parse("https://dev.azure.com/o/p/_apis/x").unwrap();
        Answer { status: StatusCode::from_u16(status).unwrap(), headers: map, body: body.into(), cut: false, url }
    }

    #[test]
    fn sign_in_pages_are_told_from_other_pages_and_from_json() {
        let page = "<!DOCTYPE html><html><head><title>Sign In</title></head></html>";
        assert!(matches!(judge_json(answer(203, &[], page)), Err(ApiError::SignIn { status: 203 })));
        assert!(matches!(judge_json(answer(203, &[], r#"{"id":1}"#)), Ok(Answered { .. })));
        assert!(matches!(judge_json(answer(200, &[], page)), Err(ApiError::Page { title }) if title == "Sign In"));
        assert!(matches!(judge_json(answer(302, &[], "")), Err(ApiError::SignIn { .. })));
        let to = |to| judge_json(answer(307, &[("location", to)], ""));
        assert!(matches!(to("/_signin?x=1"), Err(ApiError::SignIn { .. })));
        assert!(
            matches!(to("https://new.example/x?y=z#f"), Err(ApiError::Moved { to, .. }) if to == "https://new.example/x")
        );
    }

    #[test]
    fn an_empty_answer_is_null_and_an_error_says_what_azure_devops_says() {
        assert!(judge_json(answer(204, &[], "")).unwrap().value.is_null());
        assert!(judge_json(answer(200, &[], " \r\n")).unwrap().value.is_null());
        let said = |status, body| judge_json(answer(status, &[], body)).unwrap_err().to_string();
        assert!(said(400, r#"{"message":" a\nb "}"#).ends_with("(status 400): a b"));
        assert!(said(500, "").ends_with("status 500: it gives no reason"));
        assert!(said(404, "<html><title>Gone</title></html>").ends_with("(status 404): Gone"));
    }

    #[test]
    fn a_good_answer_may_ask_to_slow_down() {
        let slow = |headers: &[(&str, &str)]| judge_json(answer(200, headers, "{}")).unwrap().slow_down;
        let usual = Duration::from_secs(10);
        assert_eq!(SlowDown::wait(slow(&[]), usual), usual);
        assert_eq!(SlowDown::wait(slow(&[("retry-after", "45")]), usual), Duration::from_secs(45));
        assert_eq!(SlowDown::wait(slow(&[("retry-after", "4000000")]), usual), LONGEST_WAIT);
        assert_eq!(SlowDown::wait(slow(&[("x-ratelimit-delay", "2.5")]), usual), Duration::from_millis(32_500));
        for nothing in ["0", "0.000", "soon", "-1", "NaN"] {
            assert_eq!(slow(&[("x-ratelimit-delay", nothing)]), None, "{nothing}");
        }
    }

    #[test]
    fn a_wait_that_is_no_duration_is_no_wait() {
        let wait = |value| judge_json(answer(429, &[("retry-after", value)], "")).unwrap_err().wait();
        for odd in ["-1", "-0.5", "NaN", "inf", "-inf", "1e999", "soon", ""] {
            assert_eq!(wait(odd), None, "{odd}");
            assert_eq!(judge_json(answer(200, &[("retry-after", odd)], "{}")).unwrap().slow_down, None, "{odd}");
        }
        assert_eq!((wait("0"), wait("1.5")), (Some(Duration::ZERO), Some(Duration::from_millis(1500))));
    }
}
