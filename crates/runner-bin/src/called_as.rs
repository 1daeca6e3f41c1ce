//! The names under which the public images have their programs.
//!
//! In our image they are links to this program, so that a pod template's `command` goes on working; a template that names
//! one in its `args` works as well. All of them do what the program does anyway, but for one: the run controller has a
//! configuration and a task of its own. Source: `protocol/configuration.md`, "Images in the field".

use std::ffi::{OsStr, OsString};
use std::path::Path;

/// The name of the public controller's program.
const CONTROLLER: &str = "run-controller";
/// The names of the public runners' programs.
const RUNNERS: [&str; 4] = ["tfrunner", "tf-block-runner", "runner", "executable"];

/// The program's arguments. Where the first names a public program, that is what it was called as.
pub fn arguments(given: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = given.into_iter().collect();
    if arguments.get(1).and_then(|first| name(first)).is_some_and(|name| name == CONTROLLER || RUNNERS.contains(&name))
    {
        arguments.remove(0);
    }
    arguments
}

/// Whether this process was called as the run controller.
pub(crate) fn is_controller() -> bool {
    arguments(std::env::args_os()).first().and_then(|called| name(called)) == Some(CONTROLLER)
}

fn name(program: &OsStr) -> Option<&str> {
    Path::new(program).file_name()?.to_str()
}

#[cfg(test)]
mod tests {
    use super::arguments;

    fn of(line: &str) -> String {
        let words = arguments(line.split(' ').map(Into::into));
        words.iter().map(|word| word.to_str().unwrap()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_name_of_a_public_program_may_stand_before_the_arguments() {
        assert_eq!(of("/app/bb-runner /app/tfrunner"), "/app/tfrunner");
        assert_eq!(of("bb-runner run-controller --version"), "run-controller --version");
        assert_eq!(of("/app/tfrunner health"), "/app/tfrunner health");
        assert_eq!(of("bb-runner run"), "bb-runner run");
        assert_eq!(of("bb-runner"), "bb-runner");
        assert_eq!(of("bb-runner run-once /app/runner"), "bb-runner run-once /app/runner");
    }
}
