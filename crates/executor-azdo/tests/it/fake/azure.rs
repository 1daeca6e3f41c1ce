//! The fake's state: pipelines, their runs, and what Azure DevOps enforces. Own JSON, no I/O.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::moments::{Moment, going_well};
use super::spec::Operation;

/// A pipeline, as its YAML file and its settings make it.
#[derive(Debug, Clone)]
pub(crate) struct Pipeline {
    pub(crate) organization: String,
    pub(crate) project: String,
    pub(crate) id: u64,
    pub(crate) parameters: Vec<Parameter>,
    /// Variables that may be set when a run is queued.
    pub(crate) settable: Vec<String>,
    /// Full names of the refs of its repository.
    pub(crate) refs: Vec<String>,
    /// What its runs go through, one moment at each look.
    pub(crate) life: Vec<Moment>,
}

/// A parameter of a pipeline.
#[derive(Debug, Clone, Default)]
pub(crate) struct Parameter {
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) default: bool,
    pub(crate) values: Vec<String>,
}

impl Parameter {
    pub(crate) fn new(name: &str, kind: &str) -> Self {
        Self { name: name.to_owned(), kind: kind.to_owned(), ..Self::default() }
    }
}

impl Pipeline {
    /// One that takes what the fixtures bring.
    pub(crate) fn of_the_fixtures() -> Self {
        let parameters =
            ["name", "tier", "config", "password", "MESHSTACK_BEHAVIOR"].map(|name| Parameter::new(name, "string"));
        let typed = [("size", "number"), ("enabled", "boolean"), ("zones", "object")];
        Self {
            organization: "likvid".to_owned(),
            project: "infra".to_owned(),
            id: 12,
            parameters: parameters.into_iter().chain(typed.map(|(name, kind)| Parameter::new(name, kind))).collect(),
            settable: vec!["DD_API_KEY".to_owned(), "REGION".to_owned()],
            refs: vec!["refs/heads/main".to_owned()],
            life: going_well(),
        }
    }

    /// One that takes these texts beside the behavior.
    pub(crate) fn taking(names: &[&str]) -> Self {
        let parameters =
            names.iter().chain(&["MESHSTACK_BEHAVIOR"]).map(|name| Parameter::new(name, "string")).collect();
        Self { parameters, ..Self::of_the_fixtures() }
    }

    pub(crate) fn living(self, life: Vec<Moment>) -> Self {
        Self { life, ..self }
    }
}

/// A run of a pipeline.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    pub(crate) id: u64,
    pub(crate) parameters: BTreeMap<String, String>,
    pub(crate) variables: Value,
    pub(crate) ref_name: Option<String>,
    pub(crate) cancelled: u64,
    pipeline: u64,
    life: Vec<Moment>,
    /// Which moment the next look shows.
    next: usize,
    /// It does not go past this moment.
    pub(crate) held_at: Option<usize>,
    /// So many looks do not find it yet.
    pub(crate) hidden_for: u64,
    pub(crate) deleted: bool,
}

/// What the fake decided.
pub(crate) struct Decision {
    pub(crate) status: u16,
    pub(crate) body: Option<Value>,
    pub(crate) text: Option<String>,
}

impl Decision {
    fn ok(body: Value) -> Self {
        Self { status: 200, body: Some(body), text: None }
    }

    fn refused(status: u16, message: &str) -> Self {
        let body = json!({
            "$id": "1", "innerException": null, "message": message, "errorCode": 0, "eventId": 3000,
            "typeName": "Microsoft.Azure.Pipelines.WebApi.PipelineValidationException, Microsoft.Azure.Pipelines.WebApi",
            "typeKey": "PipelineValidationException",
        });
        Self { status, body: Some(body), text: None }
    }
}

/// Everything there is.
#[derive(Default)]
pub(crate) struct Azure {
    pub(crate) base: String,
    pub(crate) pipelines: Vec<Pipeline>,
    pub(crate) runs: Vec<Run>,
    pub(crate) logs: BTreeMap<u64, String>,
    /// The token may read only.
    pub(crate) read_only: bool,
    /// New runs are held at this moment.
    pub(crate) hold_new_at: Option<usize>,
    /// New runs are not found by so many looks.
    pub(crate) hide_new_for: u64,
    /// So many looks at a cancelled run until it has stopped.
    pub(crate) cancelling_takes: usize,
}

/// Ids are beyond 32 bits.
const FIRST_ID: u64 = 5_000_000_001;

impl Azure {
    pub(crate) fn run(&self, id: u64) -> Option<&Run> {
        self.runs.iter().find(|run| run.id == id)
    }

    pub(crate) fn run_mut(&mut self, id: u64) -> Option<&mut Run> {
        self.runs.iter_mut().find(|run| run.id == id)
    }

