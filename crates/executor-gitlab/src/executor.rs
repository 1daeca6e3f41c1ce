//! The executor: triggers, hands over, takes up again, watches.

use std::time::Duration;

use async_trait::async_trait;
use runner_core::meshstack_client::{ImplementationType, Secret};
use runner_core::web::{Answer, Web, WebSettings};
use runner_core::{Executor, Failure, Outcome, Run, RunContext, Serves, StepSpec, StopReason, Stopped};
use serde_json::Value;

use crate::checkpoint::{Checkpoint, Started};
use crate::definition::{Definition, Project};
use crate::find::{Found, find};
use crate::form::Form;
use crate::message::{one_line, shown};
use crate::pipeline::{self, Pipeline};
use crate::reader::Reader;
use crate::settings::GitlabSettings;
use crate::tokens::ReadTokens;
use crate::trigger::{Sent, Trigger};
use crate::watch::{self, Rhythm};

pub(crate) const STEP: &str = "gl-trigger";

/// Executor for `GITLAB_CICD` building blocks: starts a pipeline, which reports its end itself.
///
/// Source: `protocol/executors.md`, `GITLAB_CICD`.
pub struct GitlabExecutor {
    settings: GitlabSettings,
    tokens: ReadTokens,
    web: Web,
}

impl GitlabExecutor {
    /// The executor with these settings. Nothing is loaded and no connection made before the first run.
    pub fn new(settings: GitlabSettings) -> Self {
        let tokens = ReadTokens::new(&settings.read_tokens);
        let web = Web::new(WebSettings { ca_paths: settings.ca_paths.clone(), ..WebSettings::default() });
        Self { settings, tokens, web }
    }

    /// A reader of the project's pipelines, if there is a token for its server. The token is masked from then on.
    fn reader<'a>(&'a self, ctx: &RunContext, project: &'a Project) -> Option<Reader<'a>> {
        let token: &Secret = self.tokens.of(project.base())?;
        ctx.hide(token);
        Some(Reader { web: &self.web, project, token })
    }

    async fn trigger(&self, ctx: &RunContext, not_before: Option<u64>) -> Result<Outcome, Failure> {
        let step = ctx.step(STEP);
        step.start();
        let definition = Definition::of(ctx.run())?;
        let form = Form::of(ctx.run(), &definition);
        step.log_line(format!(
            "Starting a pipeline of {} on {}. {}",
            definition.project.for_people(),
            shown(&definition.reference),
            form.summary()
        ));
        for warning in form.warnings() {
            step.log_line(format!("Warning: {warning}"));
        }
        let (patience, first_retry) = (self.settings.trigger_patience, self.settings.first_retry);
        let trigger =
            Trigger { web: &self.web, definition: &definition, form: &form, patience, first_retry, not_before };
        match trigger.send(ctx, &step).await? {
            Sent::Accepted { answer, at } => self.accepted(ctx, &definition, &answer, at).await,
            Sent::Unclear { why, at } => {
                step.log_line(format!("It is not known whether GitLab got the trigger: {why}"));
                let message =
                    "GitLab gave no clear answer when the pipeline was to be started, so it may have been started.";
                self.look_for(ctx, &definition, at, message, &why).await
            }
        }
    }

