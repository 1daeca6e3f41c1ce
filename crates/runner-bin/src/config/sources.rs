//! Where a configuration is read from.

use std::path::{Path, PathBuf};

use super::controller::{self, ControllerConfig};
use super::dialect::{self, Dialect};
use super::environment::Environment;
use super::problem::{ConfigError, Place, Problem, bounded};
use super::reader::Reader;
use super::settings::Setting;
use super::types::{Config, Mode};
use super::values::{self, Effective};
use super::yaml::{self, Document};
use super::{DEFAULT_FILE, SPRING_FILE, build};

/// Where a configuration is read from.
#[derive(Debug)]
pub struct Sources<'a> {
    /// The file named on the command line. One that is named must exist.
    pub file: Option<&'a Path>,
    /// Environment variables.
    pub environment: &'a Environment,
    /// What relative paths are relative to.
    pub directory: &'a Path,
}

/// Everything that can be told of a configuration, right or wrong: for `config check` and `config show`.
#[derive(Debug)]
pub struct Inspection {
    /// The file that was read, if there is one.
    pub file: Option<PathBuf>,
    /// The format that it is in.
    pub dialect: Dialect,
    /// The settings, in the order of the table; none if the file cannot be read at all.
    pub values: Vec<Effective>,
    /// What keeps the program from starting.
    pub mistakes: Vec<Problem>,
    /// What only looks wrong.
    pub warnings: Vec<Problem>,
}

/// For whom a file is looked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reads {
    Runner,
    Controller,
}

/// A file that was read.
struct Loaded {
    /// As it is called in messages.
    shown: PathBuf,
    exists: bool,
    dialect: Dialect,
    document: Document,
    warnings: Vec<Problem>,
}

