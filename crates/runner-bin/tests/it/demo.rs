//! The demo on a machine without Terraform. With it: `tests/real_terraform`.

use std::os::unix::fs::symlink;

use crate::support::bb_runner;

/// A `PATH` with git and nothing else.
fn only_git() -> tempfile::TempDir {
    let programs = tempfile::tempdir().unwrap();
    let path = std::env::var_os("PATH").unwrap();
    let git = std::env::split_paths(&path).map(|folder| folder.join("git")).find(|file| file.exists()).unwrap();
    symlink(git, programs.path().join("git")).unwrap();
    programs
}

#[test]
fn without_terraform_the_manual_block_is_shown_and_the_rest_explained() {
    let (programs, folder) = (only_git(), tempfile::tempdir().unwrap());
    let output = bb_runner(folder.path()).arg("demo").env("PATH", programs.path()).output().unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{shown}");
    assert!(shown.contains("no `terraform` and no `tofu`") && shown.contains("https://opentofu.org"), "{shown}");
    assert!(shown.contains("Office badge: Manual Block Run: SUCCEEDED"), "{shown}");
    assert!(shown.contains("Office badge: SUCCEEDED"), "{shown}");
    assert!(shown.contains("night_access  BOOLEAN  true"), "{shown}");
    assert!(!shown.contains('\x1b'), "no colours where it is no terminal: {shown}");
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}

#[test]
fn without_terraform_an_own_module_cannot_be_shown() {
    let (programs, folder) = (only_git(), tempfile::tempdir().unwrap());
    let output =
        bb_runner(folder.path()).args(["demo", "--module", "."]).env("PATH", programs.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_wrong_input_is_refused_before_anything_starts() {
    let folder = tempfile::tempdir().unwrap();
    let output = bb_runner(folder.path()).args(["demo", "--module", ".", "--sensitive", "hush-hush"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said, "--sensitive needs KEY=VALUE, like --sensitive region=eu-1.\n");
}
