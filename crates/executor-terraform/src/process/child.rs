//! One child process: started, asked to stop, killed. With a supervisor between, or directly.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::process::{Child as Process, Command};

use super::CommandSpec;
use super::group;
use super::pipe::Pipe;
use crate::supervisor::SUPERVISE;
use crate::{Settings, Supervisor};

/// A running program.
pub(super) struct Child {
    process: Process,
    /// The process group of the program, once it is known.
    group: Option<Pid>,
    /// The line to the supervisor, if there is one.
    watch: Option<Watch>,
    /// Whether all is said and done, so that nothing is to be killed any more.
    over: bool,
}

/// The line to a supervisor. Its end is a stop, so dropping it is one.
struct Watch {
    heard: Lines<BufReader<OwnedReadHalf>>,
    hold: Option<OwnedWriteHalf>,
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

/// Bytes that fit into the pipe of a program's output.
#[cfg(target_os = "linux")]
const PIPE: usize = 512 * 1024;

/// The reading ends of a program's output.
pub(super) struct Pipes {
    pub(super) log: Pipe,
    pub(super) captured: Option<Pipe>,
}

impl Child {
    /// Starts the program. `input` is a free path where its standard input may lie for a moment.
    pub(super) fn start(spec: &CommandSpec, settings: &Settings, input: &Path) -> io::Result<(Self, Pipes)> {
        let (log, log_writer) = io::pipe()?;
        // Room for what comes while the pipe is left alone. Refused, the program waits a little instead.
        #[cfg(target_os = "linux")]
        let _ = rustix::pipe::fcntl_setpipe_size(&log, PIPE);
        let log = Pipe::new(log)?;
        // One pipe for both streams keeps the order in which the program wrote.
        let stderr = Stdio::from(log_writer.try_clone()?);
        let (captured, stdout) = if spec.capture_stdout {
            let (reader, writer) = io::pipe()?;
            (Some(Pipe::new(reader)?), Stdio::from(writer))
        } else {
            (None, Stdio::from(log_writer))
        };
        if let Some(bytes) = &spec.stdin {
            put(input, bytes)?;
        }
        let input = spec.stdin.is_some().then_some(input);
        let child = match &settings.supervisor {
            Some(supervisor) if cfg!(target_os = "linux") => {
                Self::supervised(spec, supervisor, settings.stop_grace, input, stdout, stderr)?
            }
            _ => Self::direct(spec, input, stdout, stderr)?,
        };
        Ok((child, Pipes { log, captured }))
    }

    fn direct(spec: &CommandSpec, input: Option<&Path>, stdout: Stdio, stderr: Stdio) -> io::Result<Self> {
        let stdin = match input {
            Some(path) => {
                let file = File::open(path)?;
                fs::remove_file(path)?;
                Stdio::from(file)
            }
            None => Stdio::null(),
        };
        let mut command = Command::new(&spec.program);
        command.args(&spec.args);
        let process = spawn(command, spec, stdin, stdout, stderr)?;
        let group = process.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        Ok(Self { process, group, watch: None, over: false })
    }

    fn supervised(
        spec: &CommandSpec,
        supervisor: &Supervisor,
        grace: Duration,
        input: Option<&Path>,
        stdout: Stdio,
        stderr: Stdio,
    ) -> io::Result<Self> {
        let (ours, theirs) = StdUnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let (heard, hold) = UnixStream::from_std(ours)?.into_split();
        let mut command = Command::new(&supervisor.program);
        command.args(&supervisor.args).arg(SUPERVISE).arg(grace.as_millis().to_string());
        command.arg(input.map(Path::as_os_str).unwrap_or_default()).arg(&spec.program).args(&spec.args);
        let process = spawn(command, spec, Stdio::from(OwnedFd::from(theirs)), stdout, stderr)?;
        let watch = Watch { heard: BufReader::new(heard).lines(), hold: Some(hold) };
        Ok(Self { process, group: None, watch: Some(watch), over: false })
    }

    /// Waits for the end of the program. May be dropped and called again.
    pub(super) async fn end(&mut self) -> Result<End, Lost> {
        let end = match &mut self.watch {
            Some(watch) => hear(watch, &mut self.group).await,
            None => match self.process.wait().await {
                Ok(status) => {
                    let left = self.group.is_some_and(group::is_there);
                    Ok(End { code: status.code(), signal: status.signal(), left })
                }
                Err(error) => Err(Lost::NotStarted(error)),
            },
        };
        match &end {
            Ok(end) => self.over = !end.left,
            // The command is nobody's now.
            Err(Lost::SupervisorGone) => {}
            Err(Lost::NotStarted(_)) => self.over = true,
        }
        end
    }

    /// Asks the program to end in order (SIGINT to its group).
    pub(super) fn ask_to_stop(&mut self) {
        match &mut self.watch {
            Some(watch) => watch.hold = None,
            None => self.signal(Signal::INT),
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
        if let Some(watch) = &mut self.watch {
            watch.hold = None;
            // The supervisor does it, and its end is the sign that it is done.
            while matches!(watch.heard.next_line().await, Ok(Some(_))) {}
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
        if !self.over && self.watch.is_none() {
            self.kill();
        }
    }
}

fn spawn(mut command: Command, spec: &CommandSpec, stdin: Stdio, stdout: Stdio, stderr: Stdio) -> io::Result<Process> {
    command.env_clear().envs(&spec.env).env("PWD", &spec.cwd).current_dir(&spec.cwd);
    // A group of its own: a Ctrl-C at the runner's terminal is for the runner, which then decides.
    command.process_group(0).stdin(stdin).stdout(stdout).stderr(stderr);
    command.spawn()
}

/// Reads what the supervisor says up to the end of the program.
async fn hear(watch: &mut Watch, group: &mut Option<Pid>) -> Result<End, Lost> {
    loop {
        let Ok(Some(line)) = watch.heard.next_line().await else { return Err(Lost::SupervisorGone) };
        let mut words = line.split(' ');
        let word = words.next().unwrap_or_default();
        let number = words.next().and_then(|number| number.parse::<i32>().ok());
        let left = words.next() == Some("left");
        match (word, number) {
            ("started", Some(pid)) => *group = Pid::from_raw(pid),
            ("failed", Some(errno)) => return Err(Lost::NotStarted(io::Error::from_raw_os_error(errno))),
            ("exited", Some(code)) => return Ok(End { code: Some(code), signal: None, left }),
            ("signalled", Some(signal)) => return Ok(End { code: None, signal: Some(signal), left }),
            _ => return Err(Lost::SupervisorGone),
        }
    }
}

/// Writes a program's input where only this user can read it. A file, not a pipe: a program that
/// does not read its input cannot hang on it or die of it.
fn put(path: &Path, bytes: &[u8]) -> io::Result<()> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?.write_all(bytes)
}
