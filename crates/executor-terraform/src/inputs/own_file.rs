//! Files that only the runner's user can read, written where a repository may have put a trap.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Writes a file that was not there, mode 0600. A link in its place counts as being there, whatever
/// it points to.
pub(crate) fn create(path: &Path, content: &[u8]) -> io::Result<()> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?.write_all(content)
}

/// Writes a file, mode 0600, in place of whatever file or link was there. A link is replaced, never
/// followed.
pub(crate) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => create(path, content),
    }
}
