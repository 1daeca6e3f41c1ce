//! What a configuration says, as far as it can be read: for commands that must work with a broken one, or that change it.
//!
//! It judges nothing. Whether a configuration is in order is said by [`crate::config`], and a runner starts with nothing else.

use std::path::{Path, PathBuf};

use meshstack_client::Secret;

use crate::config::{ConfigError, DEFAULT_FILE, Dialect, Environment, Sources};
use crate::file_edit::{Node, Outline};

/// Largest file that is looked at, in bytes.
const MAX_BYTES: u64 = 1 << 20;
/// Looked for, in this order, where no private key is configured.
const DEFAULT_KEYS: [&str; 2] = ["runner-private.pem", "/app/runner-private.pem"];
/// Where the platform puts secrets: a folder, and the names of the key in it.
const SECRETS: (&str, [&str; 2]) = ("/run/secrets", ["RUNNER_PRIVATE_KEY", "runner_private_key"]);

/// Something that is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    Uuid,
    ApiUrl,
    ClientId,
    ClientSecret,
    User,
    Password,
    CaCerts,
}

impl What {
    /// Paths in the three dialects, and variables; the first that is set counts.
    fn names(self) -> (&'static str, &'static str, &'static str, &'static [&'static str]) {
        match self {
            Self::Uuid => ("runnerUuid", "uuid", "uuid", &["RUNNER_UUID", "BLOCKRUNNER_UUID"]),
            Self::ApiUrl => ("api.url", "api.url", "api.url", &["RUNNER_API_URL", "BLOCKRUNNER_API_URL"]),
            Self::ClientId => (
                "api.clientId",
                "auth.apiKey.clientId",
                "api.clientId",
                &["RUNNER_API_CLIENT_ID", "BLOCKRUNNER_AUTH_APIKEY_CLIENTID"],
            ),
            Self::ClientSecret => (
                "api.clientSecret",
                "auth.apiKey.clientSecret",
                "api.clientSecret",
                &["RUNNER_API_CLIENT_SECRET", "BLOCKRUNNER_AUTH_APIKEY_CLIENTSECRET"],
            ),
            Self::User => ("api.user", "auth.username", "api.username", &["RUNNER_API_USERNAME"]),
            Self::Password => ("api.password", "auth.password", "api.password", &["RUNNER_API_PASSWORD"]),
            Self::CaCerts => ("", "", "", &["CUSTOM_CA_CERTS_PATH"]),
        }
    }
}

/// Where a private key comes from.
#[derive(Debug, Clone)]
pub(crate) struct KeySource {
    /// The setting or variable that names it, or that it stands in.
    pub(crate) setting: String,
    /// How it is set.
    pub(crate) origin: Origin,
    /// The file; or the key itself.
    pub(crate) key: KeyPlace,
}

/// How a key is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    File,
    Variable,
    /// Not at all: it lies where keys are looked for.
    Default,
}

/// A key's place.
#[derive(Debug, Clone)]
pub(crate) enum KeyPlace {
    /// A file, as it is written in the configuration.
    File(PathBuf),
    /// In the configuration itself.
    Inline(Secret),
}

/// A configuration that was looked at.
pub(crate) struct Peek<'e> {
    environment: &'e Environment,
    directory: &'e Path,
    /// The file, as it was named with `--config`.
    option: Option<PathBuf>,
    /// The file, as it was named.
    pub(crate) shown: PathBuf,
    /// Its keys and values; `None` if there is no file, or it cannot be read as YAML.
    pub(crate) outline: Option<Outline>,
    pub(crate) dialect: Dialect,
}

impl<'e> Peek<'e> {
    /// Looks at the file that the runner would read. A missing or broken one says nothing.
    pub(crate) fn at(named: Option<&Path>, environment: &'e Environment, directory: &'e Path) -> Self {
        let sources = Sources { file: named, environment, directory };
        let shown = sources.file().unwrap_or_else(|| PathBuf::from(DEFAULT_FILE));
        let outline = read_bounded(&directory.join(&shown), MAX_BYTES).and_then(|text| Outline::of(text.expose()));
        let dialect = match &outline {
            Some(outline) if outline.has_under("blockrunner") => Dialect::Jvm,
            Some(outline) if outline.has_under("implementations") || outline.has_under("crypto") => Dialect::Controller,
            _ => Dialect::Terraform,
        };
        Self { environment, directory, option: named.map(Path::to_owned), shown, outline, dialect }
    }

