//! From HTTP to what is asked: paths, headers and bodies, checked to the letter. No state.

use std::sync::Arc;

use axum::body::Bytes;
use axum::http::{HeaderMap, Method, header, request::Parts};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::Operation;
use crate::answer::{JSON, OCTETS, RUN, RUNNER, Refusal};
use crate::seal::Sealer;
use crate::terraform::StateCall;
use crate::wire;

const IMPLEMENTATION_TYPES: [&str; 6] =
    ["MANUAL", "TERRAFORM", "GITHUB_WORKFLOW", "GITLAB_PIPELINE", "AZURE_DEVOPS_PIPELINE", "ALL"];

/// What a path and a method mean.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Route {
    Login,
    Claim,
    Register { run: String },
    Patch { run: String, source: String },
    ReadRun { run: String },
    DownloadPlan { run: String },
    UploadPlan { run: String },
    TerraformState { workspace: String, building_block: String },
    CreateRunner,
    ReadRunner { uuid: String },
    UpdateRunner { uuid: String },
    Unknown,
}

impl Route {
    pub(crate) fn of(method: &Method, path: &str) -> Self {
        let segments: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        let owned = |text: &&str| (*text).to_owned();
        match (method.as_str(), segments.as_slice()) {
            ("POST", ["api", "login"]) => Self::Login,
            ("POST", ["api", "meshobjects", "meshbuildingblockruns", "create"]) => Self::Claim,
            ("POST", ["api", "meshobjects", "meshbuildingblockruns", run, "status", "source"]) => {
                Self::Register { run: owned(run) }
            }
            ("PATCH", ["api", "meshobjects", "meshbuildingblockruns", run, "status", "source", source]) => {
                Self::Patch { run: owned(run), source: owned(source) }
            }
            ("GET", ["api", "meshobjects", "meshbuildingblockruns", run]) => Self::ReadRun { run: owned(run) },
            ("GET", ["api", "meshobjects", "meshbuildingblockruns", run, "artifact"]) => {
                Self::DownloadPlan { run: owned(run) }
            }
            ("PUT", ["api", "meshobjects", "meshbuildingblockruns", run, "artifact"]) => {
                Self::UploadPlan { run: owned(run) }
            }
            (
                "GET" | "POST" | "DELETE" | "LOCK" | "UNLOCK",
                ["api", "terraform", "state", "workspace", workspace, "buildingBlock", building_block],
            ) => Self::TerraformState { workspace: owned(workspace), building_block: owned(building_block) },
            ("POST", ["api", "meshobjects", "meshbuildingblockrunners"]) => Self::CreateRunner,
            ("GET", ["api", "meshobjects", "meshbuildingblockrunners", uuid]) => Self::ReadRunner { uuid: owned(uuid) },
            ("PUT", ["api", "meshobjects", "meshbuildingblockrunners", uuid]) => {
                Self::UpdateRunner { uuid: owned(uuid) }
            }
            _ => Self::Unknown,
        }
    }

    pub(crate) fn operation(&self) -> Operation {
        match self {
            Self::Login => Operation::Login,
            Self::Claim => Operation::Claim,
            Self::Register { .. } => Operation::Register,
            Self::Patch { .. } => Operation::Patch,
            Self::ReadRun { .. } => Operation::ReadRun,
            Self::DownloadPlan { .. } | Self::UploadPlan { .. } => Operation::Artifact,
            Self::TerraformState { .. } => Operation::State,
            Self::CreateRunner | Self::ReadRunner { .. } | Self::UpdateRunner { .. } => Operation::Runner,
            Self::Unknown => Operation::Unknown,
        }
    }

    /// The run it names in its path.
    pub(crate) fn run(&self) -> Option<&str> {
        match self {
            Self::Register { run }
            | Self::Patch { run, .. }
            | Self::ReadRun { run }
            | Self::DownloadPlan { run }
            | Self::UploadPlan { run } => Some(run),
            _ => None,
        }
    }
}

/// A runner object that was found to be in order.
#[derive(Debug)]
pub(crate) struct CheckedRunner {
    pub(crate) object: Value,
    pub(crate) sealer: Arc<Sealer>,
}

/// What is asked.
#[derive(Debug)]
pub(crate) enum Asked {
    Login(wire::Login),
    Claim { runner: String },
    Register { run: String, registration: wire::Registration },
    Patch { run: String, source: String, patch: wire::Patch },
    ReadRun { run: String },
    DownloadPlan { run: String },
    UploadPlan { run: String, plan: Bytes },
    TerraformState { workspace: String, building_block: String, call: StateCall },
    CreateRunner(CheckedRunner),
    ReadRunner { uuid: String },
    UpdateRunner { uuid: String, runner: CheckedRunner },
}

