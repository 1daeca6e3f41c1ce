//! The reading end of a pipe that a program may write to line by line.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};

use tokio::net::unix::pipe::Receiver;

/// Bytes that fit into the pipe of a program's log.
#[cfg(target_os = "linux")]
const SIZE: usize = 512 * 1024;

/// The reading ends of a program's output.
pub(super) struct Pipes {
    pub(super) log: Pipe,
    pub(super) captured: Option<Pipe>,
}

/// A pipe for a log, with room for what comes while it is left alone. Refused, the program waits a little instead.
pub(super) fn log_pipe() -> io::Result<(Pipe, io::PipeWriter)> {
    let (reader, writer) = io::pipe()?;
    #[cfg(target_os = "linux")]
    let _ = rustix::pipe::fcntl_setpipe_size(&reader, SIZE);
    Ok((Pipe::new(reader)?, writer))
}

/// A reading end that the runtime watches only while it is waited for.
///
/// A watched pipe wakes the runtime at each write, read or not: for a program that writes line by
/// line that costs far more than all that is done with the lines.
pub(super) struct Pipe {
    watched: Option<Receiver>,
    /// In non-blocking mode.
    alone: Option<OwnedFd>,
}

impl Pipe {
    pub(super) fn new(reader: io::PipeReader) -> io::Result<Self> {
        // Puts it into non-blocking mode.
        Ok(Self { watched: Some(Receiver::from_owned_fd(reader.into())?), alone: None })
    }

    /// Waits until there is something to read, or the end.
    pub(super) async fn readable(&mut self) {
        if let Some(alone) = self.alone.take() {
            // It was watched before, so it can be again; if not, the read after this tells.
            self.watched = Receiver::from_owned_fd(alone).ok();
        }
        if let Some(watched) = &self.watched {
            // An error shows again when it is read.
            let _ = watched.readable().await;
        }
    }

    /// Reads without waiting. 0 is the end.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = match (&self.watched, &self.alone) {
            (Some(watched), _) => rustix::io::read(watched.as_fd(), buffer),
            (None, Some(alone)) => rustix::io::read(alone, buffer),
            (None, None) => Ok(0),
        };
        read.map_err(io::Error::from)
    }

    /// Leaves it alone until it is waited for again.
    pub(super) fn leave_alone(&mut self) {
        if let Some(watched) = self.watched.take() {
            self.alone = watched.into_nonblocking_fd().ok();
        }
    }
}
