//! The rows. Source: `protocol/configuration.md`.

mod controller;
mod runners;

pub(crate) use controller::{CONTROLLER, Part, STRUCTURES};
pub(crate) use runners::RUNNERS;
