//! From settings to a runner's configuration.

use std::path::PathBuf;

use meshstack_client::Credentials;

use super::keys;
use super::problem::Place;
use super::reader::Reader;
use super::settings::Setting;
use super::types::{Cache, Config, Mode, Terraform};

/// Converts every setting. What is missing or wrong is noted in the reader, and stands as a blank here.
pub(super) fn build(reader: &mut Reader<'_>, mode: &Mode) -> Config {
    let polls = *mode == Mode::Daemon;
    let terraform = terraform(reader);
    Config {
        dialect: reader.dialect,
        runner_uuid: reader.runner_uuid(),
        version: version(reader),
        api_url: api_url(reader, polls),
        credentials: credentials(reader, polls),
        strict_origins: reader.flag(Setting::StrictOrigins),
        // In single-run mode nothing is encrypted, and the pod has no key.
        keys: if polls { keys::read(reader) } else { Vec::new() },
        state_dir: reader.path(Setting::StateDir),
        working_dir: reader.path_or_default(Setting::WorkingDir),
        max_concurrent_runs: reader.count(Setting::MaxConcurrentRuns).unwrap_or(1),
        terraform_limit: reader.count(Setting::LimitTerraform).unwrap_or(1),
        github_limit: reader.count(Setting::LimitGithub),
        gitlab_limit: reader.count(Setting::LimitGitlab),
        azure_devops_limit: reader.count(Setting::LimitAzureDevops),
        manual_limit: reader.count(Setting::LimitManual),
        manual_debug: reader.flag(Setting::DebugMode),
        pipeline_timeout: reader.minutes(Setting::PipelineTimeoutMins),
        watch_handed_over: reader.flag(Setting::WatchHandedOver),
        gitlab_read_tokens: reader.tokens(Setting::ReadTokens),
        shutdown_grace: reader.seconds(Setting::ShutdownGraceSeconds),
        port: reader.port(Setting::Port),
        ca_paths: ca_paths(reader),
        terraform,
        warnings: Vec::new(),
    }
}

fn terraform(reader: &mut Reader<'_>) -> Terraform {
    Terraform {
        install_dir: reader.path_or_default(Setting::InstallDir),
        timeout: reader.minutes(Setting::TimeoutMins),
        workspace_timeout: reader.minutes(Setting::WorkspaceTimeoutMins),
        init_timeout: reader.minutes(Setting::InitTimeoutMins),
        stop_grace: reader.seconds(Setting::StopGraceSeconds),
        insecure_host_keys: reader.flag(Setting::InsecureHostKeys),
        state_locking: reader.flag(Setting::StateLocking),
        log_dir: reader.path(Setting::LogDir),
        unlock_own_stale_locks: reader.flag(Setting::UnlockOwnStaleLocks),
        plugin_cache: cache(reader, Setting::PluginCacheDir, Setting::PluginCacheMaxMib),
        repository_cache: cache(reader, Setting::RepositoryCacheDir, Setting::RepositoryCacheMaxMib),
        terraform_mirror: mirror(reader, Setting::MirrorTerraform),
        opentofu_mirror: mirror(reader, Setting::MirrorOpentofu),
        pass_environment: reader.names_of_variables(Setting::PassEnvironment),
        known_hosts: reader.path(Setting::KnownHosts),
    }
}

fn cache(reader: &mut Reader<'_>, dir: Setting, max_mib: Setting) -> Cache {
    Cache { dir: reader.path(dir), max_mib: reader.number(max_mib).map_or(0, i64::unsigned_abs) }
}

/// The address of a mirror. It is not repeated, since its user, password or query may be a secret.
fn mirror(reader: &mut Reader<'_>, setting: Setting) -> Option<String> {
    let found = reader.one(setting)?;
    let mistake = match reqwest::Url::parse(&found.text) {
        Ok(url) if !matches!(url.scheme(), "http" | "https") || !url.has_host() => {
            "must begin with https:// or http://"
        }
        Ok(url) if url.query().is_some() || url.fragment().is_some() => {
            "must have no `?` and no `#`: what stands behind them would be in every log. Put a user and a password before \
             the host, or use a mirror that needs none"
        }
        Ok(_) => return Some(found.text),
        Err(_) => "is no address. It must look like https://mirror.example.com/path",
    };
    reader.mistake(found.place, format!("`{}` {mistake}.", found.name));
    None
}

