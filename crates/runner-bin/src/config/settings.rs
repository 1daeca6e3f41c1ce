//! Settings: what each is called in every dialect, what kind of value it holds, what stands where nothing is set.
//!
//! The rows are in `table/`; a dialect is one column of it.

use super::dialect::Dialect;
use super::names;
use super::table::{CONTROLLER, RUNNERS, STRUCTURES};

/// Something that can be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Setting {
    RunnerUuid,
    Version,
    ApiUrl,
    ApiUser,
    ApiPassword,
    ApiClientId,
    ApiClientSecret,
    StrictOrigins,
    PrivateKey,
    PrivateKeyFile,
    PrivateKeys,
    PrivateKeyFiles,
    TimeoutMins,
    WorkspaceTimeoutMins,
    InitTimeoutMins,
    WorkingDir,
    StateDir,
    InstallDir,
    InsecureHostKeys,
    MaxConcurrentRuns,
    LimitTerraform,
    LimitGithub,
    LimitGitlab,
    LimitAzureDevops,
    LimitManual,
    ShutdownGraceSeconds,
    PassEnvironment,
    WatchHandedOver,
    PipelineTimeoutMins,
    ReadTokens,
    StopGraceSeconds,
    StateLocking,
    LogDir,
    UnlockOwnStaleLocks,
    PluginCacheDir,
    PluginCacheMaxMib,
    RepositoryCacheDir,
    RepositoryCacheMaxMib,
    MirrorTerraform,
    MirrorOpentofu,
    DebugMode,
    Port,
    KnownHosts,
    CaCerts,
    ExecutionMode,
    SpringProfiles,
    RunJsonFile,
    Namespace,
    OwnedByWorkspace,
    DisplayName,
    PublicKey,
    PublicKeyFile,
    PollingIntervalSeconds,
    MaxConcurrentJobs,
    ImagePullSecrets,
    Tolerations,
    NodeSelector,
    Implementations,
    MetricsPort,
    StartDeadlineSeconds,
    UnschedulableDeadlineSeconds,
    LeaderElection,
}

/// What kind of value a setting holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Text without a form of its own.
    Text,
    /// A UUID.
    Uuid,
    /// A file or a folder.
    Path,
    /// Yes or no.
    Flag,
    /// A whole number of `unit`s.
    Number { unit: &'static str, least: i64, most: i64 },
    /// A secret; `<key>File` and `<VARIABLE>_FILE` name a file that holds it.
    Secret,
    /// A private key in PEM.
    PrivateKey,
    /// A certificate in PEM.
    Certificate,
    /// Several texts.
    Texts,
    /// Several files.
    Paths,
    /// Several private keys in PEM.
    PrivateKeys,
    /// Secrets by host; `<host>File` names a file that holds one.
    Tokens,
    /// Keys of its own below it, listed in [`STRUCTURES`].
    Structure,
}

impl Kind {
    /// Whether the value must not be shown.
    pub(crate) fn is_secret(self) -> bool {
        matches!(self, Self::Secret | Self::PrivateKey | Self::PrivateKeys | Self::Tokens)
    }

    /// Whether several values are expected.
    pub(crate) fn is_list(self) -> bool {
        matches!(self, Self::Texts | Self::Paths | Self::PrivateKeys)
    }
}

/// What stands where nothing is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Preset {
    /// Nothing.
    Nothing,
    /// Nothing, and that is a mistake.
    Required,
    /// A number.
    Number(i64),
    /// A number; `0` stands for it, too.
    Limit(i64),
    /// No.
    Off,
    /// This text.
    Text(&'static str),
    /// Something that is worked out.
    Words(&'static str),
}

impl Preset {
    /// The number that it is.
    pub(crate) fn number(self) -> Option<i64> {
        if let Self::Number(number) | Self::Limit(number) = self { Some(number) } else { None }
    }
}

/// One setting.
pub(crate) struct Row {
    pub setting: Setting,
    pub kind: Kind,
    /// Its path in the files of the Terraform runner, of the JVM runners (below `blockrunner:`) and of the controller;
    /// empty where it has none.
    keys: [&'static str; 3],
    /// A second path that counts in the controller's file.
    alias: &'static str,
    /// The variable that sets it; empty where it has none.
    variable: &'static str,
    pub preset: Preset,
    /// For editors: what it is.
    pub what: &'static str,
}

impl Row {
    pub(super) const fn new(
        setting: Setting,
        kind: Kind,
        keys: [&'static str; 3],
        variable: &'static str,
        preset: Preset,
        what: &'static str,
    ) -> Self {
        Self { setting, kind, keys, alias: "", variable, preset, what }
    }

    pub(super) const fn or(self, alias: &'static str) -> Self {
        Self { alias, ..self }
    }

    /// Its path in a file, if it can stand there.
    pub(crate) fn key(&self, dialect: Dialect) -> Option<String> {
        let key = self.keys[dialect as usize];
        match dialect {
            _ if key.is_empty() => None,
            // The one key that is Spring's own.
            Dialect::Jvm if key != "server.port" => Some(format!("blockrunner.{key}")),
            _ => Some(key.to_owned()),
        }
    }

    /// Every path that counts in a file.
    pub(crate) fn keys(&self, dialect: Dialect) -> Vec<String> {
        let alias = (dialect == Dialect::Controller && !self.alias.is_empty()).then(|| self.alias.to_owned());
        self.key(dialect).into_iter().chain(alias).collect()
    }

    /// The variable that sets it.
    pub(crate) fn variable(&self) -> Option<&'static str> {
        (!self.variable.is_empty()).then_some(self.variable)
    }

    /// Spring's names for the same: for `auth.api-key.client-id`, `BLOCKRUNNER_AUTH_APIKEY_CLIENTID` and
    /// `BLOCKRUNNER_AUTH_API_KEY_CLIENT_ID`.
    pub(crate) fn spring_variables(&self) -> Vec<String> {
        self.key(Dialect::Jvm).map(|key| names::spring_variables(&key)).unwrap_or_default()
    }
}

/// Every setting.
pub(crate) fn rows() -> impl Iterator<Item = &'static Row> {
    RUNNERS.iter().chain(CONTROLLER)
}

/// The row of a setting.
pub(crate) fn row(setting: Setting) -> &'static Row {
    rows().find(|row| row.setting == setting).unwrap_or(&RUNNERS[0])
}

