//! Starts a pipeline, once: a trigger is sent again only if it was certainly not accepted.

use std::time::{Duration, SystemTime};

use runner_core::web::{Answer, Method, StatusCode, Web, WebError};
use runner_core::{Backoff, Failure, RunContext, Step, Stopped};
use tokio::time::Instant;

use crate::advice;
use crate::checkpoint::Checkpoint;
use crate::clock::{now, seconds};
use crate::definition::Definition;
use crate::form::Form;
use crate::message::{Refusal, said, with_causes};

/// The longest wait of our own between two tries; GitLab may ask for a longer one.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Why a trigger is not accepted when GitLab has too much to do.
const BUSY: &str = "GitLab wants fewer requests at the moment";

/// What a pipeline is started with.
pub(crate) struct Trigger<'a> {
    pub(crate) web: &'a Web,
    pub(crate) definition: &'a Definition,
    pub(crate) form: &'a Form,
    /// How long it is tried again.
    pub(crate) patience: Duration,
    /// The wait before the second try.
    pub(crate) first_retry: Duration,
    /// GitLab wants no request before, in seconds since 1970: it said so before a restart.
    pub(crate) not_before: Option<u64>,
}

/// What came of a trigger that was not refused.
pub(crate) enum Sent {
    /// GitLab has started the pipeline.
    Accepted {
        answer: Answer,
        /// When it was sent, in seconds since 1970.
        at: u64,
    },
    /// It may have arrived.
    Unclear {
        /// What there was in place of an answer.
        why: String,
        at: u64,
    },
}

/// What an answer, or its lack, means.
enum Reply {
    Accepted(Answer),
    /// Certainly not accepted, and worth another try.
    NotNow {
        /// A clause for the person who ordered.
        why: &'static str,
        /// What the platform team needs to know beside it.
        cause: String,
        /// How long GitLab wants to be left alone.
        wait: Option<Duration>,
    },
    /// Certainly not accepted, and no other try would help.
    Refused(Failure),
    Unclear(String),
}

impl Trigger<'_> {
    pub(crate) async fn send(&self, ctx: &RunContext, step: &Step) -> Result<Sent, Failure> {
        let until = Instant::now() + self.patience;
        // Longer waits were given up before; now they come of a clock that was set back.
        let left = self.not_before.map(|at| Duration::from_secs(at.saturating_sub(now())).min(self.patience));
        if let Some(left) = left.filter(|left| !left.is_zero()) {
            pause(ctx, step, left, BUSY).await?;
        }
        let mut backoff = Backoff::new(self.first_retry, LONGEST_WAIT.max(self.first_retry));
        loop {
            if let Some(reason) = ctx.stop().reason() {
                return Err(Stopped(reason).into());
            }
            let at = now();
            ctx.checkpoint(&Checkpoint::Sending { at }).await?;
            // Not dropped at a stop: then nobody would know what became of it.
            let (why, cause, wait) = match self.reply().await {
                Reply::Accepted(answer) => return Ok(Sent::Accepted { answer, at }),
                Reply::Unclear(why) => return Ok(Sent::Unclear { why, at }),
                Reply::Refused(failure) => return Err(failure),
                Reply::NotNow { why, cause, wait } => (why, cause, wait),
            };
            step.log_line(format!("Not accepted: {why} ({cause})."));
            let asked = wait;
            let wait = backoff.wait(asked);
            if Instant::now() + wait > until {
                return Err(Failure::because(
                    "GitLab took no request for too long, so no pipeline was started. Start the run again later; if that \
                     does not help, ask the platform team to look at the log of this step.",
                    format!("{why} ({cause})"),
                ));
            }
            // Rounded up: it is the earliest time.
            let not_before = asked.map(|_| seconds(SystemTime::now() + wait) + 1);
            ctx.checkpoint(&Checkpoint::NotAccepted { not_before }).await?;
            pause(ctx, step, wait, why).await?;
        }
    }

    async fn reply(&self) -> Reply {
        let url = self.definition.project.url("trigger/pipeline");
        let answer = match self.web.request(Method::POST, url).await {
            Ok(request) => self.web.send(request.multipart(self.form.body())).await,
            Err(error) => Err(error),
        };
        match answer {
            Ok(answer) => self.answered(answer),
            Err(error) => unanswered(error),
        }
    }

    fn answered(&self, answer: Answer) -> Reply {
        let status = answer.status;
        if status.is_success() {
            return Reply::Accepted(answer);
        }
        if status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT {
            return Reply::Unclear(Refusal::of(&answer).to_string());
        }
        // The second is a limit of its own, and comes as a plain 400.
        if status == StatusCode::TOO_MANY_REQUESTS || said(&answer).contains("Too many pipelines") {
            return Reply::NotNow { why: BUSY, cause: Refusal::of(&answer).to_string(), wait: answer.retry_after() };
        }
        Reply::Refused(advice::refused(&answer, self.definition, self.form.facts()))
    }
}

/// Waits for the next try, and says so.
async fn pause(ctx: &RunContext, step: &Step, wait: Duration, why: &str) -> Result<(), Stopped> {
    step.log_line(format!("Trying again in {} s.", wait.as_secs().max(1)));
    step.user_message(format!("GitLab has not started the pipeline yet: {why}. The runner tries again by itself."));
    tracing::info!(?wait, why, "GitLab has not accepted the trigger; trying again after a wait");
    ctx.or_stopped(tokio::time::sleep(wait)).await
}

fn unanswered(error: WebError) -> Reply {
    if error.may_have_arrived() {
        return Reply::Unclear(with_causes(&error));
    }
    if error.certificate() {
        return Reply::Refused(Failure::because(
            "GitLab's certificate is not signed by an authority that the runner trusts, so no pipeline was started. Ask \
             the platform team to give the runner the authority's certificate (CUSTOM_CA_CERTS_PATH).",
            error,
        ));
    }
    if matches!(error, WebError::Setup { .. }) {
        return Reply::Refused(Failure::because(
            "The runner cannot set up a connection to GitLab, so no pipeline was started. Ask the platform team to check \
             the certificates it is given (CUSTOM_CA_CERTS_PATH).",
            error,
        ));
    }
    Reply::NotNow { why: "GitLab cannot be reached at the moment", cause: with_causes(&error), wait: None }
}
