//! Secrets that stand in files of their own.

use std::io::Read as _;
use std::path::Path;

/// Longest file, in bytes. Tokens and passwords have less than a few thousand.
const MAX_BYTES: u64 = 64 << 10;

/// What the file holds, without the line end behind it. What is wrong is a sentence that names the file and repeats
/// nothing of it.
pub(super) fn read(file: &Path, shown: &Path) -> Result<String, String> {
    let shown = shown.display();
    let mut bytes = Vec::new();
    // Neither a folder nor a pipe, which might never end.
    let opened = std::fs::metadata(file).and_then(|about| {
        if about.is_file() { std::fs::File::open(file) } else { Err(std::io::Error::other("it is no file")) }
    });
    opened.and_then(|opened| opened.take(MAX_BYTES + 1).read_to_end(&mut bytes)).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => {
            format!("the file {shown} does not exist. Correct the path, or mount the secret there.")
        }
        _ => format!("the file {shown} cannot be read ({e}). Check its name and its permissions."),
    })?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(format!("the file {shown} has more than 64 KiB, so it holds no such secret. Check its name."));
    }
    let text = String::from_utf8(bytes)
        .map_err(|_| format!("the file {shown} is not UTF-8 text. It must hold the secret alone, as text."))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text).trim_end_matches(['\r', '\n']);
    if text.trim().is_empty() {
        return Err(format!("the file {shown} is empty. It must hold the secret."));
    }
    Ok(text.to_owned())
}
