//! Takes what a program writes: into the step's log as it comes, and what is needed of it later.

use std::collections::VecDeque;
use std::future::pending;
use std::io;

use runner_core::Step;
use tokio::net::unix::pipe::Receiver;

use super::first_error::FirstError;

/// As much as a pipe holds.
const CHUNK: usize = 64 * 1024;
/// Of the end of the output, this many bytes are kept for messages.
const TAIL: usize = 4 * 1024;
/// Outputs and plans as JSON may be large, but not without end. Bytes.
pub(super) const MOST_CAPTURED: usize = 64 * 1024 * 1024;

/// The reading ends of a program's pipes.
pub(super) struct Pump {
    step: Step,
    log: Option<Receiver>,
    captured: Option<Receiver>,
    buffer: Vec<u8>,
    tail: VecDeque<u8>,
    first_error: FirstError,
    stdout: Vec<u8>,
    overflow: bool,
}

impl Pump {
    pub(super) fn new(step: Step, log: Receiver, captured: Option<Receiver>) -> Self {
        Self {
            step,
            log: Some(log),
            captured,
            buffer: vec![0; CHUNK],
            tail: VecDeque::new(),
            first_error: FirstError::default(),
            stdout: Vec::new(),
            overflow: false,
        }
    }

    /// Whether anything can still come.
    pub(super) fn open(&self) -> bool {
        self.log.is_some() || self.captured.is_some()
    }

    /// Waits for output and takes a chunk of it. Nothing is lost when the future is dropped.
    pub(super) async fn take_some(&mut self) {
        tokio::select! {
            () = readable(self.log.as_ref()) => { self.take_log(); }
            () = readable(self.captured.as_ref()) => { self.take_captured(); }
        }
    }

    /// Takes all that is there now, without waiting for more.
    pub(super) fn take_what_is_there(&mut self) {
        while self.take_log() {}
        while self.take_captured() {}
    }

    /// Goes on to the end of the output.
    pub(super) async fn take_all(&mut self) {
        while self.open() {
            self.take_some().await;
        }
    }

    /// A chunk into the log; false if there is none now.
    fn take_log(&mut self) -> bool {
        let Some(chunk) = read(&mut self.log, &mut self.buffer) else { return false };
        self.step.log(chunk);
        self.first_error.look_at(chunk);
        let kept = &chunk[chunk.len().saturating_sub(TAIL)..];
        self.tail.drain(..(self.tail.len() + kept.len()).saturating_sub(TAIL).min(self.tail.len()));
        self.tail.extend(kept);
        true
    }

    fn take_captured(&mut self) -> bool {
        let Some(chunk) = read(&mut self.captured, &mut self.buffer) else { return false };
        if self.stdout.len() + chunk.len() > MOST_CAPTURED {
            self.overflow = true;
        } else {
            self.stdout.extend_from_slice(chunk);
        }
        true
    }

    /// What was captured; none if it was too much.
    pub(super) fn captured(&mut self) -> Option<Vec<u8>> {
        (!self.overflow).then(|| std::mem::take(&mut self.stdout))
    }

    /// The end of the log, from the first whole line on.
    pub(super) fn last_lines(&mut self) -> String {
        let full = self.tail.len() == TAIL;
        let tail = self.tail.make_contiguous();
        let cut = if full { tail.iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1) } else { 0 };
        String::from_utf8_lossy(&tail[cut..]).into_owned()
    }

    pub(super) fn first_error(&mut self) -> Option<String> {
        self.first_error.text()
    }
}

async fn readable(pipe: Option<&Receiver>) {
    match pipe {
        // An error shows again when it is read.
        Some(pipe) => drop(pipe.readable().await),
        None => pending().await,
    }
}

/// Reads without waiting; at the end, and at an error, the pipe is let go.
fn read<'b>(pipe: &mut Option<Receiver>, buffer: &'b mut [u8]) -> Option<&'b [u8]> {
    match pipe.as_ref()?.try_read(buffer) {
        Ok(0) => *pipe = None,
        Ok(n) => return Some(&buffer[..n]),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
        Err(_) => *pipe = None,
    }
    None
}
