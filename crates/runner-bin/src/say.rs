//! Words on standard output. A pipe that is closed early (`| head`) is no failure; anything else that keeps them from being
//! written is.

use std::io::{self, ErrorKind, Write as _};
use std::sync::OnceLock;

use crate::{Exit, logging};

/// What kept words from being written.
static FAILED: OnceLock<ErrorKind> = OnceLock::new();

/// Writes a text as it is.
pub(crate) fn text(text: &str) {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => drop(FAILED.set(error.kind())),
        _ => {}
    }
}

/// How the program ends that would end like this, had all its words been written.
pub(crate) fn end(exit: Exit) -> Exit {
    let Some(kind) = FAILED.get() else { return exit };
    logging::complain(&format!(
        "Standard output could not be written ({kind}), so something is missing there. Check the disk or program that it goes to."
    ));
    if exit == Exit::Success { Exit::Failure } else { exit }
}

/// Writes a line, in the form of `println!`.
macro_rules! say {
    ($($words:tt)*) => { $crate::say::text(&(format!($($words)*) + "\n")) };
}
pub(crate) use say;
