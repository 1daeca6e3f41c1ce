//! The stages of a run as steps.
//!
//! A step goes forward only, and a stage may be run again: so a stage that failed is FAILED only when the run has ended.
//! Until then its step stays under way and its message says what happened.
//!
//! Source: `protocol/executors.md`, `AZURE_DEVOPS`, 2.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use runner_core::{RunContext, Step, StepSpec};

use crate::api::Api;
use crate::model::RunEnd;
use crate::timeline::{Failed, Gate, Record, State, Timeline};

/// Logs of failed tasks that are read, of one run.
const MOST_LOGS: usize = 10;

/// How long reading them may take altogether: the end of the run waits for it.
const LOGS_WITHIN: Duration = Duration::from_secs(30);

/// Errors of one task that are shown.
const MOST_ERRORS: usize = 5;

/// Failures that a message names.
const MOST_NAMED: usize = 3;

/// The steps of one run's stages.
#[derive(Default)]
pub(crate) struct Stages {
    /// What was said of each stage, by its id.
    said: HashMap<String, Said>,
    /// Ids in the order in which the stages came up.
    order: Vec<String>,
    /// What the run waits for, in words; empty if nothing.
    waiting: Vec<String>,
}

#[derive(Default)]
struct Said {
    name: String,
    ended: bool,
    message: String,
    /// The last line about its state.
    line: String,
    attempt: u64,
}

impl Stages {
    /// Shows what a timeline says while the run goes on. Whether anything is new.
    pub(crate) fn show(&mut self, ctx: &RunContext, timeline: &Timeline, link: &str) -> bool {
        let mut changed = false;
        self.waiting.clear();
        for stage in timeline.stages() {
            let step = self.step(ctx, stage);
            let gates = timeline.gates(stage);
            if !gates.is_empty() {
                self.waiting.push(waiting_for(stage, &gates));
            }
            let message = match stage.state {
                State::Completed if stage.failed() => {
                    format!(
                        "{} It may be run again in Azure DevOps as long as the pipeline runs.",
                        failed(timeline, stage)
                    )
                }
                State::Completed => well(stage),
                _ if gates.is_empty() => String::new(),
                _ => format!("Waiting for {} in Azure DevOps: {link}", waiting_for(stage, &gates)),
            };
            let said = self.said.entry(stage.id.clone()).or_default();
            changed |= said.line(&step, stage, &gates);
            changed |= said.message(&step, &message);
            match stage.state {
                State::Completed if !stage.failed() => {
                    step.succeed();
                    said.ended = true;
                }
                State::Pending if gates.is_empty() => {}
                _ if !said.ended => step.start(),
                _ => {}
            }
        }
        changed
    }

    /// Whether there are stages.
    pub(crate) fn any(&self) -> bool {
        !self.order.is_empty()
    }

    /// What the run waits for, in words.
    pub(crate) fn waiting(&self) -> Option<String> {
        (!self.waiting.is_empty()).then(|| self.waiting.join(", "))
    }

    /// The last word on each stage. `timeline` is that of the ended run, if it could be read.
    pub(crate) async fn close(
        &mut self,
        ctx: &RunContext,
        api: &Api,
        run: u64,
        timeline: Option<&Timeline>,
        end: &RunEnd,
    ) {
        let stages = timeline.map(Timeline::stages).unwrap_or_default();
        let mut logs = Logs { api, run, left: MOST_LOGS, until: Instant::now() + LOGS_WITHIN };
        for stage in &stages {
            let step = self.step(ctx, stage);
            let said = self.said.entry(stage.id.clone()).or_default();
            said.line(&step, stage, &[]);
            if stage.state != State::Completed {
                continue;
            }
            said.ended = true;
            if let (true, Some(timeline)) = (stage.failed(), timeline) {
                logs.show(&step, &timeline.failures(stage)).await;
                step.fail(failed(timeline, stage));
            } else {
                said.message(&step, &well(stage));
                step.succeed();
            }
        }
        let well = matches!(end, RunEnd::Succeeded | RunEnd::PartiallySucceeded);
        for id in &self.order {
            let Some(said) = self.said.get(id).filter(|said| !said.ended) else { continue };
            let step = ctx.add_step(&spec(id, &said.name));
            if well {
                step.user_message("The pipeline succeeded; Azure DevOps does not say how this stage ended.");
                step.succeed();
            } else {
                step.fail("The pipeline ended before this stage did, or Azure DevOps does not say how it ended.");
            }
        }
    }

    /// The run is not followed any longer, and its pipeline may go on.
    pub(crate) fn give_up(&self, ctx: &RunContext, link: &str) {
        for (id, said) in self.order.iter().filter_map(|id| Some((id, self.said.get(id)?))) {
            if !said.ended {
                let step = ctx.add_step(&spec(id, &said.name));
                step.fail(format!("The pipeline is not followed any longer; how this stage ends is told by {link}"));
            }
        }
    }

