//! The steps of a run.
//!
//! Source: `protocol/executors.md`, `GITHUB_WORKFLOW`, 1 and 7.

use runner_core::StepSpec;

/// The step that carries the dispatch, and the end of the whole.
pub(crate) const TRIGGER: &str = "gh-trigger";

/// The step known up front.
pub(crate) fn trigger() -> StepSpec {
    StepSpec::new(TRIGGER, "Trigger GitHub Action")
}

/// The step of a job.
pub(crate) fn job(id: u64, name: &str) -> StepSpec {
    StepSpec::new(job_id(id), format!("GitHub Job: {name}"))
}

/// The id of a job's step.
pub(crate) fn job_id(id: u64) -> String {
    format!("gh-workflow-job-{id}")
}
