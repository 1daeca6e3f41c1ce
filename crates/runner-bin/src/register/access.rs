//! How meshStack is reached: from the options, else from the configuration, also from one that has no UUID yet.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use meshstack_client::{ClientConfig, Credentials, PrivateKey, Secret};
use reqwest::Url;

use super::args::AccessArgs;
use crate::config::{Config, ControllerConfig, Dialect, Environment, Mode, Sources};
use crate::file_edit::{self, Change};
use crate::keys::read_key;
use crate::peek::{Peek, What};

/// Stands in the place of a UUID that there is not yet. No runner has it.
const NO_UUID: &str = "00000000-0000-0000-0000-000000000000";
/// Largest secret that is read, in bytes.
const MAX_SECRET: u64 = 64 << 10;

/// meshStack's address, and what is needed there.
pub(crate) struct Access {
    pub(crate) base: Url,
    pub(crate) url: String,
    pub(crate) credentials: Credentials,
    pub(crate) ca_paths: Vec<PathBuf>,
    pub(crate) version: Option<String>,
    /// The UUID that is configured.
    pub(crate) uuid: Option<String>,
    /// The configured private keys, the newest first.
    pub(crate) keys: Vec<PrivateKey>,
    /// What a controller's file says about its registration.
    pub(crate) controller: Option<OfController>,
}

/// The registration in a controller's file. Source: `protocol/configuration.md`, dialect 3.
pub(crate) struct OfController {
    pub(crate) workspace: String,
    pub(crate) display_name: String,
    /// PEM.
    pub(crate) certificate: String,
}

/// What both kinds of configuration say.
struct Configured {
    uuid: String,
    url: Option<String>,
    credentials: Option<Credentials>,
    ca_paths: Vec<PathBuf>,
    version: Option<String>,
    keys: Vec<PrivateKey>,
    controller: Option<OfController>,
}

impl Access {
    /// Reads everything; an error is for the person who asked.
    pub(crate) fn of(
        args: &AccessArgs,
        environment: &Environment,
        directory: &Path,
        peek: &Peek<'_>,
    ) -> Result<Self, String> {
        let given = given_credentials(args)?;
        let config = match read(&with_options(environment, args, given.as_ref())?, directory, peek) {
            Ok(config) => config,
            // Everything that the configuration would say about meshStack was said. Its keys still decide which
            // certificate fits.
            Err(error) if given.is_some() && args.api_url.is_some() => {
                if peek.file().exists() && peek.outline.is_none() {
                    return Err(error);
                }
                let keys = peek.keys().iter().map(|source| read_key(source, directory)).collect::<Result<_, _>>()?;
                let url = args.api_url.clone().unwrap_or_default();
                return Ok(Self { keys, ..Self::made(url, given, None, peek)? });
            }
            Err(error) => return Err(error),
        };
        let url = args.api_url.clone().or(config.url).unwrap_or_default();
        let access = Self::made(url, given.or(config.credentials), config.version, peek)?;
        let uuid = Some(config.uuid).filter(|uuid| uuid != NO_UUID);
        Ok(Self { uuid, keys: config.keys, ca_paths: config.ca_paths, controller: config.controller, ..access })
    }

    fn made(
        url: String,
        credentials: Option<Credentials>,
        version: Option<String>,
        peek: &Peek<'_>,
    ) -> Result<Self, String> {
        let credentials = credentials.ok_or(
            "There are no credentials for meshStack. Set RUNNER_API_CLIENT_ID and RUNNER_API_CLIENT_SECRET, or give \
             --client-id and --client-secret-file.",
        )?;
        let base = base_url(&url)?;
        let ca_paths = peek.plain(What::CaCerts).map(|list| std::env::split_paths(&list).collect()).unwrap_or_default();
        Ok(Self {
            base,
            url,
            credentials,
            ca_paths,
            version,
            uuid: peek.plain(What::Uuid),
            keys: Vec::new(),
            controller: None,
        })
    }

    /// The client's configuration.
    pub(crate) fn client_config(&self) -> ClientConfig {
        let mut client = ClientConfig::new(self.uuid.clone().unwrap_or_else(|| NO_UUID.to_owned()));
        client.version = self.version.clone().unwrap_or_else(|| env!("CARGO_PKG_VERSION").to_owned());
        client.api_url = Some(self.url.clone());
        client.credentials = Some(self.credentials.clone());
        client.ca_paths.clone_from(&self.ca_paths);
        client
    }
}

/// The address of meshStack, as the client checks it.
pub(crate) fn base_url(text: &str) -> Result<Url, String> {
    let mut client = ClientConfig::new(NO_UUID);
    client.api_url = Some(text.to_owned());
    meshstack_client::Client::new(client).map_err(|error| {
        let text = error.to_string();
        format!("{}{}.", text[..1].to_uppercase(), &text[1..])
    })?;
    Url::parse(text.trim()).map_err(|_| {
        "The address of meshStack is missing. Set RUNNER_API_URL or `api.url`, or give --api-url.".to_owned()
    })
}

