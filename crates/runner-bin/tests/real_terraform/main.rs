//! Tests against the real `terraform` (or `tofu`) in `PATH`.
//!
//! Without one they are reported as ignored; `BB_TEST_REQUIRE_TERRAFORM=1` makes that an error, so that CI cannot skip
//! them by accident.

#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "the other tests need the rest of it")]
mod support;

mod canary;
mod demo;
mod two_processes;

use std::path::PathBuf;
use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

fn main() -> ExitCode {
    let found = terraform();
    let required = std::env::var("BB_TEST_REQUIRE_TERRAFORM").is_ok_and(|value| !value.is_empty() && value != "0");
    if found.is_none() && required {
        eprintln!(
            "BB_TEST_REQUIRE_TERRAFORM is set, but neither `terraform` nor `tofu` is in PATH. Install one of them."
        );
        return ExitCode::FAILURE;
    }
    if found.is_none() {
        eprintln!("neither `terraform` nor `tofu` is in PATH: the tests that need one are ignored");
    }
    let tests: [(&str, fn()); 7] = [
        ("the_demo_shows_both_blocks_succeeded", demo::the_demo_shows_both_blocks_succeeded),
        ("a_module_of_ones_own_gets_typed_inputs", demo::a_module_of_ones_own_gets_typed_inputs),
        ("a_syntax_error_is_shown_in_terraforms_words", demo::a_syntax_error_is_shown_in_terraforms_words),
        ("an_interrupted_demo_stops_terraform_and_says_so", demo::an_interrupted_demo_stops_terraform_and_says_so),
        (
            "nothing_secret_leaves_the_runner_with_a_log_of_text",
            canary::nothing_secret_leaves_the_runner_with_a_log_of_text,
        ),
        (
            "nothing_secret_leaves_the_runner_with_a_log_of_json",
            canary::nothing_secret_leaves_the_runner_with_a_log_of_json,
        ),
        ("the_terraform_fixtures_come_to_their_end", two_processes::the_terraform_fixtures_come_to_their_end),
    ];
    let trials = tests.map(|(name, test)| {
        let run = move || {
            test();
            Ok(())
        };
        Trial::test(name, run).with_ignored_flag(found.is_none())
    });
    libtest_mimic::run(&Arguments::from_args(), trials.into()).exit_code()
}

/// The program, if there is one.
fn terraform() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    ["terraform", "tofu"]
        .iter()
        .find_map(|name| folders.iter().map(|folder| folder.join(name)).find(|file| file.is_file()))
}
