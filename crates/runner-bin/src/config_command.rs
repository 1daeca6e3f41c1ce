//! `bb-runner config`: looks at a configuration before a runner starts with it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::{Value, json};

use crate::config::{
    ConfigError, Dialect, Effective, Environment, Inspection, Origin, Place, Problem, Sources, schema,
};
use crate::{Exit, logging};

/// What to do with the configuration.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Say everything that is wrong with a configuration; exit code 2 if no runner could start with it
    ///
    /// Checks the file together with the variables of this environment, whichever of the three formats it is in.
    /// Warnings are on standard error and leave the exit code 0.
    Check {
        /// The file [default: as for `run`]
        file: Option<PathBuf>,
    },
    /// Show every setting as it counts, and where it comes from
    ///
    /// Secrets are shown as ***. Exit code 2 if no runner could start with it.
    Show {
        /// The file [default: as for `run`]
        file: Option<PathBuf>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Print the JSON Schema of the file, for editors
    Schema,
}

/// Does what is asked for.
pub(crate) fn run(command: &ConfigCommand, config: Option<&Path>, environment: &Environment) -> Exit {
    // A folder that is gone has no file, which is said.
    let directory = std::env::current_dir().unwrap_or_default();
    let inspect = |file: &Option<PathBuf>| {
        Sources { file: file.as_deref().or(config), environment, directory: &directory }.inspect()
    };
    match command {
        ConfigCommand::Check { file } => check(inspect(file)),
        ConfigCommand::Show { file, json } => show(inspect(file), *json),
        ConfigCommand::Schema => print(&format!("{:#}\n", schema()), Exit::Success),
    }
}

fn print(text: &str, exit: Exit) -> Exit {
    crate::say::text(text);
    exit
}

fn check(seen: Inspection) -> Exit {
    if !seen.mistakes.is_empty() {
        logging::complain(&ConfigError { mistakes: seen.mistakes, warnings: seen.warnings }.to_string());
        return Exit::BadConfiguration;
    }
    let what = match &seen.file {
        Some(file) => format!("{} is in order: it is in {}", file.display(), seen.dialect),
        None => "The variables are in order, and there is no file".to_owned(),
    };
    let count = match seen.warnings.len() {
        0 => String::new(),
        1 => ", with a warning".to_owned(),
        n => format!(", with {n} warnings"),
    };
    warn(&seen.warnings);
    print(&format!("{what}{count}.\n"), Exit::Success)
}

fn warn(warnings: &[Problem]) {
    for warning in warnings {
        logging::complain(&format!("warning: {warning}"));
    }
}

fn show(seen: Inspection, as_json: bool) -> Exit {
    let exit = if seen.mistakes.is_empty() { Exit::Success } else { Exit::BadConfiguration };
    if as_json {
        return print(&format!("{:#}\n", to_json(&seen)), exit);
    }
    let text = to_text(&seen);
    if seen.mistakes.is_empty() {
        warn(&seen.warnings);
    } else {
        logging::complain(&ConfigError { mistakes: seen.mistakes, warnings: seen.warnings }.to_string());
    }
    print(&text, exit)
}

fn to_text(seen: &Inspection) -> String {
    let mut out = match &seen.file {
        Some(file) => format!("# {}, in {}\n", file.display(), seen.dialect),
        None => "# No file: variables and defaults\n".to_owned(),
    };
    let rows: Vec<[String; 3]> =
        seen.values.iter().map(|value| [value.key.clone(), plain(&value.value), origin(&value.origin)]).collect();
    let width = |column: usize| {
        rows.iter().map(|row| row[column].chars().count()).filter(|width| *width <= 44).max().unwrap_or_default()
    };
    let (keys, values) = (width(0), width(1));
    for [key, value, origin] in &rows {
        let _ = writeln!(out, "{key:keys$}  {value:values$}  {origin}");
    }
    out
}

/// A value on one line.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) if !text.contains(char::is_control) && !text.is_empty() => text.clone(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

fn origin(origin: &Origin) -> String {
    match origin {
        Origin::Unset => "not set".to_owned(),
        Origin::Default => "default".to_owned(),
        Origin::Place(place) => place.to_string(),
        Origin::SecretFile { file, named: Place::File(_) } => format!("secret file {}", file.display()),
        Origin::SecretFile { file, named } => format!("secret file {}, named in {named}", file.display()),
    }
}

fn to_json(seen: &Inspection) -> Value {
    let problems = |problems: &[Problem]| -> Value {
        let problem = |problem: &Problem| match place(&problem.place) {
            Value::Object(mut place) => {
                place.insert("text".to_owned(), problem.text.clone().into());
                Value::Object(place)
            }
            other => other,
        };
        problems.iter().map(problem).collect()
    };
    json!({
        "file": seen.file.as_ref().map(|file| file.display().to_string()),
        "format": seen.file.as_ref().map(|_| Dialect::word(seen.dialect)),
        "settings": seen.values.iter().map(setting).collect::<Vec<_>>(),
        "mistakes": problems(&seen.mistakes),
        "warnings": problems(&seen.warnings),
    })
}

fn setting(value: &Effective) -> Value {
    let origin = match &value.origin {
        Origin::Unset => json!({ "from": "nowhere" }),
        Origin::Default => json!({ "from": "default" }),
        Origin::Place(at) => place(at),
        Origin::SecretFile { file, named } => {
            json!({ "from": "secretFile", "secretFile": file.display().to_string(), "named": place(named) })
        }
    };
    json!({ "key": value.key, "value": value.value, "origin": origin })
}

fn place(at: &Place) -> Value {
    match at {
        Place::Line { file, line } => json!({ "from": "file", "file": file.display().to_string(), "line": line }),
        Place::File(file) => json!({ "from": "file", "file": file.display().to_string() }),
        Place::Variable(name) => json!({ "from": "variable", "variable": name }),
        Place::Nowhere => json!({ "from": "nowhere" }),
    }
}
