//! One run's way to GitHub: with a token, within the limits, and again after errors. One request at a time.

use std::sync::Arc;
use std::time::Duration;

use runner_core::meshstack_client::Secret;
use runner_core::web::{Answer, WebError};
use runner_core::{Backoff, RunContext};
use tokio::time::Instant;

use crate::call::Call;
use crate::clock;
use crate::github::Github;
use crate::installation::{Installation, TokenError};
use crate::limits::{Limit, limit};
use crate::problem::{Refusal, chain, limited, said, unreachable};
use crate::steps::TRIGGER;

/// How long it is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    /// As long as the settings say: nothing was started yet.
    Bounded,
    /// Until the caller gives up: a workflow is under way.
    Endless,
}

/// Why there is no answer that is of use.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// GitHub's answer to this request is no.
    Answered(Box<Answer>),
    /// Nothing can be asked until somebody changes something, or for too long.
    Refused(Refusal),
}

impl Trouble {
    /// What an operator wants to know.
    pub(crate) fn cause(&self) -> String {
        match self {
            Self::Answered(answer) => said(answer),
            Self::Refused(refusal) => refusal.cause.clone(),
        }
    }
}

/// What becomes of a request that was sent.
#[derive(Debug)]
pub(crate) enum Sent {
    /// GitHub's answer.
    Answer(Box<Answer>),
    /// It was not carried out, because of a limit or a token that had run out: again.
    Again,
}

/// One run, asking about one repository.
pub(crate) struct Session<'a> {
    pub(crate) github: &'a Github,
    pub(crate) installation: Arc<Installation>,
    pub(crate) ctx: &'a RunContext,
    patience: Patience,
    /// Whether steps are told of waits, or only the log of the process.
    silent: bool,
    /// The last thing that was said of a wait, so that it is said once.
    told: Option<String>,
    /// The token that GitHub refused last.
    refused: Option<Secret>,
    backoff: Backoff,
    /// Since when there was no answer.
    failing_since: Option<Instant>,
    /// Since when a limit is waited for.
    limited_since: Option<Instant>,
}

impl<'a> Session<'a> {
    pub(crate) fn new(github: &'a Github, installation: Arc<Installation>, ctx: &'a RunContext) -> Self {
        let times = &github.settings.times;
        Self {
            backoff: Backoff::new(times.retry, times.slowest_retry),
            github,
            installation,
            ctx,
            patience: Patience::Bounded,
            silent: false,
            told: None,
            refused: None,
            failing_since: None,
            limited_since: None,
        }
    }

    /// From now on errors are waited out for as long as it takes.
    pub(crate) fn be_patient(&mut self) {
        self.patience = Patience::Endless;
    }

    /// From now on waits are told to the operator only.
    pub(crate) fn be_silent(&mut self) {
        self.silent = true;
    }

    /// Asks, and again after errors that pass. For what may be asked twice. An answer is a 2xx or a 304.
    pub(crate) async fn ask(&mut self, call: &Call) -> Result<Answer, Trouble> {
        loop {
            let token = self.ready().await?;
            let answer = match self.send(call, &token).await {
                Ok(Sent::Answer(answer)) => answer,
                Ok(Sent::Again) => continue,
                Err(error) => {
                    self.wait_out(&chain(&error), error.certificate(), None).await?;
                    continue;
                }
            };
            let status = answer.status;
            let is_page = answer.is_success() && answer.is_html();
            if status.is_server_error() || status.as_u16() == 408 || is_page {
                self.wait_out(&said(&answer), false, answer.retry_after()).await?;
                continue;
            }
            self.answered();
            if status.is_success() || status.as_u16() == 304 || (call.is_download() && status.is_redirection()) {
                return Ok(*answer);
            }
            return Err(Trouble::Answered(answer));
        }
    }

    /// Waits until something may be sent, and gives the token to send it with.
    pub(crate) async fn ready(&mut self) -> Result<Secret, Trouble> {
        loop {
            if let Some(waiting) = self.installation.pause.waiting() {
                let since = *self.limited_since.get_or_insert_with(Instant::now);
                let too_long =
                    waiting.until.saturating_duration_since(since) > self.github.settings.times.limit_patience;
                if self.patience == Patience::Bounded && too_long {
                    return Err(Trouble::Refused(limited(&waiting.reason)));
                }
                self.tell(&waiting.reason);
                tokio::time::sleep_until(waiting.until).await;
                continue;
            }
            match self.installation.token(&self.github.web, self.refused.as_ref()).await {
                Ok(token) => {
                    self.ctx.hide(&token);
                    return Ok(token);
                }
                Err(TokenError::Limited(limit)) => self.note(limit),
                Err(TokenError::Unreachable(cause, certificate)) => self.wait_out(&cause, certificate, None).await?,
                Err(TokenError::Refused(refusal)) => return Err(Trouble::Refused(refusal)),
            }
        }
    }

    /// Sends it once. A limit is noted for all runs of the installation; a token that GitHub does not take is replaced,
    /// once.
    pub(crate) async fn send(&mut self, call: &Call, token: &Secret) -> Result<Sent, WebError> {
        let (answer, moved) = call.send(&self.github.web, &self.installation.root(), token).await?;
        self.installation.host.saw(&answer);
        if let Some(moved) = moved {
            self.installation.moved(moved);
        }
        if let Some(limit) = limit(&answer) {
            self.note(limit);
            return Ok(Sent::Again);
        }
        if answer.status.as_u16() == 401 && self.refused.is_none() {
            self.refused = Some(token.clone());
            return Ok(Sent::Again);
        }
        if answer.status.as_u16() != 401 {
            self.refused = None;
        }
        self.installation.pause.over();
        self.limited_since = None;
        Ok(Sent::Answer(Box::new(answer)))
    }

    /// There was an answer: the errors before it are over.
    pub(crate) fn answered(&mut self) {
        self.failing_since = None;
        self.backoff.reset();
        self.told = None;
    }

    /// After a refusal that the caller goes on after: the next 401 may fetch a token again.
    pub(crate) fn forget_refusal(&mut self) {
        self.refused = None;
    }

    /// The time that limits are waited for counts from here, however short the wait.
    fn note(&mut self, limit: Limit) {
        self.limited_since.get_or_insert_with(Instant::now);
        self.installation.pause.note(limit, self.github.settings.times.secondary_limit);
    }

    /// Waits after an error, longer each time. An error itself, when it was tried for long enough.
    pub(crate) async fn wait_out(
        &mut self,
        cause: &str,
        certificate: bool,
        asked: Option<Duration>,
    ) -> Result<(), Trouble> {
        let since = *self.failing_since.get_or_insert_with(Instant::now);
        let wait = self.backoff.wait(asked);
        let given_up = since.elapsed() + wait > self.github.settings.times.patience;
        if self.patience == Patience::Bounded && (certificate || given_up) {
            return Err(Trouble::Refused(unreachable(cause, certificate)));
        }
        tracing::debug!(cause, ?wait, "asking GitHub failed, trying again");
        self.tell(&format!("GitHub does not answer as it should ({cause}). The runner tries again."));
        tokio::time::sleep(wait).await;
        Ok(())
    }

    /// Says why it is waited; the same thing once in a row.
    pub(crate) fn tell(&mut self, what: &str) {
        if self.told.as_deref() == Some(what) {
            return;
        }
        self.told = Some(what.to_owned());
        if self.silent {
            tracing::info!(what, "a run that was handed over is watched");
        } else {
            let step = self.ctx.step(TRIGGER);
            step.log_line(format!("{}: {what}", clock::written(clock::now())));
        }
    }
}
