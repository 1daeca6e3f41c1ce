//! The steps of a run, and which of them is under way.
//!
//! Source: `protocol/terraform.md`, "Steps".

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Mutex;
use std::sync::PoisonError;

use runner_core::meshstack_client::Behavior;
use runner_core::{Run, RunContext, Step, StepSpec};

use crate::Settings;

/// A part of the run, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Sources,
    Input,
    Init,
    PreRun,
    Execute,
    Output,
}

/// The one step of a run whose end a pipeline reports.
const TRIGGER: (&str, &str) = ("trigger", "Prepare Run");

impl Part {
    fn id(self) -> &'static str {
        match self {
            Self::Sources => "sources",
            Self::Input => "input",
            Self::Init => "init_tf",
            Self::PreRun => "pre_run_script",
            Self::Execute => "execute_tf",
            Self::Output => "output",
        }
    }

    fn display_name(self, behavior: &Behavior) -> &'static str {
        match self {
            Self::Sources => "Prepare Run and download Sources",
            Self::Input => "Initialize Inputs",
            Self::Init => "Initialize Terraform and select Workspace",
            Self::PreRun => "Execute Pre-Run Script",
            Self::Execute => match behavior {
                Behavior::Detect => "Run Terraform Plan",
                Behavior::Destroy => "Run Terraform Destroy",
                _ => "Run Terraform Apply",
            },
            Self::Output => "Collect Outputs and clean up",
        }
    }

    fn of(behavior: &Behavior) -> &'static [Self] {
        const ALL: [Part; 6] = [Part::Sources, Part::Input, Part::Init, Part::PreRun, Part::Execute, Part::Output];
        match behavior {
            Behavior::Detect => &ALL[..5],
            _ => &ALL,
        }
    }
}

/// Whether a pipeline goes on with the run and reports its end.
pub(crate) fn is_async(run: &Run) -> bool {
    run.implementation_flag("async")
}

/// The steps as they are registered.
pub(crate) fn specs(run: &Run) -> Vec<StepSpec> {
    if is_async(run) {
        return vec![StepSpec::new(TRIGGER.0, TRIGGER.1)];
    }
    let behavior = run.behavior();
    Part::of(&behavior).iter().map(|part| StepSpec::new(part.id(), part.display_name(&behavior))).collect()
}

/// The steps of a run under way.
pub(crate) struct Steps<'a> {
    ctx: &'a RunContext,
    settings: &'a Settings,
    under_way: Mutex<Option<Step>>,
}

impl<'a> Steps<'a> {
    pub(crate) fn new(ctx: &'a RunContext, settings: &'a Settings) -> Self {
        Self { ctx, settings, under_way: Mutex::new(None) }
    }

    /// The part begins, so the one before is done, and well. All parts of an async run are one step.
    pub(crate) fn begin(&self, part: Part) -> Step {
        let id = if is_async(self.ctx.run()) { TRIGGER.0 } else { part.id() };
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        match &*under_way {
            Some(step) if step.id() == id => return step.clone(),
            Some(done) => done.succeed(),
            None => {}
        }
        let step = self.ctx.step(id);
        self.keep_log(&step);
        step.start();
        *under_way = Some(step.clone());
        step
    }

    /// The last part is done, and well.
    pub(crate) fn finish(&self) {
        if let Some(step) = &*self.under_way.lock().unwrap_or_else(PoisonError::into_inner) {
            step.succeed();
        }
    }

    /// Also writes the step's log to the operator's folder. A run does not fail for its log.
    fn keep_log(&self, step: &Step) {
        let Some(folder) = &self.settings.log_dir else { return };
        match log_file(folder, self.ctx.run().uuid(), step.id()) {
            Ok(file) => step.tee_log(Box::new(file)),
            Err(error) => tracing::warn!(%error, folder = %folder.display(), "a step's log could not be kept"),
        }
    }
}

/// `<folder>/<run>/<step>.log`, for this user only: a log tells a lot even without its secrets.
fn log_file(folder: &Path, run: &str, step: &str) -> io::Result<fs::File> {
    let run: String = run.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
    let folder = folder.join(run);
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
    OpenOptions::new().append(true).create(true).mode(0o600).open(folder.join(format!("{step}.log")))
}
