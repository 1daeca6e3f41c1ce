//! The configuration: files and variables in, checked values out.
//!
//! Source: `protocol/configuration.md`. Environment beats file, file beats default. Everything that is wrong
//! is said at once, with the key and the line; values of secrets are never repeated.

mod environment;
mod keys;
mod problem;
mod reader;
mod settings;
mod suggest;
mod yaml;

use std::path::{Path, PathBuf};
use std::time::Duration;

use meshstack_client::{Credentials, PrivateKey};

pub use environment::Environment;
pub use problem::{ConfigError, Place, Problem};
pub use settings::variables;

use reader::Reader;
use settings::Setting;

/// The file that is read where none is named.
pub const DEFAULT_FILE: &str = "runner-config.yml";
/// The port of `/healthz` where `PORT` is not set, as the public Terraform runner has it.
pub const DEFAULT_PORT: u16 = 8100;

/// A checked configuration.
#[derive(Debug)]
pub struct Config {
    /// The UUID that the runner is registered under.
    pub runner_uuid: String,
    /// The version to report in place of our own.
    pub version: Option<String>,
    /// meshStack's base URL. `None` in single-run mode only: then the run's links are used.
    pub api_url: Option<String>,
    /// Credentials for the claim. `None` in single-run mode only.
    pub credentials: Option<Credentials>,
    /// Refuse plan links to other hosts than meshStack's.
    pub strict_origins: bool,
    /// Private keys, newest first.
    pub keys: Vec<PrivateKey>,
    /// Where the working directories of runs are made.
    pub working_dir: PathBuf,
    /// Where runs under way are noted. `None`: a folder of this runner's own beside `working_dir`.
    pub state_dir: Option<PathBuf>,
    /// How many runs may be under way at once.
    pub max_concurrent_runs: usize,
    /// How many Terraform runs may be under way at once.
    pub terraform_limit: usize,
    /// How many manual runs may be under way at once; `None`: no limit of their own.
    pub manual_limit: Option<usize>,
    /// How long running work may go on after a shutdown was asked for.
    pub shutdown_grace: Duration,
    /// The port of `/healthz`, if one was asked for.
    pub port: Option<u16>,
    /// Files or folders with certificates to trust.
    pub ca_paths: Vec<PathBuf>,
    /// What the Terraform executor needs.
    pub terraform: Terraform,
    /// What looks wrong but does not keep the runner from starting.
    pub warnings: Vec<Problem>,
}

/// Settings of Terraform runs. Source: `protocol/terraform.md`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terraform {
    /// Where the binaries are, one folder per version.
    pub install_dir: PathBuf,
    /// Limit of a whole run.
    pub timeout: Duration,
    /// Limit of selecting a workspace.
    pub workspace_timeout: Duration,
    /// Limit of `init`.
    pub init_timeout: Duration,
    /// How long Terraform may take to stop in order.
    pub stop_grace: Duration,
    /// Whether host keys of SSH servers go unchecked.
    pub insecure_host_keys: bool,
    /// Whether the state is locked.
    pub state_locking: bool,
    /// Where whole logs are kept.
    pub log_dir: Option<PathBuf>,
    /// Whether locks that dead runs of this runner left are released.
    pub unlock_own_stale_locks: bool,
    /// Where providers are kept for other runs, and how much of them.
    pub plugin_cache: Cache,
    /// Where repositories are kept for other runs, and how much of them.
    pub repository_cache: Cache,
    /// Where Terraform binaries are downloaded from, in place of HashiCorp's site.
    pub terraform_mirror: Option<String>,
    /// Where `OpenTofu` binaries are downloaded from, in place of their makers' site.
    pub opentofu_mirror: Option<String>,
    /// Variables of the runner that Terraform may see.
    pub pass_environment: Vec<String>,
    /// A `known_hosts` file.
    pub known_hosts: Option<PathBuf>,
}

