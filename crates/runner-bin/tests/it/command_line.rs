//! What a person types.

use assert_cmd::Command;

use crate::support::bb_runner;

fn typed(arguments: &[&str]) -> (Option<i32>, String, String) {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::from_std(bb_runner(folder.path())).args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn help_teaches_examples_environment_and_exit_codes() {
    let (code, help, _) = typed(&["--help"]);
    assert_eq!(code, Some(0));
    for part in ["Examples:", "bb-runner demo --module", "Environment", "RUNNER_API_CLIENT_SECRET", "Exit codes:"] {
        assert!(help.contains(part), "{part:?} is missing in\n{help}");
    }
}

#[test]
fn the_version_is_that_of_the_package() {
    assert_eq!(typed(&["--version"]), (Some(0), format!("bb-runner {}\n", env!("CARGO_PKG_VERSION")), String::new()));
}

#[test]
fn every_shell_gets_a_completion_script() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let (code, script, _) = typed(&["completions", shell]);
        assert_eq!(code, Some(0), "{shell}");
        assert!(script.contains("run-once"), "{shell}: {script}");
    }
}

#[test]
fn a_wrong_command_line_is_refused_with_2() {
    for arguments in [&["rum"][..], &["--log-format", "xml"], &["demo", "--input", "a=b"], &["run-once"]] {
        let (code, _, said) = typed(arguments);
        assert_eq!(code, Some(2), "{arguments:?}: {said}");
    }
}

#[test]
fn a_named_configuration_file_must_exist() {
    let (code, _, said) = typed(&["--config", "/no/where.yml", "--log-format", "text"]);
    assert_eq!(code, Some(2));
    assert!(said.contains("/no/where.yml"), "{said}");
}

#[test]
fn a_wrong_variable_for_the_log_is_refused_with_the_right_words() {
    let folder = tempfile::tempdir().unwrap();
    let output = bb_runner(folder.path()).env("BB_LOG_LEVEL", "loud").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said, "The variable BB_LOG_LEVEL must be one of: error, warn, info, debug, trace.\n");
}
