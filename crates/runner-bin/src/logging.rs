//! The log: on standard error, as text or JSON.

use std::io::{self, IsTerminal as _, Write};
use std::sync::OnceLock;

use meshstack_client::Secret;
use runner_core::mask::Masker;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::{MakeWriter, layer};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::Exit;
use crate::cli::{LogFormat, LogLevel, Logging};
use crate::config::Environment;

/// Our crates. Others stay at warnings whatever the level: what HTTP libraries say below may hold tokens.
const OURS: [&str; 10] = [
    "bb_runner",
    "runner_bin",
    "runner_core",
    "meshstack_client",
    "meshstack_local",
    "executor_azdo",
    "executor_github",
    "executor_gitlab",
    "executor_manual",
    "executor_terraform",
];

/// Secrets of this process, known only after the log was started.
static MASKER: OnceLock<Masker> = OnceLock::new();
static JSON: OnceLock<()> = OnceLock::new();

/// Starts the log.
pub(crate) fn start(args: &Logging, environment: &Environment) -> Result<(), Exit> {
    let format = args.format.map_or_else(|| of_variable(environment, "BB_LOG_FORMAT", LogFormat::Auto), Ok)?;
    let level = args.level.map_or_else(|| of_variable(environment, "BB_LOG_LEVEL", LogLevel::Info), Ok)?;
    let terminal = io::stderr().is_terminal();
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let targets =
        Targets::new().with_default(LevelFilter::WARN.min(level)).with_targets(OURS.map(|target| (target, level)));
    let registry = tracing_subscriber::registry().with(targets);
    // Another subscriber is there already only in tests.
    let _ = if format == LogFormat::Json || (format == LogFormat::Auto && !terminal) {
        let _ = JSON.set(());
        registry.with(layer().json().flatten_event(true).with_writer(MaskedStderr)).try_init()
    } else {
        let colours = terminal && environment.get("NO_COLOR").is_none();
        registry.with(layer().with_ansi(colours).with_target(false).with_writer(MaskedStderr)).try_init()
    };
    Ok(())
}

fn of_variable<T: clap::ValueEnum>(environment: &Environment, name: &str, default: T) -> Result<T, Exit> {
    let Some(value) = environment.get(name) else { return Ok(default) };
    let words = || T::value_variants().iter().filter_map(T::to_possible_value).map(|v| v.get_name().to_owned());
    value.to_str().and_then(|value| T::from_str(value.trim(), true).ok()).ok_or_else(|| {
        complain(&format!("The variable {name} must be one of: {}.", words().collect::<Vec<_>>().join(", ")));
        Exit::BadConfiguration
    })
}

/// Never shows these secrets in the log, from now on.
pub(crate) fn mask<'a>(secrets: impl IntoIterator<Item = &'a Secret>) {
    let _ = MASKER.set(Masker::new(secrets.into_iter().map(Secret::expose)));
}

/// A message that ends the program: plain text for people, one JSON line where the log is JSON.
pub(crate) fn complain(message: &str) {
    if JSON.get().is_some() {
        tracing::error!("{message}");
    } else {
        // Nothing is left to do when standard error is closed.
        let _ = writeln!(io::stderr(), "{message}");
    }
}

/// Standard error, with the secrets of this process masked. The log hands over each line whole.
struct MaskedStderr;

impl Write for MaskedStderr {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match (MASKER.get(), std::str::from_utf8(line)) {
            (Some(masker), Ok(text)) => io::stderr().write_all(masker.mask(text).as_bytes())?,
            _ => io::stderr().write_all(line)?,
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

impl<'w> MakeWriter<'w> for MaskedStderr {
    type Writer = Self;

    fn make_writer(&'w self) -> Self {
        Self
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::OURS;

    #[test]
    fn the_log_level_is_for_every_crate_of_the_workspace() {
        let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        for entry in std::fs::read_dir(crates).unwrap() {
            let name = entry.unwrap().file_name().to_string_lossy().replace('-', "_");
            assert!(OURS.contains(&name.as_str()), "{name} is missing");
        }
    }
}
