//! What GitLab holds, and how it answers. Error texts are those of the real one.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, SystemTime};

use serde_json::{Map, Value, json};

use super::Seen;
use super::shown::{basic, whole};
use super::time::{now, written};

pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Value,
}

impl Answer {
    fn new(status: u16, body: Value) -> Self {
        Self { status, headers: vec![("content-type", "application/json".to_owned())], body }
    }

    fn base(error: impl Into<String>) -> Self {
        Self::new(400, json!({ "message": { "base": [error.into()] } }))
    }

    fn message(status: u16, text: &str) -> Self {
        Self::new(status, json!({ "message": text }))
    }
}

pub(crate) struct Gitlab {
    url: String,
    pub(crate) projects: Vec<Project>,
    pub(crate) pipelines: Vec<Pipeline>,
    pub(crate) read_tokens: Vec<ReadToken>,
    next_id: u64,
    /// What pipelines started from now on go through, one status at each look; the last one stays.
    pub(crate) course: Vec<&'static str>,
    /// So many looks at the list do not show a new pipeline yet.
    pub(crate) hidden_for: u32,
    /// So many looks at a new pipeline are answered 404.
    pub(crate) unseen_for: u32,
    /// Seconds by which its clock is ahead.
    pub(crate) ahead: i64,
    /// Triggers that are taken until the limit strikes; then so many are refused.
    pub(crate) limit: Option<(u32, u32)>,
}

#[derive(Clone)]
pub(crate) struct Project {
    pub(crate) id: u64,
    pub(crate) path: &'static str,
    pub(crate) trigger_tokens: Vec<&'static str>,
    pub(crate) refs: Vec<String>,
    /// Whether anybody may set pipeline variables.
    pub(crate) variables_allowed: bool,
    /// Declared inputs and their types; `None`: the server is too old for inputs and passes over them.
    pub(crate) inputs: Option<BTreeMap<String, String>>,
    /// Bytes that a variable may have.
    pub(crate) longest_variable: usize,
}

#[derive(Debug, Clone)]
pub(crate) struct Pipeline {
    pub(crate) id: u64,
    pub(crate) project: u64,
    pub(crate) reference: String,
    pub(crate) status: &'static str,
    pub(crate) source: &'static str,
    pub(crate) created: i64,
    pub(crate) course: VecDeque<&'static str>,
    pub(crate) variables: Vec<(String, String)>,
    pub(crate) inputs: BTreeMap<String, Value>,
    pub(crate) jobs: Vec<Value>,
    pub(crate) bridges: Vec<Value>,
    pub(crate) yaml_errors: Option<&'static str>,
    pub(crate) looks: u32,
    pub(crate) cancels: u32,
    pub(crate) hidden_for: u32,
    unseen_for: u32,
}