/// The environment with the options in the place of the variables, so that nobody misses what they say.
fn with_options(
    environment: &Environment,
    args: &AccessArgs,
    given: Option<&Credentials>,
) -> Result<Environment, String> {
    let mut environment = environment.clone();
    if let Some(url) = &args.api_url {
        base_url(url)?;
        environment = environment.with("RUNNER_API_URL", url);
    }
    if let Some(Credentials::ApiKey { client_id, client_secret }) = given {
        environment = environment
            .with("RUNNER_API_CLIENT_ID", client_id)
            .with("RUNNER_API_CLIENT_SECRET", client_secret.expose());
    }
    Ok(environment)
}

fn given_credentials(args: &AccessArgs) -> Result<Option<Credentials>, String> {
    let secret = match &args.client_secret_file {
        None => None,
        Some(file) => Some(read_secret(file)?),
    };
    let environment_secret =
        || std::env::var("RUNNER_API_CLIENT_SECRET").ok().filter(|secret| !secret.trim().is_empty()).map(Secret::new);
    let environment_id = || std::env::var("RUNNER_API_CLIENT_ID").ok().filter(|id| !id.trim().is_empty());
    match (&args.client_id, secret) {
        (None, None) => Ok(None),
        (Some(id), secret) => match secret.or_else(environment_secret) {
            Some(client_secret) => Ok(Some(Credentials::ApiKey { client_id: id.clone(), client_secret })),
            None => Err("The secret of the API key is missing beside --client-id. Give --client-secret-file, or set \
                         RUNNER_API_CLIENT_SECRET."
                .to_owned()),
        },
        (None, Some(client_secret)) => match environment_id() {
            Some(client_id) => Ok(Some(Credentials::ApiKey { client_id, client_secret })),
            None => Err("The id of the API key is missing beside --client-secret-file. Give --client-id.".to_owned()),
        },
    }
}

fn read_secret(file: &Path) -> Result<Secret, String> {
    let mut text = String::new();
    let read = if file == Path::new("-") {
        std::io::stdin().take(MAX_SECRET).read_to_string(&mut text)
    } else {
        std::fs::File::open(file).and_then(|opened| opened.take(MAX_SECRET).read_to_string(&mut text))
    };
    let text = Secret::new(text);
    read.map_err(|error| {
        format!("The secret in {} cannot be read ({error}). Check the path and its permissions.", file.display())
    })?;
    let secret = Secret::new(text.expose().trim_end_matches(['\r', '\n']));
    if secret.is_empty() {
        return Err(format!("The file {} holds no secret. Put the secret of the API key into it.", file.display()));
    }
    Ok(secret)
}

/// The configuration as the runner reads it. Where only the UUID is missing, a copy that has one is read in its place.
fn read(environment: &Environment, directory: &Path, peek: &Peek<'_>) -> Result<Configured, String> {
    let named = Some(peek.shown.as_path()).filter(|_| peek.file().exists());
    let read = |file: Option<&Path>| {
        let sources = Sources { file, environment, directory };
        if peek.dialect == Dialect::Controller {
            sources.read_controller().map(Configured::from)
        } else {
            sources.read(&Mode::Daemon).map(Configured::from)
        }
    };
    let error = match read(named) {
        Ok(config) => return Ok(config),
        Err(error) => error.to_string(),
    };
    if peek.plain(What::Uuid).is_some() || (peek.file().exists() && peek.outline.is_none()) {
        return Err(error);
    }
    let text = peek.outline.as_ref().map(|outline| outline.text.as_str()).unwrap_or_default();
    let uuid = Change::Set { path: peek.key_name("runnerUuid"), text: NO_UUID.to_owned() };
    let Ok(text) = file_edit::change(text, &[uuid]) else { return Err(error) };
    let copy = tempfile::NamedTempFile::new().and_then(|mut copy| {
        std::io::Write::write_all(&mut copy, text.as_bytes())?;
        Ok(copy)
    });
    let Ok(copy) = copy else { return Err(error) };
    read(Some(copy.path()))
        .map_err(|error| error.to_string().replace(&*copy.path().to_string_lossy(), &peek.shown.to_string_lossy()))
}

impl From<Config> for Configured {
    fn from(config: Config) -> Self {
        Self {
            uuid: config.runner_uuid,
            url: config.api_url,
            credentials: config.credentials,
            ca_paths: config.ca_paths,
            version: config.version,
            keys: config.keys,
            controller: None,
        }
    }
}

impl From<ControllerConfig> for Configured {
    fn from(config: ControllerConfig) -> Self {
        let certificate = config.certificate.pem().to_owned();
        let (workspace, display_name) = (config.owned_by_workspace, config.display_name);
        Self {
            uuid: config.runner_uuid,
            url: Some(config.api_url),
            credentials: Some(config.credentials),
            ca_paths: config.ca_paths,
            version: config.version,
            keys: config.keys,
            controller: Some(OfController { workspace, display_name, certificate }),
        }
    }
}
