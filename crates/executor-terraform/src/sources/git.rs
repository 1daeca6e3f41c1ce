//! The few git commands that fetch sources.
//!
//! As few processes as possible: a branch or tag is one `git clone`. Everything of the user's and
//! the system's git configuration holds (`HOME` is passed on): credential helpers and `insteadOf`
//! rules of the operator work as they do by hand.

use std::path::{Path, PathBuf};
use std::{fs, io};

use runner_core::{Failure, Step};

use super::refs::{self, Reference};
use super::ssh;
use super::url::Repository;
use crate::process::{CommandError, CommandSpec, Commands, Environment};

/// Transports that git may use, also after a redirect or an `insteadOf` rule.
const ALLOWED_PROTOCOLS: &str = "file:git:http:https:ssh";

/// Gives the credentials that stood in the address, from the environment: arguments can be seen.
const CREDENTIAL_HELPER: &str = "!f() { test \"$1\" = get && printf 'username=%s\\npassword=%s\\n' \
                                 \"$BB_GIT_USERNAME\" \"$BB_GIT_PASSWORD\"; }; f";

/// Only the wanted commit, without what led to it.
pub(super) const DEPTH: &str = "--depth=1";

/// All commits, but of the files only what is then asked for. A server that cannot do it sends all.
const BLOBLESS: &str = "--filter=blob:none";

/// What holds for every command. A checkout lives as long as its run and a kept repository that is damaged is thrown away,
/// so no command waits for the disk.
const SETTINGS: [&str; 4] =
    ["core.hooksPath=/dev/null", "submodule.recurse=false", "advice.detachedHead=false", "core.fsync=none"];

/// Lines of git's own that a failure shows.
const SHOWN_LINES: usize = 6;
/// Bytes of them at most.
const SHOWN_BYTES: usize = 1024;

/// git, for one repository and one checkout.
pub(super) struct Git<'a> {
    pub(super) commands: &'a Commands<'a>,
    pub(super) step: &'a Step,
    pub(super) repository: &'a Repository,
    /// Where the checkout goes; its parent is there.
    pub(super) checkout: PathBuf,
    pub(super) environment: Environment,
}

/// How a git command came out.
pub(super) enum Attempt {
    Done,
    /// The repository has no such ref.
    NoSuchRef,
    /// Something else, in git's own words.
    Failed(String),
}

/// What git, run by the runner, finds in its environment beside what every program of the run does.
pub(super) fn environment(mut base: Environment, repository: &Repository, ssh_command: Option<&str>) -> Environment {
    let mut set = |name: &str, value: &str| base.insert(name.into(), value.into());
    // Without an answer a private repository fails; it does not wait for a password.
    set("GIT_TERMINAL_PROMPT", "0");
    set("GIT_ALLOW_PROTOCOL", ALLOWED_PROTOCOLS);
    // What git says is read here.
    set("LC_ALL", "C");
    if let Some(command) = ssh_command {
        set("GIT_SSH_COMMAND", command);
    }
    if let Some(credentials) = &repository.credentials {
        set("BB_GIT_USERNAME", credentials.username.expose());
        set("BB_GIT_PASSWORD", credentials.password.expose());
    }
    base
}

