//! `bb-runner keys check`: which certificate belongs to which key.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest;
use meshstack_client::{Certificate, KeyError, PrivateKey};
use x509_cert::der::{DateTime, DecodePem as _, Encode as _};

use super::{CheckArgs, Refused};
use crate::Exit;
use crate::config::Dialect;
use crate::peek::{KeyPlace, KeySource, Origin, Peek, read_bounded};

/// Largest file that is read, in bytes.
const MAX_BYTES: u64 = 256 << 10;
/// What meshStack's own certificates have, and ours.
const USUAL_BITS: usize = 4096;
/// A certificate that ends sooner than this is a warning.
const SOON: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// A private key of the configuration, or one that was named.
pub(crate) struct KeyReport {
    /// Where it comes from, for people.
    pub(crate) label: String,
    /// The file, if it is in one.
    pub(crate) file: Option<PathBuf>,
    /// The key; or a sentence that says what is wrong with it, and one that says what to do.
    pub(crate) key: Result<PrivateKey, String>,
}

impl KeyReport {
    /// Reads a key.
    pub(crate) fn of(source: &KeySource, directory: &Path) -> Self {
        let (label, file) = match &source.key {
            KeyPlace::File(path) => (format!("{} ({})", path.display(), source.setting), Some(directory.join(path))),
            KeyPlace::Inline(_) => (format!("`{}`", source.setting), None),
        };
        Self { label, file, key: read_key(source, directory) }
    }

    /// What looks wrong with a key that can be used.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if let Ok(key) = &self.key
            && key.modulus_bits() < USUAL_BITS
        {
            warnings.push(format!(
                "It has {} bits; meshStack's keys have {USUAL_BITS}. `bb-runner keys rotate` makes a longer one.",
                key.modulus_bits()
            ));
        }
        if let Some(file) = &self.file
            && let Some(mode) = open_to_others(file)
        {
            warnings.push(format!(
                "Others can read it (mode {mode:04o}). Take the right away: `chmod go-rwx {}`.",
                file.display()
            ));
        }
        warnings
    }
}

/// Reads a private key; an error is what is wrong and what to do.
pub(crate) fn read_key(source: &KeySource, directory: &Path) -> Result<PrivateKey, String> {
    match &source.key {
        KeyPlace::Inline(text) => PrivateKey::from_pem(text.expose())
            .map_err(|error| format!("The private key in `{}` cannot be used: {error}.", source.setting)),
        KeyPlace::File(path) => {
            let shown = path.display();
            let file = directory.join(path);
            if !file.exists() {
                return Err(format!(
                    "The private key file {shown} does not exist. Correct the path, or put the key there."
                ));
            }
            let text = read_bounded(&file, MAX_BYTES).ok_or_else(|| {
                format!("The private key file {shown} cannot be read as text. Check its permissions and what it holds.")
            })?;
            PrivateKey::from_pem(text.expose())
                .map_err(|error| format!("The private key file {shown} cannot be used: {error}."))
        }
    }
}

/// Reads a certificate file; an error is what is wrong and what to do.
pub(crate) fn read_certificate_file(file: &Path, shown: &Path) -> Result<Certificate, String> {
    let shown = shown.display();
    if !file.exists() {
        return Err(format!("The certificate file {shown} does not exist. Correct the path."));
    }
    let text = read_bounded(file, MAX_BYTES).ok_or_else(|| {
        format!("The certificate file {shown} cannot be read as text. Check its permissions and what it holds.")
    })?;
    if text.expose().contains("PRIVATE KEY-----") && !text.expose().contains("-----BEGIN CERTIFICATE-----") {
        return Err(format!("The certificate file {shown} holds a private key. Name the certificate."));
    }
    read_certificate(text.expose()).map_err(|error| format!("The certificate file {shown} cannot be used: {error}."))
}

/// Reads a certificate.
pub(crate) fn read_certificate(pem: &str) -> Result<Certificate, KeyError> {
    Certificate::from_pem(pem)
}

/// The certificate that lies beside a key, by the names that are usual.
pub(crate) fn certificate_beside(key: &Path) -> Option<PathBuf> {
    let name = key.file_name()?.to_str()?;
    let replaced =
        [("private", "certificate"), ("private", "cert"), (".key", ".cert"), (".key", ".crt"), ("key.", "cert.")];
    let names =
        replaced.into_iter().filter(|(part, _)| name.contains(part)).map(|(part, other)| name.replace(part, other));
    names.map(|name| key.with_file_name(name)).find(|file| file.is_file())
}

