//! Child processes of one run: started in a process group of their own, heard live, stopped in order.
//!
//! Source: `protocol/terraform.md`, "Execute" (stopping) and "Logs".

mod child;
mod command;
mod first_error;
mod group;
mod line;
mod pipe;
mod pump;

use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use runner_core::{RunContext, Step, Stopped};
use rustix::process::Signal;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};

use self::child::{Child, End, Lost};
pub(crate) use self::command::{CommandError, CommandSpec, Environment, Finished};
use self::line::Line;
use self::pipe::Pipes;
use self::pump::{MOST_CAPTURED, Pump};
use crate::Settings;

/// What a command left running has this long to end after SIGTERM, at the end of the run.
const LEFTOVER_GRACE: Duration = Duration::from_secs(2);
/// A supervisor does its part of a stop within the grace period and this.
const SUPERVISOR_GRACE: Duration = Duration::from_secs(8);
/// How long the end of the output may follow the end of the program.
const OUTPUT_FOLLOWS: Duration = Duration::from_millis(500);

/// How long a stop takes at most, until nothing of the program is there.
pub(crate) fn longest_stop(settings: &Settings) -> Duration {
    settings.stop_grace + SUPERVISOR_GRACE + Duration::from_secs(2)
}

/// Runs the programs of one run.
pub(crate) struct Commands<'a> {
    ctx: &'a RunContext,
    settings: &'a Settings,
    environment: Environment,
    inputs: AtomicU32,
    /// A supervisor that waits for the next program.
    idle: Mutex<Option<Line>>,
    /// Programs that ended and left processes running.
    left: Mutex<Vec<Left>>,
}

struct Left {
    child: Child,
    log: JoinHandle<()>,
}

impl<'a> Commands<'a> {
    /// `environment`: what every program of the run starts from.
    pub(crate) fn new(ctx: &'a RunContext, settings: &'a Settings, environment: Environment) -> Self {
        Self { ctx, settings, environment, inputs: AtomicU32::new(0), idle: Mutex::default(), left: Mutex::default() }
    }

    /// The clean environment that every program of the run starts from.
    pub(crate) fn environment(&self) -> Environment {
        self.environment.clone()
    }

    /// Whether the run was asked to stop.
    pub(crate) fn stopped(&self) -> bool {
        self.ctx.stop().reason().is_some()
    }

    /// Runs a program to its end, its output going to the step's log as it comes. An exit code other
    /// than 0 is no error here. A stop of the run stops the program in order; so does dropping this.
    ///
    /// What the program leaves running lives until [`close`](Self::close).
    pub(crate) async fn run(&self, spec: &CommandSpec, step: &Step) -> Result<Finished, CommandError> {
        let program = command::name_of(&spec.program);
        if let Some(reason) = self.ctx.stop().reason() {
            return Err(CommandError::Stopped { program, source: Stopped(reason) });
        }
        if spec.log_command_line {
            step.log_line(format!("$ {}", spec.command_line()));
        }
        let (mut child, pipes) = self.start(spec).await.map_err(|e| command::not_started(&program, e))?;
        let mut pump = Pump::new(step.clone(), pipes);
        let ended = self.see_through(spec, &mut child, &mut pump, step).await;
        let end = match ended {
            Ok(end) => end,
            Err(Cut::Ending(error)) => {
                pump.take_what_is_there();
                return Err(error);
            }
            Err(Cut::Lost(Lost::NotStarted(error))) => return Err(command::not_started(&program, error)),
            Err(Cut::Lost(Lost::SupervisorGone)) => {
                child.end_group(Signal::INT, self.settings.stop_grace).await;
                pump.take_what_is_there();
                return Err(CommandError::SupervisorLost { program });
            }
        };
        if end.left || child.is_supervised() {
            pump.take_what_is_there();
        } else {
            // Without a supervisor a process that left the group may hold the pipe open.
            let _ = timeout(OUTPUT_FOLLOWS, pump.take_all()).await;
        }
        let stdout = pump.captured().ok_or(CommandError::TooMuchOutput { program, limit: MOST_CAPTURED })?;
        let finished = Finished {
            code: end.code,
            signal: end.signal,
            stdout,
            last_lines: pump.last_lines(),
            first_error: pump.first_error(),
            hint: None,
        };
        if end.left {
            self.keep(child, pump);
        } else if let (Some(mut line), Some(pipes)) = (child.into_line(), pump.into_pipes()) {
            line.reuse(pipes);
            *self.idle.lock().unwrap_or_else(PoisonError::into_inner) = Some(line);
        }
        Ok(finished)
    }

