//! Tests that need something of the system beside the program: `systemd-analyze`, process namespaces, linters.
//!
//! Where it is missing they are reported as ignored, with the reason; `BB_TEST_REQUIRE_SYSTEM=1` makes that an error, but
//! for the linters, which few have.

#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "the other tests need the rest of it")]
mod support;

mod first_process;
mod linters;
mod service;

use std::process::{Command, ExitCode, Stdio};

use libtest_mimic::{Arguments, Trial};

fn main() -> ExitCode {
    let required = std::env::var("BB_TEST_REQUIRE_SYSTEM").is_ok_and(|value| !value.is_empty() && value != "0");
    let systemd = succeeds("systemd-analyze", &["--version"]);
    let namespaces = succeeds("unshare", &["--pid", "--fork", "--mount-proc", "true"]);
    for (there, needed) in [(systemd, "systemd-analyze"), (namespaces, "root, to make process namespaces (unshare)")] {
        if !there {
            eprintln!("there is no {needed}: the tests that need it are ignored");
            if required {
                eprintln!("BB_TEST_REQUIRE_SYSTEM is set, so that is an error.");
                return ExitCode::FAILURE;
            }
        }
    }
    let actionlint = succeeds("actionlint", &["-version"]);
    let shellcheck = succeeds("shellcheck", &["--version"]);
    let trials = vec![
        trial("systemd_finds_nothing_wrong_with_the_service", systemd, service::is_right),
        trial("the_service_is_exposed_to_little", systemd, service::is_exposed_to_little),
        trial("the_first_process_collects_orphans", namespaces, first_process::collects_orphans),
        trial("the_first_process_hands_signals_on", namespaces, first_process::hands_signals_on),
        trial("the_first_process_ends_with_the_code_of_the_worker", namespaces, first_process::ends_as_the_worker),
        trial("actionlint_finds_nothing_in_the_release_workflow", actionlint, linters::actionlint),
        trial("shellcheck_finds_nothing_in_the_entry_point", shellcheck, linters::shellcheck),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn trial(name: &str, possible: bool, test: fn()) -> Trial {
    let run = move || {
        test();
        Ok(())
    };
    Trial::test(name, run).with_ignored_flag(!possible)
}

fn succeeds(program: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// A file of the repository.
fn repository(path: &str) -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}
