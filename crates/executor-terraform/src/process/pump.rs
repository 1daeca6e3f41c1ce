//! Takes what a program writes: into the step's log as it comes, and what is needed of it later.

use std::collections::VecDeque;
use std::future::pending;
use std::io;
use std::time::Duration;

use runner_core::Step;
use tokio::time::Instant;

use super::first_error::FirstError;
use super::pipe::{Pipe, Pipes};

/// As much as is read at once.
const CHUNK: usize = 64 * 1024;
/// After the pipe was emptied it is left alone for this long, so that a program that writes line by
/// line is not read line by line: that costs more than all that is done with the lines.
const GATHER: Duration = Duration::from_millis(40);
/// The same after much was in it, since it may fill up sooner and the program would wait; and in the
/// first moments, which is all that most programs take.
const GATHER_SOON: Duration = Duration::from_millis(4);
/// How long those first moments are.
const FIRST_MOMENTS: Duration = Duration::from_secs(2);
/// So many chunks are taken in one go.
const CHUNKS_AT_ONCE: usize = 16;
/// Of the end of the output, this many bytes are kept for messages.
const TAIL: usize = 4 * 1024;
/// Outputs and plans as JSON may be large, but not without end. Bytes.
pub(super) const MOST_CAPTURED: usize = 64 * 1024 * 1024;

/// The reading ends of a program's pipes.
pub(super) struct Pump {
    step: Step,
    log: Option<Pipe>,
    captured: Option<Pipe>,
    /// The log is read again from then on.
    gathered_at: Instant,
    began: Instant,
    /// Bytes of the log since it was left alone.
    gulp: usize,
    buffer: Vec<u8>,
    tail: VecDeque<u8>,
    first_error: FirstError,
    stdout: Vec<u8>,
    overflow: bool,
}

impl Pump {
    pub(super) fn new(step: Step, pipes: Pipes) -> Self {
        Self {
            step,
            log: Some(pipes.log),
            captured: pipes.captured,
            gathered_at: Instant::now(),
            began: Instant::now(),
            gulp: 0,
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
            () = gathered(self.log.as_mut(), self.gathered_at) => {
                // Others get their turn now and then, however much comes.
                let _ = (0..CHUNKS_AT_ONCE).all(|_| self.take_log());
            }
            () = readable(self.captured.as_mut()) => {
                let _ = (0..CHUNKS_AT_ONCE).all(|_| self.take_captured());
            }
        }
    }

    /// Takes all that is there now, without waiting for more.
    pub(super) fn take_what_is_there(&mut self) {
        while self.take_log() {}
        while self.take_captured() {}
    }

    /// Goes on to the end of the output. The program is over, so there is nothing to gather.
    pub(super) async fn take_all(&mut self) {
        while self.open() {
            self.gathered_at = Instant::now();
            self.take_some().await;
        }
    }

    /// A chunk into the log; false if there is none now.
    fn take_log(&mut self) -> bool {
        let Some(chunk) = read(&mut self.log, &mut self.buffer) else {
            let now = Instant::now();
            let soon = self.gulp >= CHUNK || now < self.began + FIRST_MOMENTS;
            self.gathered_at = now + if soon { GATHER_SOON } else { GATHER };
            self.gulp = 0;
            return false;
        };
        self.gulp += chunk.len();
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

    /// The pipes, for the next program; none if the log's was closed.
    pub(super) fn into_pipes(self) -> Option<Pipes> {
        Some(Pipes { log: self.log?, captured: self.captured })
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

/// Readable, and left alone for long enough.
async fn gathered(pipe: Option<&mut Pipe>, at: Instant) {
    if pipe.is_some() {
        tokio::time::sleep_until(at).await;
    }
    readable(pipe).await;
}

async fn readable(pipe: Option<&mut Pipe>) {
    match pipe {
        Some(pipe) => pipe.readable().await,
        None => pending().await,
    }
}

/// Reads without waiting; at the end, and at an error, the pipe is let go.
fn read<'b>(pipe: &mut Option<Pipe>, buffer: &'b mut [u8]) -> Option<&'b [u8]> {
    let open = pipe.as_mut()?;
    loop {
        match open.read(buffer) {
            Ok(0) => *pipe = None,
            Ok(n) => return Some(&buffer[..n]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => open.leave_alone(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => *pipe = None,
        }
        return None;
    }
}
