//! Starts a pipeline, once.
//!
//! A start is repeated only if Azure DevOps refused the first one, or it certainly never arrived.
//!
//! Source: `protocol/executors.md`, `AZURE_DEVOPS`, 1.

use std::time::{Duration, Instant};

use runner_core::{Backoff, Failure, RunContext, Step, Stopped};

use crate::AzdoSettings;
use crate::answer::ApiError;
use crate::api::Api;
use crate::find::find;
use crate::implementation::Implementation;
use crate::inputs::Values;
use crate::model::PipelineRun;
use crate::patience::Patience;
use crate::{problems, refusal};

/// What a start needs to know.
pub(crate) struct Trigger<'a> {
    pub(crate) ctx: &'a RunContext,
    pub(crate) api: &'a Api,
    pub(crate) settings: &'a AzdoSettings,
    pub(crate) implementation: &'a Implementation,
    pub(crate) step: &'a Step,
}

/// What to do after a start that did not work.
enum Next {
    /// Try again, after a while.
    Again(ApiError),
    /// Try again without some of the variables.
    Without(Vec<String>),
    /// It may have worked.
    Lost(ApiError),
    /// Give up.
    End(Failure),
}

impl Trigger<'_> {
    /// Starts the pipeline. The intent is noted already.
    pub(crate) async fn start(&self, mut values: Values) -> Result<PipelineRun, Failure> {
        self.warn_of_exposed(&values);
        let mut backoff =
            Backoff::new(Duration::from_secs(1).min(self.settings.poll_interval), Duration::from_secs(30));
        let mut patience = Patience::new(self.settings.patience);
        let until = Instant::now() + self.settings.pipeline_timeout;
        loop {
            if let Some(reason) = self.ctx.stop().reason() {
                return Err(Stopped(reason).into());
            }
            // Not cut off by a stop: a pipeline that was started must be known, so that it can be cancelled.
            let error = match self.api.start(&values.body(self.implementation)).await {
                Ok(answered) => match PipelineRun::read(&answered.value) {
                    Some(run) => return Ok(run),
                    None => return self.look_for_it(&values, None).await,
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
                    self.step.log_line(format!("{error}. The pipeline is not started yet; this is tried again."));
                    self.ctx.or_stopped(tokio::time::sleep(wait)).await?;
                }
                Next::Without(refused) => self.leave_out(&mut values, &refused),
                Next::Lost(error) => return self.look_for_it(&values, Some(error)).await,
                Next::End(failure) => return Err(failure),
            }
        }
    }

    /// Looks for the run of a start that may have worked.
    pub(crate) async fn look_for_it(&self, values: &Values, cause: Option<ApiError>) -> Result<PipelineRun, Failure> {
        let proof = values.proof(self.ctx.run().uuid());
        let unknown = |cause| problems::may_have_started(&self.api.address, cause);
        match find(self.ctx, self.api, self.settings, &proof).await {
            Ok(Some(run)) => {
                self.step
                    .log_line("The pipeline was started; its run was found by the address of this run in its values.");
                Ok(run)
            }
            Ok(None) => Err(unknown(cause)),
            Err(_stopped) => Err(unknown(cause)),
        }
    }

    fn judge(&self, error: ApiError, values: &Values) -> Next {
        match error {
            ApiError::Throttled { .. } => Next::Again(error),
            ApiError::Web(ref web) if !web.may_have_arrived() && !web.certificate() => Next::Again(error),
            error if error.may_have_arrived() => Next::Lost(error),
            ApiError::Refused { status: 400, ref message } => {
                let undeclared = refusal::undeclared(message);
                if !undeclared.is_empty() {
                    return Next::End(Failure::because(undeclared_parameters(&undeclared), error));
                }
                if let (true, Some(name)) = (refusal::is_about_the_ref(message), &self.implementation.ref_name) {
                    return Next::End(Failure::because(missing_ref(name), error));
                }
                let all: Vec<String> = values.variables().map(str::to_owned).collect();
                if all.is_empty() {
                    return Next::End(problems::not_started(error, &self.api.address));
                }
                // Whatever was wrong: without variables this is what the public runner sends.
                self.step.log_line(error.to_string());
                Next::Without(refusal::unsettable(message, values.variables()).unwrap_or(all))
            }
            error => Next::End(problems::not_started(error, &self.api.address)),
        }
    }

    /// Leaves variables out that Azure DevOps does not take, and says so.
    fn leave_out(&self, values: &mut Values, refused: &[String]) {
        let names = values.leave_out(refused).join(", ");
        self.step.log_line(format!(
            "WARNING: Azure DevOps does not let these variables be set when the pipeline is started: {names}. They are left \
             out. To pass them, open the pipeline in Azure DevOps, choose Edit, then Variables, add each of them (the secret \
             ones with \"Keep this value secret\") and tick \"Let users override this value when running this pipeline\"."
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
