//! A process group without a parent of ours.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use tokio::time::{Instant, sleep};

const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// After SIGKILL only a process that hangs in the kernel stays; the run does not wait for it.
const AFTER_KILL: Duration = Duration::from_secs(2);

/// Whether the group has a process.
pub(super) fn is_there(group: Pid) -> bool {
    test_kill_process_group(group).is_ok()
}

/// Sends `first`, and SIGKILL to what is left after `grace`.
pub(super) async fn end(group: Pid, first: Signal, grace: Duration) {
    for (signal, time) in [(first, grace), (Signal::KILL, AFTER_KILL)] {
        if kill_process_group(group, signal).is_err() {
            return;
        }
        let deadline = Instant::now() + time;
        while is_there(group) && Instant::now() < deadline {
            sleep(LOOK_AGAIN).await;
        }
    }
}
