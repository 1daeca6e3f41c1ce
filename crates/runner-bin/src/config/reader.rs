//! Looks settings up: environment, then file, then secrets that the platform hands over. Every mistake on the way is
//! collected.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::dialect::Dialect;
use super::environment::Environment;
use super::names::{self, Along};
use super::placeholder::{self, Unresolved};
use super::problem::{Place, Problem};
use super::secret_file;
use super::settings::{self, Kind, Row, Setting};
use super::suggest;
use super::yaml::{Document, Entry};

/// A value and where it stands.
#[derive(Clone)]
pub(super) struct Found {
    pub text: String,
    pub place: Place,
    /// How the setting is called there, for messages.
    pub name: String,
    /// The file that the value was read from, where only that is named.
    pub secret_file: Option<PathBuf>,
}

/// A key of the file, and how it is compared.
pub(super) struct Key {
    pub entry: Entry,
    pub comparable: String,
}

pub(super) struct Reader<'e> {
    pub environment: &'e Environment,
    /// What relative paths are relative to.
    pub directory: &'e Path,
    /// The file, as it is called in messages.
    pub file: PathBuf,
    pub dialect: Dialect,
    pub document: Document,
    pub keys: Vec<Key>,
    pub mistakes: Vec<Problem>,
    pub warnings: Vec<Problem>,
    /// What was looked up already.
    pub looked_up: BTreeMap<Setting, Vec<Found>>,
    /// Hosts that tokens were found for.
    pub hosts: Vec<(String, Found)>,
    /// Settings that are set, but to something that cannot be had: a mistake that was told already.
    broken: BTreeSet<Setting>,
}

impl<'e> Reader<'e> {
    pub(super) fn new(
        environment: &'e Environment,
        directory: &'e Path,
        file: &Path,
        dialect: Dialect,
        mut document: Document,
    ) -> Self {
        let mistakes = std::mem::take(&mut document.mistakes);
        let key = |entry: &Entry| Key { comparable: names::comparable(dialect, &entry.path), entry: entry.clone() };
        let keys = document.entries.iter().map(key).collect();
        Self {
            environment,
            directory,
            file: file.to_owned(),
            dialect,
            document,
            keys,
            mistakes,
            warnings: Vec::new(),
            looked_up: BTreeMap::new(),
            hosts: Vec::new(),
            broken: BTreeSet::new(),
        }
    }

    pub(super) fn mistake(&mut self, place: Place, text: impl Into<String>) {
        self.mistakes.push(Problem::new(place, text));
    }

    pub(super) fn warning(&mut self, place: Place, text: impl Into<String>) {
        self.warnings.push(Problem::new(place, text));
    }

    pub(super) fn line(&self, line: usize) -> Place {
        Place::line(&self.file, line)
    }

    /// Looks at what does not count; what is wrong with it does not matter.
    pub(super) fn without_complaints<T>(&mut self, look: impl FnOnce(&mut Self) -> T) -> T {
        let before = (self.mistakes.len(), self.warnings.len(), self.broken.clone());
        let seen = look(self);
        self.mistakes.truncate(before.0);
        self.warnings.truncate(before.1);
        self.broken = before.2;
        seen
    }

    /// How a setting is called in this file; its variable where it has no key.
    pub(super) fn name_of(&self, setting: Setting) -> String {
        let row = settings::row(setting);
        row.key(self.dialect).unwrap_or_else(|| row.variable().unwrap_or_default().to_owned())
    }

    /// The setting is missing; names every place it could stand. Nothing, if it is there and broken.
    pub(super) fn missing(&mut self, setting: Setting, what: &str) {
        if self.is_broken(setting) {
            return;
        }
        let row = settings::row(setting);
        let ways = match (row.key(self.dialect), row.variable()) {
            (Some(key), Some(variable)) => format!("`{key}` in {} or the variable {variable}", self.file.display()),
            (Some(key), None) => format!("`{key}` in {}", self.file.display()),
            (None, variable) => format!("the variable {}", variable.unwrap_or_default()),
        };
        self.mistake(Place::Nowhere, format!("{what} is missing. Set {ways}."));
    }

    /// Whether it is set to something that cannot be had.
    pub(super) fn is_broken(&self, setting: Setting) -> bool {
        self.broken.contains(&setting)
    }

