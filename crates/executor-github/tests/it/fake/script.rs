//! What becomes of a workflow run, look by look.

use serde_json::{Value, json};

/// A job as it is at one moment.
#[derive(Debug, Clone)]
pub(crate) struct FakeJob {
    pub(crate) number: u64,
    pub(crate) name: String,
    pub(crate) status: String,
    pub(crate) conclusion: Option<String>,
    /// Name and conclusion.
    pub(crate) steps: Vec<(String, Option<String>)>,
    pub(crate) log: String,
}

/// A job of this number and name that is under way.
pub(crate) fn job(number: u64, name: &str) -> FakeJob {
    FakeJob {
        number,
        name: name.to_owned(),
        status: "in_progress".to_owned(),
        conclusion: None,
        steps: Vec::new(),
        log: String::new(),
    }
}

impl FakeJob {
    pub(crate) fn status(mut self, status: &str) -> Self {
        status.clone_into(&mut self.status);
        self
    }

    pub(crate) fn ended(mut self, conclusion: &str) -> Self {
        "completed".clone_into(&mut self.status);
        self.conclusion = Some(conclusion.to_owned());
        self
    }

    pub(crate) fn step(mut self, name: &str, conclusion: Option<&str>) -> Self {
        self.steps.push((name.to_owned(), conclusion.map(str::to_owned)));
        self
    }

    pub(crate) fn log(mut self, log: &str) -> Self {
        log.clone_into(&mut self.log);
        self
    }
}

/// A workflow run as it is for some looks.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    /// So many looks at the run see it. The last frame stays.
    pub(crate) looks: u32,
    pub(crate) status: String,
    pub(crate) conclusion: Option<String>,
    pub(crate) attempt: u64,
    pub(crate) jobs: Vec<FakeJob>,
}

/// The frames of a workflow run.
#[derive(Debug, Clone)]
pub(crate) struct Script(pub(crate) Vec<Frame>);

impl Script {
    /// Queued for a look, under way for two, and then ended like this, with one job.
    pub(crate) fn ending(conclusion: &str) -> Self {
        Self::new()
            .then(1, "queued", vec![])
            .then(2, "in_progress", vec![job(1, "build")])
            .end(conclusion, vec![job(1, "build").ended(conclusion)])
    }

    /// It is queued, and stays so.
    pub(crate) fn stuck() -> Self {
        Self::new().then(1, "queued", vec![])
    }

    /// It begins, and goes on for ever.
    pub(crate) fn endless() -> Self {
        Self::new().then(1, "in_progress", vec![job(1, "build")])
    }

    pub(crate) fn new() -> Self {
        Self(Vec::new())
    }

    pub(crate) fn then(mut self, looks: u32, status: &str, jobs: Vec<FakeJob>) -> Self {
        self.0.push(Frame { looks, status: status.to_owned(), conclusion: None, attempt: 1, jobs });
        self
    }

    pub(crate) fn end(mut self, conclusion: &str, jobs: Vec<FakeJob>) -> Self {
        let (status, conclusion) = ("completed".to_owned(), Some(conclusion.to_owned()));
        self.0.push(Frame { looks: 1, status, conclusion, attempt: 1, jobs });
        self
    }

    /// The last frame is of this attempt.
    pub(crate) fn attempt(mut self, attempt: u64) -> Self {
        self.0.last_mut().expect("a frame").attempt = attempt;
        self
    }

    /// The frame that the `look`-th look sees, from 0.
    pub(crate) fn at(&self, look: u32) -> &Frame {
        let mut left = look;
        for frame in &self.0 {
            if left < frame.looks {
                return frame;
            }
            left -= frame.looks;
        }
        self.0.last().expect("a frame")
    }
}

/// A workflow: what it declares, and what becomes of its runs.
#[derive(Clone)]
pub(crate) struct Workflow {
    /// Name, and whether it is required.
    pub(crate) inputs: Vec<(String, bool)>,
    pub(crate) dispatchable: bool,
    pub(crate) enabled: bool,
    /// With `{}` for the run's address; without one, the workflow's name.
    pub(crate) run_name: Option<String>,
    pub(crate) script: std::sync::Arc<dyn Fn(&Value) -> Script + Send + Sync>,
}

impl Workflow {
    /// Declares all inputs that the runner may send.
    pub(crate) fn new(script: impl Fn(&Value) -> Script + Send + Sync + 'static) -> Self {
        let inputs = [
            "buildingBlockRun",
            "buildingBlockRunUrl",
            "MESHSTACK_API_TOKEN",
            "MESHSTACK_RUN_TOKEN",
            "MESHSTACK_ENDPOINT",
        ];
        Self {
            inputs: inputs.map(|name| (name.to_owned(), false)).to_vec(),
            dispatchable: true,
            enabled: true,
            run_name: None,
            script: std::sync::Arc::new(script),
        }
    }

    pub(crate) fn declaring(mut self, inputs: &[(&str, bool)]) -> Self {
        self.inputs = inputs.iter().map(|(name, required)| ((*name).to_owned(), *required)).collect();
        self
    }

    /// Shows the run's address in the title of its runs.
    pub(crate) fn named(mut self) -> Self {
        self.run_name = Some("Apply {}".to_owned());
        self
    }

    pub(crate) fn title(&self, inputs: &Value) -> String {
        match &self.run_name {
            Some(name) => name.replace("{}", inputs["buildingBlockRunUrl"].as_str().unwrap_or_default()),
            None => "Apply".to_owned(),
        }
    }
}

/// A step of a job, as GitHub writes it.
pub(crate) fn step_json(number: usize, name: &str, conclusion: Option<&str>) -> Value {
    let status = if conclusion.is_some() { "completed" } else { "in_progress" };
    json!({ "name": name, "status": status, "conclusion": conclusion, "number": number + 1,
        "started_at": "2020-01-20T17:42:40Z", "completed_at": conclusion.map(|_| "2020-01-20T17:44:39Z") })
}
