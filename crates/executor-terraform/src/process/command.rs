//! What is run, and how it came out.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use runner_core::{Failure, Stopped};

/// The whole environment of a program, by name.
pub(crate) type Environment = BTreeMap<OsString, OsString>;

/// A program to run.
#[derive(Clone)]
pub(crate) struct CommandSpec {
    /// The program: a path, or a name that is looked up in the `PATH` of `env`.
    pub(crate) program: PathBuf,
    /// Its arguments. They can be seen by every process of the machine: nothing secret.
    pub(crate) args: Vec<OsString>,
    /// Its working directory.
    pub(crate) cwd: PathBuf,
    /// Its whole environment. `PWD` is set to `cwd` in any case.
    pub(crate) env: Environment,
    /// What it reads from its standard input; nothing without it. Need not be read.
    pub(crate) stdin: Option<Vec<u8>>,
    /// Whether its standard output is given back, in place of going to the step's log. Standard
    /// error always goes to the log.
    pub(crate) capture_stdout: bool,
    /// How long it may take; after that it is stopped as if the run were.
    pub(crate) time_limit: Option<Duration>,
    /// Whether the command line is written to the log first.
    pub(crate) log_command_line: bool,
}

impl CommandSpec {
    /// `program` in `cwd`: no arguments, no input, output to the log, no limit, not announced.
    pub(crate) fn new(program: impl Into<PathBuf>, cwd: impl Into<PathBuf>, env: Environment) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
            cwd: cwd.into(),
            env,
            stdin: None,
            capture_stdout: false,
            time_limit: None,
            log_command_line: false,
        }
    }

    /// Adds arguments.
    pub(crate) fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// The command as a person would type it, without the program's folder.
    pub(crate) fn command_line(&self) -> String {
        let program = self.program.file_name().unwrap_or(self.program.as_os_str());
        let words = std::iter::once(program).chain(self.args.iter().map(OsString::as_os_str));
        words.map(quoted).collect::<Vec<_>>().join(" ")
    }
}

/// A word as a shell would need it: for people, nothing runs it.
fn quoted(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    let plain = |c: char| c.is_alphanumeric() || "-_=./:,@%+~^".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.into_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// A program that came to an end by itself.
#[derive(Debug, Clone, Default)]
pub(crate) struct Finished {
    /// Its exit code; none if a signal ended it.
    pub(crate) code: Option<i32>,
    /// The signal that ended it.
    pub(crate) signal: Option<i32>,
    /// Its standard output, if it was captured.
    pub(crate) stdout: Vec<u8>,
    /// The end of what it wrote to the log, a few KiB.
    pub(crate) last_lines: String,
    /// Terraform's own first error (`Error: …`) in what it wrote, 2 KiB at most.
    pub(crate) first_error: Option<String>,
    /// What the runner knows of the error beside that, in place of a general hint.
    pub(crate) hint: Option<String>,
}

impl Finished {
    /// Whether it ended with exit code 0.
    pub(crate) fn success(&self) -> bool {
        self.code == Some(0)
    }

    /// `exit code 3` or `signal 9`.
    pub(crate) fn how_it_ended(&self) -> String {
        match (self.code, self.signal) {
            (Some(code), _) => format!("exit code {code}"),
            (None, Some(signal)) => format!("signal {signal}"),
            (None, None) => "an unknown end".to_owned(),
        }
    }
}

/// A program that could not be run to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    /// There is no such program.
    #[error("there is no program `{program}` on the runner")]
    NotFound {
        /// The program as it was asked for.
        program: String,
    },
    /// It could not be started.
    #[error("`{program}` could not be started")]
    NotStarted {
        /// The program as it was asked for.
        program: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The run was stopped, and with it the program.
    #[error("`{program}` was stopped")]
    Stopped {
        /// The program as it was asked for.
        program: String,
        /// Why.
        #[source]
        source: Stopped,
    },
    /// It took longer than it may, and was stopped.
    #[error("`{program}` was stopped after its limit of {} s", limit.as_secs())]
    TimeLimit {
        /// The program as it was asked for.
        program: String,
        /// The limit.
        limit: Duration,
    },
    /// Whoever watched over it is gone, so how it ended is not known; it was ended with it.
    #[error("the supervisor of `{program}` ended before it")]
    SupervisorLost {
        /// The program as it was asked for.
        program: String,
    },
    /// It wrote more than is taken.
    #[error("`{program}` wrote more than {limit} bytes")]
    TooMuchOutput {
        /// The program as it was asked for.
        program: String,
        /// The limit, bytes.
        limit: usize,
    },
}

impl CommandError {
    /// The failure of the run: the reason of a stop, else `sentence` with this as its cause.
    pub(crate) fn into_failure(self, sentence: impl Into<String>) -> Failure {
        match self {
            Self::Stopped { source, .. } => source.into(),
            other => Failure::because(sentence, other),
        }
    }
}

pub(super) fn name_of(program: &Path) -> String {
    program.to_string_lossy().into_owned()
}

pub(super) fn not_started(program: &str, source: io::Error) -> CommandError {
    let program = program.to_owned();
    if source.kind() == io::ErrorKind::NotFound {
        CommandError::NotFound { program }
    } else {
        CommandError::NotStarted { program, source }
    }
}
