//! Puts a runner together from a configuration.

use executor_azdo::{AzdoExecutor, AzdoSettings};
use executor_github::{GithubExecutor, GithubSettings};
use executor_gitlab::{GitlabExecutor, GitlabSettings};
use executor_manual::ManualExecutor;
use executor_terraform::{Mirrors, Settings, Supervisor, TerraformExecutor};
use meshstack_client::{Client, ClientConfig, Credentials, KeyRing};
use runner_core::journal::{FileJournal, OpenError};
use runner_core::{Executor, Runner, RunnerBuilder};

use crate::config::Config;
use crate::{logging, passwords};

/// The version reported to meshStack, unless `VERSION` says another.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What cannot be put together, for the operator.
pub(crate) type Refusal = String;

/// A runtime. Two threads: one turns to meshStack while the other moves the log of a run.
pub(crate) fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).thread_name("bb-runner").enable_all().build()
}

/// The runner that a configuration describes, with a journal: it polls.
pub(crate) fn daemon(mut config: Config) -> Result<Runner, Refusal> {
    let state_dir = config.state_dir.clone();
    // Of this runner's own: several runners of one machine may share the working folder.
    let own = config.runner_uuid.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect::<String>();
    let default = config.working_dir.with_file_name("state").join(own);
    config.state_dir.get_or_insert_with(|| default.clone());
    let keys = KeyRing::new(std::mem::take(&mut config.keys));
    let opened = FileJournal::open(state_dir.as_deref().unwrap_or(&default), &keys);
    let builder = builder(config, keys)?;
    let builder = match opened {
        Ok(journal) => builder.journal(journal),
        // Nobody asked for it: a runner without a writable disk works as the public ones do.
        Err(error @ OpenError::Io { .. }) if state_dir.is_none() => {
            tracing::warn!(
                error = describe(&error),
                "runs under way cannot be noted, so a crash loses them. Set stateDir to a folder that can be written"
            );
            builder
        }
        Err(error) => return Err(format!("{}.", describe(&error))),
    };
    builder.build().map_err(|e| format!("{e}."))
}

/// The same for one run, without a journal: whoever started it starts it again.
pub(crate) fn single(mut config: Config) -> Result<Runner, Refusal> {
    let keys = KeyRing::new(std::mem::take(&mut config.keys));
    builder(config, keys)?.build().map_err(|e| format!("{e}."))
}

fn describe(error: &OpenError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error} ({cause})"),
        None => error.to_string(),
    }
}

fn builder(config: Config, keys: KeyRing) -> Result<RunnerBuilder, Refusal> {
    let secret = config.credentials.as_ref().map(|credentials| match credentials {
        Credentials::ApiKey { client_secret, .. } => client_secret.clone(),
        Credentials::Basic { password, .. } => password.clone(),
    });
    let mirrors = [&config.terraform.terraform_mirror, &config.terraform.opentofu_mirror];
    let mut secrets = passwords::in_addresses(mirrors.into_iter().flatten().map(String::as_str));
    secrets.extend(secret.filter(|secret| !secret.is_empty()));
    secrets.extend(config.gitlab_read_tokens.values().filter(|token| !token.is_empty()).cloned());
    logging::mask(&secrets);
    let executors = Executors::of(&config);
    let mut client = ClientConfig::new(&config.runner_uuid);
    client.version = config.version.unwrap_or_else(|| VERSION.to_owned());
    client.api_url = config.api_url;
    client.credentials = config.credentials;
    client.ca_paths = config.ca_paths;
    client.strict_origins = config.strict_origins;
    let client = Client::new(client).map_err(|e| format!("{e}."))?;
    let mut builder = Runner::builder(client, config.runner_uuid)
        .keys(keys)
        .working_dir(config.working_dir)
        .max_concurrent_runs(config.max_concurrent_runs)
        .shutdown_grace(config.shutdown_grace);
    builder = builder.executor_with_limit(executors.terraform, config.terraform_limit);
    builder = add(builder, executors.github, config.github_limit);
    builder = add(builder, executors.gitlab, config.gitlab_limit);
    builder = add(builder, executors.azdo, config.azure_devops_limit);
    builder = add(builder, executors.manual, config.manual_limit);
    for secret in &secrets {
        builder = builder.mask(secret);
    }
    Ok(builder)
}

fn add(builder: RunnerBuilder, executor: impl Executor, limit: Option<usize>) -> RunnerBuilder {
    match limit {
        Some(limit) => builder.executor_with_limit(executor, limit),
        None => builder.executor(executor),
    }
}

/// An executor for each implementation type.
struct Executors {
    terraform: TerraformExecutor,
    github: GithubExecutor,
    gitlab: GitlabExecutor,
    azdo: AzdoExecutor,
    manual: ManualExecutor,
}

impl Executors {
    fn of(config: &Config) -> Self {
        let (watch_handed_over, pipeline_timeout) = (config.watch_handed_over, config.pipeline_timeout);
        let ca_paths = || config.ca_paths.clone();
        let (github, gitlab, azdo) = (GithubSettings::default(), GitlabSettings::default(), AzdoSettings::default());
        let read_tokens = config.gitlab_read_tokens.clone().into_iter().collect();
        Self {
            terraform: TerraformExecutor::new(terraform_settings(config)),
            github: GithubExecutor::new(GithubSettings {
                pipeline_timeout,
                watch_handed_over,
                ca_paths: ca_paths(),
                ..github
            }),
            gitlab: GitlabExecutor::new(GitlabSettings {
                watch_handed_over,
                read_tokens,
                ca_paths: ca_paths(),
                ..gitlab
            }),
            azdo: AzdoExecutor::new(AzdoSettings { pipeline_timeout, watch_handed_over, ca_paths: ca_paths(), ..azdo }),
            manual: if config.manual_debug {
                ManualExecutor::in_debug_mode(ManualExecutor::DEBUG_PAUSE)
            } else {
                ManualExecutor::new()
            },
        }
    }
}

fn terraform_settings(config: &Config) -> Settings {
    let terraform = config.terraform.clone();
    Settings {
        install_dir: terraform.install_dir,
        mirrors: Mirrors { terraform: terraform.terraform_mirror, opentofu: terraform.opentofu_mirror },
        timeout: terraform.timeout,
        workspace_timeout: terraform.workspace_timeout,
        init_timeout: terraform.init_timeout,
        stop_grace: terraform.stop_grace,
        insecure_host_keys: terraform.insecure_host_keys,
        state_locking: terraform.state_locking,
        log_dir: terraform.log_dir,
        pass_environment: terraform.pass_environment,
        known_hosts: terraform.known_hosts,
        api_url: config.api_url.clone(),
        ca_certs: config.ca_paths.clone(),
        supervisor: Some(Supervisor::this_program()),
        unlock_own_stale_locks: terraform.unlock_own_stale_locks,
        plugin_cache_dir: terraform.plugin_cache.dir,
        plugin_cache_limit: terraform.plugin_cache.max_mib << 20,
        repository_cache_dir: terraform.repository_cache.dir,
        repository_cache_limit: terraform.repository_cache.max_mib << 20,
        // Only who wants them released needs them noted.
        state_lock_dir: config
            .state_dir
            .as_ref()
            .filter(|_| terraform.unlock_own_stale_locks)
            .map(|folder| folder.join("terraform-locks")),
        ..Settings::default()
    }
}
