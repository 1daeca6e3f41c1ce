//! Plain text from what a program writes to a terminal, also where sequences and characters are split over chunks.

/// What is left: lines that end with `\n`, valid UTF-8, no control characters but `\n` and `\t`.
///
/// - Escape sequences (ECMA-48: colours and other CSI, titles and links in OSC, character sets) are removed. One that is
///   not ended on its line ends there: a missing terminator must not swallow the rest of a log.
/// - `\r\n` and a `\r` on its own (progress that overwrites its line) become `\n`.
/// - Bytes that are no UTF-8 become U+FFFD.
#[derive(Default)]
pub(super) struct Plain {
    state: State,
    /// There was a `\r`; it becomes a `\n` once it is clear that none follows.
    carriage_return: bool,
    /// The beginning of a character that is not complete yet: at most three bytes.
    partial: Vec<u8>,
}

#[derive(Default, Clone, Copy, PartialEq)]
enum State {
    #[default]
    Text,
    /// After ESC.
    Escape,
    /// After ESC and an intermediate byte: one final byte follows.
    EscapeIntermediate,
    /// After `ESC [`.
    Control,
    /// In the text of OSC, DCS, SOS, PM or APC: up to BEL or `ESC \`.
    String,
    /// After an ESC within such a text.
    StringEscape,
}

const ESC: u8 = 0x1b;
const BEL: u8 = 0x07;

impl Plain {
    /// Appends the plain text of `chunk` to `out`; what is appended ends between two characters.
    pub(super) fn push(&mut self, chunk: &[u8], out: &mut Vec<u8>) {
        let mut at = 0;
        while let Some(&byte) = chunk.get(at) {
            if self.state != State::Text {
                if self.in_sequence(byte) {
                    at += 1;
                }
                continue;
            }
            let rest = &chunk[at..];
            if !byte.is_ascii() {
                let run = rest.iter().position(u8::is_ascii).unwrap_or(rest.len());
                self.characters(&rest[..run], run == rest.len(), out);
                at += run;
                continue;
            }
            self.end_character(out);
            let run = printable(rest);
            if run > 0 {
                self.line_break(rest[0] == b'\n', out);
                out.extend_from_slice(&rest[..run]);
                at += run;
                continue;
            }
            match byte {
                ESC => self.state = State::Escape,
                b'\r' => self.carriage_return = true,
                _ => {}
            }
            at += 1;
        }
    }

    /// Appends what is held back; the source has ended.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) {
        self.end_character(out);
        self.line_break(false, out);
        self.state = State::Text;
    }

    /// Takes a byte of an escape sequence; `false` if it is not part of one and has to be read again as text.
    fn in_sequence(&mut self, byte: u8) -> bool {
        self.state = match (self.state, byte) {
            // Text or a new sequence: the one before was not complete.
            (_, b'\n' | b'\r') => {
                self.state = State::Text;
                return false;
            }
            (State::String, BEL) | (State::StringEscape, b'\\') => State::Text,
            (State::String | State::StringEscape, ESC) => State::StringEscape,
            (State::String, _) | (State::Escape, b']' | b'P' | b'X' | b'^' | b'_') => State::String,
            (State::Escape, b'[') => State::Control,
            (_, ESC) | (State::StringEscape, _) => {
                // Anything but `ESC \` starts a sequence of its own.
                let again = self.state == State::StringEscape;
                self.state = State::Escape;
                return !again;
            }
            (State::Escape | State::EscapeIntermediate, 0x20..=0x2f) => State::EscapeIntermediate,
            (State::Control, 0x20..=0x3f) => State::Control,
            (State::Escape | State::EscapeIntermediate, 0x30..=0x7e) | (State::Control, 0x40..=0x7e) => State::Text,
            // Other control characters are executed by terminals without ending the sequence: nothing to show.
            (state, 0x00..=0x1f | 0x7f) => state,
            _ => {
                self.state = State::Text;
                return false;
            }
        };
        true
    }

    /// Appends a run of bytes that are not ASCII.
    fn characters(&mut self, run: &[u8], more_may_follow: bool, out: &mut Vec<u8>) {
        self.line_break(false, out);
        let joined;
        let mut bytes = run;
        if !self.partial.is_empty() {
            self.partial.extend_from_slice(run);
            joined = std::mem::take(&mut self.partial);
            bytes = &joined;
        }
        if more_may_follow {
            let (whole, partial) = split_partial(bytes);
            self.partial = partial.to_vec();
            bytes = whole;
        }
        for chunk in bytes.utf8_chunks() {
            // The only control characters beyond ASCII: U+0080 to U+009F.
            for shown in chunk.valid().split(char::is_control) {
                out.extend_from_slice(shown.as_bytes());
            }
            if !chunk.invalid().is_empty() {
                out.extend_from_slice(char::REPLACEMENT_CHARACTER.encode_utf8(&mut [0; 4]).as_bytes());
            }
        }
    }

    /// A character that was begun is not continued.
    fn end_character(&mut self, out: &mut Vec<u8>) {
        if !self.partial.is_empty() {
            self.characters(&[], false, out);
        }
    }

    fn line_break(&mut self, follows: bool, out: &mut Vec<u8>) {
        if std::mem::take(&mut self.carriage_return) && !follows {
            out.push(b'\n');
        }
    }
}

