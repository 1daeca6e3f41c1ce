//! Tests of the real binary.

#[path = "../support/mod.rs"]
mod support;

mod bad_input;
mod command_line;
mod config;
mod demo;
mod disk;
mod doctor;
mod first_day;
mod keys;
mod kill;
mod output;
mod packaging;
mod register;
mod register_again;
mod run_once;
mod shutdown;
mod state;
mod two_processes;