    /// Does what a request asks for. The values of its path are decoded.
    pub(crate) fn carry_out(&mut self, operation: &Operation, body: Option<&Value>) -> Decision {
        let (organization, project) = (operation.value("organization"), operation.value("project"));
        let here = |pipeline: &&Pipeline| pipeline.organization == organization && pipeline.project == project;
        if self.pipelines.iter().find(here).is_none() {
            return Decision::refused(404, &format!("TF200016: The following project does not exist: {project}."));
        }
        match operation.name {
            "run_pipeline" => self.start(operation, body.unwrap_or(&Value::Null)),
            "list_runs" => self.list(operation.id("pipelineId")),
            "get_run" => self.look(operation.id("runId")),
            "get_build" => self.build(operation.id("buildId")),
            "update_build" => self.cancel(operation.id("buildId"), body.unwrap_or(&Value::Null)),
            "timeline" => self.timeline(operation.id("buildId")),
            "build_log" => match self.logs.get(&operation.id("logId")) {
                Some(log) => Decision { status: 200, body: None, text: Some(log.clone()) },
                None => Decision::refused(404, "There is no such log."),
            },
            other => panic!("nobody needs {other}"),
        }
    }

    fn start(&mut self, operation: &Operation, body: &Value) -> Decision {
        if self.read_only {
            return Decision::refused(403, "Access denied: the token needs vso.build_execute.");
        }
        let id = operation.id("pipelineId");
        let Some(pipeline) = self.pipelines.iter().find(|pipeline| pipeline.id == id) else {
            return Decision::refused(404, "The pipeline does not exist.");
        };
        let ref_name = body.pointer("/resources/repositories/self/refName").and_then(Value::as_str);
        if let Some(name) = ref_name.filter(|name| !pipeline.refs.iter().any(|known| known == name)) {
            let message =
                format!("TF401175:The version descriptor <Branch: {name}> could not be resolved to a version.");
            return Decision::refused(400, &message);
        }
        let parameters = match given_parameters(pipeline, &body["templateParameters"]) {
            Ok(parameters) => parameters,
            Err(message) => return Decision::refused(400, &message),
        };
        let variables = &body["variables"];
        let names = variables.as_object().into_iter().flatten().map(|(name, _)| name.as_str());
        let settable = |name: &&str| pipeline.settable.iter().any(|known| known.eq_ignore_ascii_case(name));
        let refused: Vec<&str> = names.filter(|name| !settable(name)).collect();
        if !refused.is_empty() {
            let message = format!(
                "You can't set the following variables ({}). If you want to be able to set these variables, then edit the \
                 pipeline and select Settable at queue time on the variables tab of the pipeline editor.",
                refused.join(", ")
            );
            return Decision::refused(400, &message);
        }
        let run = Run {
            id: FIRST_ID + self.runs.len() as u64,
            parameters,
            variables: variables.clone(),
            ref_name: ref_name.map(str::to_owned),
            cancelled: 0,
            pipeline: id,
            life: pipeline.life.clone(),
            next: 0,
            held_at: self.hold_new_at,
            hidden_for: self.hide_new_for,
            deleted: false,
        };
        let shown = self.shown(&run, &run.life[0], true);
        self.runs.push(run);
        Decision::ok(shown)
    }

    /// A run as Pipelines shows it: what is not set is left out. A list has no values.
    fn shown(&self, run: &Run, moment: &Moment, values: bool) -> Value {
        let base = &self.base;
        let path = format!("{base}/likvid/96ac2280-8cb4-5df5-99de-000000000000");
        let mut shown = json!({
            "_links": {
                "self": { "href": format!("{path}/_apis/pipelines/{}/runs/{}", run.pipeline, run.id) },
                "web": { "href": format!("{path}/_build/results?buildId={}", run.id) },
            },
            "pipeline": { "url": format!("{path}/_apis/pipelines/12?revision=1"), "id": run.pipeline, "revision": 1, "name": "p", "folder": "\\" },
            "state": moment.state, "createdDate": "2026-02-03T04:05:06.1234567Z",
            "url": format!("{path}/_apis/pipelines/{}/runs/{}", run.pipeline, run.id),
            "id": run.id, "name": "20260203.1",
        });
        if let Some(result) = moment.result {
            shown["result"] = json!(result);
            shown["finishedDate"] = json!("2026-02-03T04:07:08.7654321Z");
        }
        if values {
            shown["templateParameters"] = json!(run.parameters);
            let mut variables = run.variables.clone();
            for (_, variable) in variables.as_object_mut().into_iter().flatten() {
                if variable["isSecret"] == true {
                    *variable = json!({ "isSecret": true });
                }
            }
            if variables.is_object() {
                shown["variables"] = variables;
            }
        }
        shown
    }

