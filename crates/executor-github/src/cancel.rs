//! Ends a workflow run that is no longer wanted.
//!
//! Source: `protocol/executors.md`, `GITHUB_WORKFLOW`, "Aborted in meshStack".

use tokio::time::Instant;

use crate::call::Call;
use crate::models::WorkflowRun;
use crate::session::{Session, Trouble};

/// Cancels it, and waits for its end; one that does not listen is ended by force. There is nobody to report to but the
/// operator: meshStack wants no end of an aborted run.
pub(crate) async fn cancel(session: &mut Session<'_>, id: u64) {
    session.be_silent();
    session.be_patient();
    let grace = session.github.settings.times.cancel_grace;
    let started = Instant::now();
    for (how, until) in [("cancel", started + grace), ("force-cancel", started + grace * 2)] {
        match tokio::time::timeout_at(until, stop(session, id, how)).await {
            Ok(true) => {
                tracing::info!(workflow_run = id, how, "the workflow run of an aborted run has ended");
                return;
            }
            Ok(false) => break,
            Err(_) => tracing::warn!(workflow_run = id, how, "the workflow run of an aborted run does not end"),
        }
    }
    tracing::warn!(
        workflow_run = id,
        "the workflow of an aborted run may still be running: cancel it on its page at GitHub"
    );
}

/// Asks for the end until GitHub takes it, and waits for it. Whether the run has ended; if not, GitHub refuses to end it.
async fn stop(session: &mut Session<'_>, id: u64, how: &str) -> bool {
    let id = id.to_string();
    let poll = session.github.settings.times.cancel_poll;
    let mut asked = false;
    loop {
        if !asked {
            match session.ask(&Call::post(["actions", "runs", &id, how])).await {
                Ok(_) => asked = true,
                // 409: it has ended, or it is not yet queued; 404: it has not yet shown up. A look tells.
                Err(Trouble::Answered(answer)) if matches!(answer.status.as_u16(), 404 | 409) => {}
                Err(trouble) => {
                    let cause = trouble.cause();
                    tracing::warn!(workflow_run = id, cause, "GitHub does not let the App cancel a workflow run");
                    return false;
                }
            }
        }
        let look = session.ask(&Call::get(["actions", "runs", &id])).await;
        if let Ok(answer) = look
            && let Ok(run) = answer.json::<WorkflowRun>()
            && run.status.as_deref() == Some("completed")
        {
            return true;
        }
        session.forget_refusal();
        tokio::time::sleep(poll).await;
    }
}
