//! Whose file it is: three public programs read three formats, told apart by their shape.

use std::fmt;
use std::path::Path;

use super::names::loose;
use super::problem::{Place, Problem};
use super::yaml::Entry;

/// A format of the configuration file. Source: `protocol/configuration.md`, "Three dialects of one file".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dialect {
    /// The public Terraform runner's: `runnerUuid`, `api`, `timeoutMins`, …
    Terraform,
    /// That of the public manual, GitHub, GitLab and Azure DevOps runners: everything under `blockrunner:`.
    Jvm,
    /// The public run controller's: `implementations`, `crypto`, `namespace`, …
    Controller,
}

impl Dialect {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Terraform, Self::Jvm, Self::Controller];

    /// One word for it, as in `config show --json`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Terraform => "terraform",
            Self::Jvm => "jvm",
            Self::Controller => "controller",
        }
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Terraform => "the Terraform runner's format",
            Self::Jvm => "the format of the manual, GitHub, GitLab and Azure DevOps runners",
            Self::Controller => "the run controller's format",
        })
    }
}

/// Keys that are at the root of this format's files alone, and that such a file can hardly do without.
const SURE: [&[&str]; 3] = [&["runnerUuid"], &["blockrunner"], &["implementations", "crypto"]];

/// Keys that are at the root of this format's files alone.
const LIKELY: [&[&str]; 3] = [
    &["timeoutMins", "wsTimeoutMins", "initTimeoutMins", "workingDir", "tfInstallDir", "insecureHostKeys"],
    &[],
    &[
        "namespace",
        "ownedByWorkspace",
        "displayName",
        "pollingIntervalSeconds",
        "maxConcurrentJobs",
        "imagePullSecrets",
        "tolerations",
        "nodeSelector",
    ],
];

/// The first part of a path.
pub(super) fn root(path: &str) -> &str {
    path.split(['.', '[']).next().unwrap_or_default()
}

/// Whose format the keys are in, and why that cannot be told. Of a mixture it is not known which program read it.
pub(super) fn of(entries: &[Entry], shown: &Path) -> (Dialect, Option<Problem>) {
    let found = |dialect: Dialect, keys: &[&'static str]| {
        let is = |entry: &&Entry, key: &str| match dialect {
            Dialect::Jvm => loose(root(&entry.path)) == key,
            _ => root(&entry.path) == key,
        };
        keys.iter().find_map(|key| entries.iter().find(|entry| is(entry, key)).map(|entry| (*key, entry.line)))
    };
    let with = |marks: [&[&'static str]; 3]| {
        let found = Dialect::ALL.map(|dialect| Some((dialect, found(dialect, marks[dialect as usize])?)));
        found.into_iter().flatten().collect::<Vec<_>>()
    };
    match with(SURE).as_slice() {
        [(dialect, _)] => return (*dialect, None),
        [] => {}
        several => return mixture(several, shown),
    }
    match with(LIKELY).as_slice() {
        [(dialect, _)] => (*dialect, None),
        [] => (Dialect::Terraform, outside(entries, shown)),
        several => mixture(several, shown),
    }
}

fn mixture(marks: &[(Dialect, (&str, usize))], shown: &Path) -> (Dialect, Option<Problem>) {
    let list: Vec<String> =
        marks.iter().map(|(dialect, (key, line))| format!("`{key}` (line {line}) is of {dialect}")).collect();
    let text = format!("The file mixes formats: {}. Keep the keys of one of them.", list.join(", "));
    let (dialect, (_, line)) = marks[marks.len() - 1];
    (dialect, Some(Problem::new(Place::line(shown, line), text)))
}

/// Keys of the JVM runners that lost their `blockrunner:`.
fn outside(entries: &[Entry], shown: &Path) -> Option<Problem> {
    let of = |key: &str| entries.iter().find(|entry| root(&entry.path) == key);
    let entry = of("auth").or_else(|| of("debugMode")).or_else(|| of("uuid"))?;
    let key = root(&entry.path);
    let text = format!(
        "It cannot be told whose format this is: `{key}` is a key of {}, but there is no `blockrunner:` above it. \
         Put `blockrunner:` above the keys and indent them, or write `runnerUuid` for `uuid`.",
        Dialect::Jvm
    );
    Some(Problem::new(Place::line(shown, entry.line), text))
}
