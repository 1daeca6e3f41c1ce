//! Follows a workflow run to its end.
//!
//! Source: `protocol/executors.md`, `GITHUB_WORKFLOW`, 7.

use runner_core::Pace;

use crate::call::Call;
use crate::jobs::Jobs;
use crate::models::{State, WorkflowRun};
use crate::problem::chain;
use crate::session::{Session, Trouble};
use crate::steps::TRIGGER;

/// A refusal may pass (a run shows up late, permissions are changed back); so many looks in a row do not.
const REFUSED_LOOKS: u32 = 6;

/// How often jobs are looked at again after the end, until all of them have ended.
const LAST_LOOKS: u32 = 3;

/// A workflow run that is looked at, again and again.
pub(crate) struct Follower<'s, 'a> {
    pub(crate) session: &'s mut Session<'a>,
    id: u64,
    etag: Option<String>,
    /// What GitHub said last.
    pub(crate) last: Option<WorkflowRun>,
    refused: u32,
    pace: Pace,
}

impl<'s, 'a> Follower<'s, 'a> {
    /// `pace`: how often it is looked at.
    pub(crate) fn new(session: &'s mut Session<'a>, id: u64, pace: Pace) -> Self {
        Self { session, id, etag: None, last: None, refused: 0, pace }
    }

    /// Looks once. Whether anything of interest has changed. An error: GitHub has refused too often.
    pub(crate) async fn look(&mut self) -> Result<bool, Trouble> {
        let call = Call::get(["actions", "runs", &self.id.to_string()]).unless(self.etag.as_deref());
        let answer = match self.session.ask(&call).await {
            Ok(answer) => answer,
            Err(trouble) => {
                self.refused += 1;
                self.session.forget_refusal();
                if self.refused >= REFUSED_LOOKS {
                    return Err(trouble);
                }
                tracing::debug!(cause = trouble.cause(), "GitHub does not show a workflow run");
                return Ok(false);
            }
        };
        self.refused = 0;
        if answer.status.as_u16() == 304 {
            return Ok(false);
        }
        match answer.json::<WorkflowRun>() {
            Ok(run) => {
                self.etag = answer.header("etag").map(str::to_owned);
                let news = |run: &WorkflowRun| (run.status.clone(), run.conclusion.clone(), run.run_attempt);
                let changed = self.last.as_ref().map(news) != Some(news(&run));
                self.last = Some(run);
                Ok(changed)
            }
            Err(error) => {
                self.session.tell(&format!("GitHub's answer cannot be read: {}", chain(&error)));
                Ok(false)
            }
        }
    }

    /// Waits for the next look. `changed`: at the last one something was new.
    pub(crate) async fn wait(&mut self, changed: bool) {
        if changed {
            self.pace.changed();
        } else {
            self.pace.unchanged();
        }
        tokio::time::sleep(self.pace.wait()).await;
    }

    /// What GitHub said last, if the run has ended.
    pub(crate) fn ended(&self) -> Option<&WorkflowRun> {
        self.last.as_ref().filter(|run| run.state() != State::Open)
    }

    /// Follows the run to its end, and shows its jobs as steps.
    pub(crate) async fn follow(&mut self, jobs: &mut Jobs) -> Result<WorkflowRun, Trouble> {
        let mut attempt = None;
        loop {
            let mut changed = self.look().await?;
            if let Some(run) = self.ended().cloned() {
                self.finish(jobs, run.is_good()).await;
                return Ok(run);
            }
            if let Some(run) = &self.last {
                self.say(run, changed, &mut attempt);
                if jobs.is_due(changed) {
                    changed |= jobs.look(self.session, self.id).await;
                    jobs.show(self.session).await;
                }
            }
            self.wait(changed).await;
        }
    }

    /// Tells of what a person can do something about.
    fn say(&self, run: &WorkflowRun, changed: bool, attempt: &mut Option<u64>) {
        let step = self.session.ctx.step(TRIGGER);
        if changed && run.status.as_deref() == Some("waiting") {
            step.log_line("The workflow waits, for an approval perhaps: its page says for what.");
        }
        let now = run.run_attempt.filter(|now| *now > 1);
        if now.is_some() && *attempt != now {
            step.log_line(format!("Somebody runs the workflow again: this is attempt {}.", now.unwrap_or_default()));
            *attempt = now;
        }
    }

    /// Shows how the jobs ended. Their list may lag behind.
    async fn finish(&mut self, jobs: &mut Jobs, good: bool) {
        for round in 0..LAST_LOOKS {
            jobs.look(self.session, self.id).await;
            jobs.show(self.session).await;
            if jobs.all_ended() {
                break;
            }
            if round + 1 < LAST_LOOKS {
                self.wait(true).await;
            }
        }
        jobs.close(self.session, good);
    }
}
