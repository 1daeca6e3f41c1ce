#![doc = include_str!("../README.md")]

mod answer;
mod auth;
mod event;
mod fault;
mod identifier;
mod local;
mod operator;
mod options;
mod order;
mod protocol;
mod record;
mod request;
mod run;
mod runner;
mod seal;
mod server;
mod shared;
mod state;
mod terraform;
mod view;
mod wire;

pub use event::Event;
pub use fault::{Effect, Fault, Operation};
pub use local::LocalMeshStack;
pub use options::{Clock, ManualClock, Options};
pub use order::{Order, OrderError, OrderInput};
pub use record::Recorded;
pub use runner::RunnerSpec;
pub use seal::CertificateError;
pub use view::{OutputView, RunStatus, RunView, RunnerState, RunnerView, SourceView, StepStatus, StepView};
