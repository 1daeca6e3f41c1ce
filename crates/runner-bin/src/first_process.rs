//! The first process of a container.
//!
//! What a container starts has the process id 1, and with it two duties of an init: it inherits every process whose
//! parent is gone and must collect it when it ends, and a signal that it does not catch does not reach it. So there the
//! program starts itself once more to do the work, and stays behind as a small init. The image needs none of its own, and
//! a pod whose `command` leads straight to the program is served as well.
//!
//! It also outlives the worker: a runner that was killed leaves supervisors behind, which stop what they watch in order
//! (`executor_terraform::supervisor`). If the first process ended with the runner, the kernel would kill them at once.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, kill_process, wait};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;

/// What is handed on to the worker.
const FORWARDED: [Signal; 6] = [Signal::HUP, Signal::INT, Signal::QUIT, Signal::USR1, Signal::USR2, Signal::TERM];
/// How long what a killed worker left may take to end. It takes `terraform.stopGraceSeconds`, 60 by default.
const LEFTOVER_GRACE: Duration = Duration::from_secs(300);
/// In the argument list of the processes that are waited for.
const SUPERVISOR: &[u8] = b"__supervise";

/// If this is the first process of a container: has the work done by a child, and ends with its exit code. Returns in
/// every other process, and where no child can be started. No thread may run yet.
pub(crate) fn stand_in() {
    if std::process::id() != 1 {
        return;
    }
    match run() {
        Ok(code) => std::process::exit(code),
        // Better without an init than not at all.
        Err(error) => tracing::warn!(%error, "orphaned processes are not collected, since no second process can start"),
    }
}

fn run() -> io::Result<i32> {
    let program = std::env::current_exe()?;
    let mut args = std::env::args_os();
    let mut command = Command::new(program);
    if let Some(name) = args.next() {
        command.arg0(name);
    }
    // In a group of its own: a terminal signals the whole group of the first process, and the worker would take the
    // signal that is handed on for a second one.
    command.args(args).process_group(0);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        // Caught before there is anybody to hand them on to, so that none is lost.
        let mut deaths = signal(SignalKind::child())?;
        let mut caught = Vec::new();
        for each in FORWARDED {
            caught.push((each, signal(SignalKind::from_raw(each.as_raw()))?));
        }
        // Never waited for through `Child`: every process is collected in one place.
        let worker = Pid::from_child(&command.spawn()?);
        let forwarding: Vec<_> = caught
            .into_iter()
            .map(|(each, mut caught)| {
                tokio::spawn(async move {
                    while caught.recv().await.is_some() {
                        let _ = kill_process(worker, each);
                    }
                })
            })
            .collect();
        let mut code = None;
        while code.is_none() {
            deaths.recv().await;
            code = collect(worker);
        }
        // The number may belong to another process now.
        forwarding.iter().for_each(tokio::task::JoinHandle::abort);
        let supervised = async {
            while supervisors_live() {
                deaths.recv().await;
                collect(worker);
            }
        };
        let _ = timeout(LEFTOVER_GRACE, supervised).await;
        Ok(code.unwrap_or(1))
    })
}

/// Collects every process that has ended. Gives the exit code of the worker if it is among them.
fn collect(worker: Pid) -> Option<i32> {
    let mut code = None;
    while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
        if pid == worker {
            code = Some(exit_code(status));
        }
    }
    code
}

/// As shells have it.
fn exit_code(status: WaitStatus) -> i32 {
    status.exit_status().or_else(|| status.terminating_signal().map(|number| 128 + number)).unwrap_or(1)
}

/// Whether a supervisor of the worker's is still at work. Other orphans, such as what somebody left in the background
/// of `docker exec`, are not waited for.
fn supervisors_live() -> bool {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    processes.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok()).any(|line| is_supervisor(&line))
}

fn is_supervisor(line: &[u8]) -> bool {
    line.split(|byte| *byte == 0).nth(1) == Some(SUPERVISOR)
}

#[cfg(test)]
mod tests {
    use super::is_supervisor;

    #[test]
    fn supervisors_are_told_by_their_first_argument() {
        assert!(is_supervisor(b"/app/bb-runner\0__supervise\x0060000\0\0terraform\0"));
        assert!(!is_supervisor(b"/app/bb-runner\0run\0"));
        assert!(!is_supervisor(b"grep\0-r\0__supervise\0"));
        assert!(!is_supervisor(b""));
    }
}
