//! What an operator may set.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// Settings of the executor. [`Settings::default`] holds what the public Terraform runner ships with.
///
/// Names in configuration files and variables: `protocol/configuration.md`.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the binaries are, one folder per version: `<install_dir>/<version>/terraform`
    /// (`tfInstallDir`). One that lies there is used as it is; one that does not is downloaded, which
    /// needs a folder that can be written to.
    pub install_dir: PathBuf,
    /// Where binaries are downloaded from, in place of their makers' sites (`terraform.mirrors`).
    pub mirrors: Mirrors,
    /// One binary for every version, whatever a run asks for: for demos and tests.
    pub binary: Option<PathBuf>,
    /// How long a whole run may take (`timeoutMins`, 60 minutes).
    pub timeout: Duration,
    /// How long the selection of the workspace may take (`wsTimeoutMins`, 5 minutes).
    pub workspace_timeout: Duration,
    /// How long `terraform init` may take, its retry included (`initTimeoutMins`, 3 minutes).
    pub init_timeout: Duration,
    /// How long a program has to save its state and give its locks back when it is stopped, before
    /// it is killed (`terraform.stopGraceSeconds`, 60 seconds).
    pub stop_grace: Duration,
    /// Take any host key of a git server (`insecureHostKeys`, no).
    pub insecure_host_keys: bool,
    /// Lock the state that meshStack keeps (`terraform.stateLocking`, no).
    pub state_locking: bool,
    /// Where the whole, masked log of each step stays: `<log_dir>/<run uuid>/<step>.log`
    /// (`terraform.logDir`; without it only what meshStack has).
    pub log_dir: Option<PathBuf>,
    /// Where providers are kept from run to run (`terraform.pluginCacheDir`; without it each run downloads its own).
    pub plugin_cache_dir: Option<PathBuf>,
    /// Bytes that the kept providers may take, those of running runs aside (10 GiB).
    pub plugin_cache_limit: u64,
    /// Where repositories are kept from run to run (`terraform.repositoryCacheDir`; without it each run fetches all
    /// it needs).
    pub repository_cache_dir: Option<PathBuf>,
    /// Bytes that the kept repositories may take (5 GiB).
    pub repository_cache_limit: u64,
    /// Where the runner notes which runs may hold the lock of a state, so that it knows its own after a crash: a folder
    /// of its own below `stateDir`. Without it no lock is known as the runner's own.
    pub state_lock_dir: Option<PathBuf>,
    /// Release a state's lock if it was taken by a run of this runner that is dead (`terraform.unlockOwnStaleLocks`,
    /// no). Needs [`state_lock_dir`](Self::state_lock_dir).
    pub unlock_own_stale_locks: bool,
    /// Names of variables of the runner's own environment that its programs see, beside those that
    /// always pass (`passEnvironment`).
    pub pass_environment: Vec<String>,
    /// A `known_hosts` file (`SSH_KNOWN_HOSTS`).
    pub known_hosts: Option<PathBuf>,
    /// meshStack's address, where a run has no link to it (`api.url`): the base of the state's
    /// address.
    pub api_url: Option<String>,
    /// Files or folders with CA certificates, PEM, that git, Terraform and downloads of binaries trust
    /// beside the system's (`CUSTOM_CA_CERTS_PATH`). For the programs they are put behind the system's own in one file, which the
    /// programs find in `SSL_CERT_FILE` and `GIT_SSL_CAINFO`.
    pub ca_certs: Vec<PathBuf>,
    /// The program that watches over each command, so that none outlives the runner. Without one,
    /// commands are children of the runner itself: a stop is still in order, but they live on when
    /// the runner is killed (`kill -9`), and so do those of their children that leave the process
    /// group. Used on Linux only.
    pub supervisor: Option<Supervisor>,
}

impl Default for Settings {
    fn default() -> Self {
        const MINUTE: u64 = 60;
        const GIB: u64 = 1 << 30;
        Self {
            install_dir: PathBuf::from("/tmp/runner/tfbin"),
            mirrors: Mirrors::default(),
            binary: None,
            timeout: Duration::from_secs(60 * MINUTE),
            workspace_timeout: Duration::from_secs(5 * MINUTE),
            init_timeout: Duration::from_secs(3 * MINUTE),
            stop_grace: Duration::from_secs(MINUTE),
            insecure_host_keys: false,
            state_locking: false,
            log_dir: None,
            plugin_cache_dir: None,
            plugin_cache_limit: 10 * GIB,
            repository_cache_dir: None,
            repository_cache_limit: 5 * GIB,
            state_lock_dir: None,
            unlock_own_stale_locks: false,
            pass_environment: Vec::new(),
            known_hosts: None,
            api_url: None,
            ca_certs: Vec::new(),
            supervisor: None,
        }
    }
}

/// Addresses, http or https, with the files of the makers' sites, under the same paths and signed by
/// the makers as there. Without one, the maker's own site. Credentials in them
/// (`https://user:password@…`) are sent as Basic auth and shown nowhere.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Mirrors {
    /// Stands for `https://releases.hashicorp.com` (`terraform.mirrors.terraform`): it has
    /// `terraform/<version>/terraform_<version>_<os>_<arch>.zip`, with `…_SHA256SUMS` and
    /// `…_SHA256SUMS.sig`, and for versions of two parts `terraform/index.json`.
    pub terraform: Option<String>,
    /// Stands for `https://github.com/opentofu/opentofu/releases/download`
    /// (`terraform.mirrors.opentofu`): it has `v<version>/tofu_<version>_<os>_<arch>.zip`, with
    /// `…_SHA256SUMS` and `…_SHA256SUMS.gpgsig`, and for versions of two parts `api.json`, as
    /// `https://get.opentofu.org/tofu/api.json` is.
    pub opentofu: Option<String>,
}

impl fmt::Debug for Mirrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |address: &Option<String>| address.as_deref().map(without_credentials);
        f.debug_struct("Mirrors")
            .field("terraform", &shown(&self.terraform))
            .field("opentofu", &shown(&self.opentofu))
            .finish()
    }
}

fn without_credentials(address: &str) -> String {
    match (address.split_once("://"), address.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://***@{rest}"),
        _ => address.to_owned(),
    }
}

/// How the supervisor is started: a program that calls
/// [`supervisor::run_if_asked`](crate::supervisor::run_if_asked) before anything else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Supervisor {
    /// The program.
    pub program: PathBuf,
    /// Arguments before those that the executor adds. A program that needs some calls
    /// [`supervisor::run`](crate::supervisor::run) itself with those that follow.
    pub args: Vec<OsString>,
}

impl Supervisor {
    /// The running program itself, also after its file was replaced by a newer one.
    pub fn this_program() -> Self {
        Self { program: PathBuf::from("/proc/self/exe"), args: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_of_a_mirror_are_not_printed() {
        let terraform = Some("https://user:s3cr3t@mirror.example.com/a".to_owned());
        let mirrors = Mirrors { terraform, opentofu: Some("https://mirror.example.com/b".to_owned()) };
        let printed = format!("{:?}", Settings { mirrors, ..Settings::default() });
        assert!(printed.contains("https://***@mirror.example.com/a"), "{printed}");
        assert!(printed.contains("https://mirror.example.com/b") && !printed.contains("s3cr3t"), "{printed}");
    }
}
