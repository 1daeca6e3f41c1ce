//! Texts from elsewhere in messages of ours: short, on one line, without control characters.

use std::error::Error;

use runner_core::web::{Answer, StatusCode};
use serde_json::Value;

/// Characters of what GitLab says that a message shows.
const SAID: usize = 600;

/// Characters of a name that a message shows.
const NAME: usize = 80;

/// A name in a message, in quotes.
pub(crate) fn shown(name: &str) -> String {
    format!("`{}`", one_line(name, NAME).replace('`', "'"))
}

/// Names in a message, the first few of them.
pub(crate) fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    const FIRST: usize = 10;
    let names: Vec<&str> = names.into_iter().collect();
    let text = names.iter().take(FIRST).map(|name| shown(name)).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(FIRST) {
        0 => text,
        more => format!("{text} and {more} more"),
    }
}

/// The start of a text, on one line.
pub(crate) fn one_line(text: &str, length: usize) -> String {
    let mut line = String::new();
    let mut left = length;
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()) {
        if !line.is_empty() {
            line.push(' ');
            left = left.saturating_sub(1);
        }
        let size = word.chars().count();
        if size > left {
            line.extend(word.chars().take(left));
            line.push('…');
            break;
        }
        line.push_str(word);
        left -= size;
    }
    line
}

/// A text as a sentence: with a full stop.
pub(crate) fn sentence(text: &str) -> String {
    let text = text.trim_end();
    if text.ends_with(['.', '!', '?', '…']) { text.to_owned() } else { format!("{text}.") }
}

/// What an answer says went wrong; whatever is there, if it has none of the forms that GitLab uses.
///
/// Source: `protocol/executors.md`, `GITLAB_CICD`: `{"message":{"base":[…]}}`, `{"message":{"other.key":[…]}}`,
/// `{"message":"…"}`, `{"error":"…"}`, an object or plain text.
pub(crate) fn said(answer: &Answer) -> String {
    let mut texts = Vec::new();
    if let Ok(body) = answer.json::<Value>() {
        match &body {
            Value::Object(fields) => {
                let known = ["message", "error", "error_description", "errors"];
                for value in known.iter().filter_map(|name| fields.get(*name)) {
                    collect("", value, &mut texts);
                }
                if texts.is_empty() {
                    collect("", &body, &mut texts);
                }
            }
            other => collect("", other, &mut texts),
        }
    }
    let text = if texts.is_empty() { answer.excerpt() } else { texts.join("; ") };
    one_line(&text, SAID)
}

fn collect(key: &str, value: &Value, texts: &mut Vec<String>) {
    let say = |text: &str| if key.is_empty() { text.to_owned() } else { format!("{key}: {text}") };
    match value {
        Value::Null => {}
        Value::String(text) if text.trim().is_empty() => {}
        Value::String(text) => texts.push(say(text)),
        Value::Bool(_) | Value::Number(_) => texts.push(say(&value.to_string())),
        Value::Array(items) => items.iter().for_each(|item| collect(key, item, texts)),
        Value::Object(fields) => {
            for (name, field) in fields {
                // `base` means the pipeline as a whole, `error` nothing at all.
                let name = if matches!(name.as_str(), "base" | "error" | "message") { key } else { name };
                collect(name, field, texts);
            }
        }
    }
}

/// GitLab's answer as the cause of a failure.
#[derive(Debug, thiserror::Error)]
#[error("GitLab answered {status}: {}", if said.is_empty() { "(nothing)" } else { said.as_str() })]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) said: String,
}

impl Refusal {
    pub(crate) fn of(answer: &Answer) -> Self {
        Self { status: answer.status, said: said(answer) }
    }
}

/// An error with everything below it, for a log.
pub(crate) fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

#[cfg(test)]
pub(crate) mod tests {
    use runner_core::web::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
    use runner_core::web::{Answer, StatusCode, Url};

    use super::{listed, one_line, said, sentence, shown};

    /// An answer of GitLab.
    pub(crate) fn answer(status: u16, kind: &'static str, body: &str) -> Answer {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        Answer {
            status: StatusCode::from_u16(status).expect("a status"),
            headers,
            body: body.as_bytes().to_vec(),
            cut: false,
            url: Url::parse("https://gitlab.example.com/api/v4/projects/1/trigger/pipeline").expect("an address"),
        }
    }

    #[test]
    fn every_form_of_an_error_is_read() {
        let json = "application/json";
        for (kind, body, text) in [
            (json, r#"{"message":{"base":["Reference not found"]}}"#, "Reference not found"),
            (json, r#"{"message":{"base":["one","two"]}}"#, "one; two"),
            (json, r#"{"message":{"variables.key":["is invalid"]}}"#, "variables.key: is invalid"),
            (json, r#"{"message":"404 Project Not Found"}"#, "404 Project Not Found"),
            (json, r#"{"message":["a","b"]}"#, "a; b"),
            (json, r#"{"error":"ref is missing"}"#, "ref is missing"),
            (
                json,
                r#"{"error":"invalid_token","error_description":"Token was revoked."}"#,
                "invalid_token; Token was revoked.",
            ),
            (json, r#"{"message":{"error":"Too many requests"}}"#, "Too many requests"),
            (json, r#"{"message":null,"error":""}"#, r#"{"message":null,"error":""}"#),
            (json, r#"{"detail":{"why":"no"}}"#, "why: no"),
            (json, r#""just text""#, "just text"),
            ("text/plain", "Retry later\n", "Retry later"),
            ("text/html", "<html><head><title>Sign in · GitLab</title></head></html>", "Sign in · GitLab"),
            ("text/plain", "", ""),
            (json, r#"{"message":"#, r#"{"message":"#),
        ] {
            assert_eq!(said(&answer(400, kind, body)), text, "{body}");
        }
    }

    #[test]
    fn a_long_or_wild_text_is_one_short_line() {
        let text =
            said(&answer(400, "application/json", &format!(r#"{{"message":"a\u0007\nb{}"}}"#, "x".repeat(5000))));
        assert!(text.starts_with("a bxxx") && text.ends_with('…'), "{text}");
        assert!(text.chars().count() <= super::SAID + 2);
        assert_eq!(shown("a\r\nb`c\u{1b}"), "`a b'c`");
        assert_eq!(one_line("äöü ßß", 5), "äöü ß…");
        assert_eq!(sentence("No"), "No.");
        assert_eq!(sentence("No."), "No.");
        assert!(listed((0..12).map(|_| "x")).ends_with("`x` and 2 more"));
    }
}
