//! Settings as values of a type. What is wrong is noted in the reader, and stands as its default here.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use meshstack_client::Secret;

use super::names;
use super::problem::Place;
use super::reader::{Found, Reader};
use super::settings::{self, Kind, Preset, Setting};

impl Reader<'_> {
    pub(super) fn text(&mut self, setting: Setting) -> Option<String> {
        self.one(setting).map(|found| found.text)
    }

    pub(super) fn secret(&mut self, setting: Setting) -> Option<Secret> {
        self.one(setting).map(|found| Secret::new(found.text))
    }

    /// A whole number within the range of the table; the table's default where there is none.
    pub(super) fn number(&mut self, setting: Setting) -> Option<i64> {
        let row = settings::row(setting);
        let default = row.preset.number();
        let Some(found) = self.one(setting) else { return default };
        let Kind::Number { unit, least, most } = row.kind else { return default };
        match found.text.parse::<i64>() {
            Ok(number) if (least..=most).contains(&number) => Some(number),
            _ => {
                let text = format!(
                    "`{}` must be a whole number from {least} to {most} ({unit}), not {}.",
                    found.name,
                    shown(&found.text)
                );
                self.mistake(found.place, text);
                default
            }
        }
    }

    /// A number of things.
    pub(super) fn count(&mut self, setting: Setting) -> Option<usize> {
        self.number(setting).map(|number| usize::try_from(number).unwrap_or(0))
    }

    /// A limit in minutes. `0` is the default, as an absent key is.
    pub(super) fn minutes(&mut self, setting: Setting) -> Duration {
        let minutes = self.number(setting).filter(|minutes| *minutes > 0);
        let minutes = minutes.or_else(|| settings::row(setting).preset.number());
        Duration::from_secs(60 * minutes.map_or(0, i64::unsigned_abs))
    }

    pub(super) fn seconds(&mut self, setting: Setting) -> Duration {
        Duration::from_secs(self.number(setting).map_or(0, i64::unsigned_abs))
    }

    /// A port, if one was asked for.
    pub(super) fn port(&mut self, setting: Setting) -> Option<u16> {
        self.one(setting)?;
        self.number(setting).and_then(|number| u16::try_from(number).ok())
    }

    pub(super) fn flag(&mut self, setting: Setting) -> bool {
        self.one(setting).is_some_and(|found| self.flag_of(&found))
    }

    pub(super) fn flag_of(&mut self, found: &Found) -> bool {
        match found.text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => true,
            "false" | "no" | "off" | "0" => false,
            _ => {
                let text = format!("`{}` must be true or false, not {}.", found.name, shown(&found.text));
                self.mistake(found.place.clone(), text);
                false
            }
        }
    }

    /// A path; `~` at its start is the home directory. A relative one stays relative: to the working directory.
    pub(super) fn path(&mut self, setting: Setting) -> Option<PathBuf> {
        let found = self.one(setting)?;
        self.expand_home(&found)
    }

    /// A path with its default from the table.
    pub(super) fn path_or_default(&mut self, setting: Setting) -> PathBuf {
        let default = if let Preset::Text(path) = settings::row(setting).preset { path } else { "" };
        self.path(setting).unwrap_or_else(|| default.into())
    }

    /// Names of variables.
    pub(super) fn names_of_variables(&mut self, setting: Setting) -> Vec<String> {
        let mut names = Vec::new();
        for found in self.list(setting) {
            if is_variable(&found.text) {
                names.push(found.text);
            } else {
                let text = format!(
                    "`{}` must be the name of a variable (letters, digits and `_`), without its value.",
                    found.name
                );
                self.mistake(found.place, text);
            }
        }
        names
    }

    /// Secrets by host: those of the file, and over them those of the variable (`host=token,host=token`).
    pub(super) fn tokens(&mut self, setting: Setting) -> BTreeMap<String, Secret> {
        let row = settings::row(setting);
        let mut tokens = BTreeMap::new();
        let Some(root) = row.key(self.dialect) else { return tokens };
        // Those in files last: a file beats what is written out.
        for of_files in [false, true] {
            for i in 0..self.keys.len() {
                let Some(host) = names::below(self.dialect, &self.keys[i].entry.path, &root) else { continue };
                let host = host.trim_start_matches('[').replace(']', "");
                let (host, is_file) = host.strip_suffix("File").map_or((host.as_str(), false), |host| (host, true));
                if is_file != of_files {
                    continue;
                }
                let host = host.to_owned();
                let Some(found) = self.value_of(row, i) else { continue };
                let found = if is_file { self.read_secret(setting, found) } else { Some(found) };
                self.token(&mut tokens, &host, found);
            }
        }
        for found in self.list(setting) {
            for pair in found.text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
                let Some((host, token)) = pair.split_once('=') else {
                    let text = format!("`{}` must look like `host=token,host=token`. Correct it.", found.name);
                    self.mistake(found.place.clone(), text);
                    continue;
                };
                let one = Found { text: token.to_owned(), ..found.clone() };
                self.token(&mut tokens, host.trim(), Some(one));
            }
        }
        tokens
    }

    fn token(&mut self, tokens: &mut BTreeMap<String, Secret>, host: &str, found: Option<Found>) {
        let Some(found) = found else { return };
        if let Some(host) = host_of(host) {
            self.hosts.retain(|(known, _)| *known != host);
            self.hosts.push((host.clone(), found.clone()));
            tokens.insert(host, Secret::new(found.text.trim()));
        } else {
            let text = "A read token stands under the host of a GitLab, such as `gitlab.example.com` or \
                        `gitlab.example.com:8443`, without `https://`; for a server without https the key begins \
                        with `http://`. Correct the key.";
            self.mistake(found.place, text);
        }
    }
}

