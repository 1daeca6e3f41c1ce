//! What an application team orders, and the run object that comes of it.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::identifier::uuid;
use crate::seal::Sealer;

/// The fields of an implementation that are encrypted (`protocol/encryption.md`, What is encrypted in a run).
const IMPLEMENTATION_SECRETS: [&str; 4] = ["sshPrivateKey", "appPem", "pipelineTriggerToken", "personalAccessToken"];

/// A value given with an order, in plain text.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OrderInput {
    /// Its name.
    pub key: String,
    /// Its value.
    pub value: Value,
    /// Its type: `STRING`, `CODE`, `INTEGER`, `BOOLEAN`, `FILE`, `SINGLE_SELECT`, `MULTI_SELECT` or `LIST`.
    #[serde(rename = "type", default = "string")]
    pub kind: String,
    /// Whether it is a secret; if it is text, it is encrypted for the runner.
    #[serde(rename = "isSensitive", default)]
    pub sensitive: bool,
    /// Whether it is to be an environment variable.
    #[serde(rename = "isEnvironment", default)]
    pub environment: bool,
}

fn string() -> String {
    "STRING".to_owned()
}

/// An order: one run of a building block. Start from [`Order::manual`], [`Order::terraform`] or [`Order::new`].
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Order {
    /// The building block's name for people.
    pub display_name: String,
    /// `APPLY`, `DETECT` or `DESTROY`.
    pub behavior: String,
    /// The definition's implementation with its `type`, in plain text: its secret fields are encrypted for the runner.
    pub implementation: Value,
    /// The inputs.
    pub inputs: Vec<OrderInput>,
    /// The workspace that orders.
    pub workspace: String,
    /// The project; none for a workspace building block.
    pub project: Option<String>,
    /// The platform's full identifier.
    pub platform: Option<String>,
    /// The building block; one is made up if none is given. Runs of one building block share their Terraform state.
    pub building_block_uuid: Option<String>,
    /// The definition; one is made up if none is given.
    pub definition_uuid: Option<String>,
    /// The workspace of the platform team that publishes the definition.
    pub definition_workspace: String,
    /// The version of the definition.
    pub definition_version: u64,
    /// The number of the run within its building block.
    pub run_number: u64,
    /// Why the run was started (`protocol/run-api.md`, The run object).
    pub trigger_reason: String,
    /// The DETECT run whose saved plan this run must apply.
    pub plan_of: Option<String>,
}

impl Default for Order {
    fn default() -> Self {
        Self {
            display_name: "Example".to_owned(),
            behavior: "APPLY".to_owned(),
            implementation: json!({ "type": "MANUAL" }),
            inputs: Vec::new(),
            workspace: "example-workspace".to_owned(),
            project: Some("example-project".to_owned()),
            platform: Some("example.platform".to_owned()),
            building_block_uuid: None,
            definition_uuid: None,
            definition_workspace: "platform-team".to_owned(),
            definition_version: 1,
            run_number: 1,
            trigger_reason: "MANUAL_EXECUTION".to_owned(),
            plan_of: None,
        }
    }
}

impl Order {
    /// An order of a building block with this implementation (with its `type`).
    pub fn new(implementation: Value) -> Self {
        Self { implementation, ..Self::default() }
    }

    /// An order of a manual building block.
    pub fn manual() -> Self {
        Self { display_name: "Manual example".to_owned(), ..Self::default() }
    }

    /// An order of a Terraform building block. `implementation` holds the fields of `protocol/terraform.md`; what is left
    /// out of `type`, `async` and `useMeshHttpBackendFallback` is filled in.
    pub fn terraform(implementation: Value) -> Self {
        let mut fields = Map::new();
        fields.insert("type".to_owned(), json!("TERRAFORM"));
        fields.insert("async".to_owned(), json!(false));
        fields.insert("useMeshHttpBackendFallback".to_owned(), json!(true));
        if let Value::Object(given) = implementation {
            fields.extend(given);
        }
        Self { display_name: "Terraform example".to_owned(), ..Self::new(Value::Object(fields)) }
    }

    /// Adds an input.
    #[must_use]
    pub fn input(self, key: &str, value: impl Into<Value>, kind: &str) -> Self {
        self.with(OrderInput {
            key: key.to_owned(),
            value: value.into(),
            kind: kind.to_owned(),
            sensitive: false,
            environment: false,
        })
    }

    /// Adds an input that is a secret.
    #[must_use]
    pub fn sensitive_input(self, key: &str, value: impl Into<Value>, kind: &str) -> Self {
        let mut order = self.input(key, value, kind);
        if let Some(input) = order.inputs.last_mut() {
            input.sensitive = true;
        }
        order
    }

    /// Adds an input that becomes an environment variable.
    #[must_use]
    pub fn environment_input(self, key: &str, value: impl Into<Value>, kind: &str) -> Self {
        let mut order = self.input(key, value, kind);
        if let Some(input) = order.inputs.last_mut() {
            input.environment = true;
        }
        order
    }

    /// Adds an input.
    #[must_use]
    pub fn with(mut self, input: OrderInput) -> Self {
        self.inputs.push(input);
        self
    }

    /// Sets the name for people.
    #[must_use]
    pub fn display_name(mut self, name: &str) -> Self {
        name.clone_into(&mut self.display_name);
        self
    }

