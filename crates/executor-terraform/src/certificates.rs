//! Certificates of a company's own authorities, for git and Terraform.
//!
//! Both read *one* file. So the system's certificates and the operator's are put into one.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::Settings;

/// Where systems keep theirs: Debian, Fedora, SUSE, Alpine.
const SYSTEM: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];
const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";
/// A certificate has a few KiB, a bundle of all there are a few hundred.
const MOST_BYTES: u64 = 4 * 1024 * 1024;

/// Writes the bundle to `target`. None if the operator has no certificates of their own.
pub(crate) fn bundle(settings: &Settings, target: &Path) -> io::Result<Option<PathBuf>> {
    let own: Vec<Vec<u8>> = own(&settings.ca_certs).into_iter().map(|(_, bytes)| bytes).collect();
    if own.is_empty() {
        return Ok(None);
    }
    // What the runner itself was told to trust in place of the system's.
    let system = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from).into_iter();
    let system = system.chain(SYSTEM.map(PathBuf::from)).find_map(|path| read(&path)).unwrap_or_default();
    fs::write(target, std::iter::once(system).chain(own).collect::<Vec<_>>().join(&b'\n'))?;
    Ok(Some(target.to_owned()))
}

/// The operator's own certificates in these files and folders, and the file that each comes from.
pub(crate) fn own(paths: &[PathBuf]) -> Vec<(PathBuf, Vec<u8>)> {
    paths.iter().flat_map(|path| files(path)).filter_map(|file| read(&file).map(|bytes| (file, bytes))).collect()
}

/// The file itself, or those in the folder, by name.
fn files(path: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(path) else { return vec![path.to_owned()] };
    let mut files: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    files.sort();
    files
}

/// What is no certificate in PEM (a README, a key store) is passed over.
fn read(path: &Path) -> Option<Vec<u8>> {
    let metadata = fs::metadata(path).ok()?;
    if !metadata.is_file() || metadata.len() > MOST_BYTES {
        return None;
    }
    fs::read(path).ok().filter(|bytes| memchr::memmem::find(bytes, BEGIN).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_of_a_folder_and_of_a_file_are_added_to_the_systems() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("certs");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("b.crt"), "-----BEGIN CERTIFICATE-----\nB").unwrap();
        fs::write(folder.join("a"), "-----BEGIN CERTIFICATE-----\nA").unwrap();
        fs::write(folder.join("README"), "no certificate").unwrap();
        let file = dir.path().join("c.pem");
        fs::write(&file, "-----BEGIN CERTIFICATE-----\nC").unwrap();
        let settings = Settings { ca_certs: vec![folder, file, dir.path().join("missing")], ..Settings::default() };

        let bundle = bundle(&settings, &dir.path().join("bundle.pem")).unwrap().unwrap();

        let text = fs::read_to_string(bundle).unwrap();
        let own = ["A", "B", "C"].map(|name| format!("-----BEGIN CERTIFICATE-----\n{name}")).join("\n");
        assert!(text.ends_with(&own), "{}", &text[text.len().saturating_sub(200)..]);
        assert!(!text.contains("no certificate"));
    }

    #[test]
    fn without_own_certificates_the_systems_are_left_as_they_are() {
        let dir = tempfile::tempdir().unwrap();
        let settings = Settings { ca_certs: vec![dir.path().to_owned()], ..Settings::default() };
        let target = dir.path().join("bundle.pem");
        assert_eq!(bundle(&settings, &target).unwrap(), None);
        assert!(!target.exists());
    }
}