    /// All values of a setting: from variables, else from the file, else from a secret of the platform.
    pub(super) fn list(&mut self, setting: Setting) -> Vec<Found> {
        if let Some(known) = self.looked_up.get(&setting) {
            return known.clone();
        }
        let row = settings::row(setting);
        let mut found = self.variables(row);
        if found.is_empty() && !self.is_broken(setting) {
            found = self.lines(row);
        }
        if found.is_empty() && !self.is_broken(setting) {
            found = self.handed_over(row);
        }
        self.looked_up.insert(setting, found.clone());
        found
    }

    /// A single value.
    pub(super) fn one(&mut self, setting: Setting) -> Option<Found> {
        let found = self.list(setting).pop()?;
        let text = match settings::row(setting).kind {
            // A blank at its end may be part of it.
            Kind::Secret => found.text.trim_end_matches(['\r', '\n']).to_owned(),
            _ => found.text.trim().to_owned(),
        };
        Some(Found { text, ..found })
    }

    /// From the variables: Spring's names first, as they also win in the public containers that know both.
    fn variables(&mut self, row: &Row) -> Vec<Found> {
        let spring = row.spring_variables().into_iter().map(|name| (name, true));
        let names = spring.chain(row.variable().map(|name| (name.to_owned(), false)));
        for (name, is_spring) in names.collect::<Vec<_>>() {
            let mut found = self.variable(row, &name, is_spring);
            if row.kind.is_list() && is_spring && found.is_empty() {
                // Spring numbers what is in lists.
                let one = |i: usize| self.variable(row, &format!("{name}_{i}"), true);
                found = (0..1000).map(one).take_while(|found| !found.is_empty()).flatten().collect();
            }
            let naming = format!("{name}_FILE");
            if row.kind == Kind::Secret && self.environment.get(&naming).is_some() {
                let files = self.variable(row, &naming, is_spring);
                found = self.file_beats(row, found, files);
            }
            if !found.is_empty() || self.is_broken(row.setting) {
                return found;
            }
        }
        Vec::new()
    }

    pub(super) fn variable(&mut self, row: &Row, name: &str, is_spring: bool) -> Vec<Found> {
        let Some(value) = self.environment.get(name) else { return Vec::new() };
        let place = Place::variable(name.to_owned());
        let Some(text) = value.to_str() else {
            self.broken.insert(row.setting);
            self.mistake(place, "It holds bytes that are no UTF-8 text. Correct its value.");
            return Vec::new();
        };
        let text = if is_spring { self.resolved(row, text, name, &place) } else { Some(text.to_owned()) };
        let Some(text) = text.filter(|text| !text.trim().is_empty()) else { return Vec::new() };
        let found = |text: &str| Found {
            text: text.to_owned(),
            place: place.clone(),
            name: name.to_owned(),
            secret_file: None,
        };
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        if row.kind.is_list() { parts.map(found).collect() } else { vec![found(&text)] }
    }

    /// From the file.
    pub(super) fn lines(&mut self, row: &Row) -> Vec<Found> {
        let mut values = Vec::new();
        let mut files = Vec::new();
        for key in row.keys(self.dialect) {
            let wanted = names::comparable(self.dialect, &key);
            let wanted_file = names::comparable(self.dialect, &format!("{key}File"));
            let mut misplaced = None;
            for i in 0..self.keys.len() {
                let Key { entry, comparable } = &self.keys[i];
                if entry.value.as_ref().is_none_or(|text| text.trim().is_empty()) {
                    continue;
                }
                // One value where a list is expected is a list of one.
                let in_list = row.kind.is_list() && comparable.strip_suffix("[]") == Some(&wanted);
                if *comparable == wanted || in_list {
                    values.extend(self.value_of(row, i));
                } else if row.kind == Kind::Secret && *comparable == wanted_file {
                    files.extend(self.value_of(row, i));
                } else if names::along(comparable, &wanted) == Along::Beyond {
                    misplaced.get_or_insert(entry.line);
                }
            }
            if let Some(line) = misplaced.filter(|_| !matches!(row.kind, Kind::Structure | Kind::Tokens)) {
                self.broken.insert(row.setting);
                let text = if row.kind.is_list() {
                    format!("`{key}` must be a list of values. Check the indentation.")
                } else {
                    format!("`{key}` must be a single value, not a list or mapping. Check the indentation.")
                };
                self.mistake(self.line(line), text);
            }
        }
        if !row.kind.is_list() {
            self.check_spellings(&values);
        }
        if files.is_empty() { values } else { self.file_beats(row, values, files) }
    }

