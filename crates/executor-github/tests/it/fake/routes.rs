//! What the operations do.

use serde_json::{Value, json};

use super::answer::Reply;
use super::app;
use super::script::{Frame, Script};
use super::spec::Operation;
use super::state::{Details, State};

/// A request, read.
pub(crate) struct Request {
    pub(crate) query: Vec<(String, String)>,
    pub(crate) authorization: String,
    pub(crate) body: Value,
}

impl Request {
    fn number(&self, name: &str, default: usize) -> usize {
        self.query.iter().find(|(key, _)| key == name).map_or(default, |(_, value)| value.parse().expect("a number"))
    }
}

impl State {
    /// Carries out a request.
    pub(crate) fn answer(&mut self, operation: &Operation, request: &Request) -> Reply {
        let as_app = matches!(operation.name, "repo_installation" | "create_token");
        let refused = if as_app {
            app::refuse_jwt(self, &request.authorization)
        } else {
            app::refuse_token(self, &request.authorization)
        };
        if let Some(refused) = refused {
            return refused;
        }
        let parameters: Vec<&str> = operation.parameters.iter().map(String::as_str).collect();
        match (operation.name, parameters.as_slice()) {
            ("create_token", [id]) => app::create_token(self, id),
            (name, [owner, repository, rest @ ..]) => {
                if *owner != self.owner || *repository != self.repository {
                    return Reply::error(404, "Not Found");
                }
                self.answer_for_repository(name, rest, request)
            }
            (name, _) => panic!("the fake knows no {name}"),
        }
    }

    fn answer_for_repository(&mut self, name: &str, rest: &[&str], request: &Request) -> Reply {
        let id = rest.first().and_then(|id| id.parse::<u64>().ok()).unwrap_or_default();
        match name {
            "repo_installation" => app::installation(self),
            "dispatch" => self.dispatch(rest[0], &request.body),
            "list_workflow_runs" => self.list(rest[0], request),
            "get_run" => self.look(id),
            "list_jobs" => self.jobs(id, request),
            "cancel" | "force_cancel" => self.cancel(id, name),
            "job_logs" => match self.log(id) {
                Some(_) => Reply::empty(302).header("location", &format!("{}/{id}?sig=s3cret", self.logs_url)),
                None => Reply::error(404, "Not Found"),
            },
            other => panic!("the fake knows no {other}"),
        }
    }

    fn dispatch(&mut self, file: &str, body: &Value) -> Reply {
        let asks = body.get("return_run_details").is_some();
        if let (Details::Refused(status), true) = (self.details, asks) {
            return Reply::error(status, "Invalid request.\n\n\"return_run_details\" is not a permitted key.");
        }
        let Some(workflow) = self.workflows.get(file) else { return Reply::error(404, "Not Found") };
        if !workflow.dispatchable {
            return Reply::error(422, "Workflow does not have 'workflow_dispatch' trigger");
        }
        if !workflow.enabled {
            return Reply::error(422, "Cannot trigger a 'workflow_dispatch' on a disabled workflow");
        }
        let entered = body["ref"].as_str().unwrap_or_default();
        let branch = entered.trim_start_matches("refs/heads/").trim_start_matches("refs/tags/").to_owned();
        if !self.branches.contains(&branch) {
            return Reply::error(422, &format!("No ref found for: {entered}"));
        }
        let inputs = body["inputs"].as_object().cloned().unwrap_or_default();
        if inputs.len() > self.most_inputs {
            return Reply::error(422, &format!("you may only define up to {} `inputs`", self.most_inputs));
        }
        if let Some((name, value)) = inputs.iter().find(|(_, value)| !value.is_string()) {
            self.violations.push(format!("the input {name} is no text: {value}"));
        }
        let length: usize = inputs.values().filter_map(Value::as_str).map(|text| text.chars().count()).sum();
        if length > 65_535 {
            return Reply::error(422, "inputs are too large.");
        }
        let declared = |name: &str| workflow.inputs.iter().any(|(declared, _)| declared == name);
        let unexpected: Vec<&String> = inputs.keys().filter(|name| !declared(name)).collect();
        if !unexpected.is_empty() {
            return Reply::error(422, &format!("Unexpected inputs provided: {}", json!(unexpected)));
        }
        let missing = workflow.inputs.iter().find(|(name, required)| *required && !inputs.contains_key(name));
        if let Some((name, _)) = missing {
            return Reply::error(422, &format!("Required input '{name}' not provided"));
        }
        let id = self.start(file, &branch, Value::Object(inputs));
        if self.details == Details::Given && body["return_run_details"] == true {
            let run_url = format!("{}/repos/{}/{}/actions/runs/{id}", self.url, self.owner, self.repository);
            return Reply::json(200, &json!({ "workflow_run_id": id, "run_url": run_url, "html_url": self.page(id) }));
        }
        Reply::empty(204)
    }

