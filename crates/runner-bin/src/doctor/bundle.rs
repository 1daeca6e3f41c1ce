//! The support archive: what was checked, and what is configured, without secrets.
//!
//! Nothing is taken as it stands. Settings come as `config show` has them, with secrets as `***`; of variables there are the
//! names alone. What remains goes through the masker once more, with every secret that can be found.

use std::fmt::Write as _;
use std::io::{Cursor, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::SystemTime;

use meshstack_client::{Credentials, Secret};
use runner_core::mask::Masker;
use serde_json::{Value, json};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::report::Report;
use super::situation::Situation;
use crate::passwords;
use crate::peek::{Peek, is_secret_name};

/// Variables whose names say something about a runner.
const TELLING: [&str; 11] = [
    "RUNNER_",
    "BB_",
    "BLOCKRUNNER_",
    "RUNCONTROLLER_",
    "SSH_",
    "CUSTOM_CA_",
    "EXECUTION_MODE",
    "PORT",
    "VERSION",
    "TF_",
    "GIT_",
];
const PROXIES: [&str; 8] =
    ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy"];

/// Writes the archive. A file that exists is not overwritten.
pub(super) fn write(file: &Path, report: &Report, situation: &Situation, masker: &Masker) -> Result<(), String> {
    let parts = [
        ("report.txt", report.text()),
        ("report.json", format!("{:#}\n", report.json())),
        ("configuration.json", format!("{:#}\n", configuration(situation))),
        ("keys.txt", keys(situation)),
        ("environment.txt", environment()),
        ("system.txt", system()),
        ("state.txt", state(&situation.state_dir)),
    ];
    let archive = (|| {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, text) in parts {
            zip.start_file(format!("bb-runner-support/{name}"), SimpleFileOptions::default())?;
            zip.write_all(masker.mask(&text).as_bytes())?;
        }
        zip.finish().map(Cursor::into_inner)
    })();
    let archive = archive.map_err(|error: zip::result::ZipError| format!("The archive cannot be made ({error})."))?;
    std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file)
        .and_then(|mut opened| opened.write_all(&archive))
        .map_err(|error| {
            let todo =
                if error.kind() == std::io::ErrorKind::AlreadyExists { "Name another" } else { "Check the path" };
            format!("The archive {} cannot be written ({error}). {todo}.", file.display())
        })
}

/// Replaces every secret that can be found.
pub(super) fn masker(situation: &Situation, peek: &Peek<'_>) -> Masker {
    Masker::new(secrets(situation, peek).iter().map(Secret::expose).collect::<Vec<_>>())
}

fn secrets(situation: &Situation, peek: &Peek<'_>) -> Vec<Secret> {
    let mut secrets = peek.secrets();
    match &situation.credentials {
        Some(Credentials::ApiKey { client_secret, .. }) => secrets.push(client_secret.clone()),
        Some(Credentials::Basic { password, .. }) => secrets.push(password.clone()),
        None => {}
    }
    let mirrors = [&situation.terraform_mirror, &situation.opentofu_mirror];
    let addresses = mirrors.into_iter().flatten().chain(&situation.api_url).map(String::as_str);
    secrets.extend(passwords::in_addresses(addresses));
    let named = std::env::vars().filter(|(name, _)| is_secret_name(name));
    secrets.extend(named.map(|(_, value)| Secret::new(value)));
    secrets
}

fn configuration(situation: &Situation) -> Value {
    let inspection = &situation.inspection;
    let settings: Vec<Value> = inspection
        .values
        .iter()
        .map(|value| json!({ "key": value.key, "value": value.value, "origin": format!("{:?}", value.origin) }))
        .collect();
    let texts = |problems: &[crate::config::Problem]| problems.iter().map(ToString::to_string).collect::<Vec<_>>();
    json!({
        "file": inspection.file.as_ref().map(|file| file.display().to_string()),
        "format": inspection.dialect.word(),
        "mistakes": texts(&inspection.mistakes),
        "warnings": texts(&inspection.warnings),
        "settings": settings,
    })
}

fn keys(situation: &Situation) -> String {
    let mut text = String::new();
    for report in &situation.keys {
        let _ = match &report.key {
            Ok(key) => writeln!(
                text,
                "{}: RSA, {} bits, public key SHA-256 {}",
                report.label,
                key.modulus_bits(),
                key.fingerprint()
            ),
            Err(problem) => writeln!(text, "{}: {problem}", report.label),
        };
    }
    text
}

fn environment() -> String {
    let mut names: Vec<String> = std::env::vars_os()
        .filter_map(|(name, value)| {
            let name = name.into_string().ok()?;
            let telling = PROXIES.contains(&name.as_str()) || TELLING.iter().any(|start| name.starts_with(start));
            telling.then(|| format!("{name}: {}\n", if value.is_empty() { "empty" } else { "set" }))
        })
        .collect();
    names.sort();
    names.concat()
}

fn system() -> String {
    let mut text = format!(
        "bb-runner {}\n{} {}\nuser {}, group {}\ntime {}\n",
        env!("CARGO_PKG_VERSION"),
        std::env::consts::OS,
        std::env::consts::ARCH,
        rustix::process::geteuid().as_raw(),
        rustix::process::getegid().as_raw(),
        httpdate::fmt_http_date(SystemTime::now()),
    );
    for file in
        ["/proc/version", "/etc/os-release", "/proc/loadavg", "/proc/uptime", "/proc/self/limits", "/etc/resolv.conf"]
    {
        let content = std::fs::read_to_string(file).unwrap_or_else(|error| format!("({error})\n"));
        let _ = write!(text, "\n{file}\n{content}");
    }
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let _ = write!(text, "\n/proc/meminfo\n{}", memory.lines().take(5).collect::<Vec<_>>().join("\n"));
    text + "\n"
}

/// Names, sizes and ages of what is noted of runs; nothing of what is in it.
fn state(folder: &Path) -> String {
    let mut lines: Vec<String> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let about = entry.metadata().ok()?;
            let age = about.modified().ok()?.elapsed().unwrap_or_default().as_secs();
            let name = entry.file_name();
            Some(format!(
                "{:o} {:>10} bytes {age:>9} s old  {}\n",
                about.mode() & 0o777,
                about.len(),
                name.to_string_lossy()
            ))
        })
        .take(10_000)
        .collect();
    lines.sort();
    format!("{}\n{}", folder.display(), lines.concat())
}