impl Git<'_> {
    /// Fetches the wanted ref and checks it out: a branch, else a tag, else a commit.
    pub(super) async fn fetch(&self, reference: &Reference) -> Result<(), Failure> {
        let name = match reference {
            Reference::Default => return self.outcome(self.clone(None).await?, reference),
            Reference::Full(name) => return self.outcome(self.fetch_one(name).await?, reference),
            Reference::Named(name) => name,
        };
        let mut attempt = self.clone(Some(name)).await?;
        if let Attempt::NoSuchRef = attempt {
            if let Some(full) = refs::full_name(name) {
                attempt = self.fetch_one(&full).await?;
            } else if refs::is_commit(name) {
                self.step.log_line(format!("{name} is no branch or tag, looking for a commit."));
                attempt = self.fetch_commit(name).await?;
            }
        }
        self.outcome(attempt, reference)
    }

    /// `branch` is the name of a branch, else of a tag: git looks in that order.
    async fn clone(&self, branch: Option<&str>) -> Result<Attempt, Failure> {
        let target = self.checkout.to_string_lossy();
        // No templates: their hooks would not run anyway, and copying them takes time.
        let mut args = vec!["clone", "--quiet", "--template=", "--single-branch", DEPTH];
        let branch = branch.map(|branch| format!("--branch={branch}"));
        args.extend(branch.as_deref());
        args.extend(["--", &self.repository.address, &target]);
        self.attempt_shallow(&args).await
    }

    /// Fetches one ref by its full name, or one commit, and nothing else.
    async fn fetch_one(&self, name: &str) -> Result<Attempt, Failure> {
        self.start_over()?;
        let target = self.checkout.to_string_lossy();
        let steps: [&[&str]; 3] = [
            &["init", "--quiet", "--template=", "--", &target],
            &["-C", &target, "fetch", "--quiet", "--no-tags", DEPTH, "--", &self.repository.address, name],
            &["-C", &target, "checkout", "--quiet", "--detach", "FETCH_HEAD"],
        ];
        for args in steps {
            let attempt = self.attempt_shallow(args).await?;
            if !matches!(attempt, Attempt::Done) {
                return Ok(attempt);
            }
        }
        Ok(Attempt::Done)
    }

    /// Fetches a commit: alone, if the server hands it out, else out of the whole repository.
    async fn fetch_commit(&self, commit: &str) -> Result<Attempt, Failure> {
        if refs::is_whole_commit(commit)
            && let Attempt::Done = self.fetch_one(commit).await?
        {
            return Ok(Attempt::Done);
        }
        self.start_over()?;
        let target = self.checkout.to_string_lossy();
        // Of the files only those of the commit, where the server can: an old repository is mostly old files.
        let clone =
            ["clone", "--quiet", "--template=", "--no-checkout", BLOBLESS, "--", &self.repository.address, &target];
        match self.attempt(&clone).await? {
            Attempt::Done => {
                let commit = format!("{commit}^{{commit}}");
                self.attempt(&["-C", &target, "checkout", "--quiet", "--detach", &commit, "--"]).await
            }
            other => Ok(other),
        }
    }

    /// The commit that is checked out; none if nothing is, as in an empty repository.
    pub(super) async fn revision(&self) -> Result<Option<String>, Failure> {
        if let Some(revision) = self.head() {
            return Ok(Some(revision));
        }
        // An unusual way to store refs, or none at all.
        let target = self.checkout.to_string_lossy();
        let spec = self.command(&["-C", &target, "rev-parse", "--verify", "--quiet", "HEAD"]);
        let finished =
            self.commands.run(&CommandSpec { capture_stdout: true, ..spec }, self.step).await.map_err(not_run)?;
        let revision = String::from_utf8_lossy(&finished.stdout).trim().to_owned();
        Ok(Some(revision).filter(|revision| finished.success() && !revision.is_empty()))
    }

    /// The same from git's own files, which saves a process.
    fn head(&self) -> Option<String> {
        let git = self.checkout.join(".git");
        let head = fs::read_to_string(git.join("HEAD")).ok()?;
        match head.trim().strip_prefix("ref: ") {
            None => Some(head.trim().to_owned()),
            Some(branch) => Some(fs::read_to_string(git.join(branch)).ok()?.trim().to_owned()),
        }
    }

    /// Without the history, unless the server cannot leave it out.
    pub(super) async fn attempt_shallow(&self, args: &[&str]) -> Result<Attempt, Failure> {
        let attempt = self.attempt(args).await?;
        match attempt {
            Attempt::Failed(said) if said.contains("shallow") => {
                self.step.log_line("The server cannot leave out the history, fetching all of it.");
                let full: Vec<&str> = args.iter().copied().filter(|arg| *arg != DEPTH).collect();
                self.attempt(&full).await
            }
            other => Ok(other),
        }
    }

    pub(super) async fn attempt(&self, args: &[&str]) -> Result<Attempt, Failure> {
        let finished = self.commands.run(&self.command(args), self.step).await.map_err(not_run)?;
        if finished.success() {
            return Ok(Attempt::Done);
        }
        let said = &finished.last_lines;
        let no_such_ref = ["not found in upstream", "couldn't find remote ref", "invalid reference"];
        if no_such_ref.iter().any(|part| said.contains(part)) && !said.contains("is ambiguous") {
            return Ok(Attempt::NoSuchRef);
        }
        Ok(Attempt::Failed(if said.trim().is_empty() { finished.how_it_ended() } else { said.clone() }))
    }

    pub(super) fn command(&self, args: &[&str]) -> CommandSpec {
        let mut all: Vec<String> = Vec::new();
        all.extend(SETTINGS.iter().flat_map(|setting| ["-c".to_owned(), (*setting).to_owned()]));
        if let Some(credentials) = &self.repository.credentials {
            all.extend(["-c".to_owned(), format!("credential.{}.helper={CREDENTIAL_HELPER}", credentials.server)]);
        }
        all.extend(args.iter().map(|arg| (*arg).to_owned()));
        let cwd = self.checkout.parent().unwrap_or(Path::new("/"));
        CommandSpec::new("git", cwd, self.environment.clone()).args(all)
    }

    /// Removes what an attempt left behind.
    pub(super) fn start_over(&self) -> Result<(), Failure> {
        match fs::remove_dir_all(&self.checkout) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Failure::because(
                "The runner could not clear its working directory. Ask the platform team to look at its disk.",
                e,
            )),
            _ => Ok(()),
        }
    }

    fn outcome(&self, attempt: Attempt, reference: &Reference) -> Result<(), Failure> {
        let repository = self.repository;
        match attempt {
            Attempt::Done => Ok(()),
            Attempt::NoSuchRef => Err(Failure::new(format!(
                "There is no branch, tag or commit `{}` in {repository}. \
                 Check the ref in the building block definition.",
                reference.shown()
            ))),
            Attempt::Failed(said) => Err(Failure::new(self.explain(&said))),
        }
    }

    fn explain(&self, said: &str) -> String {
        let repository = self.repository;
        let sentence = ssh::host_key_problem(said).unwrap_or_else(|| {
            let advice = if said.contains("cannot run ssh") {
                "There is no `ssh` on the runner: ask the platform team to install it."
            } else if self.repository.ssh {
                "Check the address and the SSH key in the building block definition."
            } else {
                "Check the address in the building block definition, and whether the runner may read it."
            };
            format!("The sources could not be downloaded from {repository}. {advice}")
        });
        format!("{sentence}\n{}", last_lines(said))
    }
}

pub(super) fn not_run(error: CommandError) -> Failure {
    let sentence = match error {
        CommandError::NotFound { .. } => {
            "There is no `git` on the runner, so no sources can be downloaded. Ask the platform team to install it."
        }
        _ => {
            "The sources could not be downloaded, because git could not be run. Ask the platform team to look at the runner."
        }
    };
    error.into_failure(sentence)
}

/// The end of what git said, without blank lines.
fn last_lines(said: &str) -> String {
    let lines: Vec<&str> = said.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    let text = lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n");
    let start = (text.len().saturating_sub(SHOWN_BYTES)..text.len()).find(|at| text.is_char_boundary(*at));
    text[start.unwrap_or(0)..].to_owned()
}
