//! The module's sources, with the system's `git`.
//!
//! Source: `protocol/terraform.md`, "Sources".

mod folder;
mod git;
mod kept;
mod refs;
mod ssh;
mod url;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use runner_core::meshstack_client::Secret;
use runner_core::{Failure, Run, Step};

use self::folder::Folder;
use self::git::Git;
use self::refs::Reference;
use self::ssh::{KnownHost, Trust};
use self::url::Repository;
use crate::Settings;
use crate::process::Commands;

/// Folder of the checkout, in the run's directory.
const CHECKOUT: &str = "sources";

/// Which sources a run wants.
#[derive(Debug)]
pub(crate) struct SourceRequest {
    repository: Repository,
    reference: Reference,
    folder: Folder,
    ssh_private_key: Option<Secret>,
    known_host: Option<KnownHost>,
}

impl SourceRequest {
    /// Reads and checks what a run says of its sources. Nothing that git or ssh could take for an
    /// option, a command or a path out of the checkout gets through.
    pub(crate) fn from_run(run: &Run) -> Result<Self, Failure> {
        let request = Self {
            repository: Repository::parse(run.implementation_text("repositoryUrl").unwrap_or_default())?,
            reference: Reference::parse(run.implementation_text("refName"))?,
            folder: Folder::parse(run.implementation_text("repositoryPath"))?,
            ssh_private_key: run.implementation_text("sshPrivateKey").map(Secret::new),
            known_host: KnownHost::of(run)?,
        };
        if request.repository.ssh && request.ssh_private_key.is_none() {
            return Err(Failure::new(format!(
                "The repository {} is reached over SSH, which needs a private key. \
                 Ask the platform team to add one to the building block definition, or to use the https address.",
                request.repository
            )));
        }
        Ok(request)
    }
}

/// The sources on disk.
#[derive(Debug)]
pub(crate) struct Checkout {
    /// The module's folder, the working directory of Terraform. The whole repository is around it.
    pub(crate) module: PathBuf,
    /// `GIT_SSH_COMMAND`, if the run has an SSH key: for module sources as well.
    pub(crate) git_ssh_command: Option<String>,
}

/// Fetches the sources of a run into `run_dir`, which is the run's own and empty of sources yet.
///
/// # Errors
/// The message says what git said, never the credentials of an address.
pub(crate) async fn fetch(
    request: &SourceRequest,
    run_dir: &Path,
    commands: &Commands<'_>,
    settings: &Settings,
    step: &Step,
) -> Result<Checkout, Failure> {
    let broken_disk = |e| {
        Failure::because("The sources could not be prepared. Ask the platform team to look at the runner's disk.", e)
    };
    let run_dir = run_dir.canonicalize().map_err(broken_disk)?;
    let environment = commands.environment();
    let git_ssh_command = match &request.ssh_private_key {
        Some(key) => {
            let home = environment.get(OsStr::new("HOME")).map(Path::new);
            let named = environment.get(OsStr::new("SSH_KNOWN_HOSTS")).map(PathBuf::from);
            let trust = Trust {
                files: settings
                    .known_hosts
                    .clone()
                    .or(named)
                    .into_iter()
                    // OpenSSH would look in the home folder of the password database.
                    .chain(home.map(|home| home.join(".ssh/known_hosts")))
                    .collect(),
                insecure: settings.insecure_host_keys,
            };
            Some(ssh::prepare(&run_dir, key, request.known_host.as_ref(), &trust).map_err(broken_disk)?)
        }
        None => None,
    };

    let repository = &request.repository;
    let reference = request.reference.shown();
    step.log_line(format!("Downloading {repository} at {reference}."));
    let git = Git {
        commands,
        step,
        repository,
        checkout: run_dir.join(CHECKOUT),
        environment: git::environment(environment, repository, git_ssh_command.as_deref()),
    };
    let kept = match &settings.repository_cache_dir {
        Some(folder) => kept::fetch(&git, &request.reference, folder, settings.repository_cache_limit).await,
        None => false,
    };
    if !kept {
        git.fetch(&request.reference).await?;
    }
    let Some(revision) = git.revision().await? else {
        return Err(Failure::new(format!(
            "There is nothing to check out in {repository} at {reference}. \
             Push the module to it, or set a branch, tag or commit in the building block definition."
        )));
    };
    step.log_line(format!("Checked out commit {revision}."));
    let module = request.folder.find(&git.checkout, &format_args!("{repository} at {reference}"))?;
    Ok(Checkout { module, git_ssh_command })
}

#[cfg(test)]
mod tests;