/// A folder that runs share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cache {
    /// The folder. `None`: nothing is kept.
    pub dir: Option<PathBuf>,
    /// Its size, in MiB.
    pub max_mib: u64,
}

/// What the runner is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    /// Claim runs until told to stop.
    Daemon,
    /// Carry out the run in this file and end.
    SingleRun(PathBuf),
}

/// Where a configuration is read from.
#[derive(Debug)]
pub struct Sources<'a> {
    /// The file named on the command line. One that is named must exist.
    pub file: Option<&'a Path>,
    /// Environment variables.
    pub environment: &'a Environment,
    /// What relative paths are relative to.
    pub directory: &'a Path,
}

impl Sources<'_> {
    /// What the environment asks for. `EXECUTION_MODE=single-run` without a file is an error.
    ///
    /// Source: `protocol/run-controller.md`, "Single-run mode".
    pub fn mode(&self) -> Result<Mode, ConfigError> {
        let mut reader = Reader::new(self.environment, Path::new(DEFAULT_FILE), Vec::new(), Vec::new());
        let execution_mode = reader.text(Setting::ExecutionMode);
        let asked = execution_mode.as_deref() == Some("single-run")
            || reader
                .text(Setting::SpringProfiles)
                .is_some_and(|list| list.split(',').any(|p| p.trim() == "kubernetes"));
        match reader.path(Setting::RunJsonFile) {
            Some(file) => Ok(Mode::SingleRun(file)),
            None if asked => {
                reader.missing(Setting::RunJsonFile, "The file with the run (single-run mode is asked for)");
                Err(ConfigError { mistakes: reader.mistakes, warnings: reader.warnings })
            }
            None => match execution_mode.as_deref() {
                None | Some("polling") => Ok(Mode::Daemon),
                Some(_) => {
                    let text =
                        "The only mode that can be asked for is `single-run`. Remove the variable to claim runs.";
                    reader.mistake(Place::Variable("EXECUTION_MODE"), text);
                    Err(ConfigError { mistakes: reader.mistakes, warnings: reader.warnings })
                }
            },
        }
    }

    /// Reads and checks everything.
    pub fn read(&self, mode: &Mode) -> Result<Config, ConfigError> {
        let failed = |mistake| ConfigError { mistakes: vec![mistake], warnings: Vec::new() };
        let named =
            self.file.map(Path::to_owned).or_else(|| self.environment.get("RUNNER_CONFIG_FILE").map(PathBuf::from));
        let shown = named.clone().unwrap_or_else(|| PathBuf::from(DEFAULT_FILE));
        let file = self.directory.join(&shown);
        let (entries, mistakes) = if named.is_some() || file.exists() {
            yaml::read(&file, &shown).map_err(failed)?
        } else {
            (Vec::new(), Vec::new())
        };
        refuse_other_dialects(&entries, &shown).map_err(failed)?;
        let mut reader = Reader::new(self.environment, &shown, entries, mistakes);
        reader.check_names();
        let config = build(&mut reader, mode, self.directory);
        let Reader { mut mistakes, warnings, .. } = reader;
        mistakes.sort_by_key(|mistake| match &mistake.place {
            Place::Line { line, .. } => *line,
            _ => usize::MAX,
        });
        if mistakes.is_empty() { Ok(Config { warnings, ..config }) } else { Err(ConfigError { mistakes, warnings }) }
    }
}