impl Pipeline {
    pub(crate) fn variable(&self, name: &str) -> Option<&str> {
        self.variables.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The run that it was started for.
    pub(crate) fn run(&self) -> String {
        let object: Value = serde_json::from_str(self.variable("MESHSTACK_RUN").expect("a run")).expect("JSON");
        object["metadata"]["uuid"].as_str().expect("a uuid").to_owned()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    ReadApi,
    Api,
}

#[derive(Clone)]
pub(crate) struct ReadToken {
    pub(crate) token: &'static str,
    pub(crate) scope: Scope,
    /// Whether its role lets it read the variables of pipelines.
    pub(crate) maintainer: bool,
    /// Projects it has access to.
    pub(crate) projects: Vec<u64>,
}

impl Gitlab {
    pub(super) fn new(url: &str) -> Self {
        let project = |id, path, token| Project {
            id,
            path,
            trigger_tokens: vec![token],
            refs: vec!["main".to_owned()],
            variables_allowed: true,
            inputs: None,
            longest_variable: usize::MAX,
        };
        Self {
            url: url.to_owned(),
            projects: vec![
                project(4711, "platform/blocks", "glptt-secret"),
                project(4712, "group/project", "old-token"),
            ],
            pipelines: Vec::new(),
            read_tokens: Vec::new(),
            next_id: 5_000_000_000,
            course: vec!["created", "pending", "running"],
            hidden_for: 0,
            unseen_for: 0,
            ahead: 0,
            limit: None,
        }
    }

    /// The project that most tests use.
    pub(crate) fn project(&mut self) -> &mut Project {
        &mut self.projects[0]
    }

    pub(crate) fn allow_reading(&mut self, token: &'static str, scope: Scope, maintainer: bool) {
        self.read_tokens.push(ReadToken { token, scope, maintainer, projects: vec![4711, 4712] });
    }

    /// A pipeline that somebody else has started.
    pub(crate) fn foreign(&mut self, source: &'static str, variables: &[(&str, &str)]) -> u64 {
        let variables = variables.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        self.create(4711, "main", source, variables, BTreeMap::new())
    }

    fn create(
        &mut self,
        project: u64,
        reference: &str,
        source: &'static str,
        variables: Vec<(String, String)>,
        inputs: BTreeMap<String, Value>,
    ) -> u64 {
        self.next_id += 1;
        let mut course: VecDeque<&'static str> = self.course.iter().copied().collect();
        self.pipelines.push(Pipeline {
            id: self.next_id,
            project,
            reference: reference.to_owned(),
            status: course.pop_front().expect("a status"),
            source,
            created: now() + self.ahead,
            course,
            variables,
            inputs,
            jobs: Vec::new(),
            bridges: Vec::new(),
            yaml_errors: None,
            looks: 0,
            cancels: 0,
            hidden_for: self.hidden_for,
            unseen_for: self.unseen_for,
        });
        self.next_id
    }

    pub(super) fn answer(&mut self, seen: &Seen, parameters: &Map<String, Value>) -> Answer {
        let mut answer = self.decide(seen, parameters);
        let ahead = Duration::from_secs(self.ahead.unsigned_abs());
        let clock = if self.ahead < 0 { SystemTime::now() - ahead } else { SystemTime::now() + ahead };
        answer.headers.push(("date", httpdate::fmt_http_date(clock)));
        answer
    }

    fn decide(&mut self, seen: &Seen, parameters: &Map<String, Value>) -> Answer {
        let id = parameters.get("id").and_then(Value::as_str).unwrap_or_default();
        let project = self.projects.iter().find(|project| project.id.to_string() == id || project.path == id).cloned();
        let Some(project) = project else { return Answer::message(404, "404 Project Not Found") };
        if seen.operation == "trigger" {
            return self.trigger(&project, seen);
        }
        let token = seen.header("private-token").unwrap_or_default();
        let Some(token) = self.read_tokens.iter().find(|known| known.token == token).cloned() else {
            return Answer::message(401, "401 Unauthorized");
        };
        if !token.projects.contains(&project.id) {
            return Answer::message(404, "404 Project Not Found");
        }
        if seen.operation == "list_pipelines" {
            return self.list(&project, seen);
        }
        let id: u64 = parameters["pipeline_id"].as_str().and_then(|id| id.parse().ok()).unwrap_or_default();
        let url = self.url.clone();
        let Some(pipeline) = self.pipelines.iter_mut().find(|known| known.id == id && known.project == project.id)
        else {
            return Answer::message(404, "404 Not found");
        };
        match seen.operation {
            "get_pipeline" => {
                pipeline.looks += 1;
                if pipeline.unseen_for > 0 {
                    pipeline.unseen_for -= 1;
                    return Answer::message(404, "404 Not found");
                }
                if let Some(next) = pipeline.course.pop_front() {
                    pipeline.status = next;
                }
                Answer::new(200, whole(&url, &project, pipeline))
            }
            "pipeline_jobs" => paged(seen, pipeline.jobs.clone()),
            "pipeline_bridges" => paged(seen, pipeline.bridges.clone()),
            "pipeline_variables" if !token.maintainer => Answer::message(403, "403 Forbidden"),
            "pipeline_variables" => paged(
                seen,
                (pipeline.variables.iter())
                    .map(|(key, value)| json!({ "variable_type": "env_var", "key": key, "value": value, "raw": false }))
                    .collect(),
            ),
            "cancel_pipeline" if token.scope == Scope::ReadApi => Answer::new(
                403,
                json!({ "error": "insufficient_scope", "scope": "api",
                    "error_description": "The request requires higher privileges than provided by the access token." }),
            ),
            "cancel_pipeline" => {
                pipeline.cancels += 1;
                pipeline.course = ["canceling", "canceled"].into();
                Answer::new(200, whole(&url, &project, pipeline))
            }
            other => panic!("the fake does not know {other}"),
        }
    }

    fn trigger(&mut self, project: &Project, seen: &Seen) -> Answer {
        if !project.trigger_tokens.contains(&seen.field("token").unwrap_or_default()) {
            return Answer::message(404, "404 Not Found");
        }
        if let Some((free, refused)) = &mut self.limit {
            match (*free, *refused) {
                (0, 0) => {}
                (0, _) => {
                    *refused -= 1;
                    let text = "This endpoint has been requested too many times. Try again later.";
                    let mut answer = Answer::new(429, json!({ "message": { "error": text } }));
                    answer.headers.push(("retry-after", "0.05".to_owned()));
                    return answer;
                }
                _ => *free -= 1,
            }
        }
        let inside = |kind: &str| -> Vec<(String, String)> {
            (seen.fields.iter())
                .filter_map(|(name, value)| {
                    Some((name.strip_prefix(kind)?.strip_suffix(']')?.to_owned(), value.clone()))
                })
                .collect()
        };
        let (variables, inputs) = (inside("variables["), inside("inputs["));
        let reference = seen.field("ref").unwrap_or_default();
        if !project.refs.iter().any(|known| known == reference) {
            return Answer::base("Reference not found");
        }
        if !variables.is_empty() && !project.variables_allowed {
            return Answer::base("Insufficient permissions to set pipeline variables");
        }
        for (key, value) in &variables {
            if key.len() > 255 || !key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
                let why = json!({ "message": { "variables.key": ["can contain only letters, digits and '_'."] } });
                return Answer::new(400, why);
            }
            if value.len() > project.longest_variable {
                return Answer::base(format!("Variable {key} is too large"));
            }
        }
        let inputs = match &project.inputs {
            None => BTreeMap::new(),
            Some(declared) => match checked(declared, &inputs) {
                Ok(inputs) => inputs,
                Err(why) => return Answer::base(why),
            },
        };
        let id = self.create(project.id, reference, "trigger", variables, inputs);
        let pipeline = self.pipelines.iter().find(|known| known.id == id).expect("just made");
        Answer::new(201, whole(&self.url, project, pipeline))
    }

    fn list(&mut self, project: &Project, seen: &Seen) -> Answer {
        let asked = |name: &str| seen.query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
        let (url, mut listed) = (self.url.clone(), Vec::new());
        for pipeline in self.pipelines.iter_mut().filter(|pipeline| pipeline.project == project.id) {
            if pipeline.hidden_for > 0 {
                pipeline.hidden_for -= 1;
                continue;
            }
            let created = written(pipeline.created);
            let fits = asked("ref").is_none_or(|wanted| wanted == pipeline.reference)
                && asked("source").is_none_or(|wanted| wanted == pipeline.source)
                && asked("created_after").is_none_or(|after| created.as_str() >= after)
                && asked("updated_after").is_none_or(|after| created.as_str() >= after)
                && asked("created_before").is_none_or(|before| created.as_str() <= before);
            if fits {
                listed.push(basic(&url, project, pipeline));
            }
        }
        if asked("sort") != Some("asc") {
            listed.reverse();
        }
        paged(seen, listed)
    }
}

/// Inputs as GitLab takes them: JSON text is read as JSON, and must then fit the declared type.
fn checked(declared: &BTreeMap<String, String>, given: &[(String, String)]) -> Result<BTreeMap<String, Value>, String> {
    let unknown: Vec<&str> =
        given.iter().map(|(key, _)| key.as_str()).filter(|key| !declared.contains_key(*key)).collect();
    if !unknown.is_empty() {
        return Err(format!("unknown input arguments: {}", unknown.join(", ")));
    }
    if given.len() > 20 {
        return Err("inputs may have 20 entries at most".to_owned());
    }
    let mut taken = BTreeMap::new();
    for (key, text) in given {
        let value = serde_json::from_str::<Value>(text).ok().filter(|value| !value.is_string());
        let value = value.unwrap_or_else(|| json!(text));
        let kind = declared[key].as_str();
        let fits = match kind {
            "string" => value.is_string(),
            "number" => value.is_number(),
            "boolean" => value.is_boolean(),
            "array" => value.is_array(),
            other => panic!("there is no input type {other}"),
        };
        if !fits {
            let article = if kind == "array" { "an" } else { "a" };
            return Err(format!("`{key}` input: provided value is not {article} {kind}"));
        }
        taken.insert(key.clone(), value);
    }
    Ok(taken)
}

fn paged(seen: &Seen, mut entries: Vec<Value>) -> Answer {
    let asked = |name: &str| seen.query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    if let Some(scope) = asked("scope") {
        entries.retain(|entry| entry["status"] == scope);
    }
    let number = |name: &str, usual: usize| asked(name).and_then(|text| text.parse().ok()).unwrap_or(usual);
    let (size, page) = (number("per_page", 20).min(100), number("page", 1));
    let next = if entries.len() > size * page { (page + 1).to_string() } else { String::new() };
    let entries: Vec<Value> = entries.into_iter().skip(size * (page - 1)).take(size).collect();
    let mut answer = Answer::new(200, json!(entries));
    answer.headers.push(("x-next-page", next));
    answer
}
