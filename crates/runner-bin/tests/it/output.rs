//! Where what is said goes: a pipe that is closed early, and a disk that is full.

use std::fs;
use std::io::pipe;
use std::process::{Command, Stdio};

use crate::support::{bb_runner, fixture_path};

fn commands() -> Vec<Command> {
    let key = fixture_path("crypto/current.key.pem");
    let lines: [&[&str]; 5] = [
        &["completions", "bash"],
        &["config", "schema"],
        &["config", "show"],
        &["config", "check"],
        &["keys", "check", "--key", key.to_str().unwrap()],
    ];
    let folder = fixture_path("");
    let command = |arguments: &&[&str]| {
        let mut command = bb_runner(&folder);
        command.args(*arguments);
        command
    };
    lines.iter().map(command).collect()
}

#[test]
fn a_reader_that_has_gone_is_no_failure_and_no_panic() {
    for mut command in commands() {
        let expected = command.output().unwrap().status.code();
        let (reader, writer) = pipe().unwrap();
        drop(reader);
        let ended = command.stdout(writer.try_clone().unwrap()).stderr(writer).status().unwrap();
        assert_eq!(ended.code(), expected, "{command:?}");
    }
}

#[test]
fn words_that_cannot_be_written_are_a_failure_that_is_said() {
    for mut command in commands() {
        let expected = command.output().unwrap();
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = command.stdout(full).stderr(Stdio::piped()).output().unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        if expected.stdout.is_empty() {
            assert_eq!(output.status.code(), expected.status.code(), "{command:?}");
            continue;
        }
        assert_eq!(output.status.code(), Some(expected.status.code().unwrap().max(1)), "{command:?}: {err}");
        assert!(err.contains("Standard output could not be written"), "{command:?}: {err}");
    }
}
