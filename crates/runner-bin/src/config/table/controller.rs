//! What the run controller alone can be told. Source: also `protocol/run-controller.md`.

use crate::config::settings::Kind::{self, Flag, Number, Structure, Text};
use crate::config::settings::Preset::{self, Nothing, Off, Required};
use crate::config::settings::Setting as S;
use crate::config::settings::{Row, Setting};

const fn row(
    setting: Setting,
    kind: Kind,
    key: &'static str,
    variable: &'static str,
    preset: Preset,
    what: &'static str,
) -> Row {
    Row::new(setting, kind, ["", "", key], variable, preset, what)
}

const SECONDS: Kind = Number { unit: "seconds", least: 1, most: 86_400 };

/// Single settings, and the roots of structures.
pub(crate) const CONTROLLER: &[Row] = &[
    row(S::Namespace, Text, "namespace", "", Required, "Kubernetes namespace of the Jobs"),
    row(S::OwnedByWorkspace, Text, "ownedByWorkspace", "", Required, "meshStack workspace that owns the runner"),
    row(S::DisplayName, Text, "displayName", "", Required, "The runner's name in meshStack"),
    row(
        S::PublicKey,
        Kind::Certificate,
        "crypto.publicKey",
        "",
        Required,
        "X.509 certificate of the private key, in PEM; a file beats it",
    ),
    row(S::PublicKeyFile, Kind::Path, "crypto.publicKeyFile", "", Nothing, "File with that certificate"),
    row(
        S::PollingIntervalSeconds,
        Number { unit: "seconds", least: -86_400, most: 86_400 },
        "pollingIntervalSeconds",
        "",
        Preset::Limit(10),
        "Time between two looks for runs, in seconds; 0 or less means the default",
    ),
    row(
        S::MaxConcurrentJobs,
        Number { unit: "Jobs", least: -1_000_000, most: 1_000_000 },
        "maxConcurrentJobs",
        "",
        Preset::Limit(20),
        "Unfinished Jobs at once; 0 means the default, less means no limit",
    ),
    row(
        S::ImagePullSecrets,
        Structure,
        "imagePullSecrets",
        "",
        Nothing,
        "Names of Secrets that images are pulled with",
    ),
    row(S::Tolerations, Structure, "tolerations", "", Nothing, "Tolerations of the pods"),
    row(S::NodeSelector, Structure, "nodeSelector", "", Nothing, "Labels of the nodes that pods may run on"),
    row(S::Implementations, Structure, "implementations", "", Required, "What carries out the runs of each type"),
    row(
        S::MetricsPort,
        Number { unit: "a port", least: 0, most: 65_535 },
        "metricsPort",
        "BB_METRICS_PORT",
        Preset::Number(2112),
        "Port of /metrics; 0 takes a free one",
    ),
    row(
        S::StartDeadlineSeconds,
        SECONDS,
        "startDeadlineSeconds",
        "BB_START_DEADLINE_SECONDS",
        Preset::Number(120),
        "How long a pod's image or configuration may be wrong before its run fails, in seconds",
    ),
    row(
        S::UnschedulableDeadlineSeconds,
        SECONDS,
        "unschedulableDeadlineSeconds",
        "BB_UNSCHEDULABLE_DEADLINE_SECONDS",
        Preset::Number(600),
        "How long a pod may wait for a node before its run fails, in seconds",
    ),
    row(
        S::LeaderElection,
        Flag,
        "leaderElection",
        "BB_LEADER_ELECTION",
        Off,
        "Elect one of several controllers with a Lease",
    ),
];

/// A key inside of a structure.
pub(crate) struct Part {
    /// Its path; `[]` is a place in a list, `*` a name that is free.
    pub path: &'static str,
    pub kind: Kind,
    /// For editors: what it is.
    pub what: &'static str,
}

const fn part(path: &'static str, kind: Kind, what: &'static str) -> Part {
    Part { path, kind, what }
}

/// Everything inside of structures.
pub(crate) const STRUCTURES: &[Part] = &[
    part("imagePullSecrets[]", Text, "Name of a Secret"),
    part("imagePullSecrets[].name", Text, "Name of a Secret"),
    part("tolerations[].key", Text, "Key of the taint"),
    part("tolerations[].operator", Text, "Equal (the default) or Exists"),
    part("tolerations[].value", Text, "Value of the taint"),
    part("tolerations[].effect", Text, "NoSchedule, PreferNoSchedule or NoExecute; none: every effect"),
    part(
        "tolerations[].tolerationSeconds",
        Number { unit: "seconds", least: i64::MIN, most: i64::MAX },
        "How long a NoExecute taint is tolerated, in seconds",
    ),
    part("nodeSelector.*", Text, "Value of the label"),
    part("implementations.*.image", Text, "The container image"),
    part("implementations.*.command[]", Text, "A word of the command"),
    part("implementations.*.args[]", Text, "An argument"),
    // A list as Kubernetes writes it, or a mapping.
    part("implementations.*.env[].name", Text, "Name of a variable"),
    part("implementations.*.env[].value", Kind::Secret, "Its value"),
    part("implementations.*.env.*", Kind::Secret, "Value of a variable"),
    part("implementations.*.resources.requests.cpu", Text, "CPU that is asked for, such as 100m"),
    part("implementations.*.resources.requests.memory", Text, "Memory that is asked for, such as 256Mi"),
    part("implementations.*.resources.limits.cpu", Text, "CPU that may be used, such as 2"),
    part("implementations.*.resources.limits.memory", Text, "Memory that may be used, such as 1Gi"),
    part("implementations.*.extraVolumes[].name", Text, "Name of the volume"),
    part("implementations.*.extraVolumes[].configMap.name", Text, "Name of a ConfigMap"),
    part("implementations.*.extraVolumes[].secret.secretName", Text, "Name of a Secret"),
    part("implementations.*.extraVolumes[].emptyDir.sizeLimit", Text, "Largest size, such as 1Gi"),
    part("implementations.*.extraVolumeMounts[].name", Text, "Name of the volume"),
    part("implementations.*.extraVolumeMounts[].mountPath", Text, "Where it is mounted"),
    part("implementations.*.extraVolumeMounts[].readOnly", Flag, "Whether it cannot be written"),
];