    /// The file's place on disk.
    pub(crate) fn file(&self) -> PathBuf {
        self.directory.join(&self.shown)
    }

    /// Why the file says nothing: one that is named and missing, or is no YAML. `None` too where there need not be one.
    pub(crate) fn unreadable(&self) -> Option<String> {
        let sources =
            Sources { file: self.option.as_deref(), environment: self.environment, directory: self.directory };
        if self.outline.is_some() || sources.file().is_none() {
            return None;
        }
        let seen = sources.inspect();
        if seen.values.is_empty() && !seen.mistakes.is_empty() {
            return Some(ConfigError { mistakes: seen.mistakes, warnings: seen.warnings }.to_string());
        }
        // Nothing but comments, say.
        None
    }

    /// A command of this program, with the same `--config`, for people to type.
    pub(crate) fn command(&self, words: &str) -> String {
        match &self.option {
            Some(file) => format!("bb-runner {words} --config {}", quoted(file)),
            None => format!("bb-runner {words}"),
        }
    }

    /// What the key of a setting is called in this file, by its name in the Terraform runner's file.
    pub(crate) fn key_name(&self, name: &str) -> String {
        match (self.dialect, name) {
            (Dialect::Jvm, "runnerUuid") => "blockrunner.uuid".to_owned(),
            (Dialect::Jvm, _) => format!("blockrunner.{name}"),
            (Dialect::Controller, "runnerUuid") => "uuid".to_owned(),
            (Dialect::Controller, "privateKey" | "privateKeyFile") => format!("crypto.{name}"),
            _ => name.to_owned(),
        }
    }

    /// What is set; a variable beats the file.
    pub(crate) fn get(&self, what: What) -> Option<Secret> {
        let (terraform, jvm, controller, variables) = what.names();
        let of_variable = variables.iter().find_map(|name| self.environment.get(name)?.to_str().map(str::to_owned));
        if let Some(text) = of_variable {
            return Some(Secret::new(text));
        }
        let path = match self.dialect {
            Dialect::Terraform => terraform.to_owned(),
            Dialect::Jvm => format!("blockrunner.{jvm}"),
            Dialect::Controller => controller.to_owned(),
        };
        let found = self.find(&path).or_else(|| match (self.dialect, what) {
            (Dialect::Controller, What::User) => self.find("api.user"),
            _ => None,
        })?;
        self.text(found)
    }

    /// The same, for what is no secret.
    pub(crate) fn plain(&self, what: What) -> Option<String> {
        self.get(what).map(|text| text.expose().trim().to_owned())
    }

    /// The node of a key, in the spelling of the dialect.
    pub(crate) fn find(&self, path: &str) -> Option<&Node> {
        let outline = self.outline.as_ref()?;
        match self.dialect {
            Dialect::Jvm => outline.find_loosely(path),
            _ => outline.find(path),
        }
    }

    /// A file's text with its placeholders filled; `None` if blank.
    fn text(&self, node: &Node) -> Option<Secret> {
        let text = node.text()?;
        let text = if self.dialect == Dialect::Jvm { self.filled(text) } else { text.to_owned() };
        (!text.trim().is_empty()).then(|| Secret::new(text))
    }

    /// `${NAME:default}` as Spring fills it; what is not closed stays as it is.
    fn filled(&self, text: &str) -> String {
        let Some((before, rest)) = text.split_once("${") else { return text.to_owned() };
        let Some((inside, after)) = rest.split_once('}') else { return text.to_owned() };
        let (name, default) = inside.split_once(':').unwrap_or((inside, ""));
        let value = self.environment.get(name.trim()).and_then(|value| value.to_str()).unwrap_or(default);
        format!("{before}{value}{}", self.filled(after))
    }

    /// Every text of a list setting, or of a single one.
    fn texts(&self, path: &str) -> Vec<Secret> {
        let (Some(outline), Some(node)) = (&self.outline, self.find(path)) else { return Vec::new() };
        outline.texts_under(node).filter_map(|node| self.text(node)).collect()
    }

    /// A path with `~` at its start, as the runner reads it.
    pub(crate) fn expanded(&self, path: &str) -> PathBuf {
        let home = || self.environment.get("HOME").map(PathBuf::from);
        match path.strip_prefix('~').filter(|rest| rest.is_empty() || rest.starts_with('/')).zip(home()) {
            Some((rest, home)) => home.join(rest.trim_start_matches('/')),
            None => PathBuf::from(path),
        }
    }

