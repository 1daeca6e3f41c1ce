//! The log of a step so far, ready to be sent: plain text, secrets masked, at most 1 MiB (`protocol/terraform.md`,
//! "Logs").
//!
//! ```text
//! bytes of a process ─▶ plain text ─▶ masker ─┬▶ head and tail in memory ─▶ the step's system message
//!                       (`plain`)             └▶ tee: the whole log on disk
//! ```
//! The masker comes last: colours or control characters within a secret cannot hide it.

mod ends;
mod plain;

use std::fmt;
use std::io::{self, Write};

use self::ends::Ends;
use self::plain::Plain;
use crate::mask::{MaskStream, Masker};

/// So much goes through at once: bounds the buffers between the stages.
const PART: usize = 16 * 1024;

/// A step's log. Costs the same for each byte, however long it has become, and at most 2 MiB of memory.
pub(crate) struct StepLog {
    plain: Plain,
    mask: MaskStream,
    ends: Ends,
    tee: Option<Box<dyn Write + Send>>,
    tee_error: Option<io::Error>,
    /// Between the stages; kept only to save allocations.
    shown: Vec<u8>,
    masked: Vec<u8>,
}

impl StepLog {
    /// An empty log.
    pub(crate) fn new(masker: &Masker) -> Self {
        Self {
            plain: Plain::default(),
            mask: masker.stream(),
            ends: Ends::default(),
            tee: None,
            tee_error: None,
            shown: Vec::new(),
            masked: Vec::new(),
        }
    }

    /// Writes everything from here on to `sink` too, without the limit. After an error the sink is dropped, and the log
    /// goes on without it: see [`take_tee_error`](Self::take_tee_error).
    pub(crate) fn tee(&mut self, sink: Box<dyn Write + Send>) {
        self.tee = Some(sink);
    }

    /// The error that ended the tee; `Some` once.
    pub(crate) fn take_tee_error(&mut self) -> Option<io::Error> {
        self.tee_error.take()
    }

    /// Takes in what a process wrote. The chunk may end anywhere, even within a character.
    pub(crate) fn push(&mut self, chunk: &[u8]) {
        for part in chunk.chunks(PART) {
            self.plain.push(part, &mut self.shown);
            self.mask.push(&self.shown, &mut self.masked);
            self.keep();
        }
    }

    /// Masks what comes from here on with this one.
    pub(crate) fn mask_with(&mut self, masker: &Masker) {
        self.finish_line();
        self.mask = masker.stream();
    }

    /// Takes in what is held back: the source has ended. (Called in the middle of one, a secret that is just being
    /// written would be missed.)
    pub(crate) fn finish_line(&mut self) {
        self.plain.finish(&mut self.shown);
        self.mask.push(&self.shown, &mut self.masked);
        self.mask.finish(&mut self.masked);
        self.keep();
        (self.shown, self.masked) = (Vec::new(), Vec::new());
        self.with_tee(|sink| sink.flush());
    }

    /// The log as it is sent, at most 1 MiB (1,048,576 bytes): all of it, or its head, a line that says how many bytes
    /// are left out, and its tail.
    pub(crate) fn text(&self) -> String {
        self.ends.text()
    }

    /// Changes whenever [`text`](Self::text) does.
    pub(crate) fn revision(&self) -> u64 {
        self.ends.total()
    }

    /// Bytes of the whole log, plain and masked, with those that are no longer in memory.
    pub(crate) fn total_bytes(&self) -> u64 {
        self.ends.total()
    }

    /// Whether there is nothing in it (yet).
    pub(crate) fn is_empty(&self) -> bool {
        self.ends.total() == 0
    }

    fn keep(&mut self) {
        let masked = std::mem::take(&mut self.masked);
        self.ends.push(&masked);
        self.with_tee(|sink| sink.write_all(&masked));
        self.masked = masked;
        self.masked.clear();
        self.shown.clear();
    }

    fn with_tee(&mut self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) {
        if let Some(sink) = &mut self.tee
            && let Err(error) = write(sink)
        {
            self.tee = None;
            self.tee_error = Some(error);
        }
    }
}

/// Shows how long it is, not what is in it.
impl fmt::Debug for StepLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StepLog").field("total_bytes", &self.total_bytes()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
