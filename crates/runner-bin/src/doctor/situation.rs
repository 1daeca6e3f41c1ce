//! What there is to check: from the configuration, or from what can be read of a broken one.

use std::path::{Path, PathBuf};

use meshstack_client::{Credentials, Secret};
use serde_json::Value;

use crate::config::{Dialect, Environment, Inspection, Mode, Origin, Sources};
use crate::keys::KeyReport;
use crate::peek::{Peek, What, read_bounded};

/// What is configured, right or wrong.
pub(super) struct Situation {
    pub(super) inspection: Inspection,
    pub(super) uuid: Option<String>,
    pub(super) api_url: Option<String>,
    pub(super) credentials: Option<Credentials>,
    pub(super) version: Option<String>,
    pub(super) ca_paths: Vec<PathBuf>,
    pub(super) working_dir: PathBuf,
    pub(super) state_dir: PathBuf,
    /// Nobody asked for the state folder: without it, the runner works as the public ones do.
    pub(super) state_by_default: bool,
    pub(super) install_dir: PathBuf,
    /// Further folders, by the key that names them.
    pub(super) folders: Vec<(&'static str, PathBuf)>,
    pub(super) known_hosts: Option<PathBuf>,
    pub(super) insecure_host_keys: bool,
    pub(super) terraform_mirror: Option<String>,
    pub(super) opentofu_mirror: Option<String>,
    /// GitLab hosts that there are tokens for.
    pub(super) hosts: Vec<String>,
    pub(super) keys: Vec<KeyReport>,
}

impl Situation {
    pub(super) fn of(file: Option<&Path>, environment: &Environment, directory: &Path, peek: &Peek<'_>) -> Self {
        let sources = Sources { file, environment, directory };
        let inspection = sources.inspect();
        let config = sources.read(&Mode::Daemon).ok();
        let text = |key: &str| text(&inspection, &peek.key_name(key));
        let path = |key: &str| text(key).map(|path| directory.join(peek.expanded(&path)));
        let uuid = config.as_ref().map(|config| config.runner_uuid.clone()).or_else(|| peek.plain(What::Uuid));
        let working_dir = path("workingDir").unwrap_or_else(|| "/tmp/runner/wd".into());
        let state_dir = path("stateDir");
        // As the daemon takes it.
        let default_state = || {
            let own =
                uuid.as_deref().unwrap_or_default().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' });
            working_dir.with_file_name("state").join(own.collect::<String>())
        };
        let folders = ["terraform.logDir", "terraform.pluginCacheDir", "terraform.repositoryCacheDir"];
        Self {
            api_url: config.as_ref().and_then(|c| c.api_url.clone()).or_else(|| peek.plain(What::ApiUrl)),
            credentials: config
                .as_ref()
                .and_then(|c| c.credentials.clone())
                .or_else(|| credentials(&inspection, directory, peek)),
            version: config.as_ref().and_then(|c| c.version.clone()),
            ca_paths: config.as_ref().map_or_else(
                || peek.plain(What::CaCerts).map(|list| std::env::split_paths(&list).collect()).unwrap_or_default(),
                |c| c.ca_paths.clone(),
            ),
            state_by_default: state_dir.is_none(),
            state_dir: state_dir.unwrap_or_else(default_state),
            install_dir: path("tfInstallDir").unwrap_or_else(|| "/tmp/runner/tfbin".into()),
            folders: folders.into_iter().filter_map(|key| Some((key, path(key)?))).collect(),
            known_hosts: environment.get("SSH_KNOWN_HOSTS").map(|file| directory.join(file)),
            insecure_host_keys: text("insecureHostKeys").as_deref() == Some("true"),
            terraform_mirror: config
                .as_ref()
                .and_then(|c| c.terraform.terraform_mirror.clone())
                .or_else(|| text("terraform.mirrors.terraform")),
            opentofu_mirror: config
                .as_ref()
                .and_then(|c| c.terraform.opentofu_mirror.clone())
                .or_else(|| text("terraform.mirrors.opentofu")),
            hosts: hosts(&inspection, &peek.key_name("gitlab.readTokens")),
            keys: peek.keys().iter().map(|source| KeyReport::of(source, directory)).collect(),
            working_dir,
            uuid,
            inspection,
        }
    }

    /// Whether it is the run controller's.
    pub(super) fn is_controllers(&self) -> bool {
        self.inspection.dialect == Dialect::Controller
    }
}

/// A value that is set and is no secret.
fn text(inspection: &Inspection, key: &str) -> Option<String> {
    let found = inspection.values.iter().find(|value| value.key == key)?;
    // What stands for a default may be a description.
    if matches!(found.origin, Origin::Default | Origin::Unset) {
        return None;
    }
    match &found.value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}

/// The credentials that a broken configuration names.
fn credentials(inspection: &Inspection, directory: &Path, peek: &Peek<'_>) -> Option<Credentials> {
    let [id_key, secret_key, user_key, password_key] = match peek.dialect {
        Dialect::Terraform => ["api.clientId", "api.clientSecret", "api.user", "api.password"],
        Dialect::Jvm => ["auth.api-key.client-id", "auth.api-key.client-secret", "auth.username", "auth.password"],
        Dialect::Controller => ["api.clientId", "api.clientSecret", "api.username", "api.password"],
    };
    let key = |key: &str| match peek.dialect {
        Dialect::Jvm => format!("blockrunner.{key}"),
        _ => key.to_owned(),
    };
    let in_file = |name: &str| {
        let found = inspection.values.iter().find(|value| value.key == key(name))?;
        let Origin::SecretFile { file, .. } = &found.origin else { return None };
        let text = read_bounded(&directory.join(file), 64 << 10)?;
        Some(Secret::new(text.expose().trim_end_matches(['\r', '\n'])))
    };
    let plain = |name: &str, what: What| peek.plain(what).or_else(|| text(inspection, &key(name)));
    let secret = |name: &str, what: What| in_file(name).or_else(|| peek.get(what));
    if let (Some(client_id), Some(client_secret)) =
        (plain(id_key, What::ClientId), secret(secret_key, What::ClientSecret))
    {
        return Some(Credentials::ApiKey { client_id, client_secret });
    }
    Some(Credentials::Basic { username: plain(user_key, What::User)?, password: secret(password_key, What::Password)? })
}

fn hosts(inspection: &Inspection, key: &str) -> Vec<String> {
    let inside = format!("{key}.");
    let names = inspection.values.iter().filter_map(|value| value.key.strip_prefix(&inside));
    names.map(|host| host.strip_suffix("File").unwrap_or(host).to_owned()).collect()
}
