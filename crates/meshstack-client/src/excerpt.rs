//! What an error shows of an answer's body: short, on one line, without the credentials of the request.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::Secret;

/// Characters of a body that an error shows.
const LENGTH: usize = 300;

/// The secrets of one request, in every form in which a body may echo them.
#[derive(Clone, Default)]
pub(crate) struct Hidden(Vec<Secret>);

impl Hidden {
    /// A token, as it is sent.
    pub(crate) fn token(token: &Secret) -> Self {
        let mut hidden = Self::default();
        hidden.add(token.expose());
        hidden
    }

    /// A user's password: as it is, and as HTTP Basic encodes it.
    pub(crate) fn password(username: &str, password: &Secret) -> Self {
        let mut hidden = Self::token(password);
        hidden.add(&STANDARD.encode(format!("{username}:{}", password.expose())));
        hidden
    }

    fn add(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        let quoted = serde_json::Value::from(text).to_string();
        let escaped = quoted.trim_matches('"');
        if escaped != text {
            self.0.push(Secret::new(escaped));
        }
        self.0.push(Secret::new(text));
        // The longest first: a shorter one may be part of it.
        self.0.sort_by_key(|secret| std::cmp::Reverse(secret.expose().len()));
    }

    fn replace(&self, mut text: String) -> String {
        for secret in &self.0 {
            if text.contains(secret.expose()) {
                text = text.replace(secret.expose(), "***");
            }
        }
        text
    }

    fn longest(&self) -> usize {
        self.0.first().map_or(0, |secret| secret.expose().len())
    }
}

/// The start of a body. `cut`: more of the body was there, but not read.
pub(crate) fn excerpt(body: &[u8], cut: bool, hidden: &Hidden) -> String {
    // The end of a body that was cut may be the first half of a secret, which nobody would know again.
    let known = if cut { &body[..body.len().saturating_sub(hidden.longest())] } else { body };
    let text = hidden.replace(String::from_utf8_lossy(known).into_owned());
    let mut line = String::new();
    for word in text.split(|c: char| c.is_whitespace()) {
        if !line.is_empty() && !line.ends_with(' ') {
            line.push(' ');
        }
        line.extend(word.chars().filter(|c| !c.is_control()));
    }
    // Once more: without the characters that were removed, there may be a secret that was not there before.
    let line = hidden.replace(line);
    line.trim_end().chars().take(LENGTH).collect()
}

#[cfg(test)]
mod tests {
    use super::{Hidden, excerpt};
    use crate::Secret;

    fn shown(body: &str, secret: &str) -> String {
        excerpt(body.as_bytes(), false, &Hidden::password("user", &Secret::new(secret)))
    }

    #[test]
    fn an_excerpt_is_one_short_line_without_control_characters() {
        let text = shown(&format!("a\r\n\tb\u{1b}[31m \u{0} c {}", "x".repeat(900)), "");
        assert!(text.starts_with("a b[31m c xxx"), "{text}");
        assert_eq!(text.chars().count(), 300);
    }

    #[test]
    fn an_echo_of_the_credentials_is_starred_in_every_form() {
        let text = shown(r#"plain pa"ss\ json pa\"ss\\ basic dXNlcjpwYSJzc1w= end"#, r#"pa"ss\"#);
        assert_eq!(text, "plain *** json *** basic *** end");
    }

    #[test]
    fn a_secret_is_found_though_control_characters_or_line_breaks_split_it() {
        assert_eq!(shown("x hun\u{0}ter2 y", "hunter2"), "x *** y");
        assert_eq!(shown("x hun\nter2 y", "hun\nter2"), "x *** y");
    }

    #[test]
    fn half_a_secret_at_the_place_where_the_body_was_cut_is_not_shown() {
        let hidden = Hidden::token(&Secret::new("hunter2-hunter2"));
        assert_eq!(excerpt(b"denied for hunter2-hun", true, &hidden), "denied");
    }
}
