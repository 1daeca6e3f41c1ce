//! What an operator may set.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// Settings of the executor. [`Settings::default`] holds what the public Terraform runner ships with.
///
/// Names in configuration files and variables: `protocol/configuration.md`.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the binaries are, one folder per version: `<install_dir>/<version>/terraform`
    /// (`tfInstallDir`).
    pub install_dir: PathBuf,
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
    /// Names of variables of the runner's own environment that its programs see, beside those that
    /// always pass (`passEnvironment`).
    pub pass_environment: Vec<String>,
    /// A `known_hosts` file (`SSH_KNOWN_HOSTS`).
    pub known_hosts: Option<PathBuf>,
    /// meshStack's address, where a run has no link to it (`api.url`): the base of the state's
    /// address.
    pub api_url: Option<String>,
    /// Files or folders with CA certificates, PEM, that git and Terraform trust beside the system's
    /// (`CUSTOM_CA_CERTS_PATH`). They are put behind the system's own in one file, which the
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
        Self {
            install_dir: PathBuf::from("/tmp/runner/tfbin"),
            binary: None,
            timeout: Duration::from_secs(60 * MINUTE),
            workspace_timeout: Duration::from_secs(5 * MINUTE),
            init_timeout: Duration::from_secs(3 * MINUTE),
            stop_grace: Duration::from_secs(MINUTE),
            insecure_host_keys: false,
            state_locking: false,
            log_dir: None,
            pass_environment: Vec::new(),
            known_hosts: None,
            api_url: None,
            ca_certs: Vec::new(),
            supervisor: None,
        }
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
