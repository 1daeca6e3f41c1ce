//! The handle through which an executor speaks of one step.

use std::sync::Arc;

use meshstack_client::{Output, StepStatus};

use crate::progress::Progress;

/// One step of a run. Every call is synchronous and cannot fail: it changes the progress in memory,
/// and the reporter sends the difference. Texts are masked on the way in.
#[derive(Clone)]
pub struct Step {
    pub(crate) id: String,
    pub(crate) progress: Arc<Progress>,
}

impl Step {
    /// The step's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The step is under way.
    pub fn start(&self) {
        self.progress.set_status(&self.id, StepStatus::InProgress);
    }

    /// Adds raw output of a program to the step's log: any bytes, cut anywhere.
    pub fn log(&self, chunk: &[u8]) {
        self.progress.log(&self.id, chunk);
    }

    /// Adds a line of our own to the step's log.
    pub fn log_line(&self, line: impl AsRef<str>) {
        self.progress.log_line(&self.id, line.as_ref());
    }

    /// Also writes the whole log, masked, to `sink`. What cannot be written there is lost there only.
    pub fn tee_log(&self, sink: Box<dyn std::io::Write + Send>) {
        self.progress.tee_log(&self.id, sink);
    }

    /// A sentence for the person who ordered; the last one stands.
    pub fn user_message(&self, message: impl AsRef<str>) {
        self.progress.set_user_message(&self.id, message.as_ref());
    }

    /// A value that the run gives back. A null value is left out; of equal keys the last stands.
    pub fn output(&self, key: &str, output: &Output) {
        self.progress.set_output(&self.id, key, output);
    }

    /// The step is done, and well.
    pub fn succeed(&self) {
        self.progress.set_status(&self.id, StepStatus::Succeeded);
    }

    /// The step went wrong, but the run goes on. (When [`execute`](crate::Executor::execute) returns
    /// an error, the step under way fails by itself.)
    pub fn fail(&self, message: impl AsRef<str>) {
        self.progress.set_user_message(&self.id, message.as_ref());
        self.progress.set_status(&self.id, StepStatus::Failed);
    }
}