    fn step(&mut self, ctx: &RunContext, stage: &Record) -> Step {
        if !self.said.contains_key(&stage.id) {
            self.order.push(stage.id.clone());
            self.said.insert(stage.id.clone(), Said { name: stage.name.clone(), ..Said::default() });
        }
        ctx.add_step(&spec(&stage.id, &stage.name))
    }
}

impl Said {
    /// A line in the step's log whenever the stage's state changes.
    fn line(&mut self, step: &Step, stage: &Record, gates: &[Gate]) -> bool {
        let mut line = match stage.state {
            State::Pending => "Not started yet".to_owned(),
            State::InProgress => "Running".to_owned(),
            State::Completed if stage.result.is_empty() => "Completed, without a result".to_owned(),
            State::Completed => format!("Completed: {}", stage.result),
        };
        if !gates.is_empty() {
            line = format!("Waiting for {}", waiting_for(stage, gates));
        }
        if stage.attempt > 1 {
            line = format!("Attempt {}: {line}", stage.attempt);
        }
        let new = self.line != line || self.attempt != stage.attempt;
        if new {
            step.log_line(format!("{line}."));
            (self.line, self.attempt) = (line, stage.attempt);
        }
        new
    }

    /// A message, if it is another one than before. An empty one takes the last one back.
    fn message(&mut self, step: &Step, message: &str) -> bool {
        let new = self.message != message;
        if new {
            step.user_message(message);
            message.clone_into(&mut self.message);
        }
        new
    }
}

fn spec(id: &str, name: &str) -> StepSpec {
    let display_name = if name.is_empty() { "Unknown Stage".to_owned() } else { format!("Stage: {name}") };
    StepSpec::new(format!("ado-stage-{id}"), display_name)
}

fn waiting_for(stage: &Record, gates: &[Gate]) -> String {
    let name = &stage.name;
    let of = |gate: &Gate| match gate {
        Gate::Approval => format!("approval of stage \"{name}\""),
        Gate::Permission => format!("permission for stage \"{name}\" to use a resource"),
        Gate::Validation(task) => format!("approval of \"{task}\" in stage \"{name}\""),
        Gate::Check(check) => format!("the check \"{check}\" of stage \"{name}\""),
    };
    gates.iter().map(of).collect::<Vec<_>>().join(", ")
}

/// The message of a stage that went well.
fn well(stage: &Record) -> String {
    match stage.result.as_str() {
        "succeededWithIssues" => "Succeeded, with warnings that Azure DevOps shows.".to_owned(),
        "skipped" => "Skipped.".to_owned(),
        _ => String::new(),
    }
}

/// The message of a stage that did not.
fn failed(timeline: &Timeline, stage: &Record) -> String {
    let failures = timeline.failures(stage);
    let what = match stage.result.as_str() {
        "canceled" => "was cancelled",
        "abandoned" => "was given up by Azure DevOps, which heard no more from the agent",
        "failed" => "failed",
        _ => "ended with a result that is not known",
    };
    if timeline.was_rejected(stage) {
        return "The stage was not approved in Azure DevOps: somebody said no, or nobody said yes in time.".to_owned();
    }
    if failures.is_empty() {
        return format!("The stage {what}.");
    }
    let mut named: Vec<&str> = failures.iter().take(MOST_NAMED).map(|failure| failure.what.as_str()).collect();
    let more = format!("{} more", failures.len().saturating_sub(MOST_NAMED));
    if failures.len() > MOST_NAMED {
        named.push(&more);
    }
    format!("The stage {what}: {}.", named.join(", "))
}

/// The failed stages of an ended run, for the message of the run; empty if none is known.
pub(crate) fn failed_stages(timeline: &Timeline) -> String {
    let of = |stage: &&Record| format!("Stage \"{}\": {}", stage.name, failed(timeline, stage));
    let failed: Vec<String> =
        timeline.stages().iter().filter(|stage| stage.failed()).take(MOST_NAMED).map(of).collect();
    failed.join(" ")
}

/// Reads the logs of failed tasks, within limits.
struct Logs<'a> {
    api: &'a Api,
    run: u64,
    left: usize,
    until: Instant,
}

impl Logs<'_> {
    async fn show(&mut self, step: &Step, failures: &[Failed]) {
        for failure in failures {
            step.log_line(format!("Failed: {}.", failure.what));
            for error in failure.errors.iter().take(MOST_ERRORS) {
                step.log_line(error);
            }
            let Some(log) = failure.log.filter(|_| self.left > 0) else { continue };
            self.left -= 1;
            let left = self.until.saturating_duration_since(Instant::now());
            match tokio::time::timeout(left, self.api.log_tail(self.run, log)).await {
                Ok(Ok(tail)) => step.log_line(format!("The end of its log:\n{tail}")),
                Ok(Err(error)) => step.log_line(format!("Its log could not be read: {error}.")),
                Err(_) => step.log_line("Its log could not be read in time."),
            }
        }
    }
}
