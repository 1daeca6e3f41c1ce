//! The command line of Terraform.

use std::path::Path;
use std::time::Duration;

use runner_core::Step;

use crate::process::{CommandError, CommandSpec, Commands, Environment, Finished};

/// Terraform, in the module's folder and with the run's environment.
pub(crate) struct Terraform<'a> {
    pub(crate) commands: &'a Commands<'a>,
    pub(crate) binary: &'a Path,
    pub(crate) dir: &'a Path,
    pub(crate) environment: Environment,
}

impl Terraform<'_> {
    /// Runs a subcommand, its output going to the step's log.
    pub(crate) async fn run(
        &self,
        args: &[&str],
        limit: Option<Duration>,
        step: &Step,
    ) -> Result<Finished, CommandError> {
        self.commands.run(&self.spec(args, limit), step).await
    }

    /// Runs a subcommand and gives its standard output back.
    pub(crate) async fn ask(
        &self,
        args: &[&str],
        limit: Option<Duration>,
        step: &Step,
    ) -> Result<Finished, CommandError> {
        self.commands.run(&CommandSpec { capture_stdout: true, ..self.spec(args, limit) }, step).await
    }

    fn spec(&self, args: &[&str], limit: Option<Duration>) -> CommandSpec {
        CommandSpec {
            time_limit: limit,
            log_command_line: true,
            ..CommandSpec::new(self.binary, self.dir, self.environment.clone()).args(args)
        }
    }
}
