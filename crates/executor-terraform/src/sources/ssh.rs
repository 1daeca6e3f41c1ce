//! How git uses ssh: which key it shows, and which hosts it believes.
//!
//! Source: `protocol/terraform.md`, "Sources".

use std::fmt::Write as _;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use runner_core::meshstack_client::Secret;
use runner_core::{Failure, Run};
use serde_json::Value;

use crate::inputs::own_file;

/// Public host keys of the big Git hosts.
const WELL_KNOWN_HOSTS: &str = include_str!("well_known_hosts");

/// The host key that a run brings with it (`knownHost`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KnownHost {
    host: String,
    key_type: String,
    key: String,
}

/// Where host keys are known from, beside what the run and the runner bring.
pub(super) struct Trust {
    /// Files of known hosts, the first found entry counts.
    pub(super) files: Vec<PathBuf>,
    /// Believe any host.
    pub(super) insecure: bool,
}

impl KnownHost {
    /// The `knownHost` of a run; none if it is absent or wholly empty.
    pub(super) fn of(run: &Run) -> Result<Option<Self>, Failure> {
        let Some(known) = run.implementation().and_then(|i| i.get("knownHost")).and_then(Value::as_object) else {
            return Ok(None);
        };
        let text = |name: &str| known.get(name).and_then(Value::as_str).unwrap_or_default().trim().to_owned();
        Self::new(text("host"), text("keyType"), &text("keyValue"))
    }

    fn new(host: String, key_type: String, key_value: &str) -> Result<Option<Self>, Failure> {
        if host.is_empty() && key_value.is_empty() {
            return Ok(None);
        }
        // A line copied from a file of known hosts has more in it than the key.
        let words: Vec<&str> = key_value.split_whitespace().collect();
        let key = words.iter().find(|word| word.starts_with("AAAA")).or(words.first()).copied().unwrap_or_default();
        let key_type = match words.iter().position(|word| *word == key) {
            Some(at) if key_type.is_empty() && at > 0 => words[at - 1].to_owned(),
            _ => key_type,
        };
        let plain = |text: &str, more: &str| {
            !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c))
        };
        if !plain(&host, ".-_:[],%") || !plain(&key_type, "-.@_") || !plain(key, "+/=") {
            return Err(Failure::new(
                "The known host of the building block definition cannot be used. Ask the platform team to enter host, \
                 key type and key as `ssh-keyscan` prints them.",
            ));
        }
        Ok(Some(Self { host, key_type, key: key.to_owned() }))
    }

    /// The line of a file of known hosts.
    fn line(&self) -> String {
        let host = match self.host.split_once(':') {
            // `host:port`, and not a bare IPv6 address.
            Some((name, port)) if !name.starts_with('[') && !port.contains(':') => format!("[{name}]:{port}"),
            _ => self.host.clone(),
        };
        // These names say how the key signs; the key itself has the old name.
        let key_type = if self.key_type.starts_with("rsa-sha2-") { "ssh-rsa" } else { &self.key_type };
        format!("{host} {key_type} {}\n", self.key)
    }

    /// The algorithms that ssh may settle on with the host. `ssh-rsa` names the key, not SHA-1.
    fn algorithms(&self) -> &str {
        match self.key_type.as_str() {
            "ssh-rsa" => "rsa-sha2-512,rsa-sha2-256,ssh-rsa",
            other => other,
        }
    }
}

/// Writes the key and the known hosts to a folder of their own in the run's directory, and gives the
/// value of `GIT_SSH_COMMAND`.
///
/// It holds for module sources in Terraform as well, so a `knownHost` limits the algorithms there too.
pub(super) fn prepare(
    run_dir: &Path,
    key: &Secret,
    known_host: Option<&KnownHost>,
    trust: &Trust,
) -> io::Result<String> {
    let folder = run_dir.join("ssh");
    if !folder.is_dir() {
        DirBuilder::new().mode(0o700).create(&folder)?;
    }
    let folder = fs::canonicalize(folder)?;
    let key_file = folder.join("key");
    own_file::replace(&key_file, key_text(key).expose().as_bytes())?;

    let mut command =
        format!("ssh -i {} -o IdentitiesOnly=yes -o BatchMode=yes", shell_quoted(&key_file.to_string_lossy()));
    if trust.insecure {
        command
            .push_str(" -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o GlobalKnownHostsFile=/dev/null");
        return Ok(command);
    }
    let own = folder.join("known_hosts");
    let well_known = folder.join("well_known_hosts");
    own_file::replace(&own, known_host.map(KnownHost::line).unwrap_or_default().as_bytes())?;
    own_file::replace(&well_known, WELL_KNOWN_HOSTS.as_bytes())?;
    let files: Vec<String> = std::iter::once(&own)
        .chain(&trust.files)
        .chain(std::iter::once(&well_known))
        .map(|file| format!("\"{}\"", file.display()))
        .collect();
    let files = shell_quoted(&format!("UserKnownHostsFile={}", files.join(" ")));
    let _ = write!(command, " -o StrictHostKeyChecking=yes -o {files}");
    if let Some(known_host) = known_host {
        let _ = write!(command, " -o HostKeyAlgorithms={}", known_host.algorithms());
    }
    Ok(command)
}

/// The key as ssh reads it: Unix line ends, and one at the end, which stored keys often lack.
fn key_text(key: &Secret) -> Secret {
    Secret::new(format!("{}\n", key.expose().replace("\r\n", "\n").trim()))
}

/// A word that a shell takes as it is.
fn shell_quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// What ssh said about the host's key, as a sentence with advice; none if it said something else.
pub(super) fn host_key_problem(output: &str) -> Option<String> {
    const ADVICE: &str = "Ask the platform team to check the host's key and to enter it as the known host in the \
                          building block definition, or in the runner's file of known hosts (SSH_KNOWN_HOSTS).";
    let between = |before: &str, after: &str| {
        let start = output.find(before)? + before.len();
        let length = output[start..].find(after)?;
        Some(output[start..start + length].trim())
    };
    if let Some(host) = between("Host key for ", " has changed") {
        let kind = between("The fingerprint for the ", " key sent by").map(key_kind).unwrap_or_default();
        return Some(format!("The host {host} showed another key than the known one{kind}. {ADVICE}"));
    }
    if let Some(host) = between(" host key is known for ", " and you have requested") {
        let before = &output[..output.find(" host key is known for ")?];
        let kind = before.rsplit("No ").next().map(key_kind).unwrap_or_default();
        return Some(format!("The host {host} is not known: it showed a key{kind}. {ADVICE}"));
    }
    if let Some(offer) = between("no matching host key type found. Their offer: ", "\n") {
        let host = between("Unable to negotiate with ", ":").unwrap_or("of the repository");
        return Some(format!("The host {host} has no key of the type of the known host: it offers {offer}. {ADVICE}"));
    }
    None
}

/// ssh's short names, with those that a known host has.
fn key_kind(short: &str) -> String {
    let full = match short {
        "ED25519" => " (ssh-ed25519)",
        "RSA" => " (ssh-rsa)",
        "ECDSA" => " (ecdsa-sha2-nistp…)",
        _ => "",
    };
    format!(" of type {short}{full}")
}

#[cfg(test)]
mod tests;
