//! Words on standard output. A pipe that is closed early (`| head`) is no failure.

use std::io::Write as _;

/// Writes a text as it is.
pub(crate) fn text(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

/// Writes a line, in the form of `println!`.
macro_rules! say {
    ($($words:tt)*) => { $crate::say::text(&(format!($($words)*) + "\n")) };
}
pub(crate) use say;
