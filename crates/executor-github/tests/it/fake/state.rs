//! What the fake knows: the App, the repository, its workflows and their runs.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use serde_json::{Value, json};

use super::answer::Fault;
use super::script::{FakeJob, Frame, Script, Workflow, step_json};
use super::spec;

/// Beyond 32 bits.
const FIRST_RUN: u64 = 30_433_642_000;

/// How the server answers a dispatch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Details {
    /// It names the run if it is asked to.
    Given,
    /// It refuses the question with this status, as an Enterprise Server does.
    Refused(u16),
    /// It passes over the question.
    Ignored,
}

/// A request that was seen.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) operation: String,
    pub(crate) path: String,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: Value,
    /// None: it was not answered.
    pub(crate) status: Option<u16>,
    pub(crate) at: Instant,
}

/// A workflow run.
#[derive(Clone)]
pub(crate) struct FakeRun {
    pub(crate) id: u64,
    pub(crate) file: String,
    pub(crate) branch: String,
    pub(crate) inputs: Value,
    pub(crate) title: String,
    pub(crate) created: i64,
    pub(crate) script: Script,
    /// How often it was looked at.
    pub(crate) looks: u32,
    /// So many looks and lists do not see it yet.
    pub(crate) hidden: u32,
    /// How its end was asked for.
    pub(crate) cancels: Vec<String>,
}

impl FakeRun {
    /// One that is in no list: the first that will be started, as it may look.
    pub(crate) fn example(script: &Script) -> Self {
        Self {
            id: FIRST_RUN,
            file: "apply.yml".to_owned(),
            branch: "main".to_owned(),
            inputs: Value::Null,
            title: "Apply".to_owned(),
            created: 0,
            script: script.clone(),
            looks: 0,
            hidden: 0,
            cancels: Vec::new(),
        }
    }

    pub(crate) fn frame(&self) -> &Frame {
        self.script.at(self.looks)
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.frame().status == "completed"
    }
}

/// Everything.
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own that a test sets")]
pub(crate) struct State {
    pub(crate) url: String,
    pub(crate) prefix: String,
    pub(crate) logs_url: String,
    /// Seconds that its clock is ahead.
    pub(crate) ahead: i64,
    pub(crate) app_id: String,
    pub(crate) installed: bool,
    pub(crate) suspended: bool,
    /// `null`: they are not told.
    pub(crate) permissions: Value,
    /// Whether the installation's id is a text.
    pub(crate) text_id: bool,
    pub(crate) token_life: i64,
    /// Token and expiry.
    pub(crate) tokens: HashMap<String, i64>,
    pub(crate) issued: u64,
    pub(crate) owner: String,
    pub(crate) repository: String,
    pub(crate) former: Option<String>,
    pub(crate) branches: Vec<String>,
    pub(crate) workflows: BTreeMap<String, Workflow>,
    pub(crate) most_inputs: usize,
    pub(crate) details: Details,
    pub(crate) runs: BTreeMap<u64, FakeRun>,
    /// How many looks do not see a new run.
    pub(crate) hide: u32,
    /// So many requests to cancel are refused because it is too early.
    pub(crate) early_cancels: u32,
    /// Whether it takes force to end a run.
    pub(crate) stubborn: bool,
    pub(crate) etags: bool,
    /// Whether answers are held against GitHub's description; not where a test needs words that it does not know.
    pub(crate) described: bool,
    /// Requests that are left, and when they are renewed.
    pub(crate) left: Option<u32>,
    pub(crate) reset: i64,
    pub(crate) faults: Vec<(String, u32, u32, Fault)>,
    pub(crate) seen: Vec<Seen>,
    /// How long each answer takes; meanwhile it is counted how many of one run are under way.
    pub(crate) latency: std::time::Duration,
    pub(crate) in_flight: HashMap<u64, u32>,
    pub(crate) most_in_flight: u32,
    pub(crate) violations: Vec<String>,
    /// Requests whose answer is held back, and whether they may be answered.
    pub(crate) released: bool,
}

