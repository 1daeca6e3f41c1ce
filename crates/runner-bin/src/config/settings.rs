//! The table of settings: where each stands in the file, and which variables set it.
//!
//! A dialect is one column of this table. Source: `protocol/configuration.md`.

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
    LimitManual,
    ShutdownGraceSeconds,
    PassEnvironment,
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
    Port,
    KnownHosts,
    CaCerts,
    ExecutionMode,
    SpringProfiles,
    RunJsonFile,
}

/// Where a setting is found.
pub(crate) struct Row {
    pub setting: Setting,
    /// Its path in the Terraform runner's file; a list where it ends in `[]`.
    pub key: Option<&'static str>,
    /// The variable that sets it.
    pub variable: Option<&'static str>,
}

const fn both(setting: Setting, key: &'static str, variable: &'static str) -> Row {
    Row { setting, key: Some(key), variable: Some(variable) }
}

const fn key(setting: Setting, key: &'static str) -> Row {
    Row { setting, key: Some(key), variable: None }
}

const fn variable(setting: Setting, variable: &'static str) -> Row {
    Row { setting, key: None, variable: Some(variable) }
}

/// Every setting.
pub(crate) const SETTINGS: &[Row] = &[
    // The Terraform runner's own.
    both(Setting::RunnerUuid, "runnerUuid", "RUNNER_UUID"),
    both(Setting::ApiUrl, "api.url", "RUNNER_API_URL"),
    both(Setting::ApiUser, "api.user", "RUNNER_API_USERNAME"),
    both(Setting::ApiPassword, "api.password", "RUNNER_API_PASSWORD"),
    both(Setting::ApiClientId, "api.clientId", "RUNNER_API_CLIENT_ID"),
    both(Setting::ApiClientSecret, "api.clientSecret", "RUNNER_API_CLIENT_SECRET"),
    key(Setting::PrivateKey, "privateKey"),
    both(Setting::PrivateKeyFile, "privateKeyFile", "RUNNER_PRIVATE_KEY_FILE"),
    key(Setting::TimeoutMins, "timeoutMins"),
    key(Setting::WorkspaceTimeoutMins, "wsTimeoutMins"),
    key(Setting::InitTimeoutMins, "initTimeoutMins"),
    key(Setting::WorkingDir, "workingDir"),
    key(Setting::InstallDir, "tfInstallDir"),
    key(Setting::InsecureHostKeys, "insecureHostKeys"),
    variable(Setting::Port, "PORT"),
    variable(Setting::KnownHosts, "SSH_KNOWN_HOSTS"),
    variable(Setting::CaCerts, "CUSTOM_CA_CERTS_PATH"),
    variable(Setting::Version, "VERSION"),
    variable(Setting::ExecutionMode, "EXECUTION_MODE"),
    variable(Setting::SpringProfiles, "SPRING_PROFILES_ACTIVE"),
    variable(Setting::RunJsonFile, "RUN_JSON_FILE_PATH"),
    // Ours.
    both(Setting::StrictOrigins, "api.strictOrigins", "BB_API_STRICT_ORIGINS"),
    both(Setting::PrivateKeys, "privateKeys[]", "BB_PRIVATE_KEYS"),
    both(Setting::PrivateKeyFiles, "privateKeyFiles[]", "BB_PRIVATE_KEY_FILES"),
    both(Setting::StateDir, "stateDir", "BB_STATE_DIR"),
    both(Setting::MaxConcurrentRuns, "maxConcurrentRuns", "BB_MAX_CONCURRENT_RUNS"),
    both(Setting::LimitTerraform, "limits.terraform", "BB_LIMITS_TERRAFORM"),
    both(Setting::LimitManual, "limits.manual", "BB_LIMITS_MANUAL"),
    both(Setting::ShutdownGraceSeconds, "shutdownGraceSeconds", "BB_SHUTDOWN_GRACE_SECONDS"),
    both(Setting::PassEnvironment, "passEnvironment[]", "BB_PASS_ENVIRONMENT"),
    both(Setting::StopGraceSeconds, "terraform.stopGraceSeconds", "BB_TERRAFORM_STOP_GRACE_SECONDS"),
    both(Setting::StateLocking, "terraform.stateLocking", "BB_TERRAFORM_STATE_LOCKING"),
    both(Setting::LogDir, "terraform.logDir", "BB_TERRAFORM_LOG_DIR"),
    both(Setting::UnlockOwnStaleLocks, "terraform.unlockOwnStaleLocks", "BB_TERRAFORM_UNLOCK_OWN_STALE_LOCKS"),
    both(Setting::PluginCacheDir, "terraform.pluginCacheDir", "BB_TERRAFORM_PLUGIN_CACHE_DIR"),
    both(Setting::PluginCacheMaxMib, "terraform.pluginCacheMaxMib", "BB_TERRAFORM_PLUGIN_CACHE_MAX_MIB"),
    both(Setting::RepositoryCacheDir, "terraform.repositoryCacheDir", "BB_TERRAFORM_REPOSITORY_CACHE_DIR"),
    both(Setting::RepositoryCacheMaxMib, "terraform.repositoryCacheMaxMib", "BB_TERRAFORM_REPOSITORY_CACHE_MAX_MIB"),
    both(Setting::MirrorTerraform, "terraform.mirrors.terraform", "BB_TERRAFORM_MIRRORS_TERRAFORM"),
    both(Setting::MirrorOpentofu, "terraform.mirrors.opentofu", "BB_TERRAFORM_MIRRORS_OPENTOFU"),
];