impl Sources<'_> {
    /// What the environment asks for. `EXECUTION_MODE=single-run` without a file is an error.
    ///
    /// Source: `protocol/run-controller.md`, "Single-run mode".
    pub fn mode(&self) -> Result<Mode, ConfigError> {
        let nothing = Document::default();
        let mut reader =
            Reader::new(self.environment, self.directory, Path::new(DEFAULT_FILE), Dialect::Terraform, nothing);
        let mode = build::mode(&mut reader);
        mode.filter(|_| reader.mistakes.is_empty())
            .ok_or(ConfigError { mistakes: reader.mistakes, warnings: reader.warnings })
    }

    /// Reads and checks everything that a runner needs. The controller's file is a mistake.
    pub fn read(&self, mode: &Mode) -> Result<Config, ConfigError> {
        let loaded = self.load(Reads::Runner)?;
        if loaded.dialect == Dialect::Controller {
            return Err(only(not_a_runners(&loaded)));
        }
        let mut reader = self.reader(loaded);
        reader.check_names();
        let config = build::build(&mut reader, mode);
        let (mistakes, warnings) = problems(reader);
        if mistakes.is_empty() { Ok(Config { warnings, ..config }) } else { Err(ConfigError { mistakes, warnings }) }
    }

    /// Reads and checks everything that the run controller needs. The file must exist, and be its own.
    ///
    /// Source: `protocol/configuration.md`, dialect 3.
    pub fn read_controller(&self) -> Result<ControllerConfig, ConfigError> {
        let loaded = self.load(Reads::Controller)?;
        if loaded.dialect != Dialect::Controller {
            let text = format!(
                "This is a file in {}, not in {}. Name the controller's file, with `implementations` and `crypto`.",
                loaded.dialect,
                Dialect::Controller
            );
            return Err(only(Problem::new(Place::File(loaded.shown), text)));
        }
        let mut reader = self.reader(loaded);
        reader.check_names();
        let config = controller::read(&mut reader);
        let (mistakes, warnings) = problems(reader);
        match config.filter(|_| mistakes.is_empty()) {
            Some(config) => Ok(ControllerConfig { warnings, ..config }),
            None => Err(ConfigError { mistakes, warnings }),
        }
    }

    /// The port of `/healthz` alone, as [`Self::read`] has it. Whatever else is wrong does not matter.
    pub(crate) fn port(&self) -> Result<Option<u16>, ConfigError> {
        let mut reader = self.reader(self.load(Reads::Runner)?);
        reader.mistakes.clear();
        let port = reader.port(Setting::Port);
        let (mistakes, _) = problems(reader);
        if mistakes.is_empty() { Ok(port) } else { Err(ConfigError { mistakes, warnings: Vec::new() }) }
    }

    /// Reads whatever is there, for whichever program it is, and tells everything of it.
    pub fn inspect(&self) -> Inspection {
        let (mode, wrong_mode) = match self.mode() {
            Ok(mode) => (mode, Vec::new()),
            Err(error) => (Mode::Daemon, error.mistakes),
        };
        let loaded = match self.load(Reads::Runner) {
            Ok(loaded) => loaded,
            Err(error) => {
                return Inspection {
                    file: self.file(),
                    dialect: Dialect::Terraform,
                    values: Vec::new(),
                    mistakes: [error.mistakes, wrong_mode].concat(),
                    warnings: Vec::new(),
                };
            }
        };
        let file = loaded.exists.then(|| loaded.shown.clone());
        let dialect = loaded.dialect;
        let mut reader = self.reader(loaded);
        reader.mistakes.extend(wrong_mode);
        reader.check_names();
        reader.check_logging();
        if dialect == Dialect::Controller {
            controller::read(&mut reader);
        } else {
            build::build(&mut reader, &mode);
        }
        reader.check_files();
        let values = values::of(&mut reader);
        let (mistakes, warnings) = problems(reader);
        Inspection { file, dialect, values, mistakes, warnings }
    }

    /// The file that is read: the one that is named, else the first default that exists.
    pub fn file(&self) -> Option<PathBuf> {
        self.named(Reads::Runner).or_else(|| self.default_file().map(PathBuf::from))
    }

    fn named(&self, reads: Reads) -> Option<PathBuf> {
        let mut variables = ["RUNNER_CONFIG_FILE", "RUNCONTROLLER_CONFIG_FILE"];
        if reads == Reads::Controller {
            variables.reverse();
        }
        let variable = || variables.iter().find_map(|name| self.environment.get(name));
        self.file.map(Path::to_owned).or_else(|| variable().map(PathBuf::from))
    }

    fn default_file(&self) -> Option<&'static str> {
        [DEFAULT_FILE, SPRING_FILE].into_iter().find(|file| self.directory.join(file).exists())
    }

    /// The file. One whose format cannot be told is a mistake: whatever else is said of it could be wrong.
    fn load(&self, reads: Reads) -> Result<Loaded, ConfigError> {
        let named = self.named(reads);
        let default = if named.is_none() { self.default_file() } else { None };
        let exists = named.is_some() || default.is_some();
        let shown = named.unwrap_or_else(|| default.unwrap_or(DEFAULT_FILE).into());
        if !exists && reads == Reads::Runner {
            let document = Document::default();
            return Ok(Loaded { shown, exists, dialect: Dialect::Terraform, document, warnings: Vec::new() });
        }
        let mut document = yaml::read(&self.directory.join(&shown), &shown).map_err(only)?;
        let (mut dialect, doubt) = dialect::of(&document.entries, &shown);
        if let Some(doubt) = doubt {
            let mistakes = [std::mem::take(&mut document.mistakes), vec![doubt]].concat();
            return Err(ConfigError { mistakes: bounded(mistakes), warnings: Vec::new() });
        }
        let mut warnings = Vec::new();
        if default == Some(SPRING_FILE) && dialect == Dialect::Terraform {
            dialect = Dialect::Jvm;
        }
        if default == Some(DEFAULT_FILE) && self.has_spring_file_too() {
            let text = format!(
                "It has a `blockrunner:`, but is not read, since {DEFAULT_FILE} is there. Put its keys there, or remove it."
            );
            warnings.push(Problem::new(Place::File(SPRING_FILE.into()), text));
        }
        Ok(Loaded { shown, exists, dialect, document, warnings })
    }

    fn has_spring_file_too(&self) -> bool {
        let file = self.directory.join(SPRING_FILE);
        file.is_file()
            && yaml::read(&file, Path::new(SPRING_FILE))
                .is_ok_and(|document| dialect::of(&document.entries, Path::new(SPRING_FILE)).0 == Dialect::Jvm)
    }

    fn reader(&self, loaded: Loaded) -> Reader<'_> {
        let mut reader = Reader::new(self.environment, self.directory, &loaded.shown, loaded.dialect, loaded.document);
        reader.warnings = loaded.warnings;
        reader
    }
}

fn only(mistake: Problem) -> ConfigError {
    ConfigError { mistakes: vec![mistake], warnings: Vec::new() }
}

fn not_a_runners(loaded: &Loaded) -> Problem {
    let text = "This is the run controller's configuration file, and no runner can start with it. Give this command a \
                runner's file (with `runnerUuid`, or with `blockrunner:`); `bb-runner config check` checks this one.";
    Problem::new(Place::File(loaded.shown.clone()), text)
}

/// What was found wrong, in the order of the file, then what belongs to no line.
fn problems(reader: Reader<'_>) -> (Vec<Problem>, Vec<Problem>) {
    let Reader { mut mistakes, mut warnings, .. } = reader;
    let line = |problem: &Problem| match &problem.place {
        Place::Line { line, .. } => *line,
        _ => usize::MAX,
    };
    mistakes.sort_by_key(line);
    mistakes.dedup();
    warnings.sort_by_key(line);
    (bounded(mistakes), bounded(warnings))
}
