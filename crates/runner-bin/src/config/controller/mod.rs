//! The run controller's configuration. Source: `protocol/configuration.md`, dialect 3, and `protocol/run-controller.md`.

mod kubernetes;
mod pods;
mod read;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use meshstack_client::{Certificate, Credentials, ImplementationType, PrivateKey, Secret};

use super::problem::Problem;

pub(super) use read::read;

/// A checked configuration of the run controller.
#[derive(Debug)]
pub struct ControllerConfig {
    /// The Kubernetes namespace of the Jobs.
    pub namespace: String,
    /// The UUID that the controller is registered under.
    pub runner_uuid: String,
    /// The workspace that owns the runner in meshStack.
    pub owned_by_workspace: String,
    /// The runner's name in meshStack.
    pub display_name: String,
    /// The version to report in place of our own.
    pub version: Option<String>,
    /// meshStack's base URL.
    pub api_url: String,
    /// Credentials for the claim and the registration.
    pub credentials: Credentials,
    /// Refuse plan links to other hosts than meshStack's.
    pub strict_origins: bool,
    /// Private keys, newest first. The first is that of `certificate`.
    pub keys: Vec<PrivateKey>,
    /// The certificate to register.
    pub certificate: Certificate,
    /// Time between two looks for runs, where none was there.
    pub polling_interval: Duration,
    /// How many unfinished Jobs there may be. `None`: no limit.
    pub max_concurrent_jobs: Option<usize>,
    /// Names of Secrets that images are pulled with.
    pub image_pull_secrets: Vec<String>,
    /// Tolerations of every pod.
    pub tolerations: Vec<Toleration>,
    /// Labels of nodes that pods may run on.
    pub node_selector: BTreeMap<String, String>,
    /// What carries out the runs of a type, in the order of the file. At least one.
    pub implementations: Vec<Implementation>,
    /// Where claimed runs are noted that are not placed yet. `None`: a default folder.
    pub state_dir: Option<PathBuf>,
    /// How long placing may go on after a shutdown was asked for.
    pub shutdown_grace: Duration,
    /// The port of `/metrics`; 0 takes a free one.
    pub metrics_port: u16,
    /// The port of `/healthz`, if one was asked for.
    pub port: Option<u16>,
    /// How long an image or a pod's configuration may be wrong before the run fails.
    pub start_deadline: Duration,
    /// How long a pod may wait for a node before the run fails.
    pub unschedulable_deadline: Duration,
    /// Whether one of several controllers is elected.
    pub leader_election: bool,
    /// Files or folders with certificates to trust.
    pub ca_paths: Vec<PathBuf>,
    /// What looks wrong but does not keep the controller from starting.
    pub warnings: Vec<Problem>,
}

/// A toleration, as Kubernetes has it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Toleration {
    /// The taint's key. `None`: every taint.
    pub key: Option<String>,
    /// `Equal` or `Exists`. `None`: `Equal`.
    pub operator: Option<String>,
    /// The taint's value.
    pub value: Option<String>,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`. `None`: every effect.
    pub effect: Option<String>,
    /// How long a `NoExecute` taint is tolerated, in seconds. `None`: for ever.
    pub toleration_seconds: Option<i64>,
}

/// What carries out the runs of one type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Implementation {
    /// The type of the runs.
    pub kind: ImplementationType,
    /// The container image.
    pub image: String,
    /// The command. Empty: the image's.
    pub command: Vec<String>,
    /// The arguments. Empty: the image's.
    pub args: Vec<String>,
    /// Variables, in order. Values are often secrets.
    pub env: Vec<(String, Secret)>,
    /// What the container asks for and may use. Unset: the controller's defaults.
    pub resources: Resources,
    /// Volumes beside those that every pod has.
    pub extra_volumes: Vec<Volume>,
    /// Where they are mounted.
    pub extra_volume_mounts: Vec<VolumeMount>,
}

/// Quantities of Kubernetes, such as `100m` or `1Gi`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Resources {
    /// CPU that is asked for.
    pub cpu_request: Option<String>,
    /// Memory that is asked for.
    pub memory_request: Option<String>,
    /// CPU that may be used.
    pub cpu_limit: Option<String>,
    /// Memory that may be used.
    pub memory_limit: Option<String>,
}

/// A volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// Its name in the pod.
    pub name: String,
    /// What is in it.
    pub source: VolumeSource,
}

/// What is in a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VolumeSource {
    /// The `ConfigMap` of this name.
    ConfigMap(String),
    /// The Secret of this name.
    Secret(String),
    /// Nothing at first, and at most this much.
    EmptyDir(Option<String>),
}

/// Where a volume is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeMount {
    /// The volume.
    pub name: String,
    /// The path in the container.
    pub mount_path: String,
    /// Whether it cannot be written.
    pub read_only: bool,
}

#[cfg(test)]
mod tests;
