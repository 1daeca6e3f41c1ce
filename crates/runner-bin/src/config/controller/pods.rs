//! What pods look like: implementations, tolerations, nodes.

use std::collections::{BTreeMap, BTreeSet};

use meshstack_client::{ImplementationType, Secret};

use super::kubernetes::{is_label, is_label_key, is_label_value, is_mount_path, is_quantity, is_subdomain};
use super::{Implementation, Resources, Toleration, Volume, VolumeMount, VolumeSource};
use crate::config::convert::{is_variable, shown};
use crate::config::reader::{Found, Reader};
use crate::config::settings::Setting;
use crate::config::suggest;
use crate::config::tree::{Node, join};

/// Names of volumes and paths that every pod has: a second one would be refused by Kubernetes.
const VOLUMES: [&str; 4] =
    ["run-json", "service-account-token-azure", "service-account-token-gcp", "service-account-token-aws"];
const MOUNTS: [&str; 4] = [
    "/var/run/secrets/meshstack",
    "/var/run/secrets/workload-identity/azure",
    "/var/run/secrets/workload-identity/gcp",
    "/var/run/secrets/workload-identity/aws",
];

/// A place in the tree, with how it is called.
#[derive(Clone)]
struct At<'n> {
    node: &'n Node,
    path: String,
    line: usize,
}

impl<'n> At<'n> {
    fn root(root: &'n Node, key: &str) -> Option<Self> {
        root.get(key).map(|pair| Self { node: &pair.node, path: key.to_owned(), line: pair.line })
    }

    fn get(&self, key: &str) -> Option<Self> {
        self.node.get(key).map(|pair| Self { node: &pair.node, path: join(&self.path, key), line: pair.line })
    }

    fn pairs(&self) -> impl Iterator<Item = (&'n str, Self)> {
        let below = |key: &str| join(&self.path, key);
        self.node
            .pairs()
            .iter()
            .map(move |pair| (pair.key.as_str(), Self { node: &pair.node, path: below(&pair.key), line: pair.line }))
    }

    /// The values of a list; a single value is a list of one.
    fn items(&self) -> Vec<Self> {
        match self.node {
            Node::Null => Vec::new(),
            Node::List(items) => {
                let item = |(i, (line, node)): (usize, &'n (usize, Node))| Self {
                    node,
                    path: format!("{}[{i}]", self.path),
                    line: *line,
                };
                items.iter().enumerate().map(item).collect()
            }
            _ => vec![self.clone()],
        }
    }
}

impl Reader<'_> {
    fn wrong(&mut self, at: &At<'_>, what: &str) {
        let name = suggest::printable(&at.path);
        self.mistake(self.line(at.line), format!("{name} {what}"));
    }

    /// A single value; `None` where there is none, or a blank.
    fn scalar(&mut self, at: Option<At<'_>>) -> Option<Found> {
        let at = at?;
        match at.node {
            Node::Null => None,
            Node::Scalar(text) if text.trim().is_empty() => None,
            Node::Scalar(text) => {
                let place = self.line(at.line);
                Some(Found {
                    text: text.trim().to_owned(),
                    place,
                    name: suggest::shown_path(&at.path),
                    secret_file: None,
                })
            }
            Node::List(_) | Node::Mapping(_) => {
                self.wrong(&at, "must be a single value, not a list or mapping. Check the indentation.");
                None
            }
        }
    }

    /// A single value that passes a test; `else_say` is what is told otherwise.
    fn checked(&mut self, at: Option<At<'_>>, is_right: impl Fn(&str) -> bool, else_say: &str) -> Option<String> {
        let found = self.scalar(at)?;
        if is_right(&found.text) {
            return Some(found.text);
        }
        self.mistake(found.place, format!("{} {else_say}", suggest::printable(&found.name)));
        None
    }

    /// The same, where there must be one.
    fn needed(
        &mut self,
        parent: &At<'_>,
        key: &str,
        is_right: impl Fn(&str) -> bool,
        else_say: &str,
    ) -> Option<String> {
        let before = self.mistakes.len();
        let found = self.checked(parent.get(key), is_right, else_say);
        if found.is_none() && self.mistakes.len() == before {
            self.wrong(parent, &format!("has no `{key}`. Add it."));
        }
        found
    }

    fn texts(&mut self, at: Option<At<'_>>) -> Vec<String> {
        let items = at.map(|at| at.items()).unwrap_or_default();
        // An empty argument is an argument.
        let text = |item: At<'_>| match item.node {
            Node::Scalar(text) => Some(text.clone()),
            _ => self.scalar(Some(item)).map(|found| found.text),
        };
        items.into_iter().filter_map(text).collect()
    }
}

