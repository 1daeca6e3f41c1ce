#![doc = include_str!("../README.md")]

mod address;
mod answer;
mod api;
mod cancel;
mod checkpoint;
mod executor;
mod find;
mod follow;
mod implementation;
mod inputs;
mod model;
mod patience;
mod problems;
mod refusal;
mod settings;
mod stages;
mod timeline;
mod trigger;
mod watch;

pub use executor::AzdoExecutor;
pub use settings::AzdoSettings;