    fn list(&mut self, file: &str, request: &Request) -> Reply {
        if !self.workflows.contains_key(file) {
            return Reply::error(404, "Not Found");
        }
        let mut visible = Vec::new();
        for run in self.runs.values_mut().rev().filter(|run| run.file == file) {
            match run.hidden.checked_sub(1) {
                Some(left) => run.hidden = left,
                None => visible.push(run.id),
            }
        }
        let (per_page, page) = (request.number("per_page", 30).min(100), request.number("page", 1));
        let shown = visible.iter().skip((page - 1) * per_page).take(per_page);
        let runs: Vec<Value> = shown.map(|id| self.run_json(&self.runs[id])).collect();
        Reply::json(200, &json!({ "total_count": visible.len(), "workflow_runs": runs }))
    }

    fn look(&mut self, id: u64) -> Reply {
        let Some(run) = self.runs.get_mut(&id) else { return Reply::error(404, "Not Found") };
        if let Some(left) = run.hidden.checked_sub(1) {
            run.hidden = left;
            return Reply::error(404, "Not Found");
        }
        let shown = run.clone();
        run.looks += 1;
        Reply::json(200, &self.run_json(&shown))
    }

    /// The jobs as of the last look at the run.
    fn jobs(&self, id: u64, request: &Request) -> Reply {
        let Some(run) = self.runs.get(&id) else { return Reply::error(404, "Not Found") };
        let frame = run.script.at(run.looks.saturating_sub(1));
        let (per_page, page) = (request.number("per_page", 30).min(100), request.number("page", 1));
        let shown = frame.jobs.iter().skip((page - 1) * per_page).take(per_page);
        let jobs: Vec<Value> = shown.map(|job| self.job_json(run, job)).collect();
        let last = frame.jobs.len().div_ceil(per_page).max(1);
        let reply = Reply::json(200, &json!({ "total_count": frame.jobs.len(), "jobs": jobs }));
        if page >= last {
            return reply;
        }
        let next = format!("{}/repositories/42/actions/runs/{id}/jobs?per_page={per_page}&page={}", self.url, page + 1);
        reply.header("link", &format!("<{next}>; rel=\"next\""))
    }

    fn cancel(&mut self, id: u64, how: &str) -> Reply {
        let (early, stubborn) = (self.early_cancels, self.stubborn);
        let Some(run) = self.runs.get_mut(&id) else { return Reply::error(404, "Not Found") };
        run.cancels.push(how.to_owned());
        if run.has_ended() {
            return Reply::error(409, "Cannot cancel a workflow run that is completed.");
        }
        if early > 0 {
            self.early_cancels -= 1;
            return Reply::error(409, "Cannot cancel a workflow run that has not been queued yet.");
        }
        if how == "force_cancel" || !stubborn {
            let now = run.frame().clone();
            let jobs = now.jobs.iter().map(|job| job.clone().ended("cancelled")).collect();
            let ending = Frame { looks: 2, ..now };
            run.script = Script(vec![ending]).end("cancelled", jobs);
            run.looks = 0;
        }
        Reply::json(202, &json!({}))
    }
}
