#![doc = include_str!("../README.md")]

mod advice;
mod checkpoint;
mod clock;
mod definition;
mod executor;
mod find;
mod form;
mod message;
mod pipeline;
mod reader;
mod settings;
mod tokens;
mod trigger;
mod watch;

pub use executor::GitlabExecutor;
pub use settings::GitlabSettings;
