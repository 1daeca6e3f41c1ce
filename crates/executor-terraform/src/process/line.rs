//! The line to a supervisor, which carries out the commands of a run one after the other.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::Path;
use std::time::Duration;

use rustix::process::Pid;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::process::{Child as Process, Command};

use super::child::{End, Lost};
use super::command::Environment;
use super::pipe::{Pipe, Pipes, log_pipe};
use crate::Supervisor;
use crate::supervisor::{Order, SUPERVISE};

/// A supervisor that waits for a command, or watches over one. The end of the line is a stop, so dropping it is one.
pub(super) struct Line {
    /// Never waited for: what counts is heard.
    _process: Process,
    heard: Lines<BufReader<OwnedReadHalf>>,
    orders: Option<OwnedWriteHalf>,
    /// The pipes of all its commands, while none of them has them.
    log: Option<Pipe>,
    captured: Option<Pipe>,
}

impl Line {
    /// Starts a supervisor, which has its place in `cwd`.
    pub(super) fn open(supervisor: &Supervisor, grace: Duration, env: &Environment, cwd: &Path) -> io::Result<Self> {
        let (log, log_writer) = log_pipe()?;
        let (captured, captured_writer) = io::pipe()?;
        let (ours, theirs) = StdUnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let (heard, orders) = UnixStream::from_std(ours)?.into_split();
        let mut command = Command::new(&supervisor.program);
        command.args(&supervisor.args).arg(SUPERVISE).arg(grace.as_millis().to_string());
        command.env_clear().envs(env).env("PWD", cwd).current_dir(cwd);
        // A group of its own: a Ctrl-C at the runner's terminal is for the runner, which then decides.
        command.process_group(0).stdin(OwnedFd::from(theirs)).stdout(captured_writer).stderr(log_writer);
        Ok(Self {
            _process: command.spawn()?,
            heard: BufReader::new(heard).lines(),
            orders: Some(orders),
            log: Some(log),
            captured: Some(Pipe::new(captured)?),
        })
    }

    /// Orders a command, and gives the pipes that it writes to.
    pub(super) async fn order(&mut self, order: &Order) -> io::Result<Pipes> {
        let (Some(orders), Some(log)) = (&mut self.orders, self.log.take()) else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        orders.write_all(&order.to_bytes()?).await?;
        Ok(Pipes { log, captured: self.captured.take_if(|_| order.capture_stdout) })
    }

    /// Ready for the next command, with the pipes of the last one.
    pub(super) fn reuse(&mut self, pipes: Pipes) {
        self.log = Some(pipes.log);
        self.captured = pipes.captured.or(self.captured.take());
    }

    /// Asks for the end of the command and of all it started.
    pub(super) fn ask_to_stop(&mut self) {
        self.orders = None;
    }

    /// Reads what the supervisor says up to the end of the command, and notes its group.
    pub(super) async fn hear(&mut self, group: &mut Option<Pid>) -> Result<End, Lost> {
        loop {
            let Ok(Some(line)) = self.heard.next_line().await else { return Err(Lost::SupervisorGone) };
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

    /// Waits for the end of the supervisor.
    pub(super) async fn ended(&mut self) {
        while matches!(self.heard.next_line().await, Ok(Some(_))) {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_supervisor_that_is_gone_takes_no_order() {
        let supervisor = Supervisor { program: "/bin/sh".into(), args: vec!["-c".into(), "exit 0".into()] };
        let mut line = Line::open(&supervisor, Duration::ZERO, &Environment::new(), Path::new("/")).unwrap();
        line.ended().await;
        assert!(line.order(&Order::default()).await.is_err());
    }
}
