//! Finds Terraform's own first error in a stream of output.

use memchr::memmem::find;

/// Of what follows the first error's mark, this many bytes are kept. Bytes.
const MOST_KEPT: usize = 4 * 1024;
/// Of an error's text, this many bytes are shown. Bytes.
const MOST_SHOWN: usize = 2 * 1024;
const MARK: &[u8] = b"\nError: ";
/// What begins the next message.
const NEXT: [&str; 2] = ["\nError: ", "\nWarning: "];
/// `init` begins with an error that only says that errors follow.
const PREAMBLE: &str = "encountered problems during initialisation";

/// Looks for the first `Error: …` at the beginning of a line, up to the next message.
///
/// Other programs' lines come with a prefix in Terraform's output, so they are not taken for one.
pub(super) struct FirstError {
    /// Before the error: the last bytes seen, which may be the beginning of the mark. From then on:
    /// the mark and what follows it.
    kept: Vec<u8>,
    found: bool,
}

impl Default for FirstError {
    fn default() -> Self {
        // The beginning of the output is the beginning of a line.
        Self { kept: vec![b'\n'], found: false }
    }
}

impl FirstError {
    pub(super) fn look_at(&mut self, chunk: &[u8]) {
        let fresh = if self.found { Some(chunk) } else { self.search(chunk) };
        let Some(fresh) = fresh else { return };
        self.found = true;
        let room = MOST_KEPT.saturating_sub(self.kept.len());
        self.kept.extend_from_slice(&fresh[..fresh.len().min(room)]);
    }

    /// What of the chunk belongs to the error, from its mark on; `kept` is then what comes before.
    fn search<'c>(&mut self, chunk: &'c [u8]) -> Option<&'c [u8]> {
        // The mark may lie across the border.
        let carried = self.kept.len();
        self.kept.extend_from_slice(&chunk[..chunk.len().min(MARK.len())]);
        if let Some(at) = find(&self.kept, MARK).filter(|at| *at < carried) {
            self.kept.truncate(carried);
            self.kept.drain(..at);
            return Some(chunk);
        }
        if let Some(at) = find(chunk, MARK) {
            self.kept.clear();
            return Some(&chunk[at..]);
        }
        self.kept.truncate(carried);
        self.kept.extend_from_slice(&chunk[chunk.len().saturating_sub(MARK.len())..]);
        self.kept.drain(..self.kept.len().saturating_sub(MARK.len() - 1));
        None
    }

    /// The error as text, without the blank lines around it.
    pub(super) fn text(&self) -> Option<String> {
        if !self.found {
            return None;
        }
        let kept = String::from_utf8_lossy(&self.kept);
        let (first, rest) = until_next(&kept);
        let error = if first.contains(PREAMBLE) && rest.starts_with(NEXT[0]) { until_next(rest).0 } else { first };
        let error = error.trim();
        let shown = up_to(error, MOST_SHOWN);
        Some(if shown.len() < error.len() { format!("{}\n…", shown.trim_end()) } else { error.to_owned() })
    }
}

/// The beginning of a text, at most so many bytes.
fn up_to(text: &str, most: usize) -> &str {
    let mut end = most.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Splits a text that begins with a message where the next one begins.
fn until_next(text: &str) -> (&str, &str) {
    let ends = NEXT.iter().filter_map(|next| text.get(1..)?.find(next));
    ends.min().map_or((text, ""), |end| text.split_at(end + 1))
}

#[cfg(test)]
mod tests {
    use super::FirstError;

    fn in_chunks(text: &str, size: usize) -> Option<String> {
        let mut found = FirstError::default();
        for chunk in text.as_bytes().chunks(size) {
            found.look_at(chunk);
        }
        found.text()
    }

    #[test]
    fn the_first_error_is_found_however_the_output_is_cut() {
        let text = "Initializing...\nnot an Error: here\nx (local-exec): Error: neither\n\n\
                    Error: Unsupported argument\n\n  on main.tf line 3:\n   3:   nme = 1\n\n\
                    Error: Another\n\nmore\n";
        let expected = "Error: Unsupported argument\n\n  on main.tf line 3:\n   3:   nme = 1";
        for size in 1..=text.len() {
            assert_eq!(in_chunks(text, size).as_deref(), Some(expected), "in chunks of {size}");
        }
    }

    #[test]
    fn an_error_at_the_very_beginning_counts_and_a_warning_ends_it() {
        for size in 1..40 {
            let found = in_chunks("Error: No state\n\ngone\n\nWarning: old\n", size);
            assert_eq!(found.as_deref(), Some("Error: No state\n\ngone"), "in chunks of {size}");
        }
    }

    #[test]
    fn a_long_error_is_cut_and_says_so() {
        let found = in_chunks(&format!("\nError: {}", "ä".repeat(5000)), 1000).unwrap();
        assert!(found.len() <= 2 * 1024 + 8, "{} bytes", found.len());
        assert!(found.ends_with("ä\n…"), "{}", &found[found.len() - 20..]);
    }

    #[test]
    fn an_error_that_only_announces_others_gives_way_to_the_first_of_them() {
        let text = "Error: Terraform encountered problems during initialisation, described below.\n\n\
                    Error: Argument required\n\nx\n\nError: Third\n";
        assert_eq!(in_chunks(text, 7).as_deref(), Some("Error: Argument required\n\nx"));
    }

    #[test]
    fn output_without_an_error_has_none() {
        assert_eq!(in_chunks("all is well\nError:none\n", 3), None);
    }
}
