//! The head and the tail of a text that may be too long to keep.

use std::collections::VecDeque;

/// What is sent at most (`protocol/terraform.md`, "Logs").
pub(super) const LIMIT: usize = 1024 * 1024;
/// How much of it is the beginning; the end, where the errors are, gets the rest.
const HEAD: usize = LIMIT / 4;
const TAIL: usize = LIMIT - HEAD;
/// Room for the line that says how much is missing.
const GAP: usize = 128;
/// How far a cut is moved to a line's end.
const LINE: usize = 4 * 1024;

/// Keeps up to [`LIMIT`] bytes of a text of any length.
#[derive(Default)]
pub(super) struct Ends {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    total: u64,
}

impl Ends {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.total += bytes.len() as u64;
        let (head, rest) = bytes.split_at(bytes.len().min(HEAD - self.head.len()));
        self.head.extend_from_slice(head);
        let rest = &rest[rest.len().saturating_sub(TAIL)..];
        let overflow = (self.tail.len() + rest.len()).saturating_sub(TAIL);
        self.tail.drain(..overflow);
        self.tail.extend(rest);
    }

    /// All bytes there ever were.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// The whole text, or head, gap and tail: at most [`LIMIT`] bytes.
    pub(super) fn text(&self) -> String {
        let (older, newer) = self.tail.as_slices();
        let tail = [older, newer].concat();
        let mut text = self.head.clone();
        if self.total <= LIMIT as u64 {
            text.extend_from_slice(&tail);
        } else {
            text.truncate(end_of_line_before(&text));
            let tail = &tail[start_of_line_after(&tail, GAP)..];
            let missing = self.total - (text.len() + tail.len()) as u64;
            let line_end = if text.ends_with(b"\n") { "" } else { "\n" };
            text.extend_from_slice(format!("{line_end}[{missing} bytes of the log are left out here]\n").as_bytes());
            text.extend_from_slice(tail);
        }
        // Whole characters came in and are cut between characters: lossy only because the compiler cannot know it.
        String::from_utf8(text).unwrap_or_else(|broken| String::from_utf8_lossy(broken.as_bytes()).into_owned())
    }
}

/// Where to end a text that is cut at its end: behind its last line, or at least between two characters.
fn end_of_line_before(text: &[u8]) -> usize {
    let from = text.len().saturating_sub(LINE);
    match text[from..].iter().rposition(|&byte| byte == b'\n') {
        Some(line_end) => from + line_end + 1,
        None => last_boundary(text),
    }
}

/// Where to begin a text that is cut `at` bytes from its start: at the next line, or at least between two characters.
fn start_of_line_after(text: &[u8], at: usize) -> usize {
    let window = &text[at..text.len().min(at + LINE)];
    match window.iter().position(|&byte| byte == b'\n') {
        Some(line_end) if at + line_end + 1 < text.len() => at + line_end + 1,
        _ => first_boundary(text, at),
    }
}

/// The first place at or after `at` where a character begins.
fn first_boundary(text: &[u8], at: usize) -> usize {
    at + text[at..].iter().take_while(|&&byte| is_continuation(byte)).count()
}

/// The end of the last whole character.
fn last_boundary(text: &[u8]) -> usize {
    let last = text.iter().rposition(|&byte| !is_continuation(byte)).unwrap_or(0);
    if str::from_utf8(&text[last..]).is_ok() { text.len() } else { last }
}

fn is_continuation(byte: u8) -> bool {
    byte & 0b1100_0000 == 0b1000_0000
}
