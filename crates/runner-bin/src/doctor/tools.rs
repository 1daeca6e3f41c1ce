//! Programs that runs need: git, ssh, Terraform, `OpenTofu`.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use super::report::Check;
use super::situation::Situation;

/// How long a program may take to tell its version.
const LIMIT: Duration = Duration::from_secs(10);

/// The first line that a program says; `None` if it is not there.
async fn first_line(program: &Path, arguments: &[&str]) -> Option<Result<String, String>> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true).env("CHECKPOINT_DISABLE", "1");
    let output = match tokio::time::timeout(LIMIT, command.output()).await {
        Err(_) => return Some(Err(format!("no answer within {} seconds", LIMIT.as_secs()))),
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::NotFound => return None,
        Ok(Err(error)) => return Some(Err(error.to_string())),
        Ok(Ok(output)) => output,
    };
    let said = if output.stdout.is_empty() { &output.stderr } else { &output.stdout };
    let said = String::from_utf8_lossy(said);
    let line: String = said.lines().next().unwrap_or_default().chars().filter(|c| !c.is_control()).take(100).collect();
    Some(if output.status.success() { Ok(line) } else { Err(line) })
}

pub(super) async fn git() -> Check {
    let advice = "Install git. Terraform building blocks whose module lies in a git repository need it.";
    of_program("git", &["--version"], advice).await
}

pub(super) async fn ssh() -> Check {
    let advice = "Install the OpenSSH client. Terraform building blocks whose module is cloned over SSH need it.";
    of_program("ssh", &["-V"], advice).await
}

async fn of_program(name: &'static str, arguments: &[&str], advice: &str) -> Check {
    match first_line(Path::new(name), arguments).await {
        Some(Ok(line)) => Check::fine(name, line),
        Some(Err(said)) => Check::warning(name, format!("It does not work ({said})."), advice),
        None => Check::warning(name, "It is not in PATH.", advice),
    }
}

/// The file with the keys of SSH servers.
pub(super) fn known_hosts(situation: &Situation) -> Check {
    const NAME: &str = "known hosts";
    if situation.insecure_host_keys {
        let seen = "Host keys of SSH servers are not checked (`insecureHostKeys`).";
        return Check::warning(
            NAME,
            seen,
            "Set SSH_KNOWN_HOSTS to a file with their keys, and take `insecureHostKeys` out.",
        );
    }
    let Some(file) = &situation.known_hosts else {
        let seen = "SSH_KNOWN_HOSTS is not set: only the keys of the large public hosts are known, and those that a building \
                    block definition brings";
        return Check::note(NAME, seen);
    };
    let text = match std::fs::read(file) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) => {
            let seen = format!("{} cannot be read ({error}).", file.display());
            return Check::problem(NAME, seen, "Correct SSH_KNOWN_HOSTS, or mount the file there.");
        }
    };
    let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let is_entry = |line: &&str| {
        let words = line.split_whitespace().skip_while(|word| word.starts_with('@'));
        let mut words = words.skip(1);
        words
            .next()
            .is_some_and(|kind| kind.starts_with("ssh-") || kind.starts_with("ecdsa-") || kind.starts_with("sk-"))
            && words.next().is_some_and(|key| key.starts_with("AAAA"))
    };
    let (all, entries) = (lines().count(), lines().filter(is_entry).count());
    if entries == all && all > 0 {
        return Check::fine(NAME, format!("{} has {all} keys", file.display()));
    }
    let seen = format!("{} has {all} lines, and {entries} of them are keys of hosts.", file.display());
    Check::warning(
        NAME,
        seen,
        "Write lines as `ssh-keyscan HOST` prints them, after comparing the keys with the host's own.",
    )
}

/// The versions that are installed, and whether one of them can be run.
pub(super) async fn terraform(situation: &Situation) -> Check {
    const NAME: &str = "Terraform versions";
    let folder = &situation.install_dir;
    let versions = installed(folder);
    let Some(newest) = versions.last() else {
        let seen = format!("{} has none; each version is downloaded when a run needs it first", folder.display());
        return Check::note(NAME, seen);
    };
    let program = folder.join(newest).join("terraform");
    let all = format!("{} in {}", versions.join(", "), folder.display());
    match first_line(&program, &["version"]).await {
        Some(Ok(_)) => Check::fine(NAME, all),
        Some(Err(said)) => Check::problem(
            NAME,
            format!("{} cannot be run ({said}).", program.display()),
            "Remove its folder: the version is then downloaded again. See that the folder is not mounted with `noexec`.",
        ),
        None => Check::problem(
            NAME,
            format!("{} is not for this machine.", program.display()),
            "Remove its folder: the version is then downloaded again.",
        ),
    }
}

/// The versions in the folder, the oldest first.
pub(super) fn installed(folder: &Path) -> Vec<String> {
    let names = std::fs::read_dir(folder).into_iter().flatten().flatten().filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        (name.starts_with(|c: char| c.is_ascii_digit()) && entry.path().join("terraform").exists()).then_some(name)
    });
    let mut names: Vec<String> = names.collect();
    names.sort_by_key(|name| name.split(['.', '-']).map(|part| part.parse::<u64>().unwrap_or(0)).collect::<Vec<_>>());
    names
}

#[cfg(test)]
mod tests {
    #[test]
    fn versions_are_sorted_by_number() {
        let folder = tempfile::tempdir().unwrap();
        for version in ["1.9.0", "1.10.1", "1.5.5", ".1.5.6.partial-x", "other"] {
            std::fs::create_dir(folder.path().join(version)).unwrap();
            std::fs::write(folder.path().join(version).join("terraform"), "").unwrap();
        }
        assert_eq!(super::installed(folder.path()), ["1.5.5", "1.9.0", "1.10.1"]);
    }
}
