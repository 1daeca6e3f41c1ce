//! From secrets to the byte strings to search for.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::escape;
use super::matcher::{LONGEST, SHORTEST};

/// Values with fewer characters are not masked.
const MIN_CHARS: usize = 4;
/// Parts of a value (a line, the rest of a piece) with fewer bytes are not masked on their own.
const MIN_PART: usize = 8;
/// A form of more bytes is searched for in pieces: bounds what a stream holds back, and finds what was wrapped or cut.
const PIECE: usize = 64;
/// The line length of Base64 in MIME and of the `base64` command; that of PEM is a piece.
const BASE64_LINE: usize = 76;
/// So much of its neighbours is searched for together with a line that is not telling.
const CONTEXT: usize = 16;
/// Values with more bytes are masked as they are, but not in their encoded forms.
const ENCODED_UP_TO: usize = 16 * 1024;
/// Values with more bytes are not masked in the Base64 of JSON, but for what needs no escape there.
const ENCODED_TWICE_UP_TO: usize = 4 * 1024;
/// Values with more bytes are not masked where a program has put a line break in place of one of their spaces.
const WRAPPED_UP_TO: usize = 1024;
/// Beyond so many bytes a value is not masked.
const MASKED_UP_TO: usize = 128 * 1024;

/// Values that are no secret whatever they are called.
const TRIVIAL: [&str; 8] = ["true", "false", "null", "none", "undefined", "enabled", "disabled", "default"];

/// Whether a value is masked at all: four characters or more without white space at its ends, not a word such as
/// `true` or `null`, and not asterisks only.
pub fn is_maskable(value: &str) -> bool {
    let value = value.trim();
    value.chars().nth(MIN_CHARS - 1).is_some()
        && !TRIVIAL.iter().any(|word| word.eq_ignore_ascii_case(value))
        && value.chars().any(|char| char != '*')
}

/// All that is to be masked for these secrets, without doubles.
pub(super) fn patterns<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Vec<Vec<u8>> {
    let mut patterns = Patterns::default();
    for secret in secrets {
        patterns.add_secret(&secret[..boundary_before(secret, MASKED_UP_TO)]);
    }
    patterns.0.sort_unstable();
    patterns.0.dedup();
    patterns.0
}

#[derive(Default)]
struct Patterns(Vec<Vec<u8>>);

impl Patterns {
    fn add_secret(&mut self, value: &str) {
        let trimmed = value.trim();
        if !is_maskable(trimmed) {
            return;
        }
        self.add_value(trimmed);
        if trimmed.len() < value.len() {
            self.add_base64_whole(value);
        }
        let shown = as_shown(trimmed);
        if shown != trimmed {
            self.add_value(&shown);
        }
    }

    /// A value of one line or of several.
    fn add_value(&mut self, value: &str) {
        if value.contains('\n') {
            self.add_lines(value);
            self.add_base64_whole(value);
        } else {
            self.add_text(value);
        }
    }

    /// Each line on its own where it is telling. The others only together with the lines around them: with these, all of
    /// the value is masked where it stands as a whole.
    fn add_lines(&mut self, value: &str) {
        let lines: Vec<&str> = value.split('\n').collect();
        let is_part =
            |line: &str| is_maskable(line) && is_telling(line.trim().as_bytes()) && !is_pem_marker(line.trim());
        for part in lines.iter().filter(|line| is_part(line)) {
            self.add_text(part.trim());
        }
        let mut at = 0;
        while at < lines.len() {
            let others = lines[at..].iter().take_while(|line| !is_part(line)).count();
            if others > 0 {
                let before = at.checked_sub(1).map_or("", |before| end_of(lines[before]));
                let after = lines.get(at + others).map_or("", |after| start_of(after));
                let mut context = lines[at..at + others].join("\n");
                if at > 0 {
                    context = format!("{before}\n{context}");
                }
                if at + others < lines.len() {
                    context = format!("{context}\n{after}");
                }
                self.add_text(&context);
            }
            at += others + 1;
        }
    }

