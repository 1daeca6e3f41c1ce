#![doc = include_str!("../README.md")]

mod backend;
mod binary;
mod cache;
mod certificates;
mod environment;
mod execute;
mod executor;
mod hints;
mod init;
mod inputs;
mod outputs;
mod plan;
mod pre_run;
mod process;
mod settings;
mod sources;
mod state_lock;
mod steps;
pub mod supervisor;
mod terraform;
mod workspace;

pub use executor::TerraformExecutor;
pub use settings::{Mirrors, Settings, Supervisor};
