//! Repositories that are kept from run to run (`terraform.repositoryCacheDir`).
//!
//! For each address there is a bare repository with the commits that runs wanted lately, each without its history. A
//! run first asks the server, with its own credentials, which commit its ref is: so it gets nothing that it may not
//! read, and never an old state. Only a commit that is not there is fetched, and of it only what is new.
//!
//! What does not work in this way is done without: a kept repository is never why a run fails. One that is damaged is
//! thrown away.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use aws_lc_rs::digest::{SHA256, digest};

use super::git::{Attempt, DEPTH, Git};
use super::refs::{self, Reference};
use crate::cache::{Lock, make_room};
use crate::process::CommandSpec;

/// A run waits this long for another one that fetches the same repository; then it goes its own way.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// Commits that a kept repository holds; then it is begun anew, which is cheaper than tidying it up.
const MOST_COMMITS: usize = 32;
/// Where in a kept repository the commits are: `refs/kept/<commit>`.
const KEPT: &str = "refs/kept";

/// A commit on the server.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wanted {
    /// How the server is asked for it: a ref, or the commit itself.
    name: String,
    object: String,
}

/// Checks the ref out by means of the kept repository. False: it is to be fetched in the ordinary way.
pub(super) async fn fetch(git: &Git<'_>, reference: &Reference, folder: &Path, limit: u64) -> bool {
    let done = match Kept::open(git, folder).await {
        Ok(Some(kept)) => kept.fetch(git, reference).await,
        Ok(None) => {
            git.step.log_line("Another run uses the runner's copy of the repository, going without it.");
            false
        }
        Err(error) => {
            tracing::warn!(%error, folder = %folder.display(), "the cache of repositories cannot be used");
            return false;
        }
    };
    let all = folder.to_owned();
    let room = tokio::task::spawn_blocking(move || keep_within(&all, limit)).await;
    if let Err(error) = room.map_err(io::Error::other).flatten() {
        tracing::warn!(%error, folder = %folder.display(), "the cache of repositories could not be kept within its size");
    }
    done
}

/// The kept repository of one address, in this run's hands.
struct Kept {
    path: PathBuf,
    _lock: Lock,
}

