//! New key pairs, and the files they are written to: whole or not at all, and never over another file.

use std::fs::{self, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use meshstack_client::{KeyPair, generate_key_pair};
use rcgen::{CertificateParams, DnType, KeyUsagePurpose};

use super::{PairArgs, Refused};
use crate::Exit;
use crate::peek::{Peek, What};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// What [`generate_key_pair`] gives a certificate.
const DEFAULT_DAYS: u32 = 3650;
/// X.509 (RFC 5280, `ub-common-name`).
const LONGEST_NAME: usize = 64;

/// Where a new pair goes.
pub(super) struct Places {
    pub(super) key: PathBuf,
    pub(super) certificate: PathBuf,
}

/// A pair that was written.
pub(super) struct Written {
    pub(super) key: PathBuf,
    pub(super) certificate: PathBuf,
    pub(super) pair: KeyPair,
}

/// Makes a pair and writes it.
pub(super) fn make(args: &PairArgs, peek: &Peek<'_>, places: Places) -> Result<Written, Refused> {
    let failed = |text: String| (text, Exit::Failure);
    let name = name(args, peek)?;
    for place in [&places.key, &places.certificate] {
        if fs::symlink_metadata(place).is_ok() {
            return Err(failed(taken(place)));
        }
        let folder = place.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|error| {
            failed(format!(
                "The folder {} cannot be made ({error}). Check the path and its permissions.",
                folder.display()
            ))
        })?;
    }
    let pair = new_pair(&name, args.days).map_err(|text| failed(format!("No key pair was made: {text}.")))?;
    write(&places.key, pair.private_key_pem.expose(), 0o600).map_err(failed)?;
    if let Err(text) = write(&places.certificate, &pair.certificate_pem, 0o644) {
        // Ours, from a moment ago: a key without its certificate is of no use.
        let _ = fs::remove_file(&places.key);
        return Err(failed(text));
    }
    Ok(Written { key: places.key, certificate: places.certificate, pair })
}

fn name(args: &PairArgs, peek: &Peek<'_>) -> Result<String, Refused> {
    let name = args.name.clone().unwrap_or_else(|| {
        let uuid = peek.plain(What::Uuid).filter(|uuid| uuid.len() <= 36);
        uuid.map_or_else(|| "building block runner".to_owned(), |uuid| format!("building block runner {uuid}"))
    });
    if name.trim().is_empty() || name.chars().count() > LONGEST_NAME || name.chars().any(char::is_control) {
        let text = format!("The name must have 1 to {LONGEST_NAME} printable characters. Give another with --name.");
        return Err((text, Exit::BadConfiguration));
    }
    Ok(name)
}

fn new_pair(name: &str, days: u32) -> Result<KeyPair, String> {
    let pair = generate_key_pair(name).map_err(|error| error.to_string())?;
    if days == DEFAULT_DAYS {
        return Ok(pair);
    }
    let certificate_pem = signed(pair.private_key_pem.expose(), name, days).map_err(|error| error.to_string())?;
    Ok(KeyPair { certificate_pem, ..pair })
}

/// A certificate for a key, signed by the key itself, from yesterday on: clocks may be behind.
fn signed(key: &str, name: &str, days: u32) -> Result<String, rcgen::Error> {
    let key = rcgen::KeyPair::from_pem(key)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.key_usages = vec![KeyUsagePurpose::KeyEncipherment];
    let now = SystemTime::now();
    params.not_before = (now - DAY).into();
    params.not_after = (now + DAY * days).into();
    Ok(params.self_signed(&key)?.pem())
}

/// Writes a file that must not exist.
fn write(file: &Path, text: &str, mode: u32) -> Result<(), String> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let written = || {
        let mut new = tempfile::Builder::new().prefix(".bb-runner-").tempfile_in(folder)?;
        new.as_file().set_permissions(Permissions::from_mode(mode))?;
        new.write_all(text.as_bytes())?;
        new.as_file().sync_all()?;
        new.persist_noclobber(file).map_err(|error| error.error)?;
        fs::File::open(folder)?.sync_all()
    };
    written().map_err(|error: io::Error| match error.kind() {
        io::ErrorKind::AlreadyExists => taken(file),
        _ => format!("The file {} cannot be written ({error}). Check the folder and its permissions.", file.display()),
    })
}

fn taken(file: &Path) -> String {
    format!(
        "The file {} exists and is not overwritten. Choose another with --key and --cert, or move it away.",
        file.display()
    )
}
