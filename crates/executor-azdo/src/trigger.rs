//! Starts a pipeline, once.
//!
//! A start is repeated only if Azure DevOps refused the first one, or it certainly never arrived.
//!
//! Source: `protocol/executors.md`, `AZURE_DEVOPS`, 1.

use std::time::{Duration, Instant};

use runner_core::{Backoff, Failure, RunContext, Step, StopReason, Stopped};

use crate::AzdoSettings;
use crate::answer::{ApiError, SlowDown};
use crate::api::Api;
use crate::checkpoint::{Checkpoint, after, now};
use crate::find::find;
use crate::implementation::Implementation;
use crate::inputs::Values;
use crate::model::PipelineRun;
use crate::patience::Patience;
use crate::refusal::Refused;
use crate::{problems, refusal};

/// What a start needs to know.
pub(crate) struct Trigger<'a> {
    pub(crate) ctx: &'a RunContext,
    pub(crate) api: &'a Api,
    pub(crate) settings: &'a AzdoSettings,
    pub(crate) implementation: &'a Implementation,
    pub(crate) step: &'a Step,
}

/// A pipeline run that was started.
pub(crate) struct Begun {
    pub(crate) run: PipelineRun,
    /// Where the answer to the start asks to slow down.
    pub(crate) asked: Option<SlowDown>,
}

/// What to do after a start that did not work.
enum Next {
    /// Try again, after a while.
    Again(ApiError),
    /// Try again without some of the variables.
    Without(Refused),
    /// It may have worked.
    Lost(ApiError),
    /// Give up.
    End(Failure),
}