    /// A look moves the run on.
    fn look(&mut self, id: u64) -> Decision {
        let Some(run) = self.run_mut(id).filter(|run| !run.deleted) else {
            return Decision::refused(404, "The run does not exist.");
        };
        if run.hidden_for > 0 {
            run.hidden_for -= 1;
            return Decision::refused(404, "The run does not exist yet.");
        }
        let last = run.life.len() - 1;
        let now = run.next.min(run.held_at.unwrap_or(last)).min(last);
        run.next = now + 1;
        let run = run.clone();
        Decision::ok(self.shown(&run, &run.life[now], true))
    }

    fn list(&mut self, pipeline: u64) -> Decision {
        for run in &mut self.runs {
            run.hidden_for = run.hidden_for.saturating_sub(1);
        }
        let runs = self.runs.iter().rev().filter(|run| run.pipeline == pipeline && run.hidden_for == 0);
        let value: Vec<Value> = runs.map(|run| self.shown(run, run.now(), false)).collect();
        Decision::ok(json!({ "count": value.len(), "value": value }))
    }

    fn build(&self, id: u64) -> Decision {
        let Some(run) = self.run(id).filter(|run| !run.deleted) else {
            return Decision::refused(404, "The build does not exist.");
        };
        let moment = run.now();
        let mut build = json!({
            "_links": {}, "id": id, "status": moment.build_status, "buildNumber": "20260203.1",
            "queueTime": "2026-02-03T04:05:06.1234567Z", "reason": "manual",
        });
        if let Some(result) = moment.build_result {
            build["result"] = json!(result);
        }
        Decision::ok(build)
    }

    fn timeline(&self, id: u64) -> Decision {
        let Some(run) = self.run(id).filter(|run| !run.deleted) else {
            return Decision::refused(404, "The build does not exist.");
        };
        match &run.now().records {
            None => Decision { status: 204, body: None, text: None },
            Some(records) => Decision::ok(json!({
                "records": records, "lastChangedBy": null, "lastChangedOn": "2026-02-03T04:05:06.1234567Z",
                "id": super::moments::id(0), "changeId": 17, "url": "http://elsewhere.invalid/timeline",
            })),
        }
    }

    fn cancel(&mut self, id: u64, body: &Value) -> Decision {
        if self.read_only {
            return Decision::refused(403, "Access denied: the token needs vso.build_execute.");
        }
        let takes = self.cancelling_takes;
        let Some(run) = self.run_mut(id).filter(|run| !run.deleted) else {
            return Decision::refused(404, "The build does not exist.");
        };
        if body != &json!({ "status": "cancelling" }) {
            return Decision::refused(400, "This is no status that a build can be given.");
        }
        if run.now().state == "completed" {
            return Decision::refused(400, "The build cannot be updated: it has completed.");
        }
        run.cancelled += 1;
        let records = run.now().records.clone();
        let cancelling =
            Moment { state: "canceling", build_status: "cancelling", records: records.clone(), ..Moment::queued() };
        let ended = Moment { records, ..Moment::ended("canceled", Vec::new()) };
        run.life = vec![cancelling; takes + 1];
        run.life.push(ended);
        (run.next, run.held_at) = (0, None);
        self.build(id)
    }
}

impl Run {
    /// Its last moment has this result.
    pub(crate) fn end_with(&mut self, result: &'static str) {
        if let Some(last) = self.life.last_mut() {
            (last.result, last.build_result) = (Some(result), Some(result));
        }
    }

    /// The moment that the last look has shown.
    pub(crate) fn now(&self) -> &Moment {
        &self.life[self.next.saturating_sub(1).min(self.life.len() - 1)]
    }
}

/// The parameters of a run, or why they are refused.
fn given_parameters(pipeline: &Pipeline, given: &Value) -> Result<BTreeMap<String, String>, String> {
    let mut parameters = BTreeMap::new();
    let mut unexpected = Vec::new();
    for (name, value) in given.as_object().into_iter().flatten() {
        let value = value.as_str().unwrap_or_default();
        let Some(known) = pipeline.parameters.iter().find(|known| known.name.eq_ignore_ascii_case(name)) else {
            unexpected.push(format!("/azure-pipelines.yml: Unexpected parameter '{name}'"));
            continue;
        };
        let fits = match known.kind.as_str() {
            "number" => value.parse::<f64>().is_ok(),
            "boolean" => matches!(value.to_lowercase().as_str(), "true" | "false"),
            "string" | "object" => true,
            other => panic!("the fake does not know parameters of type {other}"),
        };
        if !fits || !(known.values.is_empty() || known.values.iter().any(|one| one == value)) {
            return Err(format!("The '{name}' parameter value '{value}' is not valid."));
        }
        parameters.insert(known.name.clone(), value.to_owned());
    }
    if !unexpected.is_empty() {
        return Err(unexpected.join("\n"));
    }
    match pipeline.parameters.iter().find(|known| !known.default && !parameters.contains_key(&known.name)) {
        Some(missing) => Err(format!("A value for the '{}' parameter must be provided.", missing.name)),
        None => Ok(parameters),
    }
}
