//! When GitHub says "not now".
//!
//! Source: `protocol/executors.md`, `GITHUB_WORKFLOW`, "Rate limits".

use std::time::Duration;

use runner_core::web::Answer;

use crate::clock;

/// An answer that asks to wait: the request was not carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limit {
    /// The requests of this hour are used up; they are renewed after this time.
    Primary(Duration),
    /// Too much at once: wait this long.
    Secondary(Duration),
    /// Too much at once, and GitHub does not say for how long.
    Unspecified,
}

/// The limit that an answer tells of. `None`: it is an answer like any other. Each answer carries
/// `x-ratelimit-reset`, so that header alone means nothing.
pub(crate) fn limit(answer: &Answer) -> Option<Limit> {
    if !matches!(answer.status.as_u16(), 403 | 429) {
        return None;
    }
    if let Some(wait) = answer.retry_after() {
        return Some(Limit::Secondary(wait));
    }
    if answer.header("x-ratelimit-remaining").map(str::trim) == Some("0") {
        let reset = answer.header("x-ratelimit-reset").and_then(|reset| reset.trim().parse::<i64>().ok());
        if let Some(reset) = reset {
            let now = answer.date().map_or_else(clock::now, clock::unix);
            // A second more: the clock's seconds are rounded down.
            let wait = u64::try_from(reset.saturating_sub(now)).unwrap_or(0).saturating_add(1);
            return Some(Limit::Primary(Duration::from_secs(wait.min(2 * 3600))));
        }
        return Some(Limit::Unspecified);
    }
    let text = answer.text().to_ascii_lowercase();
    let says_so = text.contains("rate limit") || text.contains("abuse detection");
    (answer.status.as_u16() == 429 || says_so).then_some(Limit::Unspecified)
}

#[cfg(test)]
mod tests {
    use runner_core::web::header::{HeaderMap, HeaderName};
    use runner_core::web::{StatusCode, Url};

    use super::*;

    fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Answer {
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| (HeaderName::try_from(*name).unwrap(), value.parse().unwrap()))
            .collect();
        Answer {
            status: StatusCode::from_u16(status).unwrap(),
            headers,
            body: body.as_bytes().to_vec(),
            cut: false,
            url: Url::parse("https://api.github.com/x").unwrap(),
        }
    }

    const DATE: (&str, &str) = ("date", "Sun, 06 Nov 1994 08:49:37 GMT"); // 784111777

    #[test]
    fn a_limit_says_how_long_it_lasts_in_one_of_two_ways() {
        let asked = answer(403, &[("retry-after", "17"), ("x-ratelimit-remaining", "12")], "");
        assert_eq!(limit(&asked), Some(Limit::Secondary(Duration::from_secs(17))));
        let used_up = [DATE, ("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "784111837")];
        for status in [403, 429] {
            assert_eq!(limit(&answer(status, &used_up, "")), Some(Limit::Primary(Duration::from_secs(61))));
        }
        let over = [DATE, ("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1")];
        assert_eq!(limit(&answer(403, &over, "")), Some(Limit::Primary(Duration::from_secs(1))));
        let absurd = [DATE, ("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "9223372036854775807")];
        assert_eq!(limit(&answer(403, &absurd, "")), Some(Limit::Primary(Duration::from_secs(7200))));
    }

    #[test]
    fn a_secondary_limit_may_carry_neither_header() {
        let left = [("x-ratelimit-remaining", "4000"), ("x-ratelimit-reset", "784111837")];
        let text = r#"{"message":"You have exceeded a secondary rate limit."}"#;
        assert_eq!(limit(&answer(403, &left, text)), Some(Limit::Unspecified));
        assert_eq!(limit(&answer(429, &left, "")), Some(Limit::Unspecified));
    }

    #[test]
    fn every_other_403_is_an_error() {
        let left = [("x-ratelimit-remaining", "4000"), ("x-ratelimit-reset", "784111837")];
        let text = r#"{"message":"Resource not accessible by integration"}"#;
        assert_eq!(limit(&answer(403, &left, text)), None);
        for status in [200, 304, 401, 404, 422, 500, 503] {
            assert_eq!(limit(&answer(status, &[("retry-after", "1"), ("x-ratelimit-remaining", "0")], "")), None);
        }
    }
}
