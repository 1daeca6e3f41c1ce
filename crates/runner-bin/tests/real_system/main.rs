//! Tests that need something of the system beside the program: `systemd-analyze`, process namespaces, linters, and what
//! the page "Getting started" asks for, once on this machine and once in a clean Debian.
//!
//! Where it is missing they are reported as ignored, with the reason; `BB_TEST_REQUIRE_SYSTEM=1` makes that an error, but
//! for the linters, which few have.
//!
//! The clean Debian is made by debootstrap the first time, and kept, in the folder that `BB_TEST_DEBIAN_ROOT` names.

#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "the other tests need the rest of it")]
mod support;

mod first_process;
mod getting_started;
mod linters;
mod service;

use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use libtest_mimic::{Arguments, Trial};

const ON_THIS_MACHINE: &str = "getting_started_leads_to_a_terraform_run";
const IN_A_CLEAN_DEBIAN: &str = "getting_started_leads_to_a_terraform_run_in_a_clean_debian";

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let required = std::env::var("BB_TEST_REQUIRE_SYSTEM").is_ok_and(|value| !value.is_empty() && value != "0");
    let systemd = succeeds("systemd-analyze", &["--version"]);
    let namespaces = succeeds("unshare", &["--pid", "--fork", "--mount-proc", "true"]);
    let missing = getting_started::missing();
    let debian = debian(&arguments, namespaces && missing.is_none());
    for (there, needed) in [
        (systemd, "systemd-analyze"),
        (namespaces, "root, to make process namespaces (unshare)"),
        (missing.is_none(), missing.unwrap_or_default()),
        (debian.is_ok(), debian.as_ref().err().map_or("", String::as_str)),
    ] {
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
    let clean = debian.ok().flatten();
    let in_debian = clean.is_some() || arguments.list;
    let trials = vec![
        trial("systemd_finds_nothing_wrong_with_the_service", systemd, service::is_right),
        trial("the_service_is_exposed_to_little", systemd, service::is_exposed_to_little),
        trial("the_first_process_collects_orphans", namespaces, first_process::collects_orphans),
        trial("the_first_process_hands_signals_on", namespaces, first_process::hands_signals_on),
        trial("the_first_process_ends_with_the_code_of_the_worker", namespaces, first_process::ends_as_the_worker),
        trial(ON_THIS_MACHINE, missing.is_none(), getting_started::leads_to_a_run_on_this_machine),
        trial(IN_A_CLEAN_DEBIAN, in_debian, move || {
            getting_started::leads_to_a_run_in_a_clean_debian(&clean.expect("it is ignored without"));
        }),
        trial("actionlint_finds_nothing_in_the_release_workflow", actionlint, linters::actionlint),
        trial("shellcheck_finds_nothing_in_the_entry_point", shellcheck, linters::shellcheck),
    ];
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// The Debian, if its test is to run: making one takes a minute. The error says what is missing.
fn debian(arguments: &Arguments, possible: bool) -> Result<Option<PathBuf>, String> {
    let named = |pattern: &String| {
        if arguments.exact { IN_A_CLEAN_DEBIAN == pattern } else { IN_A_CLEAN_DEBIAN.contains(pattern.as_str()) }
    };
    let asked_for = arguments.filter.as_ref().is_none_or(named) && !arguments.skip.iter().any(named);
    if arguments.list || !asked_for || !possible {
        return Ok(None);
    }
    getting_started::root().map(Some)
}

fn trial(name: &str, possible: bool, test: impl FnOnce() + Send + 'static) -> Trial {
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
fn repository(path: &str) -> PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}
