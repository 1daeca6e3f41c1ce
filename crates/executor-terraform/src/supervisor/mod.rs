//! Watches over the commands of a run, so that no process of a run outlives the runner.
//!
//! The runner starts its own program again in a hidden mode; this is that mode. The supervisor
//! starts each command in a process group of its own and adopts whatever the command leaves behind
//! (it is a *child subreaper*). It ends all of it in order when the runner says so or is gone, also
//! when the runner was killed and could say nothing. What a command leaves running (a tunnel that
//! a pre-run script opened) lives until the run ends, and no longer; its supervisor takes no other
//! command then, and the runner starts another one.
//!
//! The two talk over a socket pair, the supervisor's standard input:
//!
//! | who | says | when |
//! | --- | --- | --- |
//! | runner | an `Order` | when all of the command before is gone |
//! | supervisor | `started <pid>` or `failed <errno>` | once per order |
//! | supervisor | `exited <code> [left]` or `signalled <signal> [left]` | once per start; `left`: processes live on |
//! | runner | end of file | stop, or: the runner is gone |
//!
//! What commands write goes to the supervisor's standard error, the log; their standard output to
//! its standard output where the order says so.
//!
//! An end of file cannot be missed and does not depend on which thread of the runner started the
//! supervisor, as a parent-death signal does.

use std::ffi::OsString;

#[cfg(target_os = "linux")]
mod descendants;
mod order;
#[cfg(target_os = "linux")]
mod watch;

pub(crate) use self::order::Order;

/// The hidden first argument.
pub(crate) const SUPERVISE: &str = "__supervise";

/// Becomes the supervisor, if this process was started as one; then it does not return.
///
/// A program that embeds the executor and sets [`Settings::supervisor`](crate::Settings::supervisor)
/// calls this first in `main`, before it starts a runtime or a thread.
pub fn run_if_asked() {
    let mut args = std::env::args_os().skip(1);
    if args.next().is_some_and(|first| first == SUPERVISE) {
        std::process::exit(watch_over(args));
    }
}

/// The same for a program whose hidden mode needs arguments of its own: `args` are those after
/// [`Supervisor::args`](crate::Supervisor::args). Gives the exit code; `None` if it is not asked for.
pub fn run(args: impl IntoIterator<Item = OsString>) -> Option<i32> {
    let mut args = args.into_iter();
    (args.next()? == SUPERVISE).then(|| watch_over(args))
}

#[cfg(target_os = "linux")]
fn watch_over(args: impl Iterator<Item = OsString>) -> i32 {
    watch::watch_over(args)
}

#[cfg(not(target_os = "linux"))]
fn watch_over(_args: impl Iterator<Item = OsString>) -> i32 {
    eprintln!("Commands are supervised on Linux only.");
    2
}
