//! The release binary as a process, and what the kernel knows of it.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use meshstack_local::LocalMeshStack;

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_bb-runner");

/// A daemon, killed when dropped.
pub(crate) struct Runner {
    child: Child,
    pub(crate) folder: tempfile::TempDir,
}

impl Runner {
    pub(crate) fn start(local: &LocalMeshStack) -> Self {
        Self::start_with(local, |_| {})
    }

    /// `prepare` may put files into the runner's folder, and add to its `runner-config.yml`; `tfbin` in it holds the
    /// Terraform binaries.
    pub(crate) fn start_with(local: &LocalMeshStack, prepare: impl FnOnce(&std::path::Path)) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let at = folder.path();
        let config = format!("workingDir: {0}/wd\ntfInstallDir: {0}/tfbin\n", at.display());
        fs::write(at.join("runner-config.yml"), config).expect("a configuration");
        prepare(at);
        let (id, secret) = local.api_key();
        let child = Command::new(BINARY)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", at)
            .env("PORT", "0")
            .env("RUNNER_UUID", "7f3c9b1e-0d52-4c5a-9a64-3f1f0c1f7a10")
            .env("RUNNER_API_URL", local.url())
            .env("RUNNER_API_CLIENT_ID", id)
            .env("RUNNER_API_CLIENT_SECRET", secret)
            .current_dir(at)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the release binary");
        Self { child, folder }
    }

    /// Resident memory in bytes.
    pub(crate) fn resident(&self) -> u64 {
        self.status("VmRSS:")
    }

    /// The most resident memory ever, in bytes.
    pub(crate) fn peak(&self) -> u64 {
        self.status("VmHWM:")
    }

    fn status(&self, key: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("/proc");
        let line = status.lines().find(|line| line.starts_with(key)).expect("a line of memory");
        1024 * line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).expect("a number")
    }

    /// CPU time of the process itself, without its children.
    pub(crate) fn cpu(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("/proc");
        // The name before may hold blanks; after its parenthesis come the numbers, user and system time as 12th and 13th.
        let numbers = stat.rsplit(") ").next().expect("numbers").split(' ');
        let ticks: u64 = numbers.skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
        // Linux counts a hundred ticks per second on every platform that it runs containers on.
        Duration::from_millis(10 * ticks)
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Bytes as MiB.
pub(crate) fn mib(bytes: u64) -> f64 {
    count(bytes) / f64::from(1 << 20)
}

/// A count as a number to calculate with. None of ours comes near the limit.
pub(crate) fn count(number: u64) -> f64 {
    u32::try_from(number).map_or(f64::INFINITY, f64::from)
}