    /// The current private key: the one that a new key takes the place of.
    pub(crate) fn current_key(&self) -> Option<KeySource> {
        let variable = "RUNNER_PRIVATE_KEY_FILE";
        if let Some(path) = self.environment.get(variable).and_then(|path| path.to_str()) {
            let key = KeyPlace::File(self.expanded(path.trim()));
            return Some(KeySource { setting: variable.to_owned(), origin: Origin::Variable, key });
        }
        let (file, inline) = (self.key_name("privateKeyFile"), self.key_name("privateKey"));
        if let Some(path) = self.find(&file).and_then(|node| self.text(node)) {
            let key = KeyPlace::File(self.expanded(path.expose().trim()));
            return Some(KeySource { setting: file, origin: Origin::File, key });
        }
        if let Some(path) = self.default_key() {
            let key = KeyPlace::File(path);
            return Some(KeySource { setting: "the default place".to_owned(), origin: Origin::Default, key });
        }
        let text = self.find(&inline).and_then(|node| self.text(node))?;
        Some(KeySource { setting: inline, origin: Origin::File, key: KeyPlace::Inline(text) })
    }

    fn default_key(&self) -> Option<PathBuf> {
        let beside = DEFAULT_KEYS.map(PathBuf::from).into_iter().find(|path| self.directory.join(path).exists());
        let folders = || {
            let of_systemd = self.environment.get("CREDENTIALS_DIRECTORY").map(PathBuf::from);
            of_systemd.into_iter().chain([PathBuf::from(SECRETS.0)])
        };
        beside.or_else(|| {
            folders().flat_map(|folder| SECRETS.1.map(|name| folder.join(name))).find(|file| file.is_file())
        })
    }

    /// The other private keys, in the order in which they are tried.
    pub(crate) fn further_keys(&self) -> Vec<KeySource> {
        let of_variable = |name: &str| {
            let list = self.environment.get(name)?.to_str()?;
            Some(list.split(',').map(str::trim).filter(|part| !part.is_empty()).map(Secret::new).collect::<Vec<_>>())
        };
        let mut keys = Vec::new();
        for (name, variable) in [("privateKeyFiles", "BB_PRIVATE_KEY_FILES"), ("privateKeys", "BB_PRIVATE_KEYS")] {
            let key = self.key_name(name);
            let (setting, origin, texts) = match of_variable(variable) {
                Some(texts) => (variable.to_owned(), Origin::Variable, texts),
                None => (key.clone(), Origin::File, self.texts(&key)),
            };
            keys.extend(texts.into_iter().map(|text| KeySource {
                setting: setting.clone(),
                origin,
                key: match name {
                    "privateKeyFiles" => KeyPlace::File(self.expanded(text.expose().trim())),
                    _ => KeyPlace::Inline(text),
                },
            }));
        }
        keys
    }

    /// All private keys, the newest first.
    pub(crate) fn keys(&self) -> Vec<KeySource> {
        self.current_key().into_iter().chain(self.further_keys()).collect()
    }

    /// Everything that looks like a secret in the file and the environment, whatever it is called there.
    pub(crate) fn secrets(&self) -> Vec<Secret> {
        let mut secrets: Vec<Secret> =
            [What::ClientSecret, What::Password].iter().filter_map(|what| self.get(*what)).collect();
        for source in self.keys() {
            match source.key {
                KeyPlace::Inline(text) => secrets.push(text),
                KeyPlace::File(path) => secrets.extend(read_bounded(&self.directory.join(path), 256 << 10)),
            }
        }
        let nodes = self.outline.iter().flat_map(|outline| &outline.nodes);
        secrets.extend(nodes.filter(|node| is_secret_name(&node.path)).filter_map(|node| self.text(node)));
        secrets
    }
}

/// A path as a shell takes it for one word.
pub(crate) fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%,=".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.into_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

/// Whether a key is named like one that holds a secret.
pub(crate) fn is_secret_name(path: &str) -> bool {
    let name = crate::file_edit::loose(path.split('[').next().unwrap_or_default());
    let plain = name.ends_with("file") || name.ends_with("files") || name.contains("publickey");
    !plain
        && ["secret", "password", "privatekey", "token", "apikey.", "passphrase", "credential"]
            .iter()
            .any(|word| name.contains(word))
}

