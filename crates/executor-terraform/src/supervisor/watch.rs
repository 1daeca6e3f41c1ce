//! The life of one supervised command.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, kill_process_group, wait};

use super::descendants;

/// How long what a command left behind has to end by itself after SIGTERM.
const LEFTOVER_GRACE: Duration = Duration::from_secs(2);
/// A plugin may take a moment longer than its parent; only what stays longer is called left.
const EXIT_TOGETHER: Duration = Duration::from_millis(50);
/// How often killing is repeated, against processes that start others while they are killed.
const KILL_ROUNDS: usize = 200;
const KILL_ROUND: Duration = Duration::from_millis(25);

/// What happens to the command.
enum Event {
    Exited(Pid, WaitStatus),
    NoneLeft,
    /// The runner asks for the end, or is gone.
    Stop,
}

/// What the runner asked for, from the command line.
struct Order {
    grace: Duration,
    stdin: Option<OsString>,
    program: OsString,
    args: Vec<OsString>,
}

impl Order {
    /// `<grace, ms> <file to read, or empty> <program> <arguments…>`
    fn read(mut args: impl Iterator<Item = OsString>) -> Option<Self> {
        let grace = Duration::from_millis(args.next()?.to_str()?.parse().ok()?);
        let stdin = Some(args.next()?).filter(|path| !path.is_empty());
        Some(Self { grace, stdin, program: args.next()?, args: args.collect() })
    }
}

/// Starts the command and stays until it and all it left behind are gone. The exit code is that of
/// the supervisor, not of the command.
pub(super) fn watch_over(args: impl Iterator<Item = OsString>) -> i32 {
    let Some(order) = Order::read(args) else {
        eprintln!("This mode is for the runner itself. See --help for what it can do for you.");
        return 2;
    };
    let Ok(mut runner) = io::stdin().as_fd().try_clone_to_owned().map(UnixStream::from) else { return 2 };
    outlive_signals();
    let started = rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
        .map_err(io::Error::from)
        .and_then(|()| start(&order));
    let child = match started {
        Ok(child) => child,
        Err(error) => {
            say(&mut runner, &format!("failed {}\n", error.raw_os_error().unwrap_or(0)));
            return 0;
        }
    };
    say(&mut runner, &format!("started {}\n", child.as_raw_nonzero()));
    let Ok(events) = listen(&runner) else {
        // Without a thread to listen nothing can be watched; nothing may stay unwatched.
        descendants::signal_all(Signal::KILL);
        return 1;
    };
    see_through(child, order.grace, &events, &mut runner);
    0
}

/// A service manager or a terminal signals every process it sees. It is the runner that decides; a
/// supervisor that dies of it would leave its command alone.
fn outlive_signals() {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
    for signal in [SIGHUP, SIGINT, SIGQUIT, SIGTERM] {
        // A handler, not "ignore": the command would inherit that.
        let _ = signal_hook::flag::register(signal, Arc::new(AtomicBool::new(false)));
    }
}

fn start(order: &Order) -> io::Result<Pid> {
    let stdin = match &order.stdin {
        Some(path) => {
            let file = File::open(path)?;
            fs::remove_file(path)?;
            Stdio::from(file)
        }
        None => Stdio::null(),
    };
    let child = Command::new(&order.program).args(&order.args).stdin(stdin).process_group(0).spawn()?;
    // Never waited for through `child`: the reaper waits for every process there is.
    Ok(Pid::from_child(&child))
}

fn listen(runner: &UnixStream) -> io::Result<Receiver<Event>> {
    let (sender, events) = mpsc::channel();
    let runner = runner.try_clone()?;
    let thread = || thread::Builder::new().stack_size(64 * 1024);
    let stops = sender.clone();
    thread().spawn(move || await_stop(runner, &stops))?;
    thread().spawn(move || reap(&sender))?;
    Ok(events)
}