    /// Starts the program, by a supervisor if there is one: that of the program before, unless something of it lives on.
    async fn start(&self, spec: &CommandSpec) -> io::Result<(Child, Pipes)> {
        let directory = self.ctx.directory()?;
        let number = self.inputs.fetch_add(1, Ordering::Relaxed);
        // A free path where its standard input may lie for a moment.
        let input = spec.stdin.as_ref().map(|bytes| (directory.join(format!("stdin-{number}")), bytes));
        if let Some((path, bytes)) = &input {
            child::put(path, bytes)?;
        }
        let input = input.as_ref().map(|(path, _)| path.as_path());
        let Some(supervisor) = self.settings.supervisor.as_ref().filter(|_| cfg!(target_os = "linux")) else {
            return Child::direct(spec, input);
        };
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(line) = idle
            && let Ok(started) = Child::supervised(spec, input, line).await
        {
            return Ok(started);
        }
        let line = Line::open(supervisor, self.settings.stop_grace, &self.environment, directory)?;
        Child::supervised(spec, input, line).await
    }

    /// Takes the program's output until it ends, and stops it when it has to.
    async fn see_through(
        &self,
        spec: &CommandSpec,
        child: &mut Child,
        pump: &mut Pump,
        step: &Step,
    ) -> Result<End, Cut> {
        let mut ending = None;
        let mut deadline = spec.time_limit.map(|limit| Instant::now() + limit);
        let end = loop {
            let late = async {
                match deadline {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = pump.take_some(), if pump.open() => continue,
                end = child.end() => break end,
                reason = self.ctx.stop().requested(), if ending.is_none() => {
                    step.log_line(format!("Stopping: {reason}."));
                    let program = command::name_of(&spec.program);
                    ending = Some(CommandError::Stopped { program, source: Stopped(reason) });
                }
                () = late => {
                    let (None, Some(limit)) = (&ending, spec.time_limit) else {
                        child.kill();
                        deadline = Some(Instant::now() + SUPERVISOR_GRACE);
                        continue;
                    };
                    step.log_line(format!("Stopping: time limit of {} s reached.", limit.as_secs()));
                    ending = Some(CommandError::TimeLimit { program: command::name_of(&spec.program), limit });
                }
            }
            child.ask_to_stop();
            deadline = Some(Instant::now() + self.time_to_stop());
        };
        match (ending, end) {
            (Some(ending), _) => {
                child.end_group(Signal::KILL, Duration::ZERO).await;
                Err(Cut::Ending(ending))
            }
            (None, end) => end.map_err(Cut::Lost),
        }
    }

    /// How long the program may take after it was asked to stop, before it is killed from here.
    fn time_to_stop(&self) -> Duration {
        let supervised = self.settings.supervisor.is_some() && cfg!(target_os = "linux");
        self.settings.stop_grace + if supervised { SUPERVISOR_GRACE } else { Duration::ZERO }
    }

    fn keep(&self, child: Child, mut pump: Pump) {
        let log = tokio::spawn(async move { pump.take_all().await });
        self.left.lock().unwrap_or_else(PoisonError::into_inner).push(Left { child, log });
    }

    /// Ends what the programs of the run left running. After it nothing of the run is there.
    pub(crate) async fn close(self) {
        let left = std::mem::take(&mut *self.left.lock().unwrap_or_else(PoisonError::into_inner));
        for mut left in left {
            let ended = left.child.end_what_is_left(LEFTOVER_GRACE);
            if timeout(SUPERVISOR_GRACE, ended).await.is_err() {
                tracing::warn!("a process that a command left running could not be ended");
            }
            left.log.abort();
        }
    }
}

/// Why the end of a program does not count.
enum Cut {
    Ending(CommandError),
    Lost(Lost),
}
