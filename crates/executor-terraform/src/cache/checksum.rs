//! Checksums of providers, as a module's lock file has them.
//!
//! Terraform fails if it finds a provider in its cache whose checksum is not in the lock file, though the file often
//! just lacks the one for this platform. So such a provider is not offered from the cache; Terraform then downloads it
//! and checks it itself.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hcl_edit::expr::Expression;
use hcl_edit::structure::Body;

const LOCK_FILE: &str = ".terraform.lock.hcl";
/// A lock file has a few KiB. Bytes.
const MOST_BYTES: u64 = 1 << 20;

/// What a module's lock file says: the checksums of each provider, by `host/namespace/type/version`.
#[derive(Debug, Default)]
pub(crate) struct LockFile(BTreeMap<PathBuf, Vec<String>>);

impl LockFile {
    /// The lock file of the module in this folder. One that cannot be read says nothing; Terraform says it better.
    pub(crate) fn of(module: &Path) -> Self {
        let mut text = String::new();
        let path = module.join(LOCK_FILE);
        // Not a pipe or a device that somebody has put there.
        if fs::metadata(&path).is_ok_and(|metadata| metadata.is_file())
            && let Ok(file) = File::open(path)
        {
            let _ = file.take(MOST_BYTES).read_to_string(&mut text);
        }
        Self::read(&text)
    }

    fn read(text: &str) -> Self {
        let body: Body = text.parse().unwrap_or_default();
        let string = |expression: &Expression| expression.as_str().map(str::to_owned);
        let mut locked = BTreeMap::new();
        for block in body.get_blocks("provider") {
            let [name] = block.labels.as_slice() else { continue };
            let version = block.body.get_attribute("version").and_then(|version| string(&version.value));
            let hashes = block.body.get_attribute("hashes").and_then(|hashes| hashes.value.as_array());
            if let (Some(version), Some(hashes)) = (version, hashes) {
                locked.insert(Path::new(name.as_str()).join(version), hashes.iter().filter_map(string).collect());
            }
        }
        Self(locked)
    }

    /// Whether Terraform will take this provider from its cache: the lock file has no checksums for it, or its own.
    pub(crate) fn admits(&self, entry: &Path, folder: &Path) -> io::Result<bool> {
        match entry.parent().and_then(|version| self.0.get(version)) {
            Some(hashes) if !hashes.is_empty() => Ok(hashes.contains(&remembered(folder)?)),
            _ => Ok(true),
        }
    }
}

/// The checksum, from the file beside the provider if it is there: reading hundreds of megabytes takes its time.
fn remembered(folder: &Path) -> io::Result<String> {
    let beside = checksum_file(folder);
    if let Ok(hash) = fs::read_to_string(&beside)
        && hash.starts_with("h1:")
    {
        return Ok(hash);
    }
    let hash = h1(folder)?;
    fs::write(beside, &hash)?;
    Ok(hash)
}

/// Where the checksum of a provider is remembered.
pub(super) fn checksum_file(folder: &Path) -> PathBuf {
    let mut name = folder.as_os_str().to_owned();
    name.push(".h1");
    PathBuf::from(name)
}

/// Terraform's checksum of an unpacked provider: of the list of its files with their SHA-256 each.
fn h1(folder: &Path) -> io::Result<String> {
    let mut files = Vec::new();
    collect(folder, "", &mut files)?;
    files.sort();
    let mut list = String::new();
    for name in files {
        let mut sum = Context::new(&SHA256);
        let mut file = File::open(folder.join(&name))?;
        let mut buffer = vec![0; 1 << 16];
        loop {
            match file.read(&mut buffer)? {
                0 => break,
                read => sum.update(&buffer[..read]),
            }
        }
        for byte in sum.finish().as_ref() {
            let _ = write!(list, "{byte:02x}");
        }
        let _ = writeln!(list, "  {name}");
    }
    Ok(format!("h1:{}", STANDARD.encode(digest(&SHA256, list.as_bytes()))))
}

fn collect(folder: &Path, prefix: &str, files: &mut Vec<String>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            collect(&entry.path(), &format!("{name}/"), files)?;
        } else {
            files.push(name);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{LockFile, h1};

    #[test]
    fn a_provider_is_offered_unless_the_lock_file_has_other_checksums_for_this_very_version() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("linux_amd64");
        std::fs::create_dir_all(folder.join("docs")).unwrap();
        std::fs::write(folder.join("provider"), "program").unwrap();
        std::fs::write(folder.join("docs/a"), "text").unwrap();
        let own = h1(&folder).unwrap();
        let lock = |version: &str, hashes: &str| {
            LockFile::read(&format!(
                "# made by terraform\nprovider \"h/n/t\" {{\n  version = \"{version}\"\n  constraints = \">= 1.0.0\"\n  \
                 hashes = [{hashes}]\n}}\n"
            ))
        };
        let entry = Path::new("h/n/t/1.0.0/linux_amd64");
        for (file, admitted) in [
            (lock("1.0.0", "\"h1:other=\", \"zh:00\","), false),
            (lock("1.0.0", &format!("\"h1:other=\", \"{own}\"")), true),
            (lock("0.9.0", "\"h1:other=\""), true),
            (lock("1.0.0", ""), true),
            (LockFile::read("provider {"), true),
            (LockFile::of(Path::new("/nonexistent")), true),
        ] {
            assert_eq!(file.admits(entry, &folder).unwrap(), admitted, "{file:?}");
        }
    }
}