    /// One text in all its forms.
    fn add_text(&mut self, text: &str) {
        let pieces = pieces(text, PIECE);
        self.add_pieces(&pieces);
        if text.len() <= WRAPPED_UP_TO {
            for piece in &pieces {
                self.add_wrapped(piece);
            }
        }
        if text.len() > ENCODED_UP_TO {
            return;
        }
        // Escaping goes character by character: pieces are cut first, so that those without special characters are the
        // same in all forms.
        for piece in pieces.into_iter().filter(|piece| !piece.bytes().all(|byte| byte.is_ascii_alphanumeric())) {
            for form in [escape::url(piece), escape::json(piece), escape::shell(piece), escape::hcl(piece)].concat() {
                if form != piece {
                    self.add_form(&form, LONGEST / 2);
                    if text.len() <= WRAPPED_UP_TO && form.len() <= LONGEST / 2 {
                        self.add_wrapped(&form);
                    }
                }
            }
        }
        self.add_base64_within(text);
        self.add_form(&STANDARD.encode(text), BASE64_LINE);
        // A run object is JSON, and goes to pipelines in Base64. The styles of most writers are the first ones.
        if text.len() <= ENCODED_TWICE_UP_TO {
            let styles = escape::json(text).into_iter().take(4);
            styles.filter(|escaped| escaped != text).for_each(|escaped| self.add_base64_within(&escaped));
        }
    }

    /// The encoding of something longer that has this value in it.
    fn add_base64_within(&mut self, value: &str) {
        for form in (0..3).flat_map(|before| escape::base64(value, before)) {
            self.add_form(&form, PIECE);
        }
    }

    /// What becomes of a piece where a line is full: Terraform, say, wraps its errors between words.
    fn add_wrapped(&mut self, piece: &str) {
        let starts = piece.match_indices(' ').map(|(at, _)| at).filter(|at| !piece[..*at].ends_with(' '));
        for at in starts {
            let (before, behind) = (&piece[..at], piece[at..].trim_start_matches(' '));
            if !before.is_empty() && !behind.is_empty() {
                self.add_pieces(&[&format!("{before}\n{behind}")]);
            }
        }
    }

    /// The encoding that begins with this value, in lines or not.
    fn add_base64_whole(&mut self, value: &str) {
        if value.len() <= ENCODED_UP_TO {
            for form in escape::base64(value, 0) {
                self.add_form(&form, PIECE);
            }
            self.add_form(&STANDARD.encode(value), BASE64_LINE);
        }
    }

    fn add_form(&mut self, form: &str, width: usize) {
        self.add_pieces(&pieces(form, width));
    }

    fn add_pieces(&mut self, pieces: &[&str]) {
        // Of a form such as 100 times `x`, no piece is telling; then all of them are taken.
        let any_telling = pieces.iter().any(|piece| is_telling(piece.as_bytes()));
        for piece in pieces {
            debug_assert!(piece.len() <= LONGEST);
            let blank = piece.trim().is_empty();
            if piece.len() >= SHORTEST && !blank && (is_telling(piece.as_bytes()) || !any_telling) {
                self.0.push(piece.as_bytes().to_vec());
            }
        }
    }
}

/// Cuts a form between characters into pieces of about `width` bytes. A short rest is covered by one more piece that
/// overlaps the one before.
fn pieces(form: &str, width: usize) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut rest = form;
    while rest.len() > width {
        let (piece, behind) = rest.split_at(boundary_before(rest, width));
        pieces.push(piece);
        rest = behind;
    }
    if pieces.is_empty() || rest.len() >= MIN_PART {
        pieces.push(rest);
    } else if !rest.is_empty() {
        pieces.push(&form[boundary_before(form, form.len() - width)..]);
    }
    pieces
}

/// The end of a line, as context for the next.
fn end_of(line: &str) -> &str {
    &line[boundary_before(line, line.len().saturating_sub(CONTEXT))..]
}

/// The start of a line, as context for the one before.
fn start_of(line: &str) -> &str {
    &line[..boundary_before(line, CONTEXT)]
}

/// The last place at or before byte `at` that is between two characters.
fn boundary_before(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0)
}