/// The version that is told to meshStack, in a header.
pub(super) fn version(reader: &mut Reader<'_>) -> Option<String> {
    let found = reader.one(Setting::Version)?;
    if !found.text.chars().all(|c| c == ' ' || c.is_ascii_graphic()) {
        let text =
            format!("`{}` holds characters that no HTTP header can carry. Use printable ASCII only.", found.name);
        reader.mistake(found.place, text);
        return None;
    }
    Some(found.text)
}

pub(super) fn ca_paths(reader: &mut Reader<'_>) -> Vec<PathBuf> {
    reader.text(Setting::CaCerts).map(|list| std::env::split_paths(&list).collect()).unwrap_or_default()
}

pub(super) fn api_url(reader: &mut Reader<'_>, required: bool) -> Option<String> {
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

pub(super) fn credentials(reader: &mut Reader<'_>, required: bool) -> Option<Credentials> {
    let id = reader.text(Setting::ApiClientId);
    let secret = reader.secret(Setting::ApiClientSecret);
    let username = reader.text(Setting::ApiUser);
    let password = reader.secret(Setting::ApiPassword);
    match (id, secret) {
        (Some(client_id), Some(client_secret)) => return Some(Credentials::ApiKey { client_id, client_secret }),
        (Some(_), None) => half(reader, Setting::ApiClientSecret, "the client id"),
        (None, Some(_)) => half(reader, Setting::ApiClientId, "the client secret"),
        (None, None) => {}
    }
    match (username, password) {
        (Some(username), Some(password)) => return Some(Credentials::Basic { username, password }),
        (Some(_), None) => half(reader, Setting::ApiPassword, "the user"),
        (None, Some(_)) => half(reader, Setting::ApiUser, "the password"),
        (None, None) => {}
    }
    let pair = [Setting::ApiClientId, Setting::ApiClientSecret, Setting::ApiUser, Setting::ApiPassword];
    // A secret that cannot be read is missing for a reason that was told.
    if required && !pair.into_iter().any(|setting| reader.is_broken(setting)) {
        let text = format!(
            "The credentials for meshStack are missing. Set `{}` and `{}` \
             (variables RUNNER_API_CLIENT_ID and RUNNER_API_CLIENT_SECRET) to an API key.",
            reader.name_of(Setting::ApiClientId),
            reader.name_of(Setting::ApiClientSecret)
        );
        reader.mistake(Place::Nowhere, text);
    }
    None
}

fn half(reader: &mut Reader<'_>, missing: Setting, other: &str) {
    if reader.is_broken(missing) {
        return;
    }
    let variable = super::settings::row(missing).variable().unwrap_or_default();
    let text = format!(
        "Only one half of the credentials is set: `{}` (variable {variable}) is missing beside {other}, so neither is used.",
        reader.name_of(missing)
    );
    reader.warning(Place::Nowhere, text);
}

/// What the environment asks for. `EXECUTION_MODE=single-run` without a file is an error.
///
/// Source: `protocol/run-controller.md`, "Single-run mode".
pub(super) fn mode(reader: &mut Reader<'_>) -> Option<Mode> {
    let execution_mode = reader.one(Setting::ExecutionMode);
    let word = execution_mode.as_ref().map(|found| found.text.as_str());
    let profiles = reader.text(Setting::SpringProfiles).unwrap_or_default();
    let asked = word == Some("single-run") || profiles.split(',').any(|profile| profile.trim() == "kubernetes");
    if let Some(file) = reader.path(Setting::RunJsonFile) {
        return Some(Mode::SingleRun(file));
    }
    if asked {
        reader.missing(Setting::RunJsonFile, "The file with the run (single-run mode is asked for)");
        return None;
    }
    if let Some(found) = execution_mode.filter(|found| found.text != "polling") {
        let text = "The only mode that can be asked for is `single-run`. Remove the variable to claim runs.";
        reader.mistake(found.place, text);
        return None;
    }
    Some(Mode::Daemon)
}