/// The files of the JVM runners and of the controller are told by keys that only they have.
fn refuse_other_dialects(entries: &[yaml::Entry], shown: &Path) -> Result<(), Problem> {
    let under = |root: &str| {
        entries.iter().find(|e| e.path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')))
    };
    let (entry, whose) = if let Some(entry) = under("blockrunner") {
        (entry, "a manual, GitHub, GitLab or Azure DevOps runner (everything under `blockrunner:`)")
    } else if let Some(entry) = under("implementations").or_else(|| under("crypto")) {
        (entry, "the run controller (`implementations`, `crypto`)")
    } else {
        return Ok(());
    };
    let text = format!(
        "This is the configuration file of {whose}, which this version does not read. \
         Write the keys of the Terraform runner (`runnerUuid`, `api.url`, `api.clientId`, …) in its place."
    );
    Err(Problem::new(Place::line(shown, entry.line), text))
}

/// Converts every setting. What is missing or wrong is noted in the reader, and stands as a blank here.
fn build(reader: &mut Reader<'_>, mode: &Mode, directory: &Path) -> Config {
    let polls = *mode == Mode::Daemon;
    let minutes = |n: u64| Duration::from_secs(60 * n);
    // `0` is the default, as an absent key is.
    let mut limit = |setting, default| {
        let number = reader.number(setting, "minutes", 0..=525_600).filter(|n| *n > 0);
        minutes(number.unwrap_or(default))
    };
    let (timeout, workspace_timeout, init_timeout) =
        (limit(Setting::TimeoutMins, 60), limit(Setting::WorkspaceTimeoutMins, 5), limit(Setting::InitTimeoutMins, 3));
    let stop_grace = reader.number(Setting::StopGraceSeconds, "seconds", 1..=3600).unwrap_or(60);
    let terraform = Terraform {
        install_dir: reader.path(Setting::InstallDir).unwrap_or_else(|| "/tmp/runner/tfbin".into()),
        timeout,
        workspace_timeout,
        init_timeout,
        stop_grace: Duration::from_secs(stop_grace),
        insecure_host_keys: reader.flag(Setting::InsecureHostKeys),
        state_locking: reader.flag(Setting::StateLocking),
        log_dir: reader.path(Setting::LogDir),
        unlock_own_stale_locks: reader.flag(Setting::UnlockOwnStaleLocks),
        plugin_cache: cache(reader, Setting::PluginCacheDir, Setting::PluginCacheMaxMib, 10 * 1024),
        repository_cache: cache(reader, Setting::RepositoryCacheDir, Setting::RepositoryCacheMaxMib, 5 * 1024),
        terraform_mirror: reader.text(Setting::MirrorTerraform),
        opentofu_mirror: reader.text(Setting::MirrorOpentofu),
        pass_environment: pass_environment(reader),
        known_hosts: reader.path(Setting::KnownHosts),
    };
    let count = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    Config {
        runner_uuid: runner_uuid(reader),
        version: reader.text(Setting::Version),
        api_url: api_url(reader, polls),
        credentials: credentials(reader, polls),
        strict_origins: reader.flag(Setting::StrictOrigins),
        // In single-run mode nothing is encrypted, and the pod has no key.
        keys: if polls { keys::read(reader, directory) } else { Vec::new() },
        state_dir: reader.path(Setting::StateDir),
        working_dir: reader.path(Setting::WorkingDir).unwrap_or_else(|| "/tmp/runner/wd".into()),
        max_concurrent_runs: count(reader.number(Setting::MaxConcurrentRuns, "runs", 1..=10_000).unwrap_or(20)),
        terraform_limit: count(reader.number(Setting::LimitTerraform, "runs", 1..=10_000).unwrap_or(4)),
        manual_limit: reader.number(Setting::LimitManual, "runs", 1..=10_000).map(count),
        shutdown_grace: Duration::from_secs(
            reader.number(Setting::ShutdownGraceSeconds, "seconds", 0..=86_400).unwrap_or(30),
        ),
        port: reader.number(Setting::Port, "a port", 0..=65_535).and_then(|n| u16::try_from(n).ok()),
        ca_paths: reader.text(Setting::CaCerts).map(|list| std::env::split_paths(&list).collect()).unwrap_or_default(),
        terraform,
        warnings: Vec::new(),
    }
}

fn cache(reader: &mut Reader<'_>, dir: Setting, max_mib: Setting, default: u64) -> Cache {
    Cache { dir: reader.path(dir), max_mib: reader.number(max_mib, "MiB", 1..=1 << 30).unwrap_or(default) }
}

fn runner_uuid(reader: &mut Reader<'_>) -> String {
    let Some(found) = reader.one(Setting::RunnerUuid) else {
        reader.missing(Setting::RunnerUuid, "The runner's UUID");
        return String::new();
    };
    let groups: Vec<&str> = found.text.split('-').collect();
    let lengths: Vec<usize> = groups.iter().map(|group| group.len()).collect();
    if lengths != [8, 4, 4, 4, 12] || !groups.iter().all(|group| group.bytes().all(|b| b.is_ascii_hexdigit())) {
        let text = format!(
            "`{}` is no UUID. Use the one that meshStack shows for the runner, with its four dashes.",
            found.name
        );
        reader.warnings.push(Problem::new(found.place, text));
    }
    found.text
}

fn api_url(reader: &mut Reader<'_>, required: bool) -> Option<String> {
    let Some(found) = reader.one(Setting::ApiUrl) else {
        if required {
            reader.missing(Setting::ApiUrl, "meshStack's address");
        }
        return None;
    };
    // The client judges addresses; making one for those that are plainly in order would cost the start a
    // millisecond. The value is not repeated, since some put a password into it.
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._~:/[]%".contains(c);
    let rest = found.text.strip_prefix("https://").or_else(|| found.text.strip_prefix("http://"));
    if !rest.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_alphanumeric()) && rest.chars().all(plain)) {
        let mut client = meshstack_client::ClientConfig::new("");
        client.api_url = Some(found.text.clone());
        if let Err(mistake) = meshstack_client::Client::new(client) {
            reader.mistake(found.place, format!("`{}`: {mistake}.", found.name));
        }
    }
    Some(found.text)
}

