//! `bb-runner keys generate`.

use std::path::Path;

use super::files::{self, Places, Written};
use super::{GenerateArgs, Refused, check};
use crate::Exit;
use crate::peek::{Peek, quoted};
use crate::say::say;

/// Looked for by the runner where no other is configured.
const KEY: &str = "runner-private.pem";
/// Looked for by `register` and `keys check` beside that.
const CERTIFICATE: &str = "runner-certificate.pem";

pub(super) fn run(args: &GenerateArgs, peek: &Peek<'_>, directory: &Path) -> Result<Exit, Refused> {
    let pair = &args.pair;
    let places = if let (Some(key), Some(certificate)) = (&pair.key, &pair.cert) {
        Places { key: directory.join(key), certificate: directory.join(certificate) }
    } else {
        let folder = pair.dir.as_ref().map_or_else(|| directory.to_owned(), |folder| directory.join(folder));
        Places { key: folder.join(KEY), certificate: folder.join(CERTIFICATE) }
    };
    let written = files::make(pair, peek, places)?;
    crate::say::text(&described(&written));
    say!("\nWhat to do with them:\n");
    let register = peek.command(&format!("register --cert {}", quoted(&written.certificate)));
    say!("1. Register the certificate with meshStack: `{register}`,");
    say!("   or paste this, with its first and last line, as the public key of the building block runner there:\n");
    say!("{}", written.pair.certificate_pem);
    say!("2. Tell the runner where its private key is:\n");
    say!("   {}: {}", peek.key_name("privateKeyFile"), crate::file_edit::scalar(&written.key.to_string_lossy()));
    say!("\n   in {} (or the variable RUNNER_PRIVATE_KEY_FILE).", peek.shown.display());
    say!("\n3. Back the private key up where secrets are kept. Inputs that are encrypted for it are lost without it.");
    Ok(Exit::Success)
}

/// The two files.
pub(super) fn described(written: &Written) -> String {
    let certificate = check::read_certificate(&written.pair.certificate_pem);
    let (until, fingerprint) = match &certificate {
        Ok(certificate) => (check::date(certificate.not_after()), check::grouped(&certificate.fingerprint())),
        Err(error) => (error.to_string(), String::new()),
    };
    format!(
        "Private key:  {} (RSA, 4096 bits, mode 0600)\nCertificate:  {} (valid until {until})\nPublic key:   SHA-256 {fingerprint}\n",
        written.key.display(),
        written.certificate.display(),
    )
}