impl Kept {
    /// None if other runs do not let go of it.
    async fn open(git: &Git<'_>, folder: &Path) -> io::Result<Option<Self>> {
        fs::create_dir_all(folder)?;
        let name = digest(&SHA256, git.repository.address.as_bytes());
        let mut file = String::new();
        for byte in &name.as_ref()[..16] {
            let _ = write!(file, "{byte:02x}");
        }
        let path = folder.canonicalize()?.join(format!("{file}.git"));
        let began = Instant::now();
        while began.elapsed() < PATIENCE && !git.commands.stopped() {
            if let Some(lock) = Lock::try_take(&path.with_extension("lock"))? {
                return Ok(Some(Self { path, _lock: lock }));
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Ok(None)
    }

    async fn fetch(&self, git: &Git<'_>, reference: &Reference) -> bool {
        // Without an answer, or such a ref, the ordinary way finds the words for it.
        let Some(wanted) = wanted(git, reference).await else { return false };
        if self.has(&wanted) {
            git.step.log_line("The runner has this commit.");
        } else if !self.bring(git, &wanted).await {
            self.throw_away(git);
            return false;
        }
        if self.check_out(git, &wanted).await {
            if let Ok(folder) = fs::File::open(&self.path) {
                let _ = folder.set_modified(SystemTime::now());
            }
            return true;
        }
        self.throw_away(git);
        let _ = git.start_over();
        false
    }

    fn has(&self, wanted: &Wanted) -> bool {
        self.path.join(KEPT).join(&wanted.object).is_file()
    }

    /// Fetches the commit into the kept repository.
    async fn bring(&self, git: &Git<'_>, wanted: &Wanted) -> bool {
        if fs::read_dir(self.path.join(KEPT)).is_ok_and(|kept| kept.count() >= MOST_COMMITS) {
            let _ = fs::remove_dir_all(&self.path);
        }
        let target = self.path.to_string_lossy();
        if !self.path.is_dir() && !ran(git, &["init", "--quiet", "--bare", "--template=", "--", &target]).await {
            return false;
        }
        let refspec = format!("+{}:{KEPT}/{}", wanted.name, wanted.object);
        // Nothing in the background: the run may be over by then.
        let fetch = ["-c", "gc.auto=0", "-c", "maintenance.auto=false", "-C", &target, "fetch", "--quiet", "--no-tags"];
        let rest = ["--no-write-fetch-head", DEPTH, "--", &git.repository.address, &refspec];
        if !ran(git, &[&fetch[..], &rest[..]].concat()).await {
            return false;
        }
        // The ref may have moved since the server was asked.
        let object = fs::read_to_string(self.path.join(KEPT).join(&wanted.object)).unwrap_or_default();
        object.trim() == wanted.object
    }

    /// A checkout of its own, which needs the kept repository no more.
    async fn check_out(&self, git: &Git<'_>, wanted: &Wanted) -> bool {
        let target = git.checkout.to_string_lossy();
        let from = format!("file://{}", self.path.to_string_lossy().replace('%', "%25"));
        let name = format!("{KEPT}/{}", wanted.object);
        let steps: [&[&str]; 3] = [
            &["init", "--quiet", "--template=", "--", &target],
            &["-C", &target, "fetch", "--quiet", "--no-tags", DEPTH, "--", &from, &name],
            &["-C", &target, "checkout", "--quiet", "--detach", "FETCH_HEAD"],
        ];
        for args in steps {
            if !ran(git, args).await {
                return false;
            }
        }
        true
    }

    fn throw_away(&self, git: &Git<'_>) {
        if !git.commands.stopped() {
            git.step.log_line("The runner's copy of the repository is of no use, it is thrown away.");
        }
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Asks the server which commit the ref is.
async fn wanted(git: &Git<'_>, reference: &Reference) -> Option<Wanted> {
    let names = match reference {
        Reference::Default => vec!["HEAD".to_owned()],
        Reference::Full(name) => vec![name.clone()],
        Reference::Named(name) => vec![format!("refs/heads/{name}"), format!("refs/tags/{name}")],
    };
    let mut args = vec!["ls-remote", "--quiet", "--", &git.repository.address];
    args.extend(names.iter().map(String::as_str));
    let spec = CommandSpec { capture_stdout: true, ..git.command(&args) };
    let listed = git.commands.run(&spec, git.step).await.ok().filter(crate::process::Finished::success)?;
    let found = choose(&String::from_utf8_lossy(&listed.stdout), &names);
    match reference {
        // Whoever may list the refs may have the commits.
        Reference::Named(name) if found.is_none() && refs::is_whole_commit(name) => {
            let object = name.to_ascii_lowercase();
            Some(Wanted { name: object.clone(), object })
        }
        _ => found,
    }
}

/// The first of the names that is in a list of `<object> <ref>`.
fn choose(listing: &str, names: &[String]) -> Option<Wanted> {
    let listed = || listing.lines().filter_map(|line| line.split_once('\t'));
    names.iter().find_map(|name| {
        let (object, _) = listed().find(|(_, listed)| listed == name)?;
        let is_object = refs::is_whole_commit(object);
        is_object.then(|| Wanted { name: name.clone(), object: object.to_owned() })
    })
}

async fn ran(git: &Git<'_>, args: &[&str]) -> bool {
    matches!(git.attempt(args).await, Ok(Attempt::Done))
}

/// Removes kept repositories until the rest is small enough. Those in use stay.
fn keep_within(folder: &Path, limit: u64) -> io::Result<()> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "git") {
            all.push(path);
        }
    }
    make_room(all, limit, |path| Lock::try_take(&path.with_extension("lock")).ok().flatten())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Wanted, choose};

    #[test]
    fn a_branch_comes_before_a_tag_and_only_whole_names_count() {
        let (one, two, three) = ("1".repeat(40), "2".repeat(40), "3".repeat(40));
        let listing = format!("{three}\trefs/other/refs/heads/x\n{two}\trefs/tags/x\n{one}\trefs/heads/x\n");
        let names = ["refs/heads/x".to_owned(), "refs/tags/x".to_owned()];
        let wanted = |object: &str, name: &str| Some(Wanted { name: name.to_owned(), object: object.to_owned() });
        assert_eq!(choose(&listing, &names), wanted(&one, "refs/heads/x"));
        assert_eq!(choose(&listing, &names[1..]), wanted(&two, "refs/tags/x"));
        assert_eq!(choose("fatal: ../../x\trefs/heads/x\n", &names), None);
        assert_eq!(choose("", &names), None);
    }
}
