//! Pipelines and jobs as GitLab's API shows them.

use serde_json::{Value, json};

use super::gitlab::{Pipeline, Project};
use super::time::{now, written};

/// A pipeline in a list.
pub(super) fn basic(url: &str, project: &Project, pipeline: &Pipeline) -> Value {
    json!({
        "id": pipeline.id, "iid": pipeline.id % 1000, "project_id": project.id,
        "sha": "a91957a858320c0e17f3a0eca7cfacbff50ea29a", "ref": pipeline.reference, "status": pipeline.status,
        "source": pipeline.source, "created_at": written(pipeline.created), "updated_at": written(pipeline.created),
        "web_url": format!("{url}/{}/-/pipelines/{}", project.path, pipeline.id), "name": null,
    })
}

/// A pipeline on its own.
pub(super) fn whole(url: &str, project: &Project, pipeline: &Pipeline) -> Value {
    let mut value = basic(url, project, pipeline);
    let more = json!({
        "before_sha": "0000000000000000000000000000000000000000", "tag": false, "yaml_errors": pipeline.yaml_errors,
        "user": user(url), "started_at": null, "finished_at": null, "committed_at": null, "duration": null,
        "queued_duration": 0.5, "coverage": null,
        "detailed_status": {
            "icon": "status_pending", "text": "Pending", "label": "pending", "group": "pending", "tooltip": "pending",
            "has_details": true, "details_path": format!("/{}/-/pipelines/{}", project.path, pipeline.id),
            "illustration": null, "favicon": "/assets/favicon.png",
        },
    });
    value.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    value
}

fn user(url: &str) -> Value {
    json!({ "id": 1, "username": "platform", "name": "Platform", "state": "active", "avatar_url": null,
        "web_url": format!("{url}/platform") })
}

/// A job that has ended.
pub(crate) fn job(url: &str, id: u64, name: &str, status: &str, allow_failure: bool) -> Value {
    json!({
        "id": id, "status": status, "stage": "work", "name": name, "ref": "main", "tag": false, "coverage": null,
        "allow_failure": allow_failure, "created_at": written(now()), "started_at": null, "finished_at": null,
        "duration": 1.5, "queued_duration": 0.1, "user": user(url), "commit": {}, "pipeline": {},
        "failure_reason": "script_failure", "web_url": format!("{url}/platform/blocks/-/jobs/{id}"),
    })
}