/// The tree is looked at while mistakes are noted, so it is taken out of the reader for that time.
fn with_tree<T>(reader: &mut Reader<'_>, key: &str, look: impl FnOnce(&mut Reader<'_>, At<'_>) -> T) -> Option<T> {
    let root = std::mem::take(&mut reader.document.root);
    let seen = At::root(&root, key).map(|at| look(reader, at));
    reader.document.root = root;
    seen
}

/// Names, or as Kubernetes writes them, `name: …`.
pub(super) fn image_pull_secrets(reader: &mut Reader<'_>) -> Vec<String> {
    let look = |reader: &mut Reader<'_>, at: At<'_>| {
        let mut names = Vec::new();
        for item in at.items() {
            let name = if matches!(item.node, Node::Mapping(_)) { item.get("name") } else { Some(item.clone()) };
            let before = reader.mistakes.len();
            match reader.checked(
                name,
                is_subdomain,
                "is no name of a Secret. Use lower-case letters, digits, `-` and `.`.",
            ) {
                Some(name) => names.push(name),
                None if reader.mistakes.len() == before => reader.wrong(&item, "has no name. Add it, or remove it."),
                None => {}
            }
        }
        names
    };
    with_tree(reader, "imagePullSecrets", look).unwrap_or_default()
}

pub(super) fn tolerations(reader: &mut Reader<'_>) -> Vec<Toleration> {
    let look = |reader: &mut Reader<'_>, at: At<'_>| at.items().iter().map(|item| toleration(reader, item)).collect();
    with_tree(reader, "tolerations", look).unwrap_or_default()
}

fn toleration(reader: &mut Reader<'_>, at: &At<'_>) -> Toleration {
    match at.node {
        Node::Mapping(_) => {}
        // Told with the names of keys.
        Node::Scalar(text) if !text.trim().is_empty() => return Toleration::default(),
        _ => {
            reader.wrong(at, "must have keys under it, such as `key` and `effect`.");
            return Toleration::default();
        }
    }
    let one_of = |words: &'static [&str]| move |text: &str| words.contains(&text);
    let effects = one_of(&["NoSchedule", "PreferNoSchedule", "NoExecute"]);
    let found = Toleration {
        key: reader.checked(at.get("key"), is_label_key, "is no key of a taint."),
        operator: reader.checked(at.get("operator"), one_of(&["Equal", "Exists"]), "must be `Equal` or `Exists`."),
        value: reader.checked(at.get("value"), is_label_value, "is no value of a taint."),
        effect: reader.checked(at.get("effect"), effects, "must be `NoSchedule`, `PreferNoSchedule` or `NoExecute`."),
        toleration_seconds: reader.scalar(at.get("tolerationSeconds")).and_then(|found| {
            let seconds = found.text.parse().ok();
            if seconds.is_none() {
                let text = format!("`{}` must be a whole number (seconds), not {}.", found.name, shown(&found.text));
                reader.mistake(found.place, text);
            }
            seconds
        }),
    };
    let exists = found.operator.as_deref() == Some("Exists");
    if exists && found.value.is_some() {
        reader.wrong(at, "has a `value`, which goes with the operator `Equal` only. Remove one of the two.");
    }
    if found.key.is_none() && !exists && at.get("key").is_none() {
        reader.wrong(at, "has no `key`, which goes with the operator `Exists` only. Add it, or that operator.");
    }
    if found.toleration_seconds.is_some() && found.effect.as_deref().is_some_and(|effect| effect != "NoExecute") {
        reader
            .wrong(at, "has `tolerationSeconds`, which goes with the effect `NoExecute` only. Remove one of the two.");
    }
    found
}