fn credentials(reader: &mut Reader<'_>, required: bool) -> Option<Credentials> {
    let id = reader.text(Setting::ApiClientId);
    let secret = reader.secret(Setting::ApiClientSecret);
    let username = reader.text(Setting::ApiUser);
    let password = reader.secret(Setting::ApiPassword);
    let mut half = |setting, other: &str| {
        let row = settings::row(setting);
        let text = format!(
            "Only one half of the credentials is set: `{}` (variable {}) is missing beside {other}, so neither is used.",
            row.key.unwrap_or_default(),
            row.variable.unwrap_or_default()
        );
        reader.warnings.push(Problem::new(Place::Nowhere, text));
    };
    match (id, secret) {
        (Some(client_id), Some(client_secret)) => return Some(Credentials::ApiKey { client_id, client_secret }),
        (Some(_), None) => half(Setting::ApiClientSecret, "the client id"),
        (None, Some(_)) => half(Setting::ApiClientId, "the client secret"),
        (None, None) => {}
    }
    match (username, password) {
        (Some(username), Some(password)) => return Some(Credentials::Basic { username, password }),
        (Some(_), None) => half(Setting::ApiPassword, "the user"),
        (None, Some(_)) => half(Setting::ApiUser, "the password"),
        (None, None) => {}
    }
    if required {
        let text = "The credentials for meshStack are missing. Set `api.clientId` and `api.clientSecret` \
                    (variables RUNNER_API_CLIENT_ID and RUNNER_API_CLIENT_SECRET) to an API key.";
        reader.mistake(Place::Nowhere, text);
    }
    None
}

fn pass_environment(reader: &mut Reader<'_>) -> Vec<String> {
    let mut names = Vec::new();
    for found in reader.list(Setting::PassEnvironment) {
        let valid = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if found.text.chars().all(valid) {
            names.push(found.text);
        } else {
            let text = format!(
                "`{}` must be the name of a variable (letters, digits and `_`), without its value.",
                found.name
            );
            reader.mistake(found.place, text);
        }
    }
    names
}

#[cfg(test)]
mod tests;
