//! What runners of every dialect, and some of it the controller, can be told.

use crate::config::settings::Kind::{
    Flag, Number, Path, Paths, PrivateKey, PrivateKeys, Secret, Text, Texts, Tokens, Uuid,
};
use crate::config::settings::Preset::{self, Nothing, Off, Required, Words};
use crate::config::settings::Setting as S;
use crate::config::settings::{Kind, Row, Setting};

const MINUTES: Kind = Number { unit: "minutes", least: 0, most: 525_600 };
const RUNS: Kind = Number { unit: "runs", least: 1, most: 10_000 };
const MIB: Kind = Number { unit: "MiB", least: 1, most: 1 << 30 };
const PORT: Kind = Number { unit: "a port", least: 0, most: 65_535 };

/// A key of one name in every dialect.
const fn everywhere(
    setting: Setting,
    kind: Kind,
    key: &'static str,
    variable: &'static str,
    preset: Preset,
    what: &'static str,
) -> Row {
    Row::new(setting, kind, [key, key, key], variable, preset, what)
}

/// A key of one name in the files of runners, which means nothing to the controller.
const fn runners(
    setting: Setting,
    kind: Kind,
    key: &'static str,
    variable: &'static str,
    preset: Preset,
    what: &'static str,
) -> Row {
    Row::new(setting, kind, [key, key, ""], variable, preset, what)
}

/// No key, a variable alone.
const fn variable(setting: Setting, kind: Kind, variable: &'static str, preset: Preset, what: &'static str) -> Row {
    Row::new(setting, kind, ["", "", ""], variable, preset, what)
}