pub(super) fn node_selector(reader: &mut Reader<'_>) -> BTreeMap<String, String> {
    let look = |reader: &mut Reader<'_>, at: At<'_>| {
        let mut labels = BTreeMap::new();
        for (key, at) in at.pairs() {
            if !is_label_key(key) {
                reader.wrong(&at, "is no key of a label.");
            }
            let value = if matches!(at.node, Node::Scalar(_)) {
                reader.scalar(Some(at.clone())).map_or(String::new(), |f| f.text)
            } else {
                reader.wrong(&at, "must be the value of a label, as text.");
                continue;
            };
            if !is_label_value(&value) {
                reader.wrong(&at, "is no value of a label.");
            }
            labels.insert(key.to_owned(), value);
        }
        labels
    };
    with_tree(reader, "nodeSelector", look).unwrap_or_default()
}

/// Every type with what carries it out. None at all is a mistake.
pub(super) fn implementations(reader: &mut Reader<'_>) -> Vec<Implementation> {
    let look = |reader: &mut Reader<'_>, at: At<'_>| {
        let mut found: Vec<Implementation> = Vec::new();
        let mut any = false;
        for (word, at) in at.pairs() {
            any = true;
            let Some(kind) = kind(reader, word, &at) else { continue };
            if found.iter().any(|other| other.kind == kind) {
                reader.wrong(&at, "is there twice, under two spellings. Remove one of the two.");
            }
            found.extend(implementation(reader, kind, &at));
        }
        (found, any)
    };
    if let Some((found, true)) = with_tree(reader, "implementations", look) {
        return found;
    }
    reader.missing(Setting::Implementations, "What carries out the runs (at least one type with an image)");
    Vec::new()
}

/// A type, in the spelling of registrations or in that of runs.
fn kind(reader: &mut Reader<'_>, word: &str, at: &At<'_>) -> Option<ImplementationType> {
    const WORDS: [&str; 5] = ["MANUAL", "TERRAFORM", "GITHUB_WORKFLOW", "GITLAB_PIPELINE", "AZURE_DEVOPS_PIPELINE"];
    match word {
        "GITLAB_PIPELINE" => return Some(ImplementationType::GitlabCicd),
        "AZURE_DEVOPS_PIPELINE" => return Some(ImplementationType::AzureDevops),
        "ALL" => reader.wrong(at, "is no type of a run. Name the types one by one."),
        word => match ImplementationType::from(word) {
            ImplementationType::Other(_) => {
                let meant =
                    suggest::nearest(word, WORDS.into_iter(), 0.6).map(|meant| format!(" Did you mean `{meant}`?"));
                let rest = meant.unwrap_or_else(|| format!(" Use one of {}.", WORDS.join(", ")));
                reader.wrong(at, &format!("is no type of a run.{rest}"));
            }
            kind => return Some(kind),
        },
    }
    None
}

fn implementation(reader: &mut Reader<'_>, kind: ImplementationType, at: &At<'_>) -> Option<Implementation> {
    match at.node {
        Node::Mapping(_) => {}
        // Told with the names of keys.
        Node::Scalar(text) if !text.trim().is_empty() => return None,
        Node::List(items) if !items.is_empty() => return None,
        _ => {
            reader.wrong(at, "must have keys under it, `image` at least.");
            return None;
        }
    }
    let plain = |text: &str| !text.contains(char::is_whitespace);
    let image = reader.needed(at, "image", plain, "is no name of an image.");
    let command = reader.texts(at.get("command"));
    let args = reader.texts(at.get("args"));
    let env = env(reader, at.get("env"));
    let resources = resources(reader, at.get("resources"));
    let extra_volumes = volumes(reader, at.get("extraVolumes"));
    let extra_volume_mounts = mounts(reader, at.get("extraVolumeMounts"), &extra_volumes);
    Some(Implementation { kind, image: image?, command, args, env, resources, extra_volumes, extra_volume_mounts })
}

/// A mapping, or a list as Kubernetes has it. Values go as they are, blanks too.
fn env(reader: &mut Reader<'_>, at: Option<At<'_>>) -> Vec<(String, Secret)> {
    let Some(at) = at else { return Vec::new() };
    let pairs: Vec<(String, At<'_>, Option<At<'_>>)> = if matches!(at.node, Node::Mapping(_)) {
        at.pairs().map(|(name, at)| (name.to_owned(), at.clone(), Some(at))).collect()
    } else {
        let items = at.items();
        let name = |reader: &mut Reader<'_>, item: &At<'_>| {
            reader.needed(item, "name", is_variable, "is no name of a variable.")
        };
        items.iter().filter_map(|item| Some((name(reader, item)?, item.clone(), item.get("value")))).collect()
    };
    let mut env: Vec<(String, Secret)> = Vec::new();
    for (name, at, value) in pairs {
        let text = match value.as_ref().map(|value| value.node) {
            None | Some(Node::Null) => String::new(),
            Some(Node::Scalar(text)) => text.clone(),
            Some(_) => {
                reader.wrong(&at, "must be a single value, not a list or mapping. Check the indentation.");
                continue;
            }
        };
        if !is_variable(&name) {
            reader.wrong(&at, "is no name of a variable.");
        }
        env.retain(|(known, _)| *known != name);
        env.push((name, Secret::new(text)));
    }
    env
}

