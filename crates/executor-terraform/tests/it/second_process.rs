//! This test program as a runner of its own, to be killed.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use executor_terraform::{Settings, Supervisor};
use runner_core::Shutdown;

use crate::world::{World, build_runner, fixture};

const ASKED: &str = "__runner";

/// A runner in a process of its own that works for the same meshStack.
pub(crate) fn start(world: &World) -> std::process::Child {
    let (client_id, client_secret) = world.mesh.api_key();
    Command::new(std::env::current_exe().expect("this program"))
        .args([ASKED, &world.mesh.url(), &client_id, &client_secret, &world.runner])
        .arg(world.work())
        .stdin(Stdio::null())
        .spawn()
        .expect("a second process")
}

pub(crate) fn run_if_asked() {
    let mut args = std::env::args().skip(1);
    if args.next().as_deref() != Some(ASKED) {
        return;
    }
    let mut next = || args.next().expect("an argument");
    let (url, key, uuid) = (next(), (next(), next()), next());
    let settings = Settings {
        install_dir: fixture("fake"),
        stop_grace: Duration::from_secs(3),
        supervisor: Some(Supervisor::this_program()),
        ..Settings::default()
    };
    let work = PathBuf::from(next());
    crate::run(async move {
        build_runner(&url, &key, &uuid, &settings, &work, Duration::ZERO).run(&Shutdown::new()).await;
    });
    std::process::exit(0);
}
