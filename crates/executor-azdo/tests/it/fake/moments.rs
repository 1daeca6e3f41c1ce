//! What a run of the fake looks like at each moment of its life, and builders for it.

use serde_json::{Value, json};

/// How Azure DevOps shows a run at one moment.
#[derive(Debug, Clone)]
pub(crate) struct Moment {
    pub(crate) state: &'static str,
    pub(crate) result: Option<&'static str>,
    pub(crate) build_status: &'static str,
    pub(crate) build_result: Option<&'static str>,
    /// The records of its timeline; none before there is a plan.
    pub(crate) records: Option<Vec<Value>>,
}

impl Moment {
    /// Queued, without a plan.
    pub(crate) fn queued() -> Self {
        Self { state: "inProgress", result: None, build_status: "notStarted", build_result: None, records: None }
    }

    /// At work.
    pub(crate) fn running(records: Vec<Value>) -> Self {
        Self { records: Some(records), build_status: "inProgress", ..Self::queued() }
    }

    /// Ended with this result.
    pub(crate) fn ended(result: &'static str, records: Vec<Value>) -> Self {
        Self {
            state: "completed",
            result: Some(result),
            build_status: "completed",
            build_result: Some(result),
            records: Some(records),
        }
    }
}

/// The id of a record: a UUID that ends in this number.
pub(crate) fn id(number: u64) -> String {
    format!("96ac2280-8cb4-5df5-99de-{number:012x}")
}

/// A record as Azure DevOps sends it: with nulls where nothing is set.
pub(crate) fn record(
    kind: &str,
    number: u64,
    parent: Option<u64>,
    name: &str,
    state: &str,
    result: Option<&str>,
) -> Value {
    let begun = state != "pending";
    json!({
        "previousAttempts": [], "id": id(number), "parentId": parent.map(id), "type": kind, "name": name,
        "startTime": begun.then_some("2026-02-03T04:05:06.1234567Z"),
        "finishTime": result.map(|_| "2026-02-03T04:06:07.7654321Z"),
        "currentOperation": null, "percentComplete": null, "state": state, "result": result, "resultCode": null,
        "changeId": 17, "lastModified": "0001-01-01T00:00:00", "workerName": null, "order": number, "details": null,
        "errorCount": 0, "warningCount": 0, "url": null, "log": null, "task": null, "attempt": 1, "identifier": name,
        "queueId": null, "refName": null,
    })
}

/// A stage.
pub(crate) fn stage(number: u64, name: &str, state: &str, result: Option<&str>) -> Value {
    record("Stage", number, None, name, state, result)
}

/// A stage that failed, with its job, its task, the task's error and log.
pub(crate) fn failed_stage(number: u64, name: &str, log: u64) -> Vec<Value> {
    let failed = Some("failed");
    let mut task = record("Task", number + 3, Some(number + 2), "Terraform apply", "completed", failed);
    // The address of the log is on another host: nobody may follow it with the token.
    task["log"] = json!({ "id": log, "type": "Container", "url": format!("http://elsewhere.invalid/logs/{log}") });
    task["issues"] = json!([{ "type": "error", "category": "General", "message": "exit code 1", "data": {} }]);
    task["task"] = json!({ "id": id(99), "name": "Bash", "version": "3.231.5" });
    let records = vec![
        task,
        record("Job", number + 2, Some(number + 1), "Deploy", "completed", failed),
        record("Phase", number + 1, Some(number), "Deploy", "completed", failed),
        stage(number, name, "completed", failed),
    ];
    records
}

/// A stage that waits for an approval.
pub(crate) fn approval(number: u64, name: &str) -> Vec<Value> {
    vec![
        record("Checkpoint.Approval", number + 2, Some(number + 1), "Checkpoint.Approval", "inProgress", None),
        record("Checkpoint", number + 1, Some(number), "Checkpoint", "inProgress", None),
        stage(number, name, "pending", None),
    ]
}

/// A run of one stage that goes well.
pub(crate) fn going_well() -> Vec<Moment> {
    vec![
        Moment::queued(),
        Moment::running(vec![stage(1, "__default", "inProgress", None)]),
        Moment::ended("succeeded", vec![stage(1, "__default", "completed", Some("succeeded"))]),
    ]
}
