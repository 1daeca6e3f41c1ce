//! What was checked, and how it is shown.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::Exit;

/// How a check went. The worst decides the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// In order.
    Fine,
    /// Nothing that has to be done; also: could not be told.
    Note,
    /// Looks wrong, or will be.
    Warning,
    /// Keeps a runner from working.
    Problem,
}

impl Level {
    fn word(self) -> &'static str {
        match self {
            Self::Fine => "ok",
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Problem => "problem",
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Check {
    pub(crate) name: String,
    pub(crate) level: Level,
    pub(crate) seen: String,
    /// What to do about it.
    pub(crate) advice: Option<String>,
}

impl Check {
    pub(crate) fn fine(name: impl Into<String>, seen: impl Into<String>) -> Self {
        Self { name: name.into(), level: Level::Fine, seen: seen.into(), advice: None }
    }

    pub(crate) fn note(name: impl Into<String>, seen: impl Into<String>) -> Self {
        Self { level: Level::Note, ..Self::fine(name, seen) }
    }

    pub(crate) fn warning(name: impl Into<String>, seen: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { level: Level::Warning, advice: Some(advice.into()), ..Self::fine(name, seen) }
    }

    pub(crate) fn problem(name: impl Into<String>, seen: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { level: Level::Problem, advice: Some(advice.into()), ..Self::fine(name, seen) }
    }

    /// A problem given as one text that says what happened and what to do.
    pub(crate) fn of_text(name: impl Into<String>, level: Level, text: &str) -> Self {
        let (seen, advice) = match text.split_once(". ") {
            Some((seen, advice)) => (format!("{seen}."), Some(advice.to_owned())),
            None => (text.to_owned(), None),
        };
        Self { name: name.into(), level, seen, advice }
    }
}

/// All checks, in the order in which one depends on the other.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) checks: Vec<Check>,
}

impl Report {
    pub(crate) fn exit(&self) -> Exit {
        match self.worst() {
            Level::Fine | Level::Note => Exit::Success,
            Level::Warning => Exit::Failure,
            Level::Problem => Exit::BadConfiguration,
        }
    }

    fn worst(&self) -> Level {
        self.checks.iter().map(|check| check.level).max().unwrap_or(Level::Fine)
    }

    fn count(&self, level: Level) -> usize {
        self.checks.iter().filter(|check| check.level == level).count()
    }

    /// The table.
    pub(crate) fn text(&self) -> String {
        let width = self.checks.iter().map(|check| check.name.chars().count()).max().unwrap_or_default();
        let mut out = String::new();
        for check in &self.checks {
            let _ = writeln!(
                out,
                "{:<8} {:<width$}  {}",
                check.level.word(),
                check.name,
                indented(&check.seen, width + 11)
            );
            if let Some(advice) = &check.advice {
                let _ = writeln!(out, "{:<8} {:<width$}  → {}", "", "", indented(advice, width + 13));
            }
        }
        let said = |level: Level, one: &str, more: &str| match self.count(level) {
            1 => format!("1 {one}"),
            n => format!("{n} {more}"),
        };
        let _ = match self.worst() {
            Level::Fine | Level::Note => writeln!(out, "\nEverything that was checked is in order."),
            _ => writeln!(
                out,
                "\n{}, {}.",
                said(Level::Problem, "problem", "problems"),
                said(Level::Warning, "warning", "warnings")
            ),
        };
        out
    }

    /// The same for programs.
    pub(crate) fn json(&self) -> Value {
        let checks: Vec<Value> = self
            .checks
            .iter()
            .map(|check| {
                json!({ "check": check.name, "level": check.level.word(), "seen": check.seen, "advice": check.advice })
            })
            .collect();
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "exitCode": self.exit().code(),
            "problems": self.count(Level::Problem),
            "warnings": self.count(Level::Warning),
            "checks": checks,
        })
    }
}

/// A text whose further lines begin under its first.
fn indented(text: &str, by: usize) -> String {
    text.trim_end().replace('\n', &format!("\n{}", " ".repeat(by)))
}

#[cfg(test)]
mod tests {
    use super::{Check, Level, Report};
    use crate::Exit;

    #[test]
    fn the_worst_check_decides_the_exit_code() {
        let report = |checks: Vec<Check>| Report { checks }.exit();
        assert_eq!(report(vec![]), Exit::Success);
        assert_eq!(report(vec![Check::fine("a", "b"), Check::note("a", "b")]), Exit::Success);
        assert_eq!(report(vec![Check::warning("a", "b", "c"), Check::note("a", "b")]).code(), 1);
        assert_eq!(report(vec![Check::problem("a", "b", "c"), Check::warning("a", "b", "c")]).code(), 2);
    }

    #[test]
    fn the_table_is_aligned_and_says_what_to_do() {
        let checks =
            vec![Check::fine("DNS", "found"), Check::of_text("private key", Level::Problem, "It is bad. Mend it.")];
        let expected = "ok       DNS          found\n\
                        problem  private key  It is bad.\n\
                        \x20                     → Mend it.\n\n1 problem, 0 warnings.\n";
        assert_eq!(Report { checks }.text(), expected);
    }
}
