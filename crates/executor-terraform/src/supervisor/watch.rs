//! The life of supervised commands, one after the other.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufReader, Write};
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

use super::{Order, descendants};

/// How long what a command left behind has to end by itself after SIGTERM.
const LEFTOVER_GRACE: Duration = Duration::from_secs(2);
/// A plugin may take a moment longer than its parent; only what stays longer is called left.
const EXIT_TOGETHER: Duration = Duration::from_millis(50);
/// How often killing is repeated, against processes that start others while they are killed.
const KILL_ROUNDS: usize = 200;
const KILL_ROUND: Duration = Duration::from_millis(25);

/// What happens to a command.
enum Event {
    /// The runner orders the next one.
    Order(Order),
    Exited(Pid, WaitStatus),
    NoneLeft,
    /// The runner asks for the end, or is gone.
    Stop,
}

/// Carries out orders, and stays until the last command and all it left behind are gone. The exit code is that of the
/// supervisor, not of a command. Argument: the grace period of a stop, ms.
pub(super) fn watch_over(mut args: impl Iterator<Item = OsString>) -> i32 {
    let Some(grace) = args.next().and_then(|grace| grace.to_str()?.parse().ok()).map(Duration::from_millis) else {
        eprintln!("This mode is for the runner itself. See --help for what it can do for you.");
        return 2;
    };
    let Ok(mut runner) = io::stdin().as_fd().try_clone_to_owned().map(UnixStream::from) else { return 2 };
    outlive_signals();
    let ready = rustix::process::set_child_subreaper(Some(rustix::process::getpid())).map_err(io::Error::from);
    let (sender, events) = mpsc::channel();
    if let Err(error) = ready.and_then(|()| listen(&runner, sender.clone())) {
        say(&mut runner, &format!("failed {}\n", error.raw_os_error().unwrap_or(0)));
        return 0;
    }
    while let Ok(Event::Order(order)) = events.recv() {
        let child = match start(&order) {
            Ok(child) => child,
            Err(error) => {
                say(&mut runner, &format!("failed {}\n", error.raw_os_error().unwrap_or(0)));
                continue;
            }
        };
        say(&mut runner, &format!("started {}\n", child.as_raw_nonzero()));
        if thread()
            .spawn({
                let sender = sender.clone();
                move || reap(&sender)
            })
            .is_err()
        {
            // Without a thread to wait nothing can be watched; nothing may stay unwatched.
            descendants::signal_all(Signal::KILL);
            return 1;
        }
        if !see_through(child, grace, &events, &mut runner) {
            break;
        }
    }
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
    // One pipe for both streams keeps the order in which the command wrote.
    let stdout =
        if order.capture_stdout { Stdio::inherit() } else { io::stderr().as_fd().try_clone_to_owned()?.into() };
    let mut command = Command::new(&order.program);
    command.args(&order.args).env_clear().envs(&order.env).current_dir(&order.cwd);
    let child = command.stdin(stdin).stdout(stdout).process_group(0).spawn()?;
    // Never waited for through `child`: the reaper waits for every process there is.
    Ok(Pid::from_child(&child))
}

fn thread() -> thread::Builder {
    thread::Builder::new().stack_size(64 * 1024)
}

fn listen(runner: &UnixStream, events: Sender<Event>) -> io::Result<()> {
    let mut runner = BufReader::new(runner.try_clone()?);
    let listen = move || {
        // What cannot be read is the end as well.
        while let Ok(Some(order)) = Order::read(&mut runner) {
            let _ = events.send(Event::Order(order));
        }
        let _ = events.send(Event::Stop);
    };
    thread().spawn(listen).map(|_| ())
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

/// Sees a command through to its end, and says whether another one may follow.
fn see_through(child: Pid, grace: Duration, events: &Receiver<Event>, runner: &mut UnixStream) -> bool {
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
            return false;
        }
    }
    if stopped {
        // Said last, so that the runner ends the run when nothing of it is there any more.
        end_what_is_left(events);
    }
    say(runner, &format!("{how}\n"));
    !stopped
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
            Ok(Event::Exited(..) | Event::NoneLeft | Event::Order(_)) => {}
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
            Ok(Event::Exited(..) | Event::Order(_)) => {}
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

/// A runner that is gone hears nothing, and that is fine: its end is on its way through `listen`.
fn say(runner: &mut UnixStream, line: &str) {
    let _ = runner.write_all(line.as_bytes());
}
