//! Tests of the real binary.

#[path = "../support/mod.rs"]
mod support;

mod bad_input;
mod command_line;
mod demo;
mod disk;
mod kill;
mod run_once;
mod shutdown;
mod state;
mod two_processes;