    /// Any 2xx means that the pipeline is started, also one that says nothing about it.
    async fn accepted(
        &self,
        ctx: &RunContext,
        definition: &Definition,
        answer: &Answer,
        at: u64,
    ) -> Result<Outcome, Failure> {
        let body = answer.json::<Value>();
        let (id, web_url) = match &body {
            Ok(body) => (pipeline::id(body), pipeline::link(body, "web_url")),
            Err(_) => (None, None),
        };
        if id.is_some() {
            return self.hand_over(ctx, definition, Started { id, web_url, at }).await;
        }
        // Without an id nobody can watch it or link to it: perhaps it can be found.
        let step = ctx.step(STEP);
        step.log_line(format!(
            "Warning: GitLab answered {} with something that is no pipeline: {}",
            answer.status,
            one_line(&answer.excerpt(), 200)
        ));
        if answer.is_html() {
            step.log_line(
                "It is a web page. If no pipeline appears in GitLab, a proxy or a sign-in page has answered in its place: \
                 check `gitlabBaseUrl` in the building block definition.",
            );
        }
        let found = match self.reader(ctx, &definition.project) {
            Some(reader) => self.search(ctx, &reader, definition, at).await,
            None => Ok(Found::Nothing),
        };
        match found {
            Ok(Found::Pipeline(found)) => self.hand_over(ctx, definition, started(found, at)).await,
            // Also at a stop: it was accepted.
            _ => self.hand_over(ctx, definition, Started { id: None, web_url, at }).await,
        }
    }

    async fn search(
        &self,
        ctx: &RunContext,
        reader: &Reader<'_>,
        definition: &Definition,
        at: u64,
    ) -> Result<Found, Stopped> {
        let (patience, first_wait) = (self.settings.look_up, self.settings.first_retry);
        find(reader, ctx, &definition.reference, at, patience, first_wait).await
    }

    /// Whether the pipeline was started is not known: it is only if it is found.
    async fn look_for(
        &self,
        ctx: &RunContext,
        definition: &Definition,
        at: u64,
        message: &str,
        why: &str,
    ) -> Result<Outcome, Failure> {
        let project = definition.project.for_people();
        let Some(reader) = self.reader(ctx, &definition.project) else {
            warn_if_aborted(ctx, &definition.project, "there is no read token for its server");
            return Err(Failure::because(
                format!(
                    "{message} Ask the platform team to look for a new pipeline of {project}: if there is one, it may have \
                     done the work; if there is none, start the run again."
                ),
                why.to_owned(),
            ));
        };
        let step = ctx.step(STEP);
        step.log_line(format!("Looking for this run's pipeline in {project}."));
        match self.search(ctx, &reader, definition, at).await? {
            Found::Pipeline(found) => {
                step.log_line(format!("Found: pipeline {}.", found.id));
                self.hand_over(ctx, definition, started(found, at)).await
            }
            Found::Nothing => {
                warn_if_aborted(ctx, &definition.project, "GitLab shows no pipeline of this run");
                // GitLab may still be at work on the request: nobody can tell.
                Err(Failure::because(
                    format!(
                        "{message} GitLab shows no pipeline of this run in {project} yet, but may still create it. Look \
                         there first, and start the run again only if there is none."
                    ),
                    why.to_owned(),
                ))
            }
            Found::Unreadable(error) => {
                warn_if_aborted(ctx, &definition.project, &error.to_string());
                let role = if error.refused().is_some() {
                    " (the variables of a pipeline need the role Maintainer)"
                } else {
                    ""
                };
                Err(Failure::because(
                    format!(
                        "{message} The runner could not find out whether one of the pipelines of {project} is this run's. \
                         Ask the platform team to look for it: if there is one, it may have done the work; if there is \
                         none, start the run again."
                    ),
                    format!("{why}; looking for the pipeline: {error}{role}"),
                ))
            }
        }
    }

