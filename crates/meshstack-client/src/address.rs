//! Addresses of the API, and links of runs.

use reqwest::Url;

use crate::Problem;

/// A path below the base URL.
pub(crate) fn under(base: &Url, path: &str) -> Result<Url, Problem> {
    link(&format!("{}{path}", base.as_str().trim_end_matches('/')))
}

/// A link as it came in an answer.
pub(crate) fn link(href: &str) -> Result<Url, Problem> {
    Url::parse(href.trim())
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
        .ok_or_else(|| Problem::Local { reason: "the link is no http or https address".to_owned() })
}

/// Fills the `{sourceId}` of a link; one without it is taken as it is.
pub(crate) fn fill_source(template: &str, source: &str) -> Result<String, Problem> {
    let source = segment(source)?;
    Ok(["{sourceId}", "%7BsourceId%7D"].iter().fold(template.to_owned(), |text, hole| text.replace(hole, &source)))
}

/// A text as one segment of a path.
pub(crate) fn segment(text: &str) -> Result<String, Problem> {
    // Every reader of URLs takes these two for steps up or nowhere, even when they are escaped.
    if matches!(text, "" | "." | "..") {
        return Err(Problem::Local { reason: format!("`{text}` is no UUID") });
    }
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push('%');
            for nibble in [byte >> 4, byte & 15] {
                out.extend(char::from_digit(u32::from(nibble), 16).map(|digit| digit.to_ascii_uppercase()));
            }
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::{fill_source, segment};

    #[test]
    fn a_segment_cannot_leave_its_place_in_the_path() {
        assert_eq!(segment("a/b?c#d%ü").as_deref(), Ok("a%2Fb%3Fc%23d%25%C3%BC"));
        assert!(segment("..").is_err() && segment(".").is_err() && segment("").is_err());
        assert_eq!(segment("0f3c-9_~.").as_deref(), Ok("0f3c-9_~."));
    }

    #[test]
    fn a_template_is_filled_and_a_plain_link_is_kept() {
        assert_eq!(fill_source("http://h/s/{sourceId}", "a b").as_deref(), Ok("http://h/s/a%20b"));
        assert_eq!(fill_source("http://h/s/%7BsourceId%7D", "x").as_deref(), Ok("http://h/s/x"));
        assert_eq!(fill_source("http://h/s/x", "y").as_deref(), Ok("http://h/s/x"));
    }
}