impl Trigger<'_> {
    /// Starts the pipeline. What is known of it is noted before every request and every wait.
    pub(crate) async fn start(&self, mut values: Values) -> Result<Begun, Failure> {
        self.warn_of_exposed(&values);
        let mut backoff =
            Backoff::new(Duration::from_secs(1).min(self.settings.poll_interval), Duration::from_secs(30));
        let mut patience = Patience::new(self.settings.patience);
        let until = Instant::now() + self.settings.pipeline_timeout;
        let mut left_out = false;
        loop {
            if let Some(reason) = self.ctx.stop().reason() {
                return Err(Stopped(reason).into());
            }
            self.ctx.checkpoint(&Checkpoint::Intended { at: now() }).await?;
            // Not cut off by a stop: a pipeline that was started must be known, so that it can be cancelled.
            let error = match self.api.start(&values.body(self.implementation)).await {
                Ok(answered) => match PipelineRun::read(&answered.value) {
                    Some(run) => return Ok(Begun { run, asked: answered.slow_down }),
                    None => return self.look_for_it(&values, None, answered.slow_down).await,
                },
                Err(error) => error,
            };
            match self.judge(error, &values) {
                Next::Again(error) => {
                    let wait = backoff.wait(error.wait());
                    // Who is asked to wait waits; who is not heard gives up sooner.
                    let throttled = matches!(error, ApiError::Throttled { .. });
                    let goes_on = if throttled { Instant::now() + wait < until } else { patience.lasts() };
                    if !goes_on {
                        return Err(problems::not_started(error, &self.api.address));
                    }
                    self.ctx.checkpoint(&Checkpoint::NotAccepted { until: after(wait) }).await?;
                    self.step.log_line(format!("{error}. The pipeline is not started yet; this is tried again."));
                    self.ctx.or_stopped(tokio::time::sleep(wait)).await?;
                }
                // Names that were misread may stand for others: at the second time all are left out.
                Next::Without(refused) => {
                    let refused = if std::mem::replace(&mut left_out, true) { Refused::Some } else { refused };
                    self.leave_out(&mut values, &refused);
                }
                Next::Lost(error) => {
                    let asked = error.wait().map(SlowDown::Asked);
                    return self.look_for_it(&values, Some(error), asked).await;
                }
                Next::End(failure) => return Err(failure),
            }
        }
    }

    /// Looks for the run of a start that may have worked.
    pub(crate) async fn look_for_it(
        &self,
        values: &Values,
        cause: Option<ApiError>,
        asked: Option<SlowDown>,
    ) -> Result<Begun, Failure> {
        let proof = values.proof(self.ctx.run().uuid());
        if let (Some(asked), false) = (asked, proof.is_empty()) {
            let wait = SlowDown::wait(Some(asked), self.settings.poll_interval);
            // A stop ends the wait; what is then to be done is known below.
            let _ = self.ctx.or_stopped(tokio::time::sleep(wait)).await;
        }
        if let Ok(Some(run)) = find(self.ctx, self.api, self.settings, &proof).await {
            self.step.log_line("The pipeline was started; its run was found by the address of this run in its values.");
            return Ok(Begun { run, asked: None });
        }
        if self.ctx.stop().reason() == Some(StopReason::Aborted) {
            let page = self.api.address.pipeline_page().to_string();
            tracing::warn!(
                page,
                "the run was aborted while it was not known whether its pipeline had been started; no pipeline run was \
                 found to cancel, so look whether one is running"
            );
        }
        Err(problems::may_have_started(&self.api.address, cause))
    }

    fn judge(&self, error: ApiError, values: &Values) -> Next {
        match error {
            ApiError::Throttled { .. } => Next::Again(error),
            ApiError::Web(ref web) if !web.may_have_arrived() && !web.certificate() => Next::Again(error),
            error if error.may_have_arrived() => Next::Lost(error),
            ApiError::Refused { status: 400, ref message, explained } => {
                let undeclared = refusal::undeclared(message);
                if !undeclared.is_empty() {
                    return Next::End(Failure::because(undeclared_parameters(&undeclared), error));
                }
                if refusal::is_about_the_ref(message) {
                    return Next::End(match &self.implementation.ref_name {
                        Some(name) => Failure::because(missing_ref(name), error),
                        None => problems::not_started(error, &self.api.address),
                    });
                }
                let sent: Vec<&str> = values.variables().collect();
                match refusal::of_variables(message, &sent).filter(|_| explained && !sent.is_empty()) {
                    // Without them this is what the public runner sends.
                    Some(refused) => {
                        self.step.log_line(error.to_string());
                        Next::Without(refused)
                    }
                    None => Next::End(problems::not_started(error, &self.api.address)),
                }
            }
            error => Next::End(problems::not_started(error, &self.api.address)),
        }
    }

    /// Leaves variables out that Azure DevOps does not take, and says so: only what is known of them.
    fn leave_out(&self, values: &mut Values, refused: &Refused) {
        let (names, said) = match refused {
            Refused::NotSettable(names) => {
                (names.clone(), "Azure DevOps does not let these variables be set when the pipeline is started")
            }
            Refused::Named(names) => {
                (names.clone(), "Azure DevOps refused to start the pipeline and named these variables in its answer")
            }
            Refused::Some => {
                let all = values.variables().map(str::to_owned).collect();
                (
                    all,
                    "Azure DevOps refused to start the pipeline because of variables, and it is not certain which of these",
                )
            }
        };
        let names = values.leave_out(&names).join(", ");
        self.step.log_line(format!(
            "WARNING: {said}: {names}. They are left out. Where a variable may not be set at the start: open the pipeline in \
             Azure DevOps, choose Edit, then Variables, add it (a secret one with \"Keep this value secret\") and tick \"Let \
             users override this value when running this pipeline\"."
        ));
    }

    fn warn_of_exposed(&self, values: &Values) {
        for name in values.exposed() {
            self.step.log_line(format!(
                "WARNING: the secret input {name} is passed as a template parameter, and Azure DevOps shows parameters to \
                 everybody who may see the run. Mark the input as an environment variable in the building block definition \
                 and read it as the secret variable $({name}) in the pipeline."
            ));
        }
    }
}

fn undeclared_parameters(names: &[String]) -> String {
    let (parameters, them) = if names.len() == 1 { ("a parameter", "it") } else { ("parameters", "each of them") };
    format!(
        "The pipeline was not started: it is given {parameters} that it does not declare: {}. Add {them} to `parameters:` in the \
         pipeline's YAML file (for example `- name: {}` with `type: string`), or remove the input from the building block \
         definition.",
        names.join(", "),
        names[0],
    )
}

fn missing_ref(name: &str) -> String {
    format!(
        "The pipeline was not started: Azure DevOps does not find `{name}` in the pipeline's repository. Ask the platform team to \
         correct the branch or tag in the building block definition."
    )
}