    pub(super) fn value_of(&mut self, row: &Row, i: usize) -> Option<Found> {
        let entry = self.keys[i].entry.clone();
        let place = self.line(entry.line);
        let text = entry.value.unwrap_or_default();
        let text = if self.dialect == Dialect::Jvm {
            self.resolved(row, &text, &suggest::shown_path(&entry.path), &place)?
        } else {
            text
        };
        let found = Found { text, place, name: suggest::shown_path(&entry.path), secret_file: None };
        (!found.text.trim().is_empty()).then_some(found)
    }

    /// One setting in two spellings: a key that is there twice in one spelling was told already.
    fn check_spellings(&mut self, values: &[Found]) {
        let Some(last) = values.last() else { return };
        if let Some(first) = values.iter().find(|found| found.name != last.name) {
            let text = format!("`{}` and `{}` are the same setting. Remove one of the two.", first.name, last.name);
            self.mistake(last.place.clone(), text);
        }
    }

    /// A secret in a file beats one that is written out, as it is with private keys.
    fn file_beats(&mut self, row: &Row, written: Vec<Found>, files: Vec<Found>) -> Vec<Found> {
        let Some(file) = files.into_iter().next_back() else { return written };
        if let Some(written) = written.first() {
            let text = format!(
                "`{}` counts, and `{}` beside it has no effect. Remove one of the two.",
                file.name, written.name
            );
            self.warning(file.place.clone(), text);
        }
        self.read_secret(row.setting, file).into_iter().collect()
    }

    /// Puts what the named file holds in place of its name.
    pub(super) fn read_secret(&mut self, setting: Setting, named: Found) -> Option<Found> {
        let named = Found { text: named.text.trim().to_owned(), ..named };
        let path = self.expand_home(&named);
        let read = path.as_ref().map(|path| secret_file::read(&self.directory.join(path), path));
        match read {
            Some(Ok(text)) => return Some(Found { text, secret_file: path, ..named }),
            Some(Err(text)) => self.mistake(named.place, format!("`{}`: {text}", named.name)),
            None => {}
        }
        self.broken.insert(setting);
        None
    }

    /// From a secret that Docker, Kubernetes or systemd hands over as a file, named like the variable.
    fn handed_over(&mut self, row: &Row) -> Vec<Found> {
        let with_secret = matches!(row.kind, Kind::Secret) || row.setting == Setting::ApiClientId;
        let Some(name) = row.variable().filter(|_| with_secret) else { return Vec::new() };
        let Some(file) = self.environment.secret_file(name) else { return Vec::new() };
        match secret_file::read(&file, &file) {
            Ok(text) => {
                let place = Place::File(file.clone());
                vec![Found { text, place, name: name.to_owned(), secret_file: Some(file) }]
            }
            Err(text) => {
                self.broken.insert(row.setting);
                self.mistake(Place::Nowhere, text);
                Vec::new()
            }
        }
    }

    /// Replaces placeholders, as Spring does. `None`: one stands for nothing, which is told.
    fn resolved(&mut self, row: &Row, text: &str, name: &str, place: &Place) -> Option<String> {
        let unresolved = match placeholder::resolve(text, &|name| self.property(name)) {
            Ok(text) => return Some(text),
            Err(unresolved) => unresolved,
        };
        self.broken.insert(row.setting);
        let text = match unresolved {
            Unresolved::NotSet(missing) => {
                let missing = suggest::printable_name(&missing);
                format!(
                    "`{name}` refers to {missing}, which is not set and has no default there. \
                     Set that variable, or write a default behind a colon: `${{NAME:default}}`."
                )
            }
            Unresolved::Endless => format!("The placeholders in `{name}` lead to themselves. Write the value out."),
        };
        self.mistake(place.clone(), text);
        None
    }

    /// What a name in a placeholder stands for: a variable, in Spring's spellings of it, or a key of the file.
    fn property(&self, name: &str) -> Option<String> {
        let underscored = name.replace(['.', '-'], "_");
        let spellings = [name.to_owned(), underscored.clone(), underscored.to_uppercase()];
        let variable =
            spellings.iter().chain(&names::spring_variables(name)).find_map(|name| self.environment.get(name));
        if let Some(value) = variable {
            return value.to_str().map(str::to_owned);
        }
        let wanted = names::comparable(self.dialect, name);
        let key = self.keys.iter().rfind(|key| key.comparable == wanted && key.entry.value.is_some());
        key.and_then(|key| key.entry.value.clone())
    }

    pub(super) fn expand_home(&mut self, found: &Found) -> Option<PathBuf> {
        if found.text.contains('\0') {
            let text = format!("`{}` holds a NUL, which no path can. Write it without `\\0`.", found.name);
            self.mistake(found.place.clone(), text);
            return None;
        }
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
