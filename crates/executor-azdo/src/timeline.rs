//! The timeline of a run: its stages, what they wait for, and what failed in them. Pure.
//!
//! Records come unsorted and hang together by their parents: Stage, Phase, Job, Task, and Checkpoints with their checks.
//!
//! Source: `protocol/executors.md`, `AZURE_DEVOPS`, 2.

use std::collections::HashMap;

use serde_json::Value;

use crate::model::{number, text};

/// Deepest chain of parents that is followed; Azure DevOps has five levels.
const DEEPEST: usize = 16;

/// All records of a run.
#[derive(Debug, Default)]
pub(crate) struct Timeline {
    records: Vec<Record>,
    by_id: HashMap<String, usize>,
}

/// One record.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) id: String,
    parent: Option<String>,
    kind: String,
    pub(crate) name: String,
    pub(crate) state: State,
    /// As it is spelled; empty where there is none.
    pub(crate) result: String,
    order: i64,
    /// 1 for the first.
    pub(crate) attempt: u64,
    log: Option<u64>,
    /// Errors that it reported.
    errors: Vec<String>,
    /// The name of the task that it carries out, as the marketplace calls it.
    task: String,
}

/// Where a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Not begun.
    Pending,
    /// At work: also every word that is not known.
    InProgress,
    /// At its end.
    Completed,
}

/// What a stage waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Gate {
    /// Somebody must approve.
    Approval,
    /// Somebody must permit the use of a resource.
    Permission,
    /// Somebody must validate by hand, in the task of this name.
    Validation(String),
    /// A check of another kind, with its name.
    Check(String),
}

/// Something that failed in a stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failed {
    /// The job, and the task in it if it is known.
    pub(crate) what: String,
    /// Errors that it reported.
    pub(crate) errors: Vec<String>,
    /// Its log.
    pub(crate) log: Option<u64>,
}

impl Timeline {
    /// Reads a timeline; without one there are no records. A record that cannot be read is left out.
    pub(crate) fn read(value: &Value) -> Self {
        let list = value.get("records").and_then(Value::as_array);
        let records: Vec<Record> = list.into_iter().flatten().filter_map(Record::read).collect();
        let by_id = records.iter().enumerate().map(|(at, record)| (record.id.clone(), at)).collect();
        Self { records, by_id }
    }

    /// The stages, in order.
    pub(crate) fn stages(&self) -> Vec<&Record> {
        let mut stages: Vec<&Record> =
            self.records.iter().filter(|record| record.kind == "Stage" && record.parent.is_none()).collect();
        stages.sort_by_key(|stage| stage.order);
        stages
    }

    /// Whether `record` lies below `ancestor`.
    fn is_below(&self, record: &Record, ancestor: &str) -> bool {
        let mut parent = record.parent.as_deref();
        for _ in 0..DEEPEST {
            match parent {
                Some(id) if id == ancestor => return true,
                Some(id) => parent = self.by_id.get(id).and_then(|at| self.records[*at].parent.as_deref()),
                None => return false,
            }
        }
        false
    }

    fn below<'t>(&'t self, ancestor: &'t str) -> impl Iterator<Item = &'t Record> {
        self.records.iter().filter(move |record| self.is_below(record, ancestor))
    }

    /// What a stage waits for now.
    pub(crate) fn gates(&self, stage: &Record) -> Vec<Gate> {
        if stage.state == State::Completed {
            return Vec::new();
        }
        let open: Vec<&Record> = self.below(&stage.id).filter(|record| record.state == State::InProgress).collect();
        let mut gates = Vec::new();
        for record in &open {
            let gate = match (record.kind.as_str(), record.kind.strip_prefix("Checkpoint.")) {
                ("Checkpoint.Approval", _) => Gate::Approval,
                ("Checkpoint.Authorization", _) => Gate::Permission,
                (_, Some(kind)) => Gate::Check(if record.name.is_empty() { kind } else { &record.name }.to_owned()),
                // Its checks are not shown to everybody.
                ("Checkpoint", _) if !open.iter().any(|check| self.is_below(check, &record.id)) => {
                    Gate::Check("Checkpoint".to_owned())
                }
                ("Task", _) if record.task == "ManualValidation" => Gate::Validation(record.name.clone()),
                _ => continue,
            };
            if !gates.contains(&gate) {
                gates.push(gate);
            }
        }
        gates
    }

