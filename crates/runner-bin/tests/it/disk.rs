//! The disk of the state folder fails under a running daemon: what cannot be noted is not started and ends FAILED with
//! the reason, all else goes on, and when there is room again everything is as before.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use meshstack_local::{LocalMeshStack, Order, RunView};
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use serde_json::json;

use crate::kill::repository;
use crate::support::{Daemon, PATIENCE, Setup, UUID, local};

/// Stands in for Terraform: applies for as long as the run's own file is not there.
const TERRAFORM: &str = r#"#!/bin/sh
case "$1" in
  apply) echo applying >> "$APPLIED"; until test -e "$UNTIL"; do sleep 0.01; done ;;
  output) echo '{"answer":{"sensitive":false,"type":"string","value":"42"}}' ;;
esac
"#;

struct World {
    meshstack: LocalMeshStack,
    folder: tempfile::TempDir,
}

impl World {
    /// With the command of a daemon that was not started yet.
    async fn new() -> (Self, Command) {
        let meshstack = local().await;
        let setup = Setup::of(&meshstack);
        let at = setup.folder.path();
        let binary = at.join("tfbin/1.5.5/terraform");
        fs::create_dir_all(binary.parent().unwrap()).unwrap();
        fs::write(&binary, TERRAFORM).unwrap();
        fs::set_permissions(&binary, fs::Permissions::from_mode(0o755)).unwrap();
        repository(&at.join("module"));
        (Self { meshstack, folder: setup.folder }, setup.command)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn state(&self) -> PathBuf {
        self.path("state").join(UUID)
    }

    /// Orders a Terraform run, which must be noted before it is started; it applies until the file `until` is there.
    async fn order_terraform(&self, name: &str, until: &str) -> String {
        let order = Order::terraform(json!({
            "terraformVersion": "1.5.5", "repositoryUrl": format!("file://{}", self.path("module").display()),
        }))
        .input("secret", "a value", "STRING")
        .environment_input("APPLIED", self.path(name).display().to_string(), "STRING")
        .environment_input("UNTIL", self.path(until).display().to_string(), "STRING");
        self.meshstack.order(UUID, order).await
    }

    async fn ended(&self, run: &str, daemon: &Daemon) -> RunView {
        let ended = tokio::time::timeout(PATIENCE, self.meshstack.wait_for_end(run)).await;
        ended.unwrap_or_else(|_| panic!("{run} has no end\n{}", daemon.log()))
    }

    /// What must hold whatever is wrong with the disk.
    async fn survives(&self, daemon: &mut Daemon, fill: impl FnOnce(&Daemon), free: impl FnOnce(&Daemon)) {
        let under_way = self.order_terraform("under-way", "go").await;
        self.meshstack
            .wait_until(&under_way, |run| run.step("execute_tf").is_some_and(|step| step.status == "IN_PROGRESS"))
            .await;
        fill(daemon);

        // Together, since an idle runner looks only every ten seconds.
        let refused = self.order_terraform("refused", "module").await;
        let manual = self.meshstack.order(UUID, Order::manual().input("name", "demo", "STRING")).await;
        let refused = self.ended(&refused, daemon).await;
        assert_eq!((refused.status.word(), refused.ended_count), ("FAILED", 1), "{}", daemon.log());
        let said = refused.summary.clone().unwrap_or_default();
        assert!(said.contains("could not note the start of this run on its disk, so nothing was started"), "{said}");
        assert!(
            said.contains("Ask the platform team to look at the runner's disk, then start the run again."),
            "{said}"
        );
        assert!(!self.path("refused").exists(), "it was started all the same");
        daemon.wait_for_log("a claimed run could not be noted");

        let manual = self.ended(&manual, daemon).await;
        assert_eq!(manual.status, "SUCCEEDED", "a manual run needs no notes: {:?}", manual.summary);

        fs::write(self.path("go"), "").unwrap();
        let under_way = self.ended(&under_way, daemon).await;
        assert_eq!((under_way.status.word(), under_way.ended_count), ("SUCCEEDED", 1), "{:?}", under_way.summary);
        assert_eq!(under_way.outputs["answer"].value, "42");
        daemon.wait_for_log("the end of the run could not be noted");

        free(daemon);
        let after = self.order_terraform("after", "module").await;
        let after = self.ended(&after, daemon).await;
        assert_eq!(after.status, "SUCCEEDED", "{:?}\n{}", after.summary, daemon.log());
        assert!(daemon.is_running());
        assert_eq!(self.meshstack.violations(), Vec::<String>::new());
    }

    /// What is left in the state folder when all runs have ended: nothing of them.
    fn assert_tidy(&self, daemon: &mut Daemon) {
        daemon.signal(rustix::process::Signal::TERM);
        assert!(daemon.wait().success(), "{}", daemon.log());
        let names = fs::read_dir(self.state()).unwrap().map(|entry| entry.unwrap().file_name());
        let left: Vec<_> = names.filter(|name| name != "lock" && name != "ballast").collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

/// The command of a program that is replaced by `command` after what `before` does to its process.
fn run_through(program: &str, before: &[&str], command: &Command) -> Command {
    let mut wrapped = Command::new(program);
    wrapped.args(before).arg(command.get_program()).args(command.get_args()).env_clear();
    wrapped.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    wrapped.current_dir(command.get_current_dir().unwrap()).stdin(Stdio::null());
    wrapped
}

/// No file may grow: every write fails as on a full disk, whoever runs the test. That takes no signal that ends the
/// process (`SIGXFSZ`), as a full disk sends none.
#[tokio::test(flavor = "multi_thread")]
async fn on_a_full_disk_runs_that_cannot_be_noted_end_failed_and_the_runner_lives_on() {
    let (world, command) = World::new().await;
    let mut daemon = Daemon::start(&mut run_through("sh", &["-c", "trap '' XFSZ; exec \"$0\" \"$@\""], &command), None);
    let limit = |daemon: &Daemon, bytes: Option<u64>| {
        let id = Pid::from_raw(daemon.id().try_into().unwrap());
        let maximum = getrlimit(Resource::Fsize).maximum;
        prlimit(id, Resource::Fsize, Rlimit { current: bytes.or(maximum), maximum }).unwrap();
    };
    world.survives(&mut daemon, |daemon| limit(daemon, Some(0)), |daemon| limit(daemon, None)).await;
    world.assert_tidy(&mut daemon);
}

/// A file system of 64 KiB that really is full. Only root can mount one.
#[tokio::test(flavor = "multi_thread")]
async fn on_a_file_system_without_space_runs_that_cannot_be_noted_end_failed_and_the_runner_lives_on() {
    let (world, mut command) = World::new().await;
    let Some(_mounted) = Mounted::at(&world.state()) else { return };
    let mut daemon = Daemon::start(&mut command, None);
    let ballast = world.state().join("ballast");
    let fill = |_: &Daemon| {
        let mut file = fs::File::create(&ballast).unwrap();
        while file.write_all(&[b'x'; 512]).is_ok() {}
    };
    world.survives(&mut daemon, fill, |_| fs::remove_file(&ballast).unwrap()).await;
    world.assert_tidy(&mut daemon);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_read_only_state_folder_runs_that_cannot_be_noted_end_failed_and_the_runner_lives_on() {
    let (world, mut command) = World::new().await;
    if rustix::process::geteuid().is_root() {
        // Root may write everywhere; without these rights it is held to the mode as everybody is.
        let rights = ["--bounding-set=-dac_override,-dac_read_search", "--"];
        match Command::new("setpriv").args(rights).arg("true").status() {
            Ok(status) if status.success() => command = run_through("setpriv", &rights, &command),
            problem => {
                println!("not tested: as root this needs a setpriv that may take rights away ({problem:?})");
                return;
            }
        }
    }
    let mut daemon = Daemon::start(&mut command, None);
    let mode = |mode: u32| fs::set_permissions(world.state(), fs::Permissions::from_mode(mode)).unwrap();
    let writable_again = |daemon: &Daemon| {
        daemon.wait_for_log("a run that has ended cannot be removed from the journal");
        mode(0o700);
    };
    world.survives(&mut daemon, |_| mode(0o500), writable_again).await;
    // That run stands there as started; the next start asks meshStack, which knows its end.
    daemon.signal(rustix::process::Signal::TERM);
    assert!(daemon.wait().success(), "{}", daemon.log());
    let applied = fs::read_to_string(world.path("under-way")).unwrap();
    let mut daemon = Daemon::start(&mut command, None);
    daemon.wait_for_log("taking up a run of an earlier process");
    let tidy = || fs::read_dir(world.state()).unwrap().count() == 1;
    let deadline = Instant::now() + PATIENCE;
    while !tidy() {
        assert!(Instant::now() < deadline, "{}", daemon.log());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(fs::read_to_string(world.path("under-way")).unwrap(), applied, "it was not applied again");
    assert_eq!(world.meshstack.runs().await.iter().map(|run| run.ended_count).max(), Some(1));
    world.assert_tidy(&mut daemon);
}

/// A mounted file system, unmounted when dropped.
struct Mounted(PathBuf);

impl Mounted {
    /// `None`, with the reason printed, where it is not allowed.
    fn at(folder: &Path) -> Option<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).unwrap();
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=64k,mode=0700", "bb-runner-test"])
            .arg(folder)
            .output();
        match mount {
            Ok(done) if done.status.success() => Some(Self(folder.to_owned())),
            Ok(done) => {
                println!("not tested: nothing can be mounted here ({})", String::from_utf8_lossy(&done.stderr).trim());
                None
            }
            Err(error) => {
                println!("not tested: there is no mount here ({error})");
                None
            }
        }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // At once also where somebody still has a file open in it.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