    async fn hand_over(&self, ctx: &RunContext, definition: &Definition, started: Started) -> Result<Outcome, Failure> {
        let checkpoint = Checkpoint::Started(started.clone());
        let id = started.id.map(|id| id.to_string());
        // Noted with the checkpoint.
        ctx.external_run(id.as_deref(), started.web_url.as_deref());
        // It is started, whatever the disk says.
        if let Err(failure) = ctx.checkpoint(&checkpoint).await {
            tracing::warn!(cause = failure.causes(), "a started pipeline could not be noted");
        }
        let step = ctx.step(STEP);
        step.user_message(match (&started.web_url, &id) {
            (Some(url), _) => format!("GitLab has started the pipeline: {url}"),
            (None, Some(id)) => format!("GitLab has started pipeline {id} of {}.", definition.project.for_people()),
            (None, None) => format!(
                "GitLab has taken the request to start a pipeline of {}, but did not say which one it is.",
                definition.project.for_people()
            ),
        });
        step.succeed();
        let reader = self.reader(ctx, &definition.project);
        if ctx.stop().reason() == Some(StopReason::Aborted) {
            match (&reader, started.id) {
                (Some(reader), Some(id)) => watch::cancel(reader, ctx, id).await,
                (None, _) => warn_if_aborted(ctx, &definition.project, "there is no read token for its server"),
                (_, None) => warn_if_aborted(ctx, &definition.project, "GitLab did not say which one it is"),
            }
            return Err(Stopped(StopReason::Aborted).into());
        }
        let watched = self.settings.watch_handed_over && reader.is_some() && started.id.is_some();
        let watch = if watched { serde_json::to_value(&checkpoint).ok() } else { None };
        Ok(Outcome::HandedOver { watch })
    }
}

/// Says that nobody has canceled what an aborted run may have started.
fn warn_if_aborted(ctx: &RunContext, project: &Project, why: &str) {
    if ctx.stop().reason() == Some(StopReason::Aborted) {
        tracing::warn!(
            project = project.for_people(),
            cause = %ctx.masker().mask(why),
            "an aborted run may have started a pipeline, which was not found and may go on. Look for it in GitLab, and \
             cancel it"
        );
    }
}

fn started(found: Pipeline, at: u64) -> Started {
    Started { id: Some(found.id), web_url: found.web_url, at }
}

#[async_trait]
impl Executor for GitlabExecutor {
    fn serves(&self) -> Serves {
        Serves::Type(ImplementationType::GitlabCicd)
    }

    fn steps(&self, _run: &Run) -> Vec<StepSpec> {
        vec![StepSpec::new(STEP, "Trigger GitLab CI/CD")]
    }

    /// The answer to a trigger is waited for (30 s), its pipeline is looked for (20 s), and an aborted one is canceled.
    fn stop_grace(&self) -> Duration {
        Duration::from_secs(60)
    }

    fn names_external_run(&self) -> bool {
        true
    }

    fn resumes(&self) -> bool {
        true
    }

    async fn execute(&self, ctx: &RunContext) -> Result<Outcome, Failure> {
        self.trigger(ctx, None).await
    }

    async fn resume(&self, ctx: &RunContext, checkpoint: Value) -> Result<Outcome, Failure> {
        match Checkpoint::read(checkpoint)? {
            Checkpoint::NotAccepted { not_before } => self.trigger(ctx, not_before).await,
            Checkpoint::Sending { at } => {
                let step = ctx.step(STEP);
                step.start();
                let message =
                    "The runner was restarted while the pipeline was being started, so it may have been started.";
                self.look_for(ctx, &Definition::of(ctx.run())?, at, message, "the answer to the trigger is not known")
                    .await
            }
            Checkpoint::Started(started) => {
                ctx.step(STEP).start();
                self.hand_over(ctx, &Definition::of(ctx.run())?, started).await
            }
        }
    }

    async fn watch(&self, ctx: &RunContext, checkpoint: Value) -> Result<(), Failure> {
        let Ok(Checkpoint::Started(Started { id: Some(id), .. })) = Checkpoint::read(checkpoint) else { return Ok(()) };
        // It was read before, when the pipeline was started.
        let Ok(project) = Project::of(ctx.run()) else { return Ok(()) };
        let Some(reader) = self.reader(ctx, &project) else {
            tracing::info!(
                pipeline = id,
                "a pipeline is no longer watched: there is no read token for its server any more"
            );
            return Ok(());
        };
        let rhythm = Rhythm { usual: self.settings.poll, slowest: self.settings.slowest_poll };
        watch::watch(&reader, ctx, id, &rhythm).await
    }
}

impl std::fmt::Debug for GitlabExecutor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GitlabExecutor").field("settings", &self.settings).finish_non_exhaustive()
    }
}
