//! What happens in a local meshStack, as it happens.

use serde::Serialize;

use crate::{Operation, RunStatus};

/// Something that happened. Events of one run come in order; each is sent after the change it tells about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "camelCase", rename_all_fields = "camelCase")]
#[non_exhaustive]
pub enum Event {
    /// A run was ordered and waits for its runner.
    Queued {
        /// The run.
        run: String,
    },
    /// A runner asked for a run and got one.
    Claimed {
        /// The run.
        run: String,
        /// The runner.
        runner: String,
    },
    /// A runner asked for a run and there was none.
    IdleClaim {
        /// The runner.
        runner: String,
    },
    /// A source was registered.
    Registered {
        /// The run.
        run: String,
        /// The source's id.
        source: String,
    },
    /// A patch was accepted.
    Patched {
        /// The run.
        run: String,
        /// The source's id.
        source: String,
        /// The run's status after it.
        status: RunStatus,
    },
    /// A final status was accepted.
    Ended {
        /// The run.
        run: String,
        /// The final status.
        status: RunStatus,
    },
    /// A person aborted the run.
    Aborted {
        /// The run.
        run: String,
    },
    /// The run had no end for too long and is queued again; its token is void.
    Redelivered {
        /// The run.
        run: String,
    },
    /// A plan was handed in or uploaded.
    ArtifactStored {
        /// The run whose plan it is.
        run: String,
        /// Its size.
        bytes: usize,
    },
    /// A Terraform state was written.
    StateWritten {
        /// The building block's workspace.
        workspace: String,
        /// The building block's UUID.
        building_block: String,
    },
    /// A runner object was created or updated.
    RunnerRegistered {
        /// The runner.
        runner: String,
    },
    /// A planned fault struck a request.
    FaultStruck {
        /// What the request is about.
        operation: Operation,
        /// The effect's name, as in the request's record.
        effect: &'static str,
    },
    /// A request broke the protocol; it was refused.
    Violation {
        /// What was wrong.
        text: String,
    },
}
