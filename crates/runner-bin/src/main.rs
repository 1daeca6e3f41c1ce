//! `bb-runner`: see the README of this crate, and `bb-runner --help`.

use clap::Parser as _;
use runner_bin::{Exit, called_as, cli::Cli};

fn main() -> Exit {
    // Each command of a run is watched by this program in a hidden mode. It comes before everything else, so that
    // a command costs a millisecond more and not ten.
    executor_terraform::supervisor::run_if_asked();
    runner_bin::main(&Cli::parse_from(called_as::arguments(std::env::args_os())))
}
