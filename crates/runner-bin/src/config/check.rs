//! Keys and variables that mean nothing here: a warning with what was probably meant, never silence.

use std::path::PathBuf;

use clap::ValueEnum;

use super::dialect::{self, Dialect};
use super::names::{self, Along};
use super::problem::{Place, Problem};
use super::reader::{Found, Key, Reader};
use super::settings::{self, Setting};
use super::suggest;
use crate::cli::{LogFormat, LogLevel};

/// Keys at the root of a Spring application's file that are Spring's own.
const SPRING: [&str; 6] = ["spring", "logging", "management", "server", "debug", "trace"];
/// Variables with which Spring is told of more configuration, which is not read here.
const MORE_OF_SPRING: [&str; 4] =
    ["SPRING_APPLICATION_JSON", "SPRING_CONFIG_LOCATION", "SPRING_CONFIG_ADDITIONAL_LOCATION", "SPRING_CONFIG_IMPORT"];
/// Variables of ours that set nothing in the table.
const OTHERS: [&str; 4] = ["BB_LOG_LEVEL", "BB_LOG_FORMAT", "RUNNER_CONFIG_FILE", "RUNCONTROLLER_CONFIG_FILE"];
/// Nobody reads more suggestions than this, and each costs a comparison with every known key.
const MOST_SUGGESTIONS: usize = 50;

impl Reader<'_> {
    /// Looks at every key and every variable.
    pub(super) fn check_names(&mut self) {
        let known = Known::of(self.dialect);
        let mut told = Vec::new();
        let mut suggestions = 0;
        for i in 0..self.keys.len() {
            let Key { entry, comparable } = &self.keys[i];
            let place = Place::line(&self.file, entry.line);
            match known.judge(comparable) {
                Judgement::Known => {}
                Judgement::Group if entry.value.as_ref().is_none_or(|value| value.trim().is_empty()) => {}
                Judgement::Group => {
                    let name = suggest::printable(&entry.path);
                    let text = format!("{name} must have keys under it, not a value. Check the indentation.");
                    self.mistakes.push(Problem::new(place, text));
                }
                Judgement::Listed => {
                    let list = entry.path.split('[').next().unwrap_or_default().to_owned();
                    if !told.contains(&list) {
                        let name = suggest::printable(&list);
                        let text = format!("{name} must have keys under it, not a list. Check the indentation.");
                        self.mistakes.push(Problem::new(place, text));
                        told.push(list);
                    }
                }
                Judgement::Unknown => {
                    let root = dialect::root(&entry.path).to_owned();
                    if self.dialect == Dialect::Jvm && SPRING.contains(&root.as_str()) && comparable != "server.port" {
                        if !told.contains(&root) {
                            let text = format!("`{root}` is for Spring and has no effect here. Remove it.");
                            self.warnings.push(Problem::new(place, text));
                            told.push(root);
                        }
                        continue;
                    }
                    suggestions += 1;
                    let text = if suggestions > MOST_SUGGESTIONS {
                        String::new()
                    } else {
                        unknown(self.dialect, &entry.path, &known)
                    };
                    self.warnings.push(Problem::new(place, text));
                }
            }
        }
        self.check_variables();
    }

    /// The variables that the log starts with, before anything else is read. An option beats them, so they are no mistake
    /// for a program that runs.
    pub(super) fn check_logging(&mut self) {
        self.check_word::<LogLevel>("BB_LOG_LEVEL");
        self.check_word::<LogFormat>("BB_LOG_FORMAT");
    }

    fn check_word<T: ValueEnum>(&mut self, name: &str) {
        let Some(value) = self.environment.get(name) else { return };
        if value.to_str().is_some_and(|value| T::from_str(value.trim(), true).is_ok()) {
            return;
        }
        let words: Vec<String> = T::value_variants()
            .iter()
            .filter_map(|word| Some(word.to_possible_value()?.get_name().to_owned()))
            .collect();
        self.mistake(Place::variable(name.to_owned()), format!("It must be one of: {}.", words.join(", ")));
    }

    /// Files that are named and not there: a runner starts without them, and fails later.
    pub(super) fn check_files(&mut self) {
        let mut named: Vec<(Found, PathBuf, &str)> = Vec::new();
        if let Some(found) = self.one(Setting::CaCerts) {
            let paths: Vec<PathBuf> = std::env::split_paths(&found.text).collect();
            named.extend(paths.into_iter().map(|path| (found.clone(), path, "CA certificates are expected there")));
        }
        if let Some(found) = self.one(Setting::KnownHosts) {
            let path = self.without_complaints(|reader| reader.expand_home(&found));
            named.extend(path.map(|path| (found, path, "the keys of git's hosts are expected there")));
        }
        for (found, path, what) in named {
            if !path.as_os_str().is_empty() && !self.directory.join(&path).exists() {
                // Paths are no secrets, but they may hold anything.
                let shown: String = path.to_string_lossy().chars().filter(|c| !c.is_control()).collect();
                let text = format!("{shown} does not exist, but {what}. Correct the path, or mount it there.");
                self.warning(found.place, text);
            }
        }
    }

    fn check_variables(&mut self) {
        let spring: Vec<String> = settings::rows().flat_map(settings::Row::spring_variables).collect();
        let ours: Vec<&str> = settings::variables().chain(OTHERS).collect();
        let mut warnings = Vec::new();
        for name in self.environment.names() {
            let place = || Place::variable(name.to_owned());
            if MORE_OF_SPRING.contains(&name) {
                let text = "More configuration of Spring is not read here. Put its keys into the file, or name that \
                            file with RUNNER_CONFIG_FILE.";
                warnings.push(Problem::new(place(), text));
                continue;
            }
            let base = name.strip_suffix("_FILE").unwrap_or(name);
            let base = base.trim_end_matches(|c: char| c.is_ascii_digit());
            let base = if base.len() < name.len() { base.trim_end_matches('_') } else { base };
            let is_known = |known: &str| known == name || known == base;
            if spring.iter().any(|known| is_known(known)) || ours.iter().any(|known| is_known(known)) {
                continue;
            }
            let of_spring = name.starts_with("BLOCKRUNNER_");
            let meant = if of_spring {
                let behind = |name: &str| name.strip_prefix("BLOCKRUNNER_").unwrap_or_default().to_owned();
                let candidates: Vec<String> = spring.iter().map(|known| behind(known)).collect();
                suggest::nearest(&behind(name), candidates.iter().map(String::as_str), 0.7)
                    .map(|meant| format!("BLOCKRUNNER_{meant}"))
            } else if name.starts_with("BB_") || name.starts_with("RUNNER_") {
                // Other programs have such variables, too.
                suggest::nearest(name, ours.iter().copied(), 0.85).map(str::to_owned)
            } else {
                None
            };
            let text = match meant {
                Some(meant) => format!("It is not known and has no effect. Did you mean {meant}?"),
                None if of_spring => "It is not known and has no effect. Remove it.".to_owned(),
                None => continue,
            };
            warnings.push(Problem::new(place(), text));
        }
        self.warnings.extend(warnings);
    }
}

