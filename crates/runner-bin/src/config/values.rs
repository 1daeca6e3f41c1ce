//! What counts in the end, and where it comes from: for `config show`. Secrets are `***` before they get here.

use std::path::PathBuf;

use serde_json::Value;

use super::convert::{is_uuid, shown};
use super::dialect::Dialect;
use super::names::{self, Along};
use super::problem::Place;
use super::reader::{Found, Reader};
use super::settings::{self, Kind, Preset, Row, Setting};
use super::suggest;
use super::table::{Part, STRUCTURES};
use crate::passwords;

/// A setting as it counts.
#[derive(Debug, Clone, PartialEq)]
pub struct Effective {
    /// Its key in the file; its variable, where it has none.
    pub key: String,
    /// Its value; `***` if it is a secret, null if there is none.
    pub value: Value,
    /// Where it comes from.
    pub origin: Origin,
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nothing sets it, and nothing is there by default.
    Unset,
    /// Nothing sets it.
    Default,
    /// It is written there.
    Place(Place),
    /// It is in this file, which is named there.
    SecretFile {
        /// The file.
        file: PathBuf,
        /// Where it is named; the file itself where the platform puts it there.
        named: Place,
    },
}

/// What a secret is shown as.
const HIDDEN: &str = "***";

/// What stands for a value that is not what it should be: it may be a secret in the wrong place.
const WRONG: &str = "(not shown: there is a mistake here)";

/// Every setting that means something in this dialect.
///
/// What stands where there is a mistake is not shown: for that, everything must have been converted before.
pub(super) fn of(reader: &mut Reader<'_>) -> Vec<Effective> {
    let mut values: Vec<Effective> = settings::rows().flat_map(|row| values_of(reader, row)).collect();
    for value in &mut values {
        let Origin::Place(place) = &value.origin else { continue };
        if value.value != HIDDEN && reader.mistakes.iter().any(|mistake| mistake.place == *place) {
            value.value = WRONG.into();
        }
    }
    values
}

fn values_of(reader: &mut Reader<'_>, row: &Row) -> Vec<Effective> {
    let dialect = reader.dialect;
    let Some(key) = row.key(dialect) else {
        // Of a run, and the controller carries none out.
        let of_runs = [Setting::KnownHosts, Setting::ExecutionMode, Setting::SpringProfiles, Setting::RunJsonFile];
        if dialect == Dialect::Controller && of_runs.contains(&row.setting) {
            return Vec::new();
        }
        // A variable alone; or what belongs to another program.
        let anywhere = Dialect::ALL.into_iter().filter_map(|dialect| row.key(dialect)).count();
        let Some(variable) = row.variable().filter(|name| anywhere < 2 && !name.starts_with("BB_")) else {
            return Vec::new();
        };
        return vec![effective(row, variable.to_owned(), &reader.list(row.setting))];
    };
    match row.kind {
        Kind::Structure => structure(reader, &key),
        Kind::Tokens => {
            let of_host = |(host, found): &(String, Found)| Effective {
                key: suggest::shown_path(&format!("{key}.{host}")),
                value: HIDDEN.into(),
                origin: origin(found),
            };
            reader.hosts.iter().map(of_host).collect()
        }
        _ => vec![effective(row, key, &reader.list(row.setting))],
    }
}

fn effective(row: &Row, key: String, found: &[Found]) -> Effective {
    let Some(last) = found.last() else {
        let (value, origin) = match row.preset {
            Preset::Nothing | Preset::Required => (Value::Null, Origin::Unset),
            Preset::Number(number) | Preset::Limit(number) => (number.into(), Origin::Default),
            Preset::Off => (false.into(), Origin::Default),
            Preset::Text(text) | Preset::Words(text) => (text.into(), Origin::Default),
        };
        return Effective { key, value, origin };
    };
    let value = match row.kind {
        kind if kind.is_list() => found.iter().map(|found| shown_as(row, &found.text)).collect(),
        _ => shown_as(row, last.text.trim()),
    };
    Effective { key, value, origin: origin(last) }
}

fn shown_as(row: &Row, text: &str) -> Value {
    match row.kind {
        kind if kind.is_secret() => HIDDEN.into(),
        Kind::Number { .. } => match (text.parse::<i64>(), row.preset) {
            (Ok(0), Preset::Limit(default)) => default.into(),
            // Less than 0 is no limit of Jobs, and the default of everything else.
            (Ok(number), Preset::Limit(default)) if number < 0 && row.setting != Setting::MaxConcurrentJobs => {
                default.into()
            }
            (Ok(number), _) => number.into(),
            (Err(_), _) => WRONG.into(),
        },
        Kind::Flag => match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => true.into(),
            "false" | "no" | "off" | "0" => false.into(),
            _ => WRONG.into(),
        },
        // That is only a warning.
        Kind::Uuid if !is_uuid(text) && !shown(text).starts_with('`') => WRONG.into(),
        Kind::Certificate => format!("a certificate in PEM, {} characters", text.chars().count()).into(),
        _ => passwords::hidden(text).into(),
    }
}

fn origin(found: &Found) -> Origin {
    match &found.secret_file {
        Some(file) => Origin::SecretFile { file: file.clone(), named: found.place.clone() },
        None => Origin::Place(found.place.clone()),
    }
}

/// What stands below a key, as it is written.
fn structure(reader: &Reader<'_>, key: &str) -> Vec<Effective> {
    let mut values = Vec::new();
    for at in &reader.keys {
        let (entry, path) = (&at.entry, at.comparable.as_str());
        let below = path.strip_prefix(key).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']));
        let Some(text) = entry.value.as_ref().filter(|_| below) else { continue };
        let is_it = |part: &&Part| matches!(names::along(path, part.path), Along::Exact | Along::Above);
        let parts: Vec<&Part> = STRUCTURES.iter().filter(is_it).collect();
        // Of a part that nobody knows, nobody knows whether it is a secret.
        let secret = parts.is_empty() || parts.iter().any(|part| part.kind.is_secret());
        let value = if secret { HIDDEN.into() } else { passwords::hidden(text).into() };
        values.push(Effective {
            key: suggest::shown_path(&entry.path),
            value,
            origin: Origin::Place(reader.line(entry.line)),
        });
    }
    values
}