fn await_stop(mut runner: UnixStream, events: &Sender<Event>) {
    let mut byte = [0];
    loop {
        match runner.read(&mut byte) {
            Ok(n) if n > 0 => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            _ => break,
        }
    }
    let _ = events.send(Event::Stop);
}

fn reap(events: &Sender<Event>) {
    loop {
        match wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if status.exited() || status.signaled() => {
                let _ = events.send(Event::Exited(pid, status));
            }
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            // No children: nobody can come any more, since only a child could bring one.
            Err(_) => {
                let _ = events.send(Event::NoneLeft);
                return;
            }
        }
    }
}

fn see_through(child: Pid, grace: Duration, events: &Receiver<Event>, runner: &mut UnixStream) {
    let (status, mut stopped) = until_exit(child, grace, events);
    let how = match status.terminating_signal() {
        Some(signal) => format!("signalled {signal}"),
        None => format!("exited {}", status.exit_status().unwrap_or(0)),
    };
    if !stopped {
        let gone = until_none_left(events, Some(EXIT_TOGETHER), &mut stopped);
        if !gone && !stopped {
            // The run goes on with what came out of the command; what it left runs beside that.
            say(runner, &format!("{how} left\n"));
            if !until_none_left(events, None, &mut stopped) {
                end_what_is_left(events);
            }
            return;
        }
    }
    if stopped {
        // Said last, so that the runner ends the run when nothing of it is there any more.
        end_what_is_left(events);
    }
    say(runner, &format!("{how}\n"));
}

/// Waits for the command itself. A stop is SIGINT to its group, so that it can save its state and
/// give locks back; SIGKILL after the grace period.
fn until_exit(child: Pid, grace: Duration, events: &Receiver<Event>) -> (WaitStatus, bool) {
    let mut deadline: Option<Instant> = None;
    loop {
        let event = match deadline {
            None => events.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(at) => events.recv_timeout(at.saturating_duration_since(Instant::now())),
        };
        match event {
            Ok(Event::Exited(pid, status)) if pid == child => return (status, deadline.is_some()),
            Ok(Event::Stop) => {
                let _ = kill_process_group(child, Signal::INT);
                deadline = Some(Instant::now() + grace);
            }
            Ok(Event::Exited(..) | Event::NoneLeft) => {}
            Err(_) => {
                let _ = kill_process_group(child, Signal::KILL);
                deadline = Some(Instant::now() + KILL_ROUND);
            }
        }
    }
}

/// Waits until all that the command started is gone: true. False if a stop is asked for first, which
/// is noted in `stopped`, or the time is over.
fn until_none_left(events: &Receiver<Event>, time: Option<Duration>, stopped: &mut bool) -> bool {
    let deadline = time.map(|time| Instant::now() + time);
    loop {
        let event = match deadline {
            None => events.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(at) => events.recv_timeout(at.saturating_duration_since(Instant::now())),
        };
        match event {
            Ok(Event::NoneLeft) => return true,
            Ok(Event::Exited(..)) => {}
            Ok(Event::Stop) => {
                *stopped = true;
                return false;
            }
            Err(_) => return false,
        }
    }
}

/// SIGTERM, a moment, SIGKILL until nothing is there. The stop was heard before, so none comes now.
fn end_what_is_left(events: &Receiver<Event>) {
    let mut stopped = true;
    descendants::signal_all(Signal::TERM);
    if until_none_left(events, Some(LEFTOVER_GRACE), &mut stopped) {
        return;
    }
    for _ in 0..KILL_ROUNDS {
        descendants::signal_all(Signal::KILL);
        if until_none_left(events, Some(KILL_ROUND), &mut stopped) {
            return;
        }
    }
}

/// A runner that is gone hears nothing, and that is fine: its end is on its way through `await_stop`.
fn say(runner: &mut UnixStream, line: &str) {
    let _ = runner.write_all(line.as_bytes());
}
