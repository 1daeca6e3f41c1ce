//! Certificates of authorities that an operator adds to the platform's.
//!
//! Source: `protocol/configuration.md`, `CUSTOM_CA_CERTS_PATH`.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use reqwest::Certificate;
use x509_cert::der::Decode as _;

use crate::crypto::pem;

/// Of a file, no more is read: bundles of all public authorities have a quarter of a MiB.
const LONGEST: u64 = 8 << 20;

/// An authority, and the file it comes from.
pub(crate) struct Authority {
    pub(crate) file: PathBuf,
    pub(crate) certificate: Certificate,
}

/// Reads the certificates of files, and of all files of folders. What cannot be read is a warning that names the file.
pub(crate) fn load(paths: &[PathBuf]) -> Vec<Authority> {
    let mut found = Vec::new();
    for path in paths {
        match files_of(path) {
            Ok(files) => files.iter().for_each(|(file, expected)| read(file, *expected, &mut found)),
            Err(error) => warn(path, &error.to_string()),
        }
    }
    found
}

/// The files of a path, and whether each is expected to hold a certificate: named one by one, or named like one.
fn files_of(path: &Path) -> std::io::Result<Vec<(PathBuf, bool)>> {
    if !fs::metadata(path)?.is_dir() {
        return Ok(vec![(path.to_owned(), true)]);
    }
    let mut files: Vec<PathBuf> =
        fs::read_dir(path)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    // In a mounted volume there are folders and links to folders beside the files.
    files.retain(|file| !file.is_dir());
    files.sort();
    let expected = |file: &Path| file.extension().is_some_and(|end| end == "crt" || end == "pem");
    Ok(files.into_iter().map(|file| (file.clone(), expected(&file))).collect())
}

fn read(file: &Path, expected: bool, found: &mut Vec<Authority>) {
    let before = found.len();
    let bytes = match read_bounded(file) {
        Ok(bytes) => bytes,
        Err(error) => return warn(file, &error.to_string()),
    };
    // Bundles hold names and comments in whatever encoding.
    let text = String::from_utf8_lossy(&bytes);
    for block in pem::blocks(&text).filter(|block| block.label == "CERTIFICATE") {
        let certificate = block
            .der()
            .filter(|der| x509_cert::Certificate::from_der(der).is_ok())
            .and_then(|der| Certificate::from_der(&der).ok());
        match certificate {
            Some(certificate) => found.push(Authority { file: file.to_owned(), certificate }),
            None => warn(file, "it holds a damaged certificate"),
        }
    }
    if expected && found.len() == before {
        warn(file, "it holds no certificate in PEM form");
    }
}

fn read_bounded(file: &Path) -> std::io::Result<Vec<u8>> {
    // Neither a pipe nor a device, which might never end.
    if !fs::metadata(file)?.is_file() {
        return Err(std::io::Error::other("it is no regular file"));
    }
    let mut bytes = Vec::new();
    fs::File::open(file)?.take(LONGEST).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn warn(file: &Path, reason: &str) {
    tracing::warn!(file = %file.display(), reason, "a CA certificate file is left out");
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;
    use std::path::PathBuf;
    use std::sync::{Arc, Mutex};

    use super::load;

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// The names of the files that certificates were found in, and the log.
    fn loaded(paths: &[PathBuf]) -> (Vec<String>, String) {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
        let found = tracing::subscriber::with_default(subscriber, || load(paths));
        let names = found.iter().map(|authority| authority.file.file_name().unwrap().to_string_lossy().into_owned());
        let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        (names.collect(), text)
    }

    #[test]
    fn every_file_with_a_certificate_counts_and_only_what_should_have_one_is_complained_about() {
        let certificate = include_str!("../tests/fixtures/crypto/current.cert.pem");
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in [
            ("bundle.crt", certificate.repeat(2)),
            ("some-name", certificate.to_owned()),
            ("README", "no certificate, and none expected".to_owned()),
            ("garbage.pem", "garbage".to_owned()),
            ("half.crt", format!("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n{certificate}")),
        ] {
            fs::write(folder.path().join(name), content).unwrap();
        }
        fs::create_dir(folder.path().join("folder.crt")).unwrap();
        std::os::unix::fs::symlink("nowhere", folder.path().join("dangling")).unwrap();

        let (names, log) = loaded(&[folder.path().to_owned(), "/nonexistent".into()]);
        assert_eq!(names, ["bundle.crt", "bundle.crt", "half.crt", "some-name"]);
        for complaint in ["garbage.pem", "half.crt", "dangling", "/nonexistent"] {
            assert_eq!(log.matches(complaint).count(), 1, "{complaint} in {log}");
        }
        assert_eq!(log.lines().count(), 4, "{log}");
    }
}
