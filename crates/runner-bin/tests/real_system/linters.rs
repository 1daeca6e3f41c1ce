//! What linters say of files that no compiler reads.

use std::process::Command;

use crate::repository;

pub(crate) fn actionlint() {
    clean(Command::new("actionlint").arg(repository(".github/workflows/release.yml")));
}

pub(crate) fn shellcheck() {
    clean(Command::new("shellcheck").arg(repository("deploy/container/entrypoint.sh")));
}

fn clean(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