/// What to say of an unknown key.
fn unknown(dialect: Dialect, path: &str, known: &Known) -> String {
    let name = suggest::printable(path);
    if let Some(here) = of_another_dialect(dialect, path) {
        return format!("{name} is not how this file spells it, and has no effect. Write `{here}`.");
    }
    match known.meant(path) {
        Some(meant) => format!("{name} is not known and has no effect. Did you mean `{meant}`?"),
        None => format!("{name} is not known and has no effect. Remove it."),
    }
}

/// A key of another program's file: how this one spells it.
fn of_another_dialect(dialect: Dialect, path: &str) -> Option<String> {
    let bare = path.strip_prefix("blockrunner.").unwrap_or(path);
    for other in Dialect::ALL {
        for row in settings::rows() {
            let same = |key: &String| {
                let key = key.strip_prefix("blockrunner.").unwrap_or(key);
                names::comparable(other, key) == names::comparable(other, bare)
            };
            if row.keys(other).iter().any(same) {
                return row.key(dialect);
            }
        }
    }
    None
}

enum Judgement {
    Known,
    /// It only leads to keys.
    Group,
    /// It is a list, where there should be keys.
    Listed,
    Unknown,
}

/// What may stand in the file.
struct Known {
    /// For suggestions: as the book writes it.
    written: Vec<String>,
    /// For comparisons.
    patterns: Vec<String>,
}

impl Known {
    fn of(dialect: Dialect) -> Self {
        let written = settings::paths(dialect);
        // A structure's patterns are to the letter in every dialect; brackets and stars stay as they are.
        let patterns = written.iter().map(|path| names::comparable(dialect, path)).collect();
        Self { written, patterns }
    }

    fn judge(&self, path: &str) -> Judgement {
        let (mut group, mut listed) = (false, false);
        for pattern in &self.patterns {
            match names::along(path, pattern) {
                // What goes on behind a single value is a mistake that is told where the value is read.
                Along::Exact | Along::Beyond => return Judgement::Known,
                // Where a list is expected, one value is a list of one.
                Along::Above
                    if pattern.strip_suffix("[]").is_some_and(|list| names::along(path, list) == Along::Exact) =>
                {
                    return Judgement::Known;
                }
                Along::Above => group = true,
                Along::Listed => listed = true,
                Along::Off => {}
            }
        }
        if group {
            Judgement::Group
        } else if listed && !self.may_be_lists(path) {
            Judgement::Listed
        } else {
            Judgement::Unknown
        }
    }

    /// Whether there may be a list wherever there is one in this path: some things are written as list or as mapping.
    fn may_be_lists(&self, path: &str) -> bool {
        path.match_indices("[]").all(|(at, _)| {
            let list = &path[..at + 2];
            self.patterns.iter().any(|pattern| matches!(names::along(list, pattern), Along::Exact | Along::Above))
        })
    }

    /// The known key that was probably meant. What stands before the name is left out of the comparison, since
    /// everything that is the same would make anything alike.
    fn meant(&self, path: &str) -> Option<String> {
        let general = names::general(path);
        let of_a_type = general.strip_prefix("implementations.").and_then(|rest| rest.split_once('.'));
        let (start, pattern_start, bare) = if let Some((word, rest)) = of_a_type {
            (format!("implementations.{word}."), "implementations.*.", rest)
        } else if let Some(rest) = general.strip_prefix("blockrunner.") {
            ("blockrunner.".to_owned(), "blockrunner.", rest)
        } else {
            (String::new(), "", general.as_str())
        };
        let depth = bare.split('.').count();
        let candidates = self.written.iter().filter_map(|known| {
            let known = known.strip_prefix(pattern_start)?;
            // A name deep in a structure is only like its neighbours.
            let fits = pattern_start != "implementations.*." || known.split('.').count() == depth;
            let known = known.trim_end_matches(".*").trim_end_matches("[]");
            (fits && !known.starts_with("implementations.")).then_some(known)
        });
        suggest::nearest(bare, candidates, 0.7).map(|meant| format!("{start}{meant}"))
    }
}