/// The variables that set a setting, for `--help`: those of the public runners, then ours.
pub fn variables() -> impl Iterator<Item = &'static str> {
    SETTINGS.iter().filter_map(|row| row.variable)
}

pub(crate) fn row(setting: Setting) -> &'static Row {
    SETTINGS.iter().find(|row| row.setting == setting).unwrap_or(&SETTINGS[0])
}

/// Whether a path of the file is known, and how list places are written there.
pub(crate) fn is_known(path: &str) -> bool {
    let general = general(path);
    let below = |path: &str, root: &str| {
        path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    };
    // `api:` with nothing under it is fine; something under `runnerUuid:` is a mistake of its own.
    SETTINGS.iter().filter_map(|row| row.key).any(|key| below(key, &general) || below(&general, key))
}

/// Whether a path of the file only leads to settings, such as `api`.
pub(crate) fn is_group(path: &str) -> bool {
    let general = general(path);
    let keys = || SETTINGS.iter().filter_map(|row| row.key);
    keys().any(|key| key.strip_prefix(&general).is_some_and(|rest| rest.starts_with('.')))
        && keys().all(|key| key.trim_end_matches("[]") != general)
}

/// `a[3].b` as `a[].b`.
pub(crate) fn general(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    let mut inside = false;
    for c in path.chars() {
        inside = match c {
            '[' => true,
            ']' => false,
            _ => inside,
        };
        if !inside || c == '[' {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{SETTINGS, general, is_known};

    #[test]
    fn the_book_names_every_key_and_every_variable() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let page = std::fs::read_to_string(root.join("docs/src/configuration.md")).unwrap();
        for name in SETTINGS.iter().flat_map(|row| [row.key, row.variable]).flatten() {
            assert!(page.contains(&format!("`{name}`")), "{name} is not in docs/src/configuration.md");
        }
    }

    #[test]
    fn no_setting_key_or_variable_is_in_the_table_twice() {
        for (i, row) in SETTINGS.iter().enumerate() {
            for other in &SETTINGS[i + 1..] {
                assert!(row.setting != other.setting, "{:?}", row.setting);
                assert!(row.key.is_none() || row.key != other.key, "{:?}", row.key);
                assert!(row.variable.is_none() || row.variable != other.variable, "{:?}", row.variable);
            }
        }
    }

    #[test]
    fn variables_of_our_own_keys_are_the_path_in_upper_case() {
        for row in SETTINGS {
            let Some(variable) = row.variable.filter(|name| name.starts_with("BB_")) else { continue };
            let mut expected = String::from("BB_");
            for c in row.key.unwrap().trim_end_matches("[]").chars() {
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
    fn places_in_lists_do_not_matter_for_what_is_known() {
        assert_eq!(general("a[12].b[0]"), "a[].b[]");
        assert!(is_known("passEnvironment[7]"));
        assert!(is_known("passEnvironment"));
        assert!(is_known("api"));
        assert!(!is_known("ap"));
        assert!(!is_known("api.urls"));
    }
}