    /// Whether somebody said no to a stage.
    pub(crate) fn was_rejected(&self, stage: &Record) -> bool {
        self.below(&stage.id).any(|record| {
            (record.kind == "Checkpoint.Approval" || record.task == "ManualValidation")
                && record.state == State::Completed
                && record.failed()
        })
    }

    /// The jobs and tasks that failed in a stage: of a job its failed tasks, or the job itself if no task is known.
    pub(crate) fn failures(&self, stage: &Record) -> Vec<Failed> {
        let mut jobs: Vec<&Record> = self.below(&stage.id).filter(|r| r.kind == "Job" && r.failed()).collect();
        jobs.sort_by_key(|job| job.order);
        let mut failures = Vec::new();
        for job in jobs {
            let mut tasks: Vec<&Record> = self.below(&job.id).filter(|r| r.kind == "Task" && r.failed()).collect();
            tasks.sort_by_key(|task| task.order);
            // Tasks that were cut off say nothing where one failed by itself.
            if tasks.iter().any(|task| task.result == "failed") {
                tasks.retain(|task| task.result == "failed");
            }
            if tasks.is_empty() {
                failures.push(Failed {
                    what: format!("job \"{}\"", job.name),
                    errors: job.errors.clone(),
                    log: job.log,
                });
            }
            failures.extend(tasks.into_iter().map(|task| Failed {
                what: format!("task \"{}\" of job \"{}\"", task.name, job.name),
                errors: task.errors.clone(),
                log: task.log,
            }));
        }
        failures
    }
}

impl Record {
    fn read(value: &Value) -> Option<Self> {
        let id = text(value, "id");
        let field = |name: &str| value.get(name).filter(|field| field.is_object());
        let errors = value.get("issues").and_then(Value::as_array).into_iter().flatten();
        Some(Self {
            id: Some(id).filter(|id| !id.is_empty())?.to_owned(),
            parent: Some(text(value, "parentId")).filter(|parent| !parent.is_empty()).map(str::to_owned),
            kind: text(value, "type").to_owned(),
            name: text(value, "name").to_owned(),
            state: match text(value, "state") {
                "pending" => State::Pending,
                "completed" => State::Completed,
                _ => State::InProgress,
            },
            result: text(value, "result").to_owned(),
            order: value.get("order").and_then(Value::as_i64).unwrap_or(i64::MAX),
            attempt: number(value, "attempt").unwrap_or(1),
            log: field("log").and_then(|log| number(log, "id")),
            errors: errors
                .filter(|issue| text(issue, "type") == "error")
                .map(|issue| text(issue, "message").to_owned())
                .filter(|message| !message.is_empty())
                .collect(),
            task: field("task").map(|task| text(task, "name").to_owned()).unwrap_or_default(),
        })
    }

