//! `deploy/systemd/bb-runner.service` in the eyes of systemd.

use std::fs;
use std::process::{Command, Output};

use crate::repository;

/// systemd looks for the program; here it is where it was built.
fn analyze(arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let unit = fs::read_to_string(repository("deploy/systemd/bb-runner.service")).unwrap();
    assert!(unit.contains("ExecStart=/usr/bin/bb-runner "));
    let file = folder.path().join("bb-runner.service");
    fs::write(&file, unit.replace("/usr/bin/bb-runner", env!("CARGO_BIN_EXE_bb-runner"))).unwrap();
    Command::new("systemd-analyze").args(arguments).arg(&file).output().unwrap()
}

pub(crate) fn is_right() {
    let output = analyze(&["verify"]);
    let said = String::from_utf8_lossy(&output.stderr);
    // Other units of the machine are read along, and are not ours to mend.
    let ours: Vec<&str> = said.lines().filter(|line| line.contains("bb-runner")).collect();
    assert!(output.status.success(), "{said}");
    assert!(ours.is_empty(), "{ours:?}");
}

pub(crate) fn is_exposed_to_little() {
    let output = analyze(&["security", "--offline=yes", "--no-pager", "--threshold=20"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
