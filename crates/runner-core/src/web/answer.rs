//! An answer, and what can be read from it whatever the platform.

use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use reqwest::header::{CONTENT_TYPE, DATE, HeaderMap, LOCATION, RETRY_AFTER};
use reqwest::{StatusCode, Url};
use serde::de::DeserializeOwned;

use super::WebError;

/// Characters of a body that a message shows.
const EXCERPT: usize = 300;

/// So much of a body is looked at for an excerpt.
const LOOKED_AT: usize = 64 << 10;

/// More than this is not waited for: a caller adds it to a clock.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

/// An answer, of any status.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Vec<u8>,
    /// Whether the body has more than is kept here.
    pub cut: bool,
    /// Where it came from.
    pub url: Url,
}

impl Answer {
    /// Whether the status is a 2xx.
    pub fn is_success(&self) -> bool {
        self.status.is_success()
    }

    /// A header, if it is there and is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The body as JSON.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, WebError> {
        serde_json::from_slice(&self.body).map_err(|source| WebError::NotJson { source })
    }

    /// The body as text; what is no UTF-8 is replaced.
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }

    /// The start of the body for a message: one line of at most 300 characters; of a page, its title.
    pub fn excerpt(&self) -> String {
        let start = String::from_utf8_lossy(&self.body[..self.body.len().min(LOOKED_AT)]);
        let shown = if self.is_html() { title(&start).unwrap_or("a web page without a title") } else { &start };
        let mut line = String::new();
        for word in shown.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()) {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
            if line.len() > EXCERPT * 4 {
                break;
            }
        }
        match line.char_indices().nth(EXCERPT) {
            Some((end, _)) => format!("{}…", &line[..end]),
            None => line,
        }
    }

    /// Whether a person's browser was meant to get it.
    pub fn is_html(&self) -> bool {
        self.header(CONTENT_TYPE.as_str()).is_some_and(|kind| kind.to_ascii_lowercase().starts_with("text/html"))
            || self.body.trim_ascii_start().first() == Some(&b'<')
    }

    /// How long to wait, where the platform says so: `Retry-After`, in seconds or as a date. At most a day.
    pub fn retry_after(&self) -> Option<Duration> {
        let text = self.header(RETRY_AFTER.as_str())?.trim();
        let wait = if let Ok(seconds) = text.parse::<f64>() {
            Duration::try_from_secs_f64(seconds).unwrap_or(LONGEST_WAIT)
        } else {
            let until = httpdate::parse_http_date(text).ok()?;
            until.duration_since(self.date().unwrap_or_else(SystemTime::now)).unwrap_or_default()
        };
        Some(wait.min(LONGEST_WAIT))
    }

    /// Where it redirects to, if it does and the address is http or https.
    pub fn redirect(&self) -> Option<Url> {
        if !self.status.is_redirection() {
            return None;
        }
        let to = self.url.join(self.header(LOCATION.as_str())?).ok()?;
        matches!(to.scheme(), "http" | "https").then_some(to)
    }

    /// The platform's clock.
    pub fn date(&self) -> Option<SystemTime> {
        httpdate::parse_http_date(self.header(DATE.as_str())?).ok()
    }

    pub(super) fn keep_last(&mut self, bytes: usize) {
        if self.body.len() > bytes {
            self.body.drain(..self.body.len() - bytes);
            self.cut = true;
        }
    }
}

fn title(page: &str) -> Option<&str> {
    // Of the same length as the page, so that places in one are places in the other.
    let lower = page.to_ascii_lowercase();
    let start = lower.find("<title")?;
    let start = start + lower[start..].find('>')? + 1;
    let end = start + lower[start..].find("</title")?;
    Some(page[start..end].trim()).filter(|title| !title.is_empty())
}

/// The end of a text: whole lines, at most so many bytes; a last line that is longer on its own is cut.
pub fn last_lines(text: &str, bytes: usize) -> &str {
    if text.len() <= bytes {
        return text;
    }
    let mut start = text.len() - bytes;
    if !text[..].is_char_boundary(start) || text.as_bytes()[start - 1] != b'\n' {
        let rest = &text.as_bytes()[start..];
        let line = rest.iter().position(|byte| *byte == b'\n').map(|at| start + at + 1).filter(|at| *at < text.len());
        start = line.unwrap_or(start);
    }
    while !text.is_char_boundary(start) {
        start += 1;
    }
    &text[start..]
}
