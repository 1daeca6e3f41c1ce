//! The program as the first process of a process namespace, as in a container.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Daemon, MeshStackProcess, PATIENCE, Setup, bb_runner};

/// A runner that is process 1 of a namespace of its own, and the id that this process has outside.
struct Contained {
    daemon: Daemon,
    first: i32,
}

impl Contained {
    fn start(meshstack: &MeshStackProcess) -> Self {
        let setup = Setup::new(&meshstack.url, &meshstack.api_key);
        let mut command = contained(&setup.command);
        let daemon = Daemon::start(&mut command, Some(setup.folder));
        daemon.wait_for_log("bb-runner started");
        let unshare = i32::try_from(daemon.id()).unwrap();
        let [first] = children(unshare)[..] else { panic!("{:?}", children(unshare)) };
        Self { daemon, first }
    }

    fn worker(&self) -> i32 {
        children(self.first)[0]
    }

    fn signal_first(&self, signal: Signal) {
        send(self.first, signal);
    }
}

/// The same command in a process namespace.
fn contained(command: &Command) -> Command {
    let mut inside = Command::new("unshare");
    inside
        .args(["--pid", "--fork", "--kill-child", "--mount-proc"])
        .arg(command.get_program())
        .args(command.get_args());
    inside.env_clear().stdin(Stdio::null()).current_dir(command.get_current_dir().unwrap());
    inside.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    inside
}

fn children(pid: i32) -> Vec<i32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_ascii_whitespace().map(|child| child.parse().unwrap()).collect()
}

fn send(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

fn wait_until(what: &str, mut happened: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !happened() {
        assert!(Instant::now() < deadline, "{what}: not in time");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub(crate) fn collects_orphans() {
    let meshstack = MeshStackProcess::start();
    let contained = Contained::start(&meshstack);
    // Its parent ends at once, as of something left in the background of `docker exec`.
    let target = contained.first.to_string();
    let left = Command::new("nsenter")
        .args(["--target", &target, "--pid", "sh", "-c", "sleep 1000 >/dev/null 2>&1 & exit 0"])
        .status()
        .unwrap();
    assert!(left.success());
    let worker = contained.worker();
    let orphan = || children(contained.first).into_iter().find(|child| *child != worker);
    wait_until("the orphan is adopted", || orphan().is_some());
    let orphan = orphan().unwrap();
    send(orphan, Signal::KILL);
    wait_until("the orphan is collected", || !fs::exists(format!("/proc/{orphan}")).unwrap());
}

pub(crate) fn hands_signals_on() {
    let meshstack = MeshStackProcess::start();
    let mut contained = Contained::start(&meshstack);
    contained.signal_first(Signal::TERM);
    assert_eq!(contained.daemon.wait().code(), Some(0), "{}", contained.daemon.log());
    assert!(contained.daemon.log().contains("SIGTERM"), "{}", contained.daemon.log());
    assert!(!contained.daemon.log().contains("ending at once"), "one signal is one signal");
}

pub(crate) fn ends_as_the_worker() {
    let folder = tempfile::tempdir().unwrap();
    let unconfigured = contained(&bb_runner(folder.path())).stderr(Stdio::null()).status().unwrap();
    assert_eq!(unconfigured.code(), Some(2));

    let meshstack = MeshStackProcess::start();
    let mut contained = Contained::start(&meshstack);
    send(contained.worker(), Signal::KILL);
    assert_eq!(contained.daemon.wait().code(), Some(137), "{}", contained.daemon.log());
}
