#![doc = include_str!("../README.md")]

mod app_key;
mod call;
mod cancel;
mod checkpoint;
mod clock;
mod definition;
mod dispatch;
mod executor;
mod flow;
mod follow;
mod github;
mod host;
mod inputs;
mod installation;
mod job_log;
mod jobs;
mod limits;
mod lookup;
mod models;
mod owned;
mod pause;
mod problem;
mod session;
mod settings;
mod steps;

pub use executor::GithubExecutor;
pub use settings::{GithubSettings, Times};