/// The public runners' own settings, then ours.
pub(crate) const RUNNERS: &[Row] = &[
    Row::new(
        S::RunnerUuid,
        Uuid,
        ["runnerUuid", "uuid", "uuid"],
        "RUNNER_UUID",
        Required,
        "The runner's UUID in meshStack",
    ),
    Row::new(S::ApiUrl, Text, ["api.url", "api.url", "api.url"], "RUNNER_API_URL", Required, "meshStack's base URL"),
    Row::new(
        S::ApiUser,
        Text,
        ["api.user", "auth.username", "api.username"],
        "RUNNER_API_USERNAME",
        Nothing,
        "User of basic authentication (deprecated: use an API key)",
    )
    .or("api.user"),
    Row::new(
        S::ApiPassword,
        Secret,
        ["api.password", "auth.password", "api.password"],
        "RUNNER_API_PASSWORD",
        Nothing,
        "Password of basic authentication (deprecated: use an API key)",
    ),
    Row::new(
        S::ApiClientId,
        Text,
        ["api.clientId", "auth.api-key.client-id", "api.clientId"],
        "RUNNER_API_CLIENT_ID",
        Nothing,
        "Client id of the API key",
    ),
    Row::new(
        S::ApiClientSecret,
        Secret,
        ["api.clientSecret", "auth.api-key.client-secret", "api.clientSecret"],
        "RUNNER_API_CLIENT_SECRET",
        Nothing,
        "Secret of the API key",
    ),
    Row::new(
        S::PrivateKey,
        PrivateKey,
        ["privateKey", "privateKey", "crypto.privateKey"],
        "",
        Nothing,
        "Private key in PEM; a file beats it",
    ),
    Row::new(
        S::PrivateKeyFile,
        Path,
        ["privateKeyFile", "privateKeyFile", "crypto.privateKeyFile"],
        "RUNNER_PRIVATE_KEY_FILE",
        Words("./runner-private.pem, /app/runner-private.pem"),
        "File with the private key in PEM",
    ),
    runners(
        S::TimeoutMins,
        MINUTES,
        "timeoutMins",
        "",
        Preset::Limit(60),
        "Limit of a Terraform run, in minutes; 0 means the default",
    ),
    runners(
        S::WorkspaceTimeoutMins,
        MINUTES,
        "wsTimeoutMins",
        "",
        Preset::Limit(5),
        "Limit of selecting a workspace, in minutes; 0 means the default",
    ),
    runners(
        S::InitTimeoutMins,
        MINUTES,
        "initTimeoutMins",
        "",
        Preset::Limit(3),
        "Limit of init, in minutes; 0 means the default",
    ),
    runners(
        S::WorkingDir,
        Path,
        "workingDir",
        "",
        Preset::Text("/tmp/runner/wd"),
        "Folder where runs get their directories",
    ),
    runners(
        S::InstallDir,
        Path,
        "tfInstallDir",
        "",
        Preset::Text("/tmp/runner/tfbin"),
        "Folder of Terraform binaries, one folder per version",
    ),
    runners(S::InsecureHostKeys, Flag, "insecureHostKeys", "", Off, "Do not check host keys of SSH servers"),
    Row::new(
        S::DebugMode,
        Flag,
        ["", "debugMode", ""],
        "",
        Off,
        "Manual runs end at random after 15 seconds (for development)",
    ),
    Row::new(
        S::Port,
        PORT,
        ["", "server.port", ""],
        "PORT",
        Preset::Number(8100),
        "Port of /healthz; 0 takes a free one",
    ),
    variable(S::KnownHosts, Path, "SSH_KNOWN_HOSTS", Nothing, "known_hosts file for git over SSH"),
    variable(
        S::CaCerts,
        Text,
        "CUSTOM_CA_CERTS_PATH",
        Nothing,
        "Folders or files with more CA certificates, joined by colons",
    ),
    Row::new(S::Version, Text, ["", "version", ""], "VERSION", Words("the runner's"), "Version to report to meshStack"),
    variable(S::ExecutionMode, Text, "EXECUTION_MODE", Nothing, "single-run: carry out one run from a file"),
    variable(
        S::SpringProfiles,
        Text,
        "SPRING_PROFILES_ACTIVE",
        Nothing,
        "A list with kubernetes in it: carry out one run from a file",
    ),
    variable(S::RunJsonFile, Path, "RUN_JSON_FILE_PATH", Nothing, "The file with that run"),
    everywhere(
        S::StrictOrigins,
        Flag,
        "api.strictOrigins",
        "BB_API_STRICT_ORIGINS",
        Off,
        "Refuse plan links to other hosts than that of the base URL",
    ),
    everywhere(
        S::PrivateKeyFiles,
        Paths,
        "privateKeyFiles",
        "BB_PRIVATE_KEY_FILES",
        Nothing,
        "Files with further private keys, newest first",
    ),
    everywhere(
        S::PrivateKeys,
        PrivateKeys,
        "privateKeys",
        "BB_PRIVATE_KEYS",
        Nothing,
        "Further private keys in PEM, newest first",
    ),
    everywhere(
        S::StateDir,
        Path,
        "stateDir",
        "BB_STATE_DIR",
        Words("state/<uuid> beside the working folder"),
        "Folder where runs under way are noted",
    ),
    runners(
        S::MaxConcurrentRuns,
        RUNS,
        "maxConcurrentRuns",
        "BB_MAX_CONCURRENT_RUNS",
        Preset::Number(20),
        "Runs in hand at once",
    ),
    runners(
        S::LimitTerraform,
        RUNS,
        "limits.terraform",
        "BB_LIMITS_TERRAFORM",
        Preset::Number(4),
        "Terraform runs under way at once",
    ),
    runners(S::LimitGithub, RUNS, "limits.github", "BB_LIMITS_GITHUB", Nothing, "GitHub workflows under way at once"),
    runners(S::LimitGitlab, RUNS, "limits.gitlab", "BB_LIMITS_GITLAB", Nothing, "GitLab pipelines under way at once"),
    runners(
        S::LimitAzureDevops,
        RUNS,
        "limits.azureDevops",
        "BB_LIMITS_AZURE_DEVOPS",
        Nothing,
        "Azure DevOps pipelines under way at once",
    ),
    runners(S::LimitManual, RUNS, "limits.manual", "BB_LIMITS_MANUAL", Nothing, "Manual runs under way at once"),
    everywhere(
        S::ShutdownGraceSeconds,
        Number { unit: "seconds", least: 0, most: 86_400 },
        "shutdownGraceSeconds",
        "BB_SHUTDOWN_GRACE_SECONDS",
        Preset::Number(30),
        "How long running work may go on after SIGTERM, in seconds",
    ),
    runners(
        S::PassEnvironment,
        Texts,
        "passEnvironment",
        "BB_PASS_ENVIRONMENT",
        Nothing,
        "Variables of the runner that Terraform and scripts may see",
    ),
    runners(
        S::WatchHandedOver,
        Flag,
        "watchHandedOver",
        "BB_WATCH_HANDED_OVER",
        Off,
        "Watch asynchronous pipelines, and report those that die without a word",
    ),
    runners(
        S::PipelineTimeoutMins,
        MINUTES,
        "pipelineTimeoutMins",
        "BB_PIPELINE_TIMEOUT_MINS",
        Preset::Limit(30),
        "Limit of a synchronous pipeline, in minutes; 0 means the default",
    ),
    runners(
        S::ReadTokens,
        Tokens,
        "gitlab.readTokens",
        "BB_GITLAB_READ_TOKENS",
        Nothing,
        "Tokens that may read pipelines, by GitLab host",
    ),
    runners(
        S::StopGraceSeconds,
        Number { unit: "seconds", least: 1, most: 3600 },
        "terraform.stopGraceSeconds",
        "BB_TERRAFORM_STOP_GRACE_SECONDS",
        Preset::Number(60),
        "Time from SIGINT to SIGKILL, in seconds",
    ),
    runners(
        S::StateLocking,
        Flag,
        "terraform.stateLocking",
        "BB_TERRAFORM_STATE_LOCKING",
        Off,
        "Lock the state in meshStack",
    ),
    runners(S::LogDir, Path, "terraform.logDir", "BB_TERRAFORM_LOG_DIR", Nothing, "Folder for whole logs, masked"),
    runners(
        S::UnlockOwnStaleLocks,
        Flag,
        "terraform.unlockOwnStaleLocks",
        "BB_TERRAFORM_UNLOCK_OWN_STALE_LOCKS",
        Off,
        "Release state locks that dead runs of this runner left",
    ),
    runners(
        S::PluginCacheDir,
        Path,
        "terraform.pluginCacheDir",
        "BB_TERRAFORM_PLUGIN_CACHE_DIR",
        Nothing,
        "Folder where providers are kept for other runs",
    ),
    runners(
        S::PluginCacheMaxMib,
        MIB,
        "terraform.pluginCacheMaxMib",
        "BB_TERRAFORM_PLUGIN_CACHE_MAX_MIB",
        Preset::Number(10_240),
        "How much of them is kept, in MiB",
    ),
    runners(
        S::RepositoryCacheDir,
        Path,
        "terraform.repositoryCacheDir",
        "BB_TERRAFORM_REPOSITORY_CACHE_DIR",
        Nothing,
        "Folder where repositories are kept for other runs",
    ),
    runners(
        S::RepositoryCacheMaxMib,
        MIB,
        "terraform.repositoryCacheMaxMib",
        "BB_TERRAFORM_REPOSITORY_CACHE_MAX_MIB",
        Preset::Number(5120),
        "How much of them is kept, in MiB",
    ),
    runners(
        S::MirrorTerraform,
        Text,
        "terraform.mirrors.terraform",
        "BB_TERRAFORM_MIRRORS_TERRAFORM",
        Words("HashiCorp's site"),
        "Where Terraform is downloaded from",
    ),
    runners(
        S::MirrorOpentofu,
        Text,
        "terraform.mirrors.opentofu",
        "BB_TERRAFORM_MIRRORS_OPENTOFU",
        Words("OpenTofu's sites"),
        "Where OpenTofu is downloaded from",
    ),
];
