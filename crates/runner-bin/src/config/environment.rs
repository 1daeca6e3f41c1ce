//! Environment variables and secrets that the platform hands over as files, as a value: tests bring their own.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

/// Where Docker and others mount secrets.
const SECRETS: &str = "/run/secrets";

/// The variables that a configuration is read from, and the folders with secrets that come with them.
#[derive(Clone, Default)]
pub struct Environment {
    variables: BTreeMap<String, OsString>,
    secrets: Vec<PathBuf>,
}

impl Environment {
    /// Those of this process. Secrets are looked for in systemd's `$CREDENTIALS_DIRECTORY` and in `/run/secrets`.
    pub fn of_process() -> Self {
        let variables =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value))).collect();
        let mut this = Self { variables, secrets: Vec::new() };
        this.secrets.extend(this.get("CREDENTIALS_DIRECTORY").map(PathBuf::from));
        this.secrets.push(SECRETS.into());
        this
    }

    /// The same with one more folder with secrets.
    #[must_use]
    pub fn with_secrets(mut self, folder: impl Into<PathBuf>) -> Self {
        self.secrets.push(folder.into());
        self
    }

    /// The same with one variable set.
    #[must_use]
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.to_owned(), value.into());
        self
    }

    /// The value of a variable. An empty or blank one counts as unset: deployment templates yield such.
    pub fn get(&self, name: &str) -> Option<&OsStr> {
        let blank = |value: &OsStr| value.to_str().is_some_and(|text| text.trim().is_empty());
        self.variables.get(name).map(OsString::as_os_str).filter(|value| !blank(value))
    }

    /// The names of the variables that are set.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.variables.keys().map(String::as_str).filter(|name| self.get(name).is_some())
    }

    /// The file with the secret of this name, in upper or lower case, if there is one.
    pub(super) fn secret_file(&self, name: &str) -> Option<PathBuf> {
        let names = [name.to_owned(), name.to_ascii_lowercase()];
        let files = self.secrets.iter().flat_map(|folder| names.iter().map(|name| folder.join(name)));
        files.into_iter().find(|file| file.is_file())
    }
}

impl<const N: usize> From<[(&str, &str); N]> for Environment {
    fn from(variables: [(&str, &str); N]) -> Self {
        let variables = variables.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
        Self { variables, secrets: Vec::new() }
    }
}

impl std::fmt::Debug for Environment {
    /// Names only: values hold secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.variables.keys()).finish()
    }
}
