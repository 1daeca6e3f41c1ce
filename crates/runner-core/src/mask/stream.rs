//! Masks a stream that arrives in chunks cut anywhere.

use std::fmt;
use std::ops::Range;

use aho_corasick::automaton::StateID;

use super::{MASK, Masker};

/// So much is looked at at once: bounds the list of matches, and stays in the second-level cache between the search and
/// the copy.
const PART: usize = 64 * 1024;

/// A masker at one point of a stream. The output is the same wherever the chunks are cut.
///
/// Held back is only what may be the start of a secret, never more than 255 bytes; the end of a line is passed on at
/// once unless a secret goes on over it.
pub struct MaskStream {
    masker: Masker,
    /// The automaton's state after the last byte; `None` before the first.
    state: Option<StateID>,
    /// Bytes taken in so far. This and the positions below count from the start of the stream.
    taken: u64,
    /// The bytes before `taken` that are not passed on yet.
    held: Vec<u8>,
    /// Secrets found and not passed on yet: in order, and neither overlapping nor touching.
    found: Vec<Range<u64>>,
    /// Up to where the last `***` that was written reaches.
    masked_to: Option<u64>,
}

impl MaskStream {
    pub(super) fn new(masker: Masker) -> Self {
        Self { masker, state: None, taken: 0, held: Vec::new(), found: Vec::new(), masked_to: None }
    }

    /// Takes in `chunk` and appends to `out` what can be passed on.
    pub fn push(&mut self, chunk: &[u8], out: &mut Vec<u8>) {
        let masker = self.masker.clone();
        let Some(matcher) = masker.matcher() else {
            out.extend_from_slice(chunk);
            return;
        };
        for part in chunk.chunks(PART) {
            let (taken, found) = (self.taken, &mut self.found);
            let state = matcher.scan(self.state.unwrap_or_else(|| matcher.start()), part, |end, length| {
                let end = taken + end as u64;
                add(found, end - length as u64..end);
            });
            self.state = Some(state);
            let open = matcher.depth(state) as u64;
            self.pass_on(part, taken + part.len() as u64 - open, out);
        }
    }

    /// Appends what is held back: the stream ends here, so it is not a whole secret. The next `push` starts a new
    /// stream.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        self.pass_on(&[], self.taken, out);
        self.state = None;
        self.masked_to = None;
    }

    /// Passes on everything before `safe` (no secret that is still open begins there), and takes `part` in.
    fn pass_on(&mut self, part: &[u8], safe: u64, out: &mut Vec<u8>) {
        let bytes = Bytes { first: self.taken - self.held.len() as u64, held: &self.held, part };
        let mut at = bytes.first.max(self.masked_to.unwrap_or(0));
        let closed = self.found.iter().take_while(|secret| secret.start < safe).count();
        for secret in self.found.drain(..closed) {
            bytes.copy(at..secret.start, out);
            if self.masked_to.is_none_or(|end| end < secret.start) {
                out.extend_from_slice(MASK.as_bytes());
            }
            self.masked_to = Some(secret.end);
            at = secret.end;
        }
        bytes.copy(at..safe, out);
        let done = at.max(safe) - bytes.first;
        let held = self.held.len() as u64;
        self.held.drain(..index(done.min(held)));
        self.held.extend_from_slice(&part[index(done.saturating_sub(held))..]);
        self.taken += part.len() as u64;
    }
}

/// Shows no content: what is held back may be most of a secret.
impl fmt::Debug for MaskStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MaskStream").field("taken", &self.taken).field("held", &self.held.len()).finish_non_exhaustive()
    }
}

/// Adds a match to the ones found so far; it ends at or after all of them, but may begin before some.
fn add(found: &mut Vec<Range<u64>>, mut secret: Range<u64>) {
    while let Some(last) = found.last().filter(|last| last.end >= secret.start) {
        secret.start = secret.start.min(last.start);
        found.pop();
    }
    found.push(secret);
}

/// What is held back and what has just come, as one text.
struct Bytes<'a> {
    first: u64,
    held: &'a [u8],
    part: &'a [u8],
}

impl Bytes<'_> {
    fn copy(&self, range: Range<u64>, out: &mut Vec<u8>) {
        if range.is_empty() {
            return;
        }
        let (start, end) = (index(range.start - self.first), index(range.end - self.first));
        let held = self.held.len();
        out.extend_from_slice(&self.held[start.min(held)..end.min(held)]);
        out.extend_from_slice(&self.part[start.saturating_sub(held)..end.saturating_sub(held)]);
    }
}

/// A distance within what is in memory.
fn index(distance: u64) -> usize {
    usize::try_from(distance).expect("a distance within a slice fits usize")
}