/// A host as it is compared: `host[:port][/path]` in lower case. A server without https has `http://` before it.
fn host_of(text: &str) -> Option<String> {
    let text = text.to_ascii_lowercase();
    let place = text.strip_prefix("http://").unwrap_or(&text);
    let (authority, _) = place.split_once('/').unwrap_or((place, ""));
    let plain = |c: char| c.is_ascii_alphanumeric() || "-.:_/~".contains(c);
    let (name, port) = authority.split_once(':').unwrap_or((authority, "443"));
    let is_host = !name.is_empty() && place.chars().all(plain) && port.parse::<u16>().is_ok();
    is_host.then(|| text.trim_end_matches('/').to_owned())
}

/// Whether it can be the name of a variable.
pub(super) fn is_variable(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// A value in a message: short ones only. Whoever calls it knows that no secret is expected there; one that
/// was put there by mistake is longer than any number.
pub(super) fn shown(text: &str) -> String {
    let plain = text.chars().count() <= 12 && text.chars().all(|c| c.is_ascii_graphic() || c == ' ');
    if plain { format!("`{text}`") } else { "what is there".to_owned() }
}

/// Whether it looks like a UUID.
pub(super) fn is_uuid(text: &str) -> bool {
    let groups: Vec<&str> = text.split('-').collect();
    let lengths: Vec<usize> = groups.iter().map(|group| group.len()).collect();
    lengths == [8, 4, 4, 4, 12] && groups.iter().all(|group| group.bytes().all(|b| b.is_ascii_hexdigit()))
}

impl Reader<'_> {
    /// The runner's UUID. Two of them that differ are told: the environment's counts.
    pub(super) fn runner_uuid(&mut self) -> String {
        let row = settings::row(Setting::RunnerUuid);
        let Some(found) = self.one(Setting::RunnerUuid) else {
            self.missing(Setting::RunnerUuid, "The runner's UUID");
            return String::new();
        };
        if !is_uuid(&found.text) {
            let text = format!(
                "`{}` is no UUID. Use the one that meshStack shows for the runner, with its four dashes.",
                found.name
            );
            self.warning(found.place.clone(), text);
        }
        let mut others = Vec::new();
        if matches!(found.place, Place::Variable(_)) {
            others = self.without_complaints(|reader| {
                let mut others = reader.lines(row);
                for variable in row.spring_variables().iter().map(String::as_str).chain(row.variable()) {
                    others.extend(reader.variable(row, variable, false));
                }
                others
            });
        }
        for other in others {
            let (ours, theirs) = (found.text.trim(), other.text.trim());
            if other.place != found.place && !ours.eq_ignore_ascii_case(theirs) {
                let at = match &other.place {
                    Place::Line { line, .. } => format!("`{}` in line {line} of {}", other.name, self.file.display()),
                    _ => format!("the variable {}", other.name),
                };
                let text = format!("It says another UUID than {at}, and counts. Remove one of the two.");
                self.warning(found.place.clone(), text);
            }
        }
        found.text
    }
}