fn resources(reader: &mut Reader<'_>, at: Option<At<'_>>) -> Resources {
    let Some(at) = at else { return Resources::default() };
    let mut quantity = |group: &str, key: &str| {
        let at = at.get(group).and_then(|at| at.get(key));
        reader.checked(at, is_quantity, "is no quantity of Kubernetes. Write it like `100m`, `2` or `256Mi`.")
    };
    Resources {
        cpu_request: quantity("requests", "cpu"),
        memory_request: quantity("requests", "memory"),
        cpu_limit: quantity("limits", "cpu"),
        memory_limit: quantity("limits", "memory"),
    }
}

fn volumes(reader: &mut Reader<'_>, at: Option<At<'_>>) -> Vec<Volume> {
    let mut volumes: Vec<Volume> = Vec::new();
    for item in at.map(|at| at.items()).unwrap_or_default() {
        let name =
            reader.needed(&item, "name", is_label, "is no name of a volume. Use lower-case letters, digits and `-`.");
        let source = volume_source(reader, &item);
        let (Some(name), Some(source)) = (name, source) else { continue };
        if VOLUMES.contains(&name.as_str()) {
            reader.wrong(&item, &format!("is called `{name}`, as a volume that every pod has. Choose another name."));
        } else if volumes.iter().any(|other| other.name == name) {
            reader.wrong(&item, &format!("is called `{name}`, as another one. Choose another name."));
        }
        volumes.push(Volume { name, source });
    }
    volumes
}

/// The first of `configMap`, `secret`, `emptyDir` that is there.
fn volume_source(reader: &mut Reader<'_>, at: &At<'_>) -> Option<VolumeSource> {
    let no_name = "is no name of a Kubernetes object. Use lower-case letters, digits, `-` and `.`.";
    if let Some(source) = at.get("configMap") {
        return reader.needed(&source, "name", is_subdomain, no_name).map(VolumeSource::ConfigMap);
    }
    if let Some(source) = at.get("secret") {
        return reader.needed(&source, "secretName", is_subdomain, no_name).map(VolumeSource::Secret);
    }
    let Some(source) = at.get("emptyDir") else {
        reader.wrong(at, "has none of `configMap`, `secret` and `emptyDir`. Add one.");
        return None;
    };
    let limit = reader.scalar(source.get("sizeLimit"));
    if let Some(found) = limit.as_ref().filter(|found| !is_quantity(&found.text)) {
        let text = format!("`{}` is no quantity of Kubernetes, so there is no limit. Write it like `1Gi`.", found.name);
        reader.warning(found.place.clone(), text);
        return Some(VolumeSource::EmptyDir(None));
    }
    Some(VolumeSource::EmptyDir(limit.map(|found| found.text)))
}

fn mounts(reader: &mut Reader<'_>, at: Option<At<'_>>, volumes: &[Volume]) -> Vec<VolumeMount> {
    let mut mounts = Vec::new();
    let mut paths = BTreeSet::new();
    for item in at.map(|at| at.items()).unwrap_or_default() {
        let is_there = |name: &str| volumes.iter().any(|volume| volume.name == name);
        let name = reader.needed(&item, "name", is_there, "is no volume of `extraVolumes`. Correct one of the two.");
        let path = reader.needed(&item, "mountPath", is_mount_path, "must be an absolute path without `:`.");
        let read_only = reader.scalar(item.get("readOnly")).is_some_and(|found| reader.flag_of(&found));
        let (Some(name), Some(mount_path)) = (name, path) else { continue };
        if MOUNTS.contains(&mount_path.trim_end_matches('/')) || !paths.insert(mount_path.clone()) {
            reader.wrong(&item, "is mounted where another volume is. Choose another path.");
        }
        mounts.push(VolumeMount { name, mount_path, read_only });
    }
    mounts
}
