//! The file with the checksums of a release's archives.

use std::fmt;

/// A SHA-256 checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sum(pub(crate) [u8; 32]);

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Sum {
    fn parse(text: &str) -> Option<Self> {
        if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        let mut sum = [0; 32];
        for (byte, at) in sum.iter_mut().zip((0..64).step_by(2)) {
            *byte = u8::from_str_radix(&text[at..at + 2], 16).ok()?;
        }
        Some(Self(sum))
    }
}

/// The checksum of the file, in lines as `sha256sum` writes them.
pub(crate) fn of_file(sums: &[u8], name: &str) -> Option<Sum> {
    str::from_utf8(sums).ok()?.lines().find_map(|line| {
        let (sum, file) = line.split_once(char::is_whitespace)?;
        // A star marks a file that was read as binary.
        let file = file.trim();
        (file.strip_prefix('*').unwrap_or(file) == name).then(|| Sum::parse(sum))?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_of_a_file_is_found_by_its_whole_name() {
        let (one, two) = ("1a".repeat(32), "2B".repeat(32));
        let sums = format!("{one}  tofu_1.9.0_linux_amd64.zip.sbom\n{two} *tofu_1.9.0_linux_amd64.zip\n");
        let found = of_file(sums.as_bytes(), "tofu_1.9.0_linux_amd64.zip").unwrap();
        assert_eq!(found.to_string(), two.to_lowercase());
        assert_eq!(of_file(sums.as_bytes(), "tofu_1.9.0"), None);
    }

    #[test]
    fn what_is_no_sum_is_none() {
        for sum in ["", "1a", &"x".repeat(64), &"é".repeat(32)] {
            assert_eq!(of_file(format!("{sum}  file").as_bytes(), "file"), None, "{sum}");
        }
        assert_eq!(of_file(b"\xff\xfe", "file"), None);
    }
}