/// Whether a part of a secret may be masked where it stands alone: `--------` or eight spaces may not.
fn is_telling(part: &[u8]) -> bool {
    let mut distinct = [0; 4];
    let mut count = 0;
    for &byte in part.iter().filter(|byte| !byte.is_ascii_whitespace()) {
        if count < distinct.len() && !distinct[..count].contains(&byte) {
            distinct[count] = byte;
            count += 1;
        }
    }
    part.len() >= MIN_PART && count == distinct.len()
}

fn is_pem_marker(line: &str) -> bool {
    (line.starts_with("-----BEGIN ") || line.starts_with("-----END ")) && line.ends_with("-----")
}

/// The text as a step's log shows it: lines end with `\n`, and there are no control characters.
fn as_shown(text: &str) -> String {
    let mut shown = text.replace("\r\n", "\n").replace('\r', "\n");
    shown.retain(|char| matches!(char, '\n' | '\t') || !char.is_control());
    shown
}

#[cfg(test)]
mod tests {
    use super::{is_maskable, patterns, pieces};

    fn texts(secret: &str) -> Vec<String> {
        patterns([secret]).into_iter().map(|pattern| String::from_utf8(pattern).expect("patterns are UTF-8")).collect()
    }

    #[test]
    fn short_trivial_and_blank_values_are_not_maskable() {
        for value in ["", "abc", " abc\n", "true", "False", "NULL", "\n\t  \u{a0} ", "****", "\u{e4}\u{f6}\u{fc}"] {
            assert!(!is_maskable(value), "{value:?}");
            assert!(texts(value).is_empty(), "{value:?}");
        }
        for value in ["abcd", "1234", "true1", "\u{e4}\u{f6}\u{fc}\u{df}", "**a*"] {
            assert!(is_maskable(value), "{value:?}");
            assert!(texts(value).iter().any(|text| text == value), "{value:?}");
        }
    }

    #[test]
    fn a_plain_value_has_few_forms() {
        // Itself and Base64 at three alignments, open and closed at the end.
        assert_eq!(
            texts("abcdefgh"),
            ["FiY2RlZmdo", "YWJjZGVmZ2", "YWJjZGVmZ2g=", "abcdefgh", "hYmNkZWZna", "hYmNkZWZnaA=="]
        );
    }

    #[test]
    fn lines_are_parts_but_not_pem_markers_and_rulers() {
        let key =
            "-----BEGIN PRIVATE KEY-----\nMIIBVQIBADANBgkq\r\nshort\n----------------\n-----END PRIVATE KEY-----\n";
        let texts = texts(key);
        assert!(texts.iter().any(|text| text == "MIIBVQIBADANBgkq"));
        for left_out in ["-----BEGIN PRIVATE KEY-----", "short", "----------------", "-----END PRIVATE KEY-----"] {
            assert!(!texts.iter().any(|text| text == left_out), "{left_out}");
        }
    }

    #[test]
    fn white_space_within_a_secret_is_no_pattern() {
        let secret = format!("one-line{}\n\n{}other-line and{}more", " ".repeat(40), " ".repeat(40), " ".repeat(300));
        let texts = texts(&secret);
        assert!(texts.iter().any(|text| text == "one-line"));
        assert!(texts.iter().all(|text| !text.trim().is_empty()));
    }

    #[test]
    fn long_forms_are_cut_between_characters_and_covered_to_the_end() {
        let form = "\u{e4}".repeat(65);
        let pieces = pieces(&form, 63);
        assert_eq!(pieces.iter().map(|piece| piece.len()).collect::<Vec<_>>(), [62, 62, 64]);
        assert!(pieces.iter().all(|piece| piece.chars().all(|char| char == '\u{e4}')));
    }

    #[test]
    fn memory_is_bounded_for_a_huge_value() {
        let value: String = (0..60_000_u32).map(|number| number.to_string()).collect();
        let bytes: usize = patterns([value.as_str()]).iter().map(Vec::len).sum();
        assert!(bytes <= 2 * super::MASKED_UP_TO, "{bytes}");
    }
}
