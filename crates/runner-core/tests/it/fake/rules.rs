//! What the run API allows. Source: `protocol/run-api.md`.

use runner_core::meshstack_client::{
    ApiError, PatchAnswer, Problem, RunAccess, RunStatus, SourceRegistration, StatusPatch, StepStatus,
};

use super::{Call, On, RUNNER, RunState, State, Step};

impl State {
    /// The run, if the token is good for it.
    pub(crate) fn known(&mut self, access: &RunAccess) -> Result<&mut RunState, ApiError> {
        let Some(run) = self.runs.get_mut(&access.uuid) else {
            return Err(error(On::Patch, Problem::Gone { excerpt: "no such run".to_owned() }));
        };
        if run.token == access.token.expose() {
            Ok(run)
        } else {
            Err(error(On::Patch, Problem::Unauthorised { status: 401, excerpt: "token".to_owned() }))
        }
    }

    pub(crate) fn register(
        &mut self,
        call: usize,
        access: &RunAccess,
        body: &SourceRegistration,
    ) -> Result<(), ApiError> {
        assert_eq!(body.source.id, RUNNER);
        let run = self.known(access)?;
        // Having registered before changes nothing (409 on the wire, which is a success).
        if !run.registered {
            run.registered = true;
            run.steps = body.steps.iter().map(|step| Step::new(&step.id, step.status)).collect();
        }
        self.calls[call].taken = true;
        Ok(())
    }

    pub(crate) fn patch(
        &mut self,
        call: usize,
        access: &RunAccess,
        patch: &StatusPatch,
    ) -> Result<PatchAnswer, ApiError> {
        let run = self.known(access)?;
        if run.aborted {
            return Ok(PatchAnswer::Aborted);
        }
        if run.is_over() {
            return Err(error(On::Patch, Problem::Conflict { excerpt: "the run is over".to_owned() }));
        }
        let mut breaches = Vec::new();
        let last_word = matches!(patch.status, RunStatus::Failed);
        if !(run.registered || last_word && run.register_attempted) {
            breaches.push(format!("a patch of {} before it was registered: {patch:?}", access.uuid));
        }
        breaches.extend(run.apply(patch));
        self.calls[call].taken = true;
        self.breaches.extend(breaches);
        Ok(PatchAnswer::Accepted)
    }
}

impl RunState {
    /// Takes a patch in; gives what is against the rules.
    fn apply(&mut self, patch: &StatusPatch) -> Vec<String> {
        let mut breaches = Vec::new();
        self.status = Some(patch.status);
        if patch.summary.is_some() {
            self.summary.clone_from(&patch.summary);
        }
        self.artifact = patch.artifact.clone().or(self.artifact.take());
        self.changes_detected = patch.changes_detected.or(self.changes_detected);
        for change in &patch.steps {
            let at = self.steps.iter().position(|step| step.id == change.id).unwrap_or_else(|| {
                self.steps.push(Step::new(&change.id, change.status));
                self.steps.len() - 1
            });
            let step = &mut self.steps[at];
            if rank(change.status) < rank(step.status) {
                breaches.push(format!("step {} went from {:?} to {:?}", step.id, step.status, change.status));
            }
            step.status = change.status;
            step.user_message = change.user_message.clone().or(step.user_message.take());
            step.system_message = change.system_message.clone().or(step.system_message.take());
            step.outputs.extend(change.outputs.clone());
        }
        breaches
    }
}

impl Step {
    fn new(id: &str, status: StepStatus) -> Self {
        Self { id: id.to_owned(), status, user_message: None, system_message: None, outputs: serde_json::Map::new() }
    }
}

/// Later statuses are higher; a step that succeeded may still fail.
fn rank(status: StepStatus) -> u8 {
    match status {
        StepStatus::Pending => 0,
        StepStatus::InProgress => 1,
        StepStatus::Succeeded => 2,
        StepStatus::Failed => 3,
    }
}

pub(crate) fn error(on: On, problem: Problem) -> ApiError {
    let method = if on == On::Patch { "PATCH" } else { "POST" };
    ApiError { method, path: "/api".to_owned(), problem, source: None }
}

/// A call as a line: `register a b`, `IN_PROGRESS a:SUCCEEDED`; with `!` where it had no effect.
pub(crate) fn line(call: &Call) -> String {
    let said = match (&call.registration, &call.patch) {
        (Some(registration), _) => {
            let steps = registration.steps.iter().map(|step| step.id.as_str());
            ["register"].into_iter().chain(steps).collect::<Vec<_>>().join(" ")
        }
        (_, Some(patch)) => {
            let steps = patch.steps.iter().map(|step| format!("{}:{}", step.id, word(step.status)));
            [word(patch.status)].into_iter().chain(steps).collect::<Vec<_>>().join(" ")
        }
        _ => format!("{:?}", call.on).to_lowercase(),
    };
    format!("{}{said}", if call.taken { "" } else { "!" })
}

fn word(status: impl serde::Serialize) -> String {
    serde_json::to_value(status).ok().and_then(|word| word.as_str().map(str::to_owned)).unwrap_or_default()
}
