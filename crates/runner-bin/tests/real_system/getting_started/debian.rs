//! A clean Debian to change the root to: what debootstrap makes, with the packages that the page names.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::PATH;
use super::page::Page;
use crate::repository;

/// A user without rights that every Debian has; ssh does not start for one that it does not know.
const NOBODY: u32 = 65534;

/// In a mount and process namespace of its own: the root read-only, the home and the programs from this machine. The
/// shell in between stays, since the change of user would take away the signal at the parent's death.
const INSIDE: &str = r#"
root=$1 home=$2
shift 2
mount --make-rprivate /
mount --bind "$root" "$root"
mount -o remount,bind,ro "$root"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
mount --bind "$home" "$root/home"
mount -t tmpfs -o mode=755 tmpfs "$root/opt"
while [ "$1" != -- ]; do
  place="$root/opt/${1##*/}"
  touch "$place"
  mount --bind "$1" "$place"
  shift
done
shift
chroot --userspec=65534:65534 --groups= "$root" "$@" || exit
"#;

/// The root folder; made, if it is not there yet. The error says why there can be none.
pub(crate) fn root() -> Result<PathBuf, String> {
    if !rustix::process::geteuid().is_root() {
        return Err("root, to change the root folder".to_owned());
    }
    let packages = Page::read().packages();
    // Making one asks a Debian mirror: only where somebody wants that.
    let Some(roots) = std::env::var_os("BB_TEST_DEBIAN_ROOT") else {
        return Err("BB_TEST_DEBIAN_ROOT, a folder to make and keep a clean Debian in".to_owned());
    };
    let root = Path::new(&roots).join(format!("{}-{}", release(), packages.join("-")));
    if !root.join("etc/debian_version").exists() {
        make(&root, &packages)?;
    }
    if fs::metadata(&root).map_err(no_debian)?.uid() != 0 {
        return Err(format!("Debian that belongs to root at {}", root.display()));
    }
    // Built against a newer C library than the Debian has, it would not start there.
    let home = tempfile::tempdir().map_err(no_debian)?;
    let mut bash = bash(&root, home.path(), &super::programs());
    let started = bash.args(["-c", "bb-runner --version"]).output().map_err(no_debian)?;
    if started.status.success() {
        Ok(root)
    } else {
        let said = String::from_utf8_lossy(&started.stderr).trim().to_owned();
        Err(format!("Debian that the programs of this machine run in ({}: {said})", root.display()))
    }
}

#[expect(clippy::needless_pass_by_value, reason = "as `map_err` has it")]
fn no_debian(error: std::io::Error) -> String {
    format!("clean Debian ({error})")
}

/// The release that the images are made from.
fn release() -> String {
    let dockerfile = fs::read_to_string(repository("deploy/container/Dockerfile")).unwrap();
    let release = dockerfile.lines().find_map(|line| line.strip_prefix("ARG DEBIAN_RELEASE="));
    release.expect("the Dockerfile names its Debian").to_owned()
}

/// Takes a minute, once, and a Debian mirror. In its place only when it is complete.
fn make(root: &Path, packages: &[String]) -> Result<(), String> {
    if !crate::succeeds("debootstrap", &["--version"]) {
        return Err("debootstrap, to make a clean Debian".to_owned());
    }
    eprintln!("debootstrap makes a clean Debian in {} …", root.display());
    let parent = root.parent().ok_or("folder for the Debian")?;
    fs::create_dir_all(parent).map_err(no_debian)?;
    let partial = tempfile::tempdir_in(parent).map_err(no_debian)?;
    let place = partial.path().join("root");
    let mut debootstrap = Command::new("timeout");
    debootstrap.args(["600", "debootstrap", "--variant=minbase"]).arg(format!("--include={}", packages.join(",")));
    let output = debootstrap.arg(release()).arg(&place).output().map_err(no_debian)?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stdout);
        let last = said.lines().last().unwrap_or_default();
        return Err(format!("Debian mirror that answers (debootstrap: {last})"));
    }
    match fs::rename(&place, root) {
        // Another process was faster.
        Err(_) if root.join("etc/debian_version").exists() => Ok(()),
        done => done.map_err(no_debian),
    }
}

/// `bash` in this root, as a user without rights, with `home` as its home folder and these programs beside the system's.
pub(super) fn bash(root: &Path, home: &Path, programs: &[PathBuf]) -> Command {
    std::os::unix::fs::chown(home, Some(NOBODY), Some(NOBODY)).unwrap();
    fs::set_permissions(home, fs::Permissions::from_mode(0o700)).unwrap();
    let mut command = Command::new("unshare");
    command.args(["--mount", "--pid", "--fork", "--kill-child", "sh", "-ec", INSIDE, "sh"]);
    command.arg(root).arg(home).args(programs).arg("--");
    command.args(["/bin/bash", "-c", "cd && exec bash \"$@\"", "bash"]);
    command.env_clear().env("PATH", format!("/opt:{PATH}")).env("HOME", "/home").stdin(Stdio::null());
    command
}