/// The variables of the public runners and ours that set a setting, for `--help`. Spring's names of the same are not
/// among them.
pub fn variables() -> impl Iterator<Item = &'static str> {
    rows().filter_map(Row::variable)
}

/// Every path that may stand in a file of this dialect: `[]` for places in lists, `*` for names that are free.
pub(crate) fn paths(dialect: Dialect) -> Vec<String> {
    let mut paths = Vec::new();
    for row in rows() {
        for key in row.keys(dialect) {
            match row.kind {
                Kind::Structure => {}
                Kind::Tokens => paths.push(format!("{key}.*")),
                Kind::Secret => paths.extend([format!("{key}File"), key]),
                kind if kind.is_list() => paths.push(format!("{key}[]")),
                _ => paths.push(key),
            }
        }
    }
    if dialect == Dialect::Controller {
        paths.extend(STRUCTURES.iter().map(|part| part.path.to_owned()));
    }
    paths
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{Dialect, Kind, Preset, Row, paths, rows};

    fn book() -> String {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        std::fs::read_to_string(root.join("docs/src/configuration.md")).unwrap()
    }

    /// How the book calls a key: that of a list with `[]` at its end.
    fn in_the_book(row: &Row, dialect: Dialect) -> Option<String> {
        let key = row.key(dialect)?;
        Some(match row.kind {
            Kind::Tokens => format!("{key}.<host>"),
            kind if kind.is_list() => format!("{key}[]"),
            _ => key,
        })
    }

    #[test]
    fn the_book_names_every_key_and_every_variable() {
        let book = book();
        for row in rows() {
            let names = Dialect::ALL.into_iter().filter_map(|dialect| {
                // The same name under `blockrunner:` goes without saying; the book says so once.
                let same = row
                    .key(Dialect::Terraform)
                    .is_some_and(|key| format!("blockrunner.{key}") == row.key(Dialect::Jvm).unwrap_or_default());
                if dialect == Dialect::Jvm && same { None } else { in_the_book(row, dialect) }
            });
            for name in names.chain(row.variable().map(str::to_owned)) {
                assert!(book.contains(&format!("`{name}`")), "{name} is not in docs/src/configuration.md");
            }
        }
        for path in paths(Dialect::Controller) {
            let last = path.trim_end_matches(".*").rsplit('.').next().unwrap();
            assert!(book.contains(last.trim_end_matches("[]")), "{path} is not in docs/src/configuration.md");
        }
    }

    #[test]
    fn the_book_has_the_defaults_of_the_table() {
        let book = book();
        for row in rows() {
            let default = match row.preset {
                Preset::Number(number) | Preset::Limit(number) => number.to_string(),
                Preset::Off => "`false`".to_owned(),
                Preset::Text(text) => format!("`{text}`"),
                Preset::Required => "required".to_owned(),
                Preset::Nothing | Preset::Words(_) => continue,
            };
            let key = Dialect::ALL.into_iter().find_map(|dialect| in_the_book(row, dialect));
            let name = key.or_else(|| row.variable().map(str::to_owned)).unwrap();
            let lines = || book.lines().filter(|line| line.starts_with("| ") && line.contains(&format!("`{name}`")));
            assert!(lines().any(|line| line.contains(&default)), "{name}: default {default} is not in the book");
        }
    }

    #[test]
    fn no_setting_key_or_variable_is_in_the_table_twice() {
        let mut seen = BTreeSet::new();
        for row in rows() {
            assert!(seen.insert(format!("{:?}", row.setting)), "{:?}", row.setting);
            assert!(row.variable().is_none_or(|name| seen.insert(name.to_owned())), "{:?}", row.variable());
            for dialect in Dialect::ALL {
                for key in row.keys(dialect) {
                    assert!(seen.insert(format!("{dialect:?} {key}")), "{key}");
                }
            }
        }
    }

    #[test]
    fn variables_of_our_own_keys_are_the_path_in_upper_case() {
        for row in rows() {
            let Some(variable) = row.variable().filter(|name| name.starts_with("BB_")) else { continue };
            let key = row.key(Dialect::Terraform).or_else(|| row.key(Dialect::Controller)).unwrap();
            let mut expected = String::from("BB_");
            for c in key.chars() {
                match c {
                    '.' => expected.push('_'),
                    c if c.is_uppercase() => expected.extend(['_', c]),
                    c => expected.push(c.to_ascii_uppercase()),
                }
            }
            assert_eq!(variable, expected);
        }
    }

    #[test]
    fn every_setting_of_a_number_has_a_default_within_its_range_or_none() {
        for row in rows() {
            if let (Kind::Number { least, most, .. }, Preset::Number(number) | Preset::Limit(number)) =
                (row.kind, row.preset)
            {
                assert!((least..=most).contains(&number), "{:?}", row.setting);
            }
            assert!(!row.what.is_empty() && !row.what.ends_with('.'), "{:?}", row.setting);
        }
    }
}
