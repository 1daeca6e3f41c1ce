//! A claimed run as executors see it.

use std::ops::Deref;

use meshstack_client::RunObject;

/// A claimed run.
///
/// Reads like the run object with its secrets in plain text, if the executor wants them so
/// ([`Executor::secrets`](crate::Executor::secrets)); what came over the wire is beside it.
#[derive(Debug, Clone)]
pub struct Run {
    plain: RunObject,
    as_received: RunObject,
}

impl Run {
    /// A run whose secrets were decrypted.
    pub fn new(plain: RunObject, as_received: RunObject) -> Self {
        Self { plain, as_received }
    }

    /// A run that is taken as it came: nothing was decrypted.
    pub fn undecrypted(run: RunObject) -> Self {
        Self { as_received: run.clone(), plain: run }
    }

    /// The object as it came over the wire. Secrets in it are encrypted, except in single-run mode.
    pub fn as_received(&self) -> &RunObject {
        &self.as_received
    }

    /// The object with its secrets in plain text.
    pub fn plain(&self) -> &RunObject {
        &self.plain
    }
}

impl Deref for Run {
    type Target = RunObject;

    fn deref(&self) -> &RunObject {
        &self.plain
    }
}