/// The length of the run of bytes at the start that are shown as they are.
fn printable(bytes: &[u8]) -> usize {
    let shown = |byte: u8| matches!(byte, b' '..=b'~' | b'\n' | b'\t');
    // Whole blocks first, without a branch for each byte, so that the compiler can use vector instructions.
    let (blocks, _) = bytes.as_chunks::<32>();
    let clean = blocks.iter().take_while(|block| block.iter().fold(true, |all, &byte| all & shown(byte))).count() * 32;
    clean + bytes[clean..].iter().take_while(|&&byte| shown(byte)).count()
}

/// Splits off the beginning of a character at the end of `bytes`.
fn split_partial(bytes: &[u8]) -> (&[u8], &[u8]) {
    let partial = (1..=bytes.len().min(3)).rev().find(|&length| {
        let end = &bytes[bytes.len() - length..];
        // `error_len` is `None` when the bytes are good so far but end too early.
        str::from_utf8(end).is_err_and(|error| error.valid_up_to() == 0 && error.error_len().is_none())
    });
    bytes.split_at(bytes.len() - partial.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::Plain;

    fn plain(chunks: &[&[u8]]) -> String {
        let (mut plain, mut out) = (Plain::default(), Vec::new());
        for chunk in chunks {
            plain.push(chunk, &mut out);
            assert!(str::from_utf8(&out).is_ok(), "what is passed on ends between characters");
        }
        plain.finish(&mut out);
        String::from_utf8(out).expect("plain text is UTF-8")
    }

    /// Whole, cut at every place, and byte by byte.
    #[track_caller]
    fn becomes(input: &[u8], expected: &str) {
        assert_eq!(plain(&[input]), expected);
        for cut in 0..input.len() {
            assert_eq!(plain(&[&input[..cut], &input[cut..]]), expected, "cut at {cut}");
        }
        assert_eq!(plain(&input.chunks(1).collect::<Vec<_>>()), expected);
    }

    #[test]
    fn colours_titles_links_and_character_sets_are_removed() {
        becomes(b"\x1b[1m\x1b[38;5;196mError:\x1b[0m \x1b(Bno\x1b[K such\x1b[?25l file\n", "Error: no such file\n");
        becomes(b"\x1b]0;title\x07a\x1b]8;;https://example.com\x1b\\link\x1b]8;;\x1b\\b", "alinkb");
        becomes(b"\x1bPq#0;2\x1b\\x\x1b^pm\x1b\\y\x1b_apc\x1b\\z\x1bMw\x1b7", "xyzw");
        becomes(b"a\x1b[3\x011mb", "ab");
    }

    #[test]
    fn a_sequence_that_is_not_ended_ends_with_its_line() {
        becomes(b"\x1b]0;title\nnext \x1b[31\nlast \x1b", "\nnext \nlast ");
        becomes("a\x1b[1\u{e4}b\x1b\x1b[0mc\x1b]x\x1b[1md".as_bytes(), "a\u{e4}bcd");
    }

    #[test]
    fn carriage_returns_become_line_ends() {
        becomes(b"a\r\nb\r\r\nc\rd\r\x1b[K\ne\r", "a\nb\nc\nd\ne\n");
        becomes("10%\r20%\r\u{e4}".as_bytes(), "10%\n20%\n\u{e4}");
    }

    #[test]
    fn control_characters_are_removed_and_tabs_kept() {
        becomes("a\0b\x08\x07\x0b\x0c\x7f\tc\u{85}\u{9b}d\u{a0}".as_bytes(), "ab\tcd\u{a0}");
    }

    #[test]
    fn characters_split_over_chunks_are_joined_and_broken_ones_replaced() {
        becomes("\u{e4}\u{20ac}\u{1f600}".as_bytes(), "\u{e4}\u{20ac}\u{1f600}");
        becomes(b"a\xffb\xe2\x82c\xf0\x9f\x98", "a\u{fffd}b\u{fffd}c\u{fffd}");
        becomes(b"\xe2\x82\x1b[0m\xac\xc3\r\n\xed\xa0\x80", "\u{fffd}\u{fffd}\u{fffd}\n\u{fffd}\u{fffd}\u{fffd}");
    }
}
