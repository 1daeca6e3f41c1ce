//! The steps of a run, in order.

use std::time::Duration;

use async_trait::async_trait;
use runner_core::meshstack_client::{Behavior, ImplementationType};
use runner_core::{Executor, Failure, Outcome, Run, RunContext, Serves, StepSpec};

use crate::backend::{self, Workspaces};
use crate::binary::Binaries;
use crate::environment::{self, OfTheRun};
use crate::inputs::{self, Module};
use crate::process::{self, Commands};
use crate::sources::{self, SourceRequest};
use crate::state_lock::StateLock;
use crate::steps::{self, Part, Steps};
use crate::terraform::Terraform;
use crate::{Settings, certificates, execute, init, outputs, pre_run, workspace};

/// Carries out runs of Terraform building blocks, with Terraform or `OpenTofu`.
#[derive(Debug)]
pub struct TerraformExecutor {
    settings: Settings,
    binaries: Binaries,
}

impl TerraformExecutor {
    /// An executor with these settings.
    pub fn new(settings: Settings) -> Self {
        Self { settings, binaries: Binaries::default() }
    }
}

#[async_trait]
impl Executor for TerraformExecutor {
    fn serves(&self) -> Serves {
        Serves::Type(ImplementationType::Terraform)
    }

    fn steps(&self, run: &Run) -> Vec<StepSpec> {
        steps::specs(run)
    }

    fn time_limit(&self) -> Option<Duration> {
        Some(self.settings.timeout)
    }

    fn stop_grace(&self) -> Duration {
        process::longest_stop(&self.settings)
    }

    async fn execute(&self, ctx: &RunContext) -> Result<Outcome, Failure> {
        let steps = Steps::new(ctx, &self.settings);
        let task = Task::of(ctx)?;
        let environment = ctx.directory().and_then(|directory| {
            let bundle = certificates::bundle(&self.settings, &directory.join("ca-bundle.pem"))?;
            Ok(environment::of_the_runner(&self.settings, bundle.as_deref()))
        });
        let environment = environment.map_err(no_directory)?;
        let commands = Commands::new(ctx, &self.settings, environment);
        let flow = Flow { ctx, settings: &self.settings, binaries: &self.binaries, steps, commands: &commands, task };
        let outcome = flow.go().await;
        commands.close().await;
        outcome
    }
}

fn no_directory(error: std::io::Error) -> Failure {
    Failure::because(
        "The runner could not make a working directory. Ask the platform team to look at the runner's disk, then start \
         the run again.",
        error,
    )
}

/// What the run is to do with the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Task {
    Apply,
    ApplySavedPlan,
    Detect,
    Destroy,
}

impl Task {
    fn of(ctx: &RunContext) -> Result<Self, Failure> {
        match ctx.run().behavior() {
            Behavior::Apply if execute::applies_a_saved_plan(ctx) => Ok(Self::ApplySavedPlan),
            Behavior::Apply => Ok(Self::Apply),
            Behavior::Detect => Ok(Self::Detect),
            Behavior::Destroy => Ok(Self::Destroy),
            other => Err(Failure::new(format!(
                "The runner does not know how to do \"{other}\" with Terraform. Ask the platform team to update it."
            ))),
        }
    }

    /// A saved plan must see the values that it was made with, so only a fresh start gets those that
    /// are new in each run.
    fn is_fresh(self) -> bool {
        matches!(self, Self::Apply | Self::Destroy)
    }
}

/// One run on its way.
struct Flow<'a> {
    ctx: &'a RunContext,
    settings: &'a Settings,
    binaries: &'a Binaries,
    steps: Steps<'a>,
    commands: &'a Commands<'a>,
    task: Task,
}

impl Flow<'_> {
    async fn go(&self) -> Result<Outcome, Failure> {
        let run = self.ctx.run();

        let step = self.steps.begin(Part::Sources);
        let request = SourceRequest::from_run(run)?;
        let log = |line: &str| step.log_line(line);
        let binary = self.binaries.of_run(run, self.settings, self.ctx.stop(), &log).await?;
        let directory = self.ctx.directory().map_err(no_directory)?;
        let checkout = sources::fetch(&request, directory, self.commands, self.settings, &step).await?;

        let step = self.steps.begin(Part::Input);
        let module = Module::scan(&checkout.module);
        let written = inputs::write(run, &module, &checkout.module, self.task.is_fresh(), &step)?;

        let step = self.steps.begin(Part::Init);
        let state_password = backend::state_password(run)?;
        let of_the_run = OfTheRun {
            git_ssh_command: checkout.git_ssh_command.as_deref(),
            state_password: state_password.as_ref(),
            inputs: &written.environment,
        };
        let terraform = Terraform {
            commands: self.commands,
            binary: &binary.path,
            dir: &checkout.module,
            environment: of_the_run.on_top_of(self.commands.environment()),
        };
        let workspaces = backend::prepare(run, &module, &checkout.module, self.settings, &step)?;
        let providers = init::providers(self.settings, &written.environment, &checkout.module, &step).await;
        init::init(self.ctx, &terraform, providers.as_ref(), self.settings, &step).await?;
        let mesh_state = state_password.filter(|_| self.settings.state_locking && workspaces == Workspaces::NotUsed);
        let mesh_state = mesh_state.map(|password| backend::mesh_state(run, password, self.settings)).transpose()?;
        let lock = StateLock::of(run, directory.canonicalize().map_err(no_directory)?, mesh_state, self.settings);
        lock.may_be_taken();
        let workspace = match workspaces {
            Workspaces::Used => Some(workspace::select(&terraform, run, self.settings.workspace_timeout, &step).await?),
            Workspaces::NotUsed => None,
        };

        let step = self.steps.begin(Part::PreRun);
        pre_run::run(self.ctx, &terraform, &binary, &step).await?;

        let outcome = self.execute(&terraform, &lock, workspace.as_deref()).await?;
        lock.is_given_back();
        Ok(outcome)
    }

    async fn execute(
        &self,
        terraform: &Terraform<'_>,
        lock: &StateLock,
        workspace: Option<&str>,
    ) -> Result<Outcome, Failure> {
        let handed_over = steps::is_async(self.ctx.run());
        let step = self.steps.begin(Part::Execute);
        match self.task {
            Task::Apply => execute::apply(terraform, lock, &step).await?,
            Task::ApplySavedPlan => execute::apply_saved_plan(self.ctx, terraform, lock, &step).await?,
            Task::Detect => {
                let preview = execute::preview(self.ctx, terraform, lock, &step).await?;
                self.steps.finish();
                return Ok(if handed_over { Outcome::HandedOverPreview(preview) } else { Outcome::Previewed(preview) });
            }
            Task::Destroy => {
                if handed_over {
                    // The pipeline behind it finds this run in what the module passes on.
                    execute::apply(terraform, lock, &step).await?;
                }
                execute::destroy(terraform, lock, &step).await?;
            }
        }
        let step = self.steps.begin(Part::Output);
        outputs::report(terraform, &step).await?;
        if let (Task::Destroy, Some(workspace)) = (self.task, workspace) {
            workspace::delete(terraform, workspace, self.settings.workspace_timeout, &step).await;
        }
        self.steps.finish();
        Ok(if handed_over { Outcome::HandedOver { watch: None } } else { Outcome::Succeeded })
    }
}
