//! A run that ends FAILED: a sentence for the person who ordered, the cause for the operator.

use std::error::Error;
use std::fmt;

use crate::StopReason;

/// Why a run failed.
///
/// `user_message` goes to the person who ordered the building block: what happened, and what to do.
/// The source goes to the platform team, in the step's log. Both are masked before they leave.
pub struct Failure {
    user_message: String,
    step: Option<String>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl Failure {
    /// A failure with nothing below it.
    pub fn new(user_message: impl Into<String>) -> Self {
        Self { user_message: user_message.into(), step: None, source: None }
    }

    /// A failure with its cause.
    pub fn because(user_message: impl Into<String>, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { user_message: user_message.into(), step: None, source: Some(source.into()) }
    }

    /// Which step carries the message. Otherwise it is the one under way, else the first that has
    /// failed, else the first not begun.
    #[must_use]
    pub fn on_step(mut self, id: impl Into<String>) -> Self {
        self.step = Some(id.into());
        self
    }

    /// The run was cut off by a restart of the runner.
    pub fn interrupted() -> Self {
        Self::new(
            "The run was interrupted by a restart of the runner, and may have been carried out in part. \
             Check the result and start the run again.",
        )
    }

    /// The sentence for the person who ordered.
    pub fn user_message(&self) -> &str {
        &self.user_message
    }

    /// The step that [`on_step`](Self::on_step) named.
    pub fn step(&self) -> Option<&str> {
        self.step.as_deref()
    }

    /// The failure as a consequence of another reason, which is what the person who ordered wants.
    pub(crate) fn overridden_by(self, user_message: String) -> Self {
        let step = self.step.clone();
        Self { step, ..Self::because(user_message, self.into_cause()) }
    }

    /// The failure as the cause of another: its message, and what lies below it.
    pub(crate) fn into_cause(self) -> String {
        let causes = self.causes();
        if causes.is_empty() { self.user_message } else { format!("{}\ncaused by: {causes}", self.user_message) }
    }

    /// The causes, outermost first, as one text for the operator; empty if there is none.
    pub fn causes(&self) -> String {
        let mut text = String::new();
        let mut next: Option<&(dyn Error + 'static)> = self.source.as_deref().map(|e| e as &(dyn Error + 'static));
        while let Some(error) = next {
            if !text.is_empty() {
                text.push_str("\ncaused by: ");
            }
            text.push_str(&error.to_string());
            next = error.source();
        }
        text
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Failure")
            .field("user_message", &self.user_message)
            .field("step", &self.step)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.user_message)
    }
}

impl From<Stopped> for Failure {
    fn from(stopped: Stopped) -> Self {
        Self::new(stopped.0.user_message())
    }
}

/// The work was cut short because the run was asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("stopped: {0}")]
pub struct Stopped(pub StopReason);
