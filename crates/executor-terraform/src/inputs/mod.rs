//! Inputs of a run: what the module asks for, and what is written for it.
//!
//! Source: `protocol/terraform.md`, "Inputs".

#[cfg(test)]
mod any_value;
mod constant;
mod environment;
mod files;
mod go_json;
mod hcl;
mod module;
pub(crate) mod own_file;
mod run_vars;
mod tfvars;
mod value;

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::path::Path;

use runner_core::meshstack_client::Input;
use runner_core::{Failure, Run, Step};

pub(crate) use self::module::Module;

/// Prefix of the environment inputs that are Terraform variables.
const VARIABLE_PREFIX: &str = "TF_VAR_";

/// What was written, and what is left for the environment of the programs.
pub(crate) struct Written {
    /// Environment inputs, but for `TF_VAR_…`: those are variables.
    pub(crate) environment: BTreeMap<String, String>,
}

/// Writes the inputs into the working directory, in files of mode 0600: `FILE` inputs under their
/// own names, the others as variables, and the declarations of the run context.
///
/// `fresh`: an APPLY without a saved plan, or a DESTROY. Of inputs with equal keys the last one
/// stands. Notes and warnings go to the step's log, without values.
///
/// # Errors
/// The run fails if an input cannot be handed over at all; the message names it.
pub(crate) fn write(run: &Run, module: &Module, dir: &Path, fresh: bool, step: &Step) -> Result<Written, Failure> {
    let mut note = |line: String| step.log_line(line);
    let inputs = last_of_each(run.inputs());
    let environment = environment::collect(&inputs, &mut note)?;
    files::write(&inputs, dir, &mut note)?;
    for warning in module.warnings() {
        note(warning.clone());
    }

    let variables = tfvars::collect(&inputs, module, run_vars::values(run, fresh), &mut note);
    let names: Vec<&str> = variables.keys().map(String::as_str).collect();
    note(format!("Variables: {}.", names.join(", ")));
    if !environment.is_empty() {
        let names: Vec<&str> = environment.keys().map(String::as_str).collect();
        note(format!("Environment variables: {}.", names.join(", ")));
    }

    let declarations = run_vars::declarations(module);
    if !declarations.is_empty() {
        match own_file::create(&dir.join(run_vars::FILE_NAME), declarations.as_bytes()) {
            // A module may bring the file with it.
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            written => written.map_err(|e| not_written(run_vars::FILE_NAME, e))?,
        }
    }
    let text = tfvars::text(&variables);
    own_file::replace(&dir.join(tfvars::FILE_NAME), text.as_bytes()).map_err(|e| not_written(tfvars::FILE_NAME, e))?;
    Ok(Written { environment })
}

fn not_written(name: &str, error: io::Error) -> Failure {
    Failure::because(
        format!("The inputs could not be written to {name}. Ask the platform team to look at the runner's disk."),
        error,
    )
}

/// Of inputs with equal keys the last one stands.
fn last_of_each(inputs: Vec<Input>) -> Vec<Input> {
    let mut seen = HashSet::new();
    let mut kept: Vec<Input> = inputs.into_iter().rev().filter(|input| seen.insert(input.key.clone())).collect();
    kept.reverse();
    kept
}
