//! What is wrong with a configuration, and where.

use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A line of the configuration file, counted from 1.
    Line {
        /// The file, as it was named.
        file: PathBuf,
        /// The line.
        line: usize,
    },
    /// The configuration file as a whole.
    File(PathBuf),
    /// An environment variable.
    Variable(Cow<'static, str>),
    /// Nowhere: it is missing.
    Nowhere,
}

impl Place {
    pub(super) fn line(file: &Path, line: usize) -> Self {
        Self::Line { file: file.to_owned(), line }
    }

    pub(super) fn variable(name: impl Into<Cow<'static, str>>) -> Self {
        Self::Variable(name.into())
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line { file, line } => write!(f, "{}:{line}", file.display()),
            Self::File(file) => write!(f, "{}", file.display()),
            Self::Variable(name) => write!(f, "variable {name}"),
            Self::Nowhere => Ok(()),
        }
    }
}

/// One thing that is wrong, or looks wrong. Its text never holds the value of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub place: Place,
    /// What, and what to do about it.
    pub text: String,
}

impl Problem {
    pub(super) fn new(place: Place, text: impl Into<String>) -> Self {
        Self { place, text: text.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.place != Place::Nowhere {
            write!(f, "{}: ", self.place)?;
        }
        f.write_str(&self.text)
    }
}

/// A configuration that the runner cannot start with: everything that is wrong with it, at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The mistakes, in the order of the file, then those that belong to no line.
    pub mistakes: Vec<Problem>,
    /// What only looks wrong; it often explains a mistake (a misspelt key is a missing key).
    pub warnings: Vec<Problem>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.mistakes.len() {
            1 => f.write_str("The configuration has a mistake. Correct it and start again.")?,
            n => write!(f, "The configuration has {n} mistakes. Correct them and start again.")?,
        }
        for mistake in &self.mistakes {
            write!(f, "\n  {mistake}")?;
        }
        for warning in &self.warnings {
            write!(f, "\n  warning: {warning}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// The most problems of one kind that are told. A file with more is no configuration, and nobody reads on.
const MOST: usize = 50;

/// Leaves out what is too much, and says so.
pub(super) fn bounded(mut problems: Vec<Problem>) -> Vec<Problem> {
    if problems.len() > MOST {
        let more = problems.len() - MOST;
        problems.truncate(MOST);
        problems.push(Problem::new(
            Place::Nowhere,
            format!("{more} more of this kind are not shown. Correct these first."),
        ));
    }
    problems
}
