//! A checked configuration of a runner.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use meshstack_client::{Credentials, PrivateKey, Secret};

use super::dialect::Dialect;
use super::problem::Problem;

/// A checked configuration.
#[derive(Debug)]
pub struct Config {
    /// The format that the file is in.
    pub dialect: Dialect,
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
    /// How many GitHub workflows may be under way at once; `None`: no limit of their own.
    pub github_limit: Option<usize>,
    /// How many GitLab pipelines may be under way at once; `None`: no limit of their own.
    pub gitlab_limit: Option<usize>,
    /// How many Azure DevOps pipelines may be under way at once; `None`: no limit of their own.
    pub azure_devops_limit: Option<usize>,
    /// How many manual runs may be under way at once; `None`: no limit of their own.
    pub manual_limit: Option<usize>,
    /// Whether manual runs end at random, for development.
    ///
    /// Source: `protocol/executors.md`, "Debug mode of the manual runner".
    pub manual_debug: bool,
    /// Limit of a pipeline that is followed.
    pub pipeline_timeout: Duration,
    /// Whether pipelines that report their end themselves are watched.
    pub watch_handed_over: bool,
    /// Tokens that may read pipelines, by GitLab host (`host[:port][/path]`, lower case).
    pub gitlab_read_tokens: BTreeMap<String, Secret>,
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