    /// Sets what the run is to do: `APPLY`, `DETECT` or `DESTROY`.
    #[must_use]
    pub fn behavior(mut self, behavior: &str) -> Self {
        behavior.clone_into(&mut self.behavior);
        self
    }

    /// Names the building block, so that several runs share it.
    #[must_use]
    pub fn building_block(mut self, uuid: &str) -> Self {
        self.building_block_uuid = Some(uuid.to_owned());
        self
    }

    /// Makes it an APPLY of the plan that an earlier DETECT run has saved.
    #[must_use]
    pub fn plan_of(mut self, run: &str) -> Self {
        self.plan_of = Some(run.to_owned());
        self
    }

    fn has_secrets(&self) -> bool {
        self.inputs.iter().any(|input| input.sensitive && is_text(&input.value))
            || IMPLEMENTATION_SECRETS.iter().any(|field| is_text(&self.implementation[field]))
    }
}

fn is_text(value: &Value) -> bool {
    value.as_str().is_some_and(|text| !text.is_empty())
}

/// Why an order was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OrderError {
    /// The runner is not registered.
    #[error("runner {runner} is not registered: register it before ordering from it")]
    UnknownRunner {
        /// Its UUID.
        runner: String,
    },
    /// There is a secret, and no certificate to encrypt it with.
    #[error("the order holds a secret and runner {runner} has no certificate: register the runner with one")]
    NoCertificate {
        /// Its UUID.
        runner: String,
    },
}

/// Builds the run object of an order, without a run token: that is made when the run is claimed.
pub(crate) fn run_object(
    run: &str,
    order: &Order,
    sealer: Option<&Sealer>,
    url: &str,
    upload: bool,
) -> Result<Value, NothingToSealWith> {
    let seal = |text: &str| sealer.map(|sealer| sealer.seal(text)).ok_or(NothingToSealWith);
    if order.has_secrets() && sealer.is_none() {
        return Err(NothingToSealWith);
    }
    let mut inputs = Vec::with_capacity(order.inputs.len());
    for input in &order.inputs {
        let value = match input.value.as_str() {
            Some(text) if input.sensitive && !text.is_empty() => json!(seal(text)?),
            _ => input.value.clone(),
        };
        inputs.push(json!({
            "key": input.key, "value": value, "type": input.kind,
            "isSensitive": input.sensitive, "isEnvironment": input.environment,
        }));
    }
    let mut implementation = order.implementation.clone();
    for field in IMPLEMENTATION_SECRETS {
        if let Some(text) = order.implementation[field].as_str().filter(|text| !text.is_empty()) {
            implementation[field] = json!(seal(text)?);
        }
    }
    Ok(json!({
        "kind": "meshBuildingBlockRun",
        "apiVersion": "v1",
        "metadata": { "uuid": run },
        "spec": {
            "runNumber": order.run_number,
            "behavior": order.behavior,
            "runToken": null,
            "trigger": {
                "reason": order.trigger_reason,
                "author": {
                    "identifier": "meshstack-local", "type": "System", "displayName": null,
                    "username": null, "email": null, "euid": null,
                },
            },
            "buildingBlock": {
                "uuid": order.building_block_uuid.clone().unwrap_or_else(uuid),
                "spec": {
                    "displayName": order.display_name,
                    "workspaceIdentifier": order.workspace,
                    "projectIdentifier": order.project,
                    "fullPlatformIdentifier": order.platform,
                    "inputs": inputs,
                    "parentBuildingBlocks": [],
                },
            },
            "buildingBlockDefinition": {
                "uuid": order.definition_uuid.clone().unwrap_or_else(uuid),
                "spec": {
                    "workspaceIdentifier": order.definition_workspace,
                    "version": order.definition_version,
                    "implementation": implementation,
                },
            },
        },
        "status": "PENDING",
        "_links": links(run, order, url, upload),
    }))
}

/// There is a secret in an order, and the runner has no certificate.
#[derive(Debug)]
pub(crate) struct NothingToSealWith;

fn links(run: &str, order: &Order, url: &str, upload: bool) -> Value {
    let this = run_url(url, run);
    let mut links = json!({
        "self": { "href": this },
        "registerSource": { "href": format!("{this}/status/source") },
        "updateSource": { "href": format!("{this}/status/source/{{sourceId}}"), "templated": true },
        "meshstackBaseUrl": { "href": url },
    });
    if let Some(plan_of) = &order.plan_of {
        links["planArtifact"] = json!({ "href": artifact_url(url, plan_of) });
    }
    if upload && order.behavior == "DETECT" {
        links["planArtifactUpload"] = json!({ "href": artifact_url(url, run) });
    }
    links
}

fn run_url(url: &str, run: &str) -> String {
    format!("{url}/api/meshobjects/meshbuildingblockruns/{run}")
}

/// Where the plan of a run is served and uploaded.
pub(crate) fn artifact_url(url: &str, run: &str) -> String {
    format!("{}/artifact", run_url(url, run))
}

/// The run whose plan a run object is to apply, by its link.
pub(crate) fn plan_of(object: &Value) -> Option<&str> {
    let href = object["_links"]["planArtifact"]["href"].as_str()?;
    href.strip_suffix("/artifact")?.rsplit('/').next()
}
