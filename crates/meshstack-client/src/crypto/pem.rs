//! PEM as it is found in the field: in bundles, with headers, with or without line breaks.
//!
//! Configuration files hold keys on a single line, which strict readers refuse; so the markers are searched, and white
//! space between them is passed over.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// One block between `-----BEGIN x-----` and `-----END x-----`.
pub(crate) struct Block<'a> {
    /// The words after `BEGIN`.
    pub(crate) label: &'a str,
    body: &'a str,
}

impl Block<'_> {
    /// The bytes; `None` if the body is no base64.
    pub(crate) fn der(&self) -> Option<Vec<u8>> {
        let body: String = self.body.chars().filter(|c| !c.is_whitespace()).collect();
        STANDARD.decode(body).ok()
    }

    /// Whether the body starts with RFC 1421 headers that say it is encrypted.
    pub(crate) fn has_encryption_header(&self) -> bool {
        self.body.contains("Proc-Type:") && self.body.contains("ENCRYPTED")
    }
}

/// The blocks of a text, in order. What stands between them is passed over, as is a block without an end.
pub(crate) fn blocks(text: &str) -> impl Iterator<Item = Block<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        loop {
            let (_, begun) = rest.split_once("-----BEGIN ")?;
            let (label, after) = begun.split_once("-----")?;
            let end = format!("-----END {label}-----");
            if let Some((body, after)) = after.split_once(end.as_str()) {
                rest = after;
                return Some(Block { label, body });
            }
            rest = after;
        }
    })
}

/// Writes a block the usual way: 64 characters a line.
pub(crate) fn write(label: &str, der: &[u8]) -> String {
    let encoded = STANDARD.encode(der);
    let mut out = format!("-----BEGIN {label}-----\n");
    let mut rest = encoded.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        out.push_str(line);
        out.push('\n');
        rest = after;
    }
    out + "-----END " + label + "-----\n"
}

#[cfg(test)]
mod tests {
    use super::{blocks, write};

    #[test]
    fn blocks_are_found_between_other_text_and_without_line_breaks() {
        let text = "subject=x\n-----BEGIN A-----aGVs bG8=-----END A-----\n-----BEGIN B-----\nnever ends\n\
                    -----BEGIN C D-----\r\naGVs\r\nbG8=\r\n-----END C D-----";
        let found: Vec<_> = blocks(text).map(|block| (block.label.to_owned(), block.der())).collect();
        let hello = Some(b"hello".to_vec());
        assert_eq!(found, [("A".to_owned(), hello.clone()), ("C D".to_owned(), hello)]);
    }

    #[test]
    fn what_is_written_is_read_again() {
        let bytes: Vec<u8> = (0..=255).collect();
        let text = write("THING", &bytes);
        assert!(text.lines().all(|line| line.len() <= 64), "{text}");
        assert_eq!(blocks(&text).next().and_then(|block| block.der()), Some(bytes));
    }
}