    /// Whether it ended, and not well. A result that is not known is not a good one.
    pub(crate) fn failed(&self) -> bool {
        self.state == State::Completed
            && !matches!(self.result.as_str(), "succeeded" | "succeededWithIssues" | "skipped")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn record(id: &str, parent: Option<&str>, kind: &str, name: &str, state: &str, result: Option<&str>) -> Value {
        json!({ "id": id, "parentId": parent, "type": kind, "name": name, "state": state, "result": result })
    }

    fn timeline(records: impl Into<Value>) -> Timeline {
        let records = records.into();
        Timeline::read(&json!({ "records": records }))
    }

    #[test]
    fn nothing_and_nonsense_have_no_stages() {
        for value in
            [Value::Null, json!({}), json!({ "records": null }), json!({ "records": [1, null, {}, { "id": null }] })]
        {
            assert!(Timeline::read(&value).stages().is_empty(), "{value}");
        }
    }

    #[test]
    fn stages_are_those_without_a_parent_by_their_order_and_those_without_one_last() {
        let mut records = vec![
            record("c", None, "Stage", "C", "pending", None),
            record("x", Some("b"), "Stage", "X", "pending", None),
            record("p", None, "Phase", "P", "pending", None),
            record("b", None, "Stage", "B", "pending", None),
            record("a", None, "Stage", "A", "pending", None),
        ];
        records[0]["order"] = Value::Null;
        records[3]["order"] = json!(2);
        records[4]["order"] = json!(1);
        let timeline = timeline(records);
        assert_eq!(timeline.stages().iter().map(|stage| stage.name.as_str()).collect::<Vec<_>>(), ["A", "B", "C"]);
    }

    #[test]
    fn records_that_are_their_own_ancestors_end_the_search() {
        let timeline = timeline(vec![
            record("s", None, "Stage", "S", "completed", Some("failed")),
            record("a", Some("b"), "Job", "A", "completed", Some("failed")),
            record("b", Some("a"), "Job", "B", "completed", Some("failed")),
        ]);
        assert!(timeline.failures(timeline.stages()[0]).is_empty());
    }

    #[test]
    fn open_checks_are_gates_and_checks_that_are_done_are_not() {
        let timeline = timeline(vec![
            record("s", None, "Stage", "Production", "pending", None),
            record("c", Some("s"), "Checkpoint", "Checkpoint", "inProgress", None),
            record("1", Some("c"), "Checkpoint.Approval", "Checkpoint.Approval", "inProgress", None),
            record("2", Some("c"), "Checkpoint.Approval", "Checkpoint.Approval", "completed", Some("succeeded")),
            record("3", Some("c"), "Checkpoint.Authorization", "", "inProgress", None),
            record("4", Some("c"), "Checkpoint.TaskCheck", "Business hours", "inProgress", None),
            record("5", Some("c"), "Checkpoint.ExclusiveLock", "", "pending", None),
        ]);
        let expected = [Gate::Approval, Gate::Permission, Gate::Check("Business hours".to_owned())];
        assert_eq!(timeline.gates(timeline.stages()[0]), expected);
    }

    #[test]
    fn a_checkpoint_without_checks_to_see_is_a_gate_and_so_is_a_manual_validation() {
        let mut task = record("t", Some("j"), "Task", "Look at the plan", "inProgress", None);
        task["task"] = json!({ "name": "ManualValidation" });
        let timeline = timeline(vec![
            record("s", None, "Stage", "S", "inProgress", None),
            record("c", Some("s"), "Checkpoint", "Checkpoint", "inProgress", None),
            record("j", Some("s"), "Job", "J", "inProgress", None),
            task,
        ]);
        let expected = [Gate::Check("Checkpoint".to_owned()), Gate::Validation("Look at the plan".to_owned())];
        assert_eq!(timeline.gates(timeline.stages()[0]), expected);
    }

    #[test]
    fn failures_name_the_task_that_failed_and_not_those_that_were_cut_off() {
        let mut failed = record("t1", Some("j"), "Task", "Apply", "completed", Some("failed"));
        failed["log"] = json!({ "id": 9, "url": "https://elsewhere.example/9" });
        failed["issues"] = json!([{ "type": "error", "message": "exit 1" }, { "type": "warning", "message": "w" }]);
        let timeline = timeline(vec![
            record("s", None, "Stage", "S", "completed", Some("failed")),
            record("p", Some("s"), "Phase", "P", "completed", Some("failed")),
            record("j", Some("p"), "Job", "Deploy", "completed", Some("failed")),
            failed,
            record("t2", Some("j"), "Task", "Clean up", "completed", Some("canceled")),
            record("k", Some("p"), "Job", "Gone", "completed", Some("abandoned")),
        ]);
        let failures = timeline.failures(timeline.stages()[0]);
        assert_eq!(failures.len(), 2);
        assert_eq!((failures[0].what.as_str(), failures[0].log), ("task \"Apply\" of job \"Deploy\"", Some(9)));
        assert_eq!(failures[0].errors, ["exit 1"]);
        assert_eq!(failures[1].what, "job \"Gone\"");
    }

    #[test]
    fn a_rejected_approval_is_told_from_one_that_was_given() {
        let with = |result| {
            timeline(vec![
                record("s", None, "Stage", "S", "completed", Some("failed")),
                record("c", Some("s"), "Checkpoint", "", "completed", Some(result)),
                record("a", Some("c"), "Checkpoint.Approval", "", "completed", Some(result)),
            ])
        };
        let (no, yes) = (with("failed"), with("succeeded"));
        assert!(no.was_rejected(no.stages()[0]) && !yes.was_rejected(yes.stages()[0]));
    }
}
