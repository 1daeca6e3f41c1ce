//! The configuration: files and variables in, checked values out.
//!
//! Source: `protocol/configuration.md`. Environment beats file, file beats default. Everything that is wrong
//! is said at once, with the key and the line; values of secrets are never repeated.
//!
//! | file | holds |
//! | --- | --- |
//! | `yaml.rs`, `tree.rs` | a file as values with their lines, bounded |
//! | `dialect.rs` | whose format it is |
//! | `settings.rs`, `table/` | every setting: its keys, its variable, its kind, its default |
//! | `reader.rs`, `placeholder.rs`, `secret_file.rs` | where the value of a setting comes from |
//! | `convert.rs`, `keys.rs` | values as numbers, paths, keys |
//! | `check.rs`, `names.rs`, `suggest.rs` | what nobody knows, and what was probably meant |
//! | `build.rs`, `types.rs` | the configuration of a runner |
//! | `controller/` | that of the run controller |
//! | `values.rs`, `schema.rs` | the settings for people and for editors |

mod build;
mod check;
pub mod controller;
mod convert;
mod dialect;
mod environment;
mod keys;
mod names;
mod placeholder;
mod problem;
mod reader;
mod schema;
mod secret_file;
mod settings;
mod sources;
mod suggest;
mod table;
mod tree;
mod types;
mod values;
mod yaml;

pub use controller::ControllerConfig;
pub use dialect::Dialect;
pub use environment::Environment;
pub use problem::{ConfigError, Place, Problem};
pub use schema::schema;
pub use settings::variables;
pub use sources::{Inspection, Sources};
pub use types::{Cache, Config, Mode, Terraform};
pub use values::{Effective, Origin};

/// The file that is read where none is named.
pub const DEFAULT_FILE: &str = "runner-config.yml";
/// What is read where that is missing, too: Spring's.
pub const SPRING_FILE: &str = "application.yml";
/// The port of `/healthz` where `PORT` is not set, as the public Terraform runner has it.
pub const DEFAULT_PORT: u16 = 8100;

#[cfg(test)]
mod tests;
