#![doc = include_str!("../README.md")]

mod backend;
mod binary;
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
mod steps;
pub mod supervisor;
mod terraform;
mod workspace;

pub use executor::TerraformExecutor;
pub use settings::{Settings, Supervisor};