impl State {
    pub(crate) fn new(url: String, prefix: String, logs_url: String) -> Self {
        Self {
            url,
            prefix,
            logs_url,
            ahead: 0,
            app_id: "12345".to_owned(),
            installed: true,
            suspended: false,
            permissions: json!({ "actions": "write", "metadata": "read" }),
            text_id: false,
            token_life: 3600,
            tokens: HashMap::new(),
            issued: 0,
            owner: "likvid".to_owned(),
            repository: "infra".to_owned(),
            former: None,
            branches: vec!["main".to_owned(), "v1".to_owned()],
            workflows: BTreeMap::new(),
            most_inputs: 25,
            details: Details::Given,
            runs: BTreeMap::new(),
            hide: 0,
            early_cancels: 0,
            stubborn: false,
            etags: true,
            described: true,
            left: None,
            reset: 0,
            faults: Vec::new(),
            seen: Vec::new(),
            latency: std::time::Duration::ZERO,
            in_flight: HashMap::new(),
            most_in_flight: 0,
            violations: Vec::new(),
            released: false,
        }
    }

    /// Seconds since 1970, by the fake's clock.
    pub(crate) fn now(&self) -> i64 {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
        i64::try_from(now.as_secs()).expect("seconds") + self.ahead
    }

    /// Makes a run of a workflow.
    pub(crate) fn start(&mut self, file: &str, branch: &str, inputs: Value) -> u64 {
        let id = FIRST_RUN + self.runs.len() as u64 * 7;
        let workflow = &self.workflows[file];
        let run = FakeRun {
            id,
            file: file.to_owned(),
            branch: branch.to_owned(),
            title: workflow.title(&inputs),
            script: (workflow.script)(&inputs),
            inputs,
            created: self.now(),
            looks: 0,
            hidden: self.hide,
            cancels: Vec::new(),
        };
        self.runs.insert(id, run);
        id
    }

    /// The page of a run.
    pub(crate) fn page(&self, id: u64) -> String {
        format!("https://github.example/{}/{}/actions/runs/{id}", self.owner, self.repository)
    }

    /// A run as GitHub shows it.
    pub(crate) fn run_json(&self, run: &FakeRun) -> Value {
        let frame = run.frame();
        let mut json = spec::example("run");
        json["id"] = json!(run.id);
        json["status"] = json!(frame.status);
        json["conclusion"] = json!(frame.conclusion);
        json["run_attempt"] = json!(frame.attempt);
        json["display_title"] = json!(run.title);
        json["event"] = json!("workflow_dispatch");
        json["head_branch"] = json!(run.branch);
        json["path"] = json!(format!(".github/workflows/{}@{}", run.file, run.branch));
        json["created_at"] = json!(written(run.created));
        json["html_url"] = json!(self.page(run.id));
        json
    }

    /// A job as GitHub shows it.
    pub(crate) fn job_json(&self, run: &FakeRun, job: &FakeJob) -> Value {
        let id = job_id(run.id, job.number);
        let begun =
            matches!(job.status.as_str(), "in_progress" | "completed") && job.conclusion.as_deref() != Some("skipped");
        let mut json = spec::example("job");
        json["id"] = json!(id);
        json["run_id"] = json!(run.id);
        json["created_at"] = json!("2020-01-20T17:42:30Z");
        json["name"] = json!(job.name);
        json["status"] = json!(job.status);
        json["conclusion"] = json!(job.conclusion);
        json["html_url"] = json!(format!("{}/job/{id}", self.page(run.id)));
        json["completed_at"] = json!(job.conclusion.as_ref().map(|_| "2020-01-20T17:44:39Z"));
        json["runner_name"] = if begun { json!("runner-7") } else { Value::Null };
        json["labels"] = json!(["self-hosted", "gpu"]);
        let steps = job.steps.iter().enumerate();
        json["steps"] = steps.map(|(number, (name, end))| step_json(number, name, end.as_deref())).collect();
        json
    }

    /// The log of a job.
    pub(crate) fn log(&self, id: u64) -> Option<String> {
        let run = self.runs.get(&(id / 1000))?;
        let job = run.frame().jobs.iter().find(|job| job_id(run.id, job.number) == id)?;
        Some(job.log.clone()).filter(|log| !log.is_empty())
    }
}

/// The id of a job: beyond 32 bits.
pub(crate) fn job_id(run: u64, number: u64) -> u64 {
    run * 1000 + number
}

/// A time as GitHub writes it.
pub(crate) fn written(unix: i64) -> String {
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(u64::try_from(unix).expect("after 1970"));
    let date = httpdate::fmt_http_date(time);
    // Sun, 06 Nov 1994 08:49:37 GMT
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = 1 + months.iter().position(|month| *month == &date[8..11]).expect("a month");
    format!("{}-{month:02}-{}T{}Z", &date[12..16], &date[5..7], &date[17..25])
}