/// The modes by which others than the owner can read a file, if there are such.
fn open_to_others(file: &Path) -> Option<u32> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(file).ok()?.permissions().mode() & 0o777;
    (mode & 0o004 != 0).then_some(mode)
}

/// The day, as `2026-11-24`.
pub(crate) fn date(time: SystemTime) -> String {
    let text = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .ok()
        .and_then(|since| DateTime::from_unix_duration(since).ok())
        .map(|time| time.to_string())
        .unwrap_or_default();
    text.split('T').next().unwrap_or_default().to_owned()
}

/// SHA-256 of a certificate, as `openssl x509 -fingerprint -sha256` shows it.
pub(crate) fn fingerprint_of(certificate: &Certificate) -> String {
    let der =
        x509_cert::Certificate::from_pem(certificate.pem()).and_then(|parsed| parsed.to_der()).unwrap_or_default();
    let mut hex = String::new();
    for byte in digest::digest(&digest::SHA256, &der).as_ref() {
        let _ = write!(hex, "{byte:02x}");
    }
    grouped(&hex)
}

/// `ab12…` as `AB:12:…`.
pub(crate) fn grouped(hex: &str) -> String {
    let mut out = String::with_capacity(hex.len() * 3 / 2);
    for (place, c) in hex.chars().enumerate() {
        if place > 0 && place % 2 == 0 {
            out.push(':');
        }
        out.push(c.to_ascii_uppercase());
    }
    out
}

/// What looks wrong with a certificate that can be used.
pub(crate) fn certificate_warnings(certificate: &Certificate, now: SystemTime) -> Vec<String> {
    let mut warnings = Vec::new();
    let until = date(certificate.not_after());
    let renew =
        "meshStack goes on encrypting with it; renew it with `bb-runner keys rotate` where a policy asks for that.";
    if certificate.not_after() < now {
        warnings.push(format!("It has run out on {until}. {renew}"));
    } else if certificate.not_after() < now + SOON {
        warnings.push(format!("It runs out soon, on {until}. {renew}"));
    }
    if certificate.not_before() > now {
        let from = date(certificate.not_before());
        warnings.push(format!(
            "It is valid only from {from} on. Check the clock of the machine that made it, and of this one."
        ));
    }
    if certificate.modulus_bits() < USUAL_BITS {
        warnings.push(format!("It has {} bits; meshStack's keys have {USUAL_BITS}.", certificate.modulus_bits()));
    }
    warnings
}

/// A certificate to check.
struct CertificateReport {
    shown: PathBuf,
    certificate: Result<Certificate, String>,
}

pub(super) fn run(args: &CheckArgs, peek: &Peek<'_>, directory: &Path) -> Result<Exit, Refused> {
    let sources = if args.keys.is_empty() {
        peek.keys()
    } else {
        let named = |file: &PathBuf| KeySource {
            setting: "--key".to_owned(),
            origin: Origin::File,
            key: KeyPlace::File(file.clone()),
        };
        args.keys.iter().map(named).collect()
    };
    let keys: Vec<KeyReport> = sources.iter().map(|source| KeyReport::of(source, directory)).collect();
    let mut files: Vec<PathBuf> = args.certificates.clone();
    if files.is_empty() {
        files = keys.iter().filter_map(|key| certificate_beside(key.file.as_deref()?)).collect();
        files.dedup();
    }
    let mut certificates: Vec<CertificateReport> = files
        .into_iter()
        .map(|shown| CertificateReport { certificate: read_certificate_file(&directory.join(&shown), &shown), shown })
        .collect();
    if args.certificates.is_empty() {
        certificates.extend(of_controller(peek, directory));
    }
    if keys.is_empty() && certificates.is_empty() {
        let text = format!(
            "There is no key to check: neither {} nor RUNNER_PRIVATE_KEY_FILE names one. Name one with --key, or make one \
             with `bb-runner keys generate`.",
            peek.shown.display()
        );
        return Err((text, Exit::BadConfiguration));
    }
    let (text, sound) = report(&keys, &certificates, SystemTime::now());
    crate::say::text(&text);
    Ok(if sound { Exit::Success } else { Exit::Failure })
}

