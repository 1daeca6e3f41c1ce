//! One child process: started, asked to stop, killed. With a supervisor between, or directly.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child as Process, Command};

use super::CommandSpec;
use super::group;
use super::line::Line;
use super::pipe::{Pipe, Pipes, log_pipe};
use crate::supervisor::Order;

/// A running program.
pub(super) struct Child {
    by: By,
    /// The process group of the program, once it is known.
    group: Option<Pid>,
    /// Whether all is said and done, so that nothing is to be killed any more.
    over: bool,
}

/// Whose child the program is.
enum By {
    Runner(Process),
    Supervisor(Line),
    /// It is over, and its supervisor has gone on.
    Nobody,
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct End {
    pub(super) code: Option<i32>,
    pub(super) signal: Option<i32>,
    /// Whether processes that it started live on.
    pub(super) left: bool,
}

/// Why nothing is known of a program's end.
#[derive(Debug)]
pub(super) enum Lost {
    NotStarted(io::Error),
    SupervisorGone,
}

impl Child {
    /// Starts the program as a child of the runner. `input` is a file with its standard input, which is removed.
    pub(super) fn direct(spec: &CommandSpec, input: Option<&Path>) -> io::Result<(Self, Pipes)> {
        let (log, log_writer) = log_pipe()?;
        // One pipe for both streams keeps the order in which the program wrote.
        let stderr = Stdio::from(log_writer.try_clone()?);
        let (captured, stdout) = if spec.capture_stdout {
            let (reader, writer) = io::pipe()?;
            (Some(Pipe::new(reader)?), Stdio::from(writer))
        } else {
            (None, Stdio::from(log_writer))
        };
        let stdin = match input {
            Some(path) => {
                let file = File::open(path)?;
                fs::remove_file(path)?;
                Stdio::from(file)
            }
            None => Stdio::null(),
        };
        let mut command = Command::new(&spec.program);
        command.args(&spec.args).env_clear().envs(&spec.env).env("PWD", &spec.cwd).current_dir(&spec.cwd);
        // A group of its own: a Ctrl-C at the runner's terminal is for the runner, which then decides.
        let process = command.process_group(0).stdin(stdin).stdout(stdout).stderr(stderr).spawn()?;
        let group = process.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        Ok((Self { by: By::Runner(process), group, over: false }, Pipes { log, captured }))
    }

    /// Has the supervisor at the other end of the line start the program.
    pub(super) async fn supervised(
        spec: &CommandSpec,
        input: Option<&Path>,
        mut line: Line,
    ) -> io::Result<(Self, Pipes)> {
        let mut order = Order {
            stdin: input.map(Into::into),
            capture_stdout: spec.capture_stdout,
            cwd: spec.cwd.clone().into(),
            program: spec.program.clone().into(),
            args: spec.args.clone(),
            env: spec.env.clone(),
        };
        order.env.insert("PWD".into(), spec.cwd.clone().into());
        let pipes = line.order(&order).await?;
        Ok((Self { by: By::Supervisor(line), group: None, over: false }, pipes))
    }

    /// Waits for the end of the program. May be dropped and called again.
    pub(super) async fn end(&mut self) -> Result<End, Lost> {
        let end = match &mut self.by {
            By::Supervisor(line) => line.hear(&mut self.group).await,
            By::Runner(process) => match process.wait().await {
                Ok(status) => {
                    let left = self.group.is_some_and(group::is_there);
                    Ok(End { code: status.code(), signal: status.signal(), left })
                }
                Err(error) => Err(Lost::NotStarted(error)),
            },
            By::Nobody => Err(Lost::SupervisorGone),
        };
        match &end {
            Ok(end) => self.over = !end.left,
            // The command is nobody's now.
            Err(Lost::SupervisorGone) => {}
            Err(Lost::NotStarted(_)) => self.over = true,
        }
        end
    }

    /// Whether a supervisor saw the end of the program and of all it started: then all that they wrote is in the pipes.
    pub(super) fn is_supervised(&self) -> bool {
        matches!(self.by, By::Supervisor(_))
    }

    /// The supervisor, once nothing is left of the program, for the next one.
    pub(super) fn into_line(mut self) -> Option<Line> {
        match std::mem::replace(&mut self.by, By::Nobody) {
            By::Supervisor(line) if self.over => Some(line),
            _ => None,
        }
    }

    /// Asks the program to end in order (SIGINT to its group).
    pub(super) fn ask_to_stop(&mut self) {
        match &mut self.by {
            By::Supervisor(line) => line.ask_to_stop(),
            By::Runner(_) | By::Nobody => self.signal(Signal::INT),
        }
    }

    /// Ends the program at once.
    pub(super) fn kill(&mut self) {
        self.signal(Signal::KILL);
    }

    /// Ends what is left of the program's group, in order within `grace`.
    pub(super) async fn end_group(&mut self, first: Signal, grace: Duration) {
        if let Some(group) = self.group {
            group::end(group, first, grace).await;
        }
        self.over = true;
    }

    /// Ends what the program left behind, at the end of the run.
    pub(super) async fn end_what_is_left(&mut self, grace: Duration) {
        if let By::Supervisor(line) = &mut self.by {
            // The supervisor does it, and its end is the sign that it is done.
            line.ask_to_stop();
            line.ended().await;
            self.over = true;
        } else {
            self.end_group(Signal::TERM, grace).await;
        }
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.group {
            let _ = kill_process_group(group, signal);
        }
    }
}

impl Drop for Child {
    /// A run that is dropped in the middle leaves nothing: a supervisor hears the end of the line
    /// and stops the program in order, without one it is killed.
    fn drop(&mut self) {
        if !self.over && matches!(self.by, By::Runner(_)) {
            self.kill();
        }
    }
}

/// Writes a program's input where only this user can read it. A file, not a pipe: a program that
/// does not read its input cannot hang on it or die of it.
pub(super) fn put(path: &Path, bytes: &[u8]) -> io::Result<()> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?.write_all(bytes)
}