impl Asked {
    /// Reads a request to the letter: what is not listed in the protocol is refused.
    pub(crate) fn read(route: &Route, parts: &Parts, body: &Bytes) -> Result<Self, Refusal> {
        let headers = &parts.headers;
        match route {
            Route::Login => {
                media_type(headers, JSON, JSON)?;
                Ok(Self::Login(json(body)?))
            }
            Route::Claim => {
                accepts(headers, RUN)?;
                if headers.contains_key(header::CONTENT_TYPE) {
                    sends(headers, RUN)?;
                }
                if !body.is_empty() {
                    return Err(Refusal::violation(400, "a claim has an empty body"));
                }
                let runner = query(parts, "forRunnerUuid").filter(|runner| !runner.is_empty());
                let runner = runner.ok_or_else(|| Refusal::violation(400, "forRunnerUuid is missing"))?;
                Ok(Self::Claim { runner: runner.to_owned() })
            }
            Route::Register { run } => {
                media_type(headers, RUN, RUN)?;
                Ok(Self::Register { run: run.clone(), registration: json(body)? })
            }
            Route::Patch { run, source } => {
                media_type(headers, RUN, RUN)?;
                Ok(Self::Patch { run: run.clone(), source: source.clone(), patch: json(body)? })
            }
            Route::ReadRun { run } => {
                accepts(headers, RUN)?;
                Ok(Self::ReadRun { run: run.clone() })
            }
            Route::DownloadPlan { run } => {
                accepts(headers, OCTETS)?;
                if headers.contains_key(header::CONTENT_TYPE) {
                    return Err(Refusal::violation(415, "a download has no Content-Type"));
                }
                Ok(Self::DownloadPlan { run: run.clone() })
            }
            Route::UploadPlan { run } => {
                media_type(headers, "*/*", OCTETS)?;
                Ok(Self::UploadPlan { run: run.clone(), plan: body.clone() })
            }
            Route::TerraformState { workspace, building_block } => Ok(Self::TerraformState {
                workspace: workspace.clone(),
                building_block: building_block.clone(),
                call: state_call(parts, body)?,
            }),
            Route::CreateRunner => {
                media_type(headers, RUNNER, RUNNER)?;
                Ok(Self::CreateRunner(runner_object(body, None)?))
            }
            Route::ReadRunner { uuid } => {
                accepts(headers, RUNNER)?;
                Ok(Self::ReadRunner { uuid: uuid.clone() })
            }
            Route::UpdateRunner { uuid } => {
                media_type(headers, RUNNER, RUNNER)?;
                Ok(Self::UpdateRunner { uuid: uuid.clone(), runner: runner_object(body, Some(uuid))? })
            }
            Route::Unknown => Err(Refusal::violation(404, "there is nothing at this path, or not with this method")),
        }
    }
}

fn media_type(headers: &HeaderMap, accepted: &str, sent: &str) -> Result<(), Refusal> {
    accepts(headers, accepted)?;
    sends(headers, sent)
}

fn accepts(headers: &HeaderMap, wanted: &str) -> Result<(), Refusal> {
    if names(headers, &header::ACCEPT, wanted) {
        return Ok(());
    }
    Err(Refusal::violation(406, format!("Accept is not {wanted}")))
}

fn sends(headers: &HeaderMap, wanted: &str) -> Result<(), Refusal> {
    if names(headers, &header::CONTENT_TYPE, wanted) {
        return Ok(());
    }
    Err(Refusal::violation(415, format!("Content-Type is not {wanted}")))
}

/// Whether a header names a media type; parameters such as a charset do not matter.
fn names(headers: &HeaderMap, name: &header::HeaderName, wanted: &str) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split(','))
        .any(|value| value.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(wanted))
}

fn query<'a>(parts: &'a Parts, name: &str) -> Option<&'a str> {
    parts.uri.query()?.split('&').find_map(|pair| pair.split_once('=').filter(|(key, _)| *key == name)).map(|(_, v)| v)
}

fn json<T: DeserializeOwned>(body: &Bytes) -> Result<T, Refusal> {
    serde_json::from_slice(body)
        .map_err(|error| Refusal::violation(400, format!("the body is not understood: {error}")))
}

fn state_call(parts: &Parts, body: &Bytes) -> Result<StateCall, Refusal> {
    let with_id = |text: &Bytes| {
        let lock: Value = json(text)?;
        if lock["ID"].is_string() { Ok(lock) } else { Err(Refusal::violation(400, "a lock has an ID")) }
    };
    Ok(match parts.method.as_str() {
        "GET" => StateCall::Read,
        "DELETE" => StateCall::Delete,
        "LOCK" => StateCall::Lock(with_id(body)?),
        "UNLOCK" if body.is_empty() => StateCall::Unlock(None),
        "UNLOCK" => StateCall::Unlock(Some(with_id(body)?)),
        _ => {
            json::<serde_json::Map<String, Value>>(body)?;
            StateCall::Write { lock_id: query(parts, "ID").map(str::to_owned), state: body.clone() }
        }
    })
}

/// `uuid` is the one in the path of an update; a creation has none.
fn runner_object(body: &Bytes, uuid: Option<&str>) -> Result<CheckedRunner, Refusal> {
    let refused = |message: String| Err(Refusal::violation(400, message));
    let fields: wire::RunnerObject = json(body)?;
    if fields.api_version != "v1-preview" || fields.kind != "meshBuildingBlockRunner" {
        return refused("apiVersion is not v1-preview or kind is not meshBuildingBlockRunner".to_owned());
    }
    match (uuid, fields.metadata.uuid.as_deref()) {
        (None, Some(_)) => return refused("metadata.uuid is assigned here and must not be sent".to_owned()),
        (Some(path), Some(given)) if path != given => {
            return refused("metadata.uuid is not the one in the path".to_owned());
        }
        _ => {}
    }
    if fields.metadata.owned_by_workspace.is_empty() || fields.spec.display_name.is_empty() {
        return refused("ownedByWorkspace or displayName is empty".to_owned());
    }
    if !IMPLEMENTATION_TYPES.contains(&fields.spec.implementation_type.as_str()) {
        return refused(format!("there is no implementation type {:?}", fields.spec.implementation_type));
    }
    if let Some(identity) = &fields.spec.workload_identity_federation
        && identity.gcp.is_none()
        && identity.aws.is_none()
        && identity.azure.is_none()
    {
        return refused("workloadIdentityFederation names no cloud".to_owned());
    }
    let sealer = match Sealer::from_certificate(&fields.spec.public_key) {
        Ok(sealer) => Arc::new(sealer),
        Err(error) => return refused(error.to_string()),
    };
    Ok(CheckedRunner { object: json(body)?, sealer })
}