/// The certificate that a controller registers itself with.
fn of_controller(peek: &Peek<'_>, directory: &Path) -> Option<CertificateReport> {
    if peek.dialect != Dialect::Controller {
        return None;
    }
    let text = |key: &str| Some(peek.find(key)?.text()?.to_owned());
    if let Some(file) = text("crypto.publicKeyFile") {
        let shown = peek.expanded(file.trim());
        let certificate = read_certificate_file(&directory.join(&shown), &shown);
        return Some(CertificateReport { shown, certificate });
    }
    let certificate = read_certificate(&text("crypto.publicKey")?)
        .map_err(|error| format!("The certificate in `crypto.publicKey` cannot be used: {error}."));
    Some(CertificateReport { shown: "`crypto.publicKey`".into(), certificate })
}

/// The text, and whether nothing is a problem.
fn report(keys: &[KeyReport], certificates: &[CertificateReport], now: SystemTime) -> (String, bool) {
    let mut text = String::new();
    let mut lines = Vec::new();
    if !keys.is_empty() {
        lines.push("Private keys, the newest first:".to_owned());
    }
    for (place, report) in keys.iter().enumerate() {
        lines.push(format!("  {}. {}", place + 1, report.label));
        lines.extend(of_key(keys, place, certificates).into_iter().map(|line| format!("     {line}")));
    }
    if !certificates.is_empty() {
        lines.push("Certificates:".to_owned());
    }
    for report in certificates {
        lines.push(format!("  - {}", report.shown.display()));
        lines.extend(of_certificate(report, keys, now).into_iter().map(|line| format!("     {line}")));
    }
    let sound = !lines.iter().any(|line| line.trim_start().starts_with(PROBLEM));
    for line in lines {
        let _ = writeln!(text, "{line}");
    }
    (text, sound)
}

const PROBLEM: &str = "problem: ";

fn of_key(keys: &[KeyReport], place: usize, certificates: &[CertificateReport]) -> Vec<String> {
    let report = &keys[place];
    let key = match &report.key {
        Ok(key) => key,
        Err(problem) => return vec![format!("{PROBLEM}{problem}")],
    };
    let mut lines = vec![
        format!("RSA, {} bits", key.modulus_bits()),
        format!("public key SHA-256 {}", grouped(&key.fingerprint())),
    ];
    let same = |other: &&KeyReport| other.key.as_ref().is_ok_and(|other| other.fingerprint() == key.fingerprint());
    if let Some(earlier) = keys[..place].iter().find(same) {
        lines.push(format!("warning: It is the same key as {}. Remove one of the two.", earlier.label));
    }
    let own = certificates.iter().find(|report| report.certificate.as_ref().is_ok_and(|own| key.matches(own)));
    lines.push(own.map_or_else(
        || "certificate: not among those that were checked".to_owned(),
        |own| format!("certificate: {}", own.shown.display()),
    ));
    lines.extend(report.warnings().iter().map(|warning| format!("warning: {warning}")));
    lines
}

fn of_certificate(report: &CertificateReport, keys: &[KeyReport], now: SystemTime) -> Vec<String> {
    let certificate = match &report.certificate {
        Ok(certificate) => certificate,
        Err(problem) => return vec![format!("{PROBLEM}{problem}")],
    };
    let (from, until) = (date(certificate.not_before()), date(certificate.not_after()));
    let owner = keys.iter().position(|key| key.key.as_ref().is_ok_and(|key| key.matches(certificate)));
    let mut lines = vec![
        format!("RSA, {} bits, valid from {from} until {until}", certificate.modulus_bits()),
        format!("certificate SHA-256 {}", fingerprint_of(certificate)),
        format!("public key SHA-256 {}", grouped(&certificate.fingerprint())),
    ];
    lines.push(owner.map_or_else(
        || {
            format!(
                "{PROBLEM}It belongs to none of these keys. If it is the registered one, secrets cannot be read: register the \
                 certificate of the current key (`bb-runner register`)."
            )
        },
        |place| format!("belongs to key {} ({})", place + 1, keys[place].label),
    ));
    lines.extend(certificate_warnings(certificate, now).iter().map(|warning| format!("warning: {warning}")));
    lines
}