/// A text file of no more than so many bytes; wiped when dropped.
pub(crate) fn read_bounded(file: &Path, most: u64) -> Option<Secret> {
    use std::io::Read as _;
    // A pipe or a device would be waited for.
    if !std::fs::metadata(file).ok()?.is_file() {
        return None;
    }
    let mut text = String::new();
    std::fs::File::open(file).ok()?.take(most + 1).read_to_string(&mut text).ok()?;
    (text.len() as u64 <= most).then(|| Secret::new(text))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{KeyPlace, Origin, Peek, What, is_secret_name};
    use crate::config::{Dialect, Environment};

    fn peek(text: &str, environment: &Environment, check: impl Fn(&Peek<'_>)) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("runner-config.yml"), text).unwrap();
        check(&Peek::at(None, environment, folder.path()));
    }

    #[test]
    fn the_same_is_found_in_all_three_dialects() {
        let files = [
            ("runnerUuid: u\napi: {url: http://x, clientId: i, clientSecret: s}\nprivateKey: k\n", Dialect::Terraform),
            (
                "blockrunner:\n  uuid: u\n  api: {url: '${URL:http://x}'}\n  auth: {api-key: {client-id: i, client_secret: s}}\n  private-key: k\n",
                Dialect::Jvm,
            ),
            (
                "uuid: u\nnamespace: n\napi: {url: http://x, clientId: i, clientSecret: s}\ncrypto: {privateKey: k}\n",
                Dialect::Controller,
            ),
        ];
        for (text, dialect) in files {
            peek(text, &Environment::default(), |peek| {
                assert_eq!(peek.dialect, dialect);
                assert_eq!(peek.plain(What::Uuid).as_deref(), Some("u"), "{text}");
                assert_eq!(peek.plain(What::ApiUrl).as_deref(), Some("http://x"), "{text}");
                assert_eq!(peek.plain(What::ClientId).as_deref(), Some("i"), "{text}");
                assert_eq!(peek.plain(What::ClientSecret).as_deref(), Some("s"), "{text}");
                let key = peek.current_key().unwrap();
                assert!(matches!(key.key, KeyPlace::Inline(text) if text.expose() == "k"), "{text}");
            });
        }
    }

    #[test]
    fn a_variable_beats_the_file_and_a_placeholder_takes_its_variable() {
        peek("runnerUuid: file\n", &[("RUNNER_UUID", "variable")].into(), |peek| {
            assert_eq!(peek.plain(What::Uuid).as_deref(), Some("variable"));
        });
        peek("blockrunner: {api: {url: '${A:x}/${B:y}'}}\n", &[("A", "http://a")].into(), |peek| {
            assert_eq!(peek.plain(What::ApiUrl).as_deref(), Some("http://a/y"));
        });
    }

    #[test]
    fn keys_come_in_the_order_in_which_the_runner_tries_them() {
        let text = "privateKeyFile: ~/a.pem\nprivateKeyFiles: [b.pem]\nprivateKeys: [inline]\n";
        peek(text, &[("HOME", "/home/x")].into(), |peek| {
            let keys = peek.keys();
            assert_eq!(keys.len(), 3);
            assert!(matches!(&keys[0].key, KeyPlace::File(path) if path == Path::new("/home/x/a.pem")));
            assert!(matches!(&keys[1].key, KeyPlace::File(path) if path == Path::new("b.pem")));
            assert_eq!(keys[2].origin, Origin::File);
        });
    }

    #[test]
    fn a_broken_file_says_nothing() {
        peek("a: 'open\n", &Environment::default(), |peek| assert!(peek.outline.is_none() && peek.keys().is_empty()));
    }

    #[test]
    fn keys_named_like_secrets_are_told_from_others() {
        for name in [
            "api.clientSecret",
            "blockrunner.auth.api-key.client-secret",
            "crypto.privateKey",
            "privateKeys[0]",
            "gitlab.readTokens.gitlab.com",
            "api.password",
        ] {
            assert!(is_secret_name(name), "{name}");
        }
        for name in ["api.url", "privateKeyFile", "privateKeyFiles[0]", "crypto.publicKey", "api.clientSecretFile"] {
            assert!(!is_secret_name(name), "{name}");
        }
    }
}
