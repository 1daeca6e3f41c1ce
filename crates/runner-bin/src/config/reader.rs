//! Looks settings up (environment beats file), converts them, and collects every mistake on the way.

use std::path::{Path, PathBuf};

use meshstack_client::Secret;

use super::environment::Environment;
use super::problem::{Place, Problem};
use super::settings::{self, SETTINGS, Setting};
use super::suggest;
use super::yaml::Entry;

/// A value and where it stands.
#[derive(Clone)]
pub(super) struct Found {
    pub text: String,
    pub place: Place,
    /// How the setting is called there, for messages.
    pub name: String,
}

pub(super) struct Reader<'e> {
    environment: &'e Environment,
    file: PathBuf,
    entries: Vec<Entry>,
    pub mistakes: Vec<Problem>,
    pub warnings: Vec<Problem>,
}

impl<'e> Reader<'e> {
    pub(super) fn new(environment: &'e Environment, file: &Path, entries: Vec<Entry>, mistakes: Vec<Problem>) -> Self {
        Self { environment, file: file.to_owned(), entries, mistakes, warnings: Vec::new() }
    }

    /// Warns of keys that no setting has, and finds values where keys should be.
    pub(super) fn check_names(&mut self) {
        let has_value = |entry: &&Entry| entry.value.as_ref().is_some_and(|value| !value.trim().is_empty());
        for entry in self.entries.iter().filter(has_value).filter(|entry| settings::is_group(&entry.path)) {
            let text = format!("`{}` must have keys under it, not a value. Check the indentation.", entry.path);
            self.mistakes.push(Problem::new(Place::line(&self.file, entry.line), text));
        }
        for entry in self.entries.iter().filter(|entry| !settings::is_known(&entry.path)) {
            let keys = SETTINGS.iter().filter_map(|row| row.key).map(|key| key.trim_end_matches("[]"));
            let name = suggest::printable(&entry.path);
            let text = match suggest::nearest(&entry.path, keys) {
                Some(known) => format!("{name} is not known and has no effect. Did you mean `{known}`?"),
                None => format!("{name} is not known and has no effect. Remove it."),
            };
            self.warnings.push(Problem::new(Place::line(&self.file, entry.line), text));
        }
    }

    pub(super) fn mistake(&mut self, place: Place, text: impl Into<String>) {
        self.mistakes.push(Problem::new(place, text));
    }

    /// The setting is missing; names every place it could stand.
    pub(super) fn missing(&mut self, setting: Setting, what: &str) {
        let row = settings::row(setting);
        let ways = match (row.key, row.variable) {
            (Some(key), Some(variable)) => format!("`{key}` in {} or the variable {variable}", self.file.display()),
            (Some(key), None) => format!("`{key}` in {}", self.file.display()),
            (None, variable) => format!("the variable {}", variable.unwrap_or_default()),
        };
        self.mistake(Place::Nowhere, format!("{what} is missing. Set {ways}."));
    }

    /// All values of a setting: from the variable if it is set, else from the file.
    fn all(&mut self, setting: Setting) -> Vec<Found> {
        let row = settings::row(setting);
        if let Some((variable, value)) = row.variable.and_then(|name| Some((name, self.environment.get(name)?))) {
            let place = Place::Variable(variable);
            let Some(text) = value.to_str() else {
                self.mistake(place, "It holds bytes that are no UTF-8 text. Correct its value.");
                return Vec::new();
            };
            let found = |text: &str| Found { text: text.to_owned(), place: place.clone(), name: variable.to_owned() };
            let is_list = row.key.is_some_and(|key| key.ends_with("[]"));
            let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
            return if is_list { parts.map(found).collect() } else { vec![found(text)] };
        }
        let Some(key) = row.key else { return Vec::new() };
        let mut values = Vec::new();
        let mut misplaced = Vec::new();
        for entry in &self.entries {
            let Some(text) = entry.value.as_ref().filter(|text| !text.trim().is_empty()) else { continue };
            let general = settings::general(&entry.path);
            // One value where a list is expected is a list of one.
            if general == key || general == key.trim_end_matches("[]") {
                let place = Place::line(&self.file, entry.line);
                values.push(Found { text: text.clone(), place, name: entry.path.clone() });
            } else if general.strip_prefix(key).is_some_and(|rest| rest.starts_with(['.', '['])) {
                misplaced.push(entry.line);
            }
        }
        if let Some(line) = misplaced.first() {
            let text = format!("`{key}` must be a single value, not a list or mapping. Check the indentation.");
            self.mistake(Place::line(&self.file, *line), text);
        }
        values
    }

    /// A single value. Of a key that is there twice (a mistake of its own) the last counts.
    pub(super) fn one(&mut self, setting: Setting) -> Option<Found> {
        let found = self.all(setting).pop()?;
        Some(Found { text: found.text.trim().to_owned(), ..found })
    }

    pub(super) fn text(&mut self, setting: Setting) -> Option<String> {
        self.one(setting).map(|found| found.text)
    }

    /// A secret: only line ends are taken off, a blank at its end may be part of it.
    pub(super) fn secret(&mut self, setting: Setting) -> Option<Secret> {
        let found = self.all(setting).pop()?;
        Some(Secret::new(found.text.trim_end_matches(['\r', '\n'])))
    }

    pub(super) fn list(&mut self, setting: Setting) -> Vec<Found> {
        self.all(setting)
    }

    /// A whole number; `unit` is what it counts, such as `minutes`.
    pub(super) fn number(&mut self, setting: Setting, unit: &str, range: std::ops::RangeInclusive<u64>) -> Option<u64> {
        let found = self.one(setting)?;
        match found.text.parse::<u64>() {
            Ok(number) if range.contains(&number) => Some(number),
            _ => {
                let (first, last) = (range.start(), range.end());
                let text = format!(
                    "`{}` must be a whole number from {first} to {last} ({unit}), not {}.",
                    found.name,
                    shown(&found.text)
                );
                self.mistake(found.place, text);
                None
            }
        }
    }

    pub(super) fn flag(&mut self, setting: Setting) -> bool {
        let Some(found) = self.one(setting) else { return false };
        match found.text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" => true,
            "false" | "no" | "off" => false,
            _ => {
                let text = format!("`{}` must be true or false, not {}.", found.name, shown(&found.text));
                self.mistake(found.place, text);
                false
            }
        }
    }

    /// A path; `~` at its start is the home directory.
    pub(super) fn path(&mut self, setting: Setting) -> Option<PathBuf> {
        let found = self.one(setting)?;
        self.expand_home(&found)
    }

    pub(super) fn expand_home(&mut self, found: &Found) -> Option<PathBuf> {
        let Some(rest) = found.text.strip_prefix('~').filter(|rest| rest.is_empty() || rest.starts_with('/')) else {
            return Some(PathBuf::from(&found.text));
        };
        let Some(home) = self.environment.get("HOME") else {
            let text =
                format!("`{}` starts with `~`, but the variable HOME is not set. Write the whole path.", found.name);
            self.mistake(found.place.clone(), text);
            return None;
        };
        Some(Path::new(home).join(rest.trim_start_matches('/')))
    }
}

/// A value in a message: short ones only. Whoever calls it knows that no secret is expected there; one that
/// was put there by mistake is longer than any number.
fn shown(text: &str) -> String {
    let plain = text.chars().count() <= 12 && text.chars().all(|c| c.is_ascii_graphic() || c == ' ');
    if plain { format!("`{text}`") } else { "what is there".to_owned() }
}
