//! `bb-runner doctor`: looks at everything that a runner needs, and says what to do about what is missing.
//!
//! It works with a broken configuration too: that is when it is needed. It changes nothing, and takes no run.

mod bundle;
mod folders;
mod hosts;
mod meshstack;
mod report;
mod route;
mod situation;
mod tls;
mod tools;

use std::path::{Path, PathBuf};

use clap::Args;

use crate::config::Environment;
use crate::peek::Peek;
use crate::{Exit, logging, wiring};
use folders::Folder;
use report::{Check, Level, Report};
use situation::Situation;

const HELP: &str = "\
Nothing is changed, and no run is taken. Every step over the network is given up after a few seconds.

Exit codes:
  0 everything that was checked is in order; 1 there are warnings; 2 there are problems: a runner would not start or not work";

/// What to check.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct DoctorArgs {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Check this machine only, without the network
    #[arg(long)]
    pub offline: bool,
    /// Check the way to this host too, such as github.com or gitlab.example.com; may be repeated
    #[arg(long = "host", value_name = "HOST", conflicts_with = "offline")]
    pub hosts: Vec<String>,
    /// Write an archive for whoever helps you, without secrets
    #[arg(long, value_name = "FILE")]
    pub bundle: Option<PathBuf>,
}

/// Checks everything.
pub(crate) fn run(args: &DoctorArgs, config: Option<&Path>, environment: &Environment) -> Exit {
    // A folder that is gone has no file, which is said.
    let directory = std::env::current_dir().unwrap_or_default();
    let peek = Peek::at(config, environment, &directory);
    let situation = Situation::of(config, environment, &directory, &peek);
    let runtime = match wiring::runtime() {
        Ok(runtime) => runtime,
        Err(error) => {
            logging::complain(&format!("Nothing can be started ({error})."));
            return Exit::BadConfiguration;
        }
    };
    let checks = runtime.block_on(checks(args, &situation, &peek));
    // A look-up that hangs is not waited for.
    runtime.shutdown_background();
    let report = Report { checks };
    let text = if args.json { format!("{:#}\n", report.json()) } else { report.text() };
    // A secret in the wrong place, such as a path, is not repeated either.
    let masker = bundle::masker(&situation, &peek);
    crate::say::text(&masker.mask(&text));
    let Some(file) = &args.bundle else { return report.exit() };
    match bundle::write(&directory.join(file), &report, &situation, &masker) {
        Ok(()) => {
            logging::complain(&format!("{} was written. Look through it before you hand it on.", file.display()));
            report.exit()
        }
        Err(text) => {
            logging::complain(&text);
            Exit::BadConfiguration
        }
    }
}

async fn checks(args: &DoctorArgs, situation: &Situation, peek: &Peek<'_>) -> Vec<Check> {
    let mut checks = configuration(situation);
    checks.extend(keys(situation));
    checks.extend(authorities(situation));
    if !situation.is_controllers() {
        checks.extend(of_folders(situation, peek));
    }
    let programs = async {
        let (git, ssh, terraform) = tokio::join!(tools::git(), tools::ssh(), tools::terraform(situation));
        vec![git, ssh, tools::known_hosts(situation), terraform]
    };
    if args.offline {
        checks.extend(programs.await);
        checks.push(Check::note("network", "not tried (--offline)"));
        return checks;
    }
    let (meshstack, programs, mirrors, pipelines) = tokio::join!(
        meshstack::checks(situation),
        programs,
        hosts::mirrors(situation),
        hosts::pipelines(situation, &args.hosts)
    );
    [checks, meshstack, programs, mirrors, pipelines].concat()
}

fn configuration(situation: &Situation) -> Vec<Check> {
    const NAME: &str = "configuration";
    let inspection = &situation.inspection;
    let file = inspection.file.as_ref().map_or_else(|| "no file".to_owned(), |file| file.display().to_string());
    let mut checks: Vec<Check> =
        inspection.mistakes.iter().map(|mistake| Check::of_text(NAME, Level::Problem, &mistake.to_string())).collect();
    if checks.is_empty() {
        checks.push(Check::fine(NAME, format!("{file}, in {}", inspection.dialect)));
    }
    if situation.is_controllers() {
        let seen =
            "It is the run controller's file; what a controller needs beyond meshStack and keys is not checked here";
        checks.push(Check::note(NAME, seen));
    }
    checks.extend(inspection.warnings.iter().map(|warning| Check::of_text(NAME, Level::Warning, &warning.to_string())));
    checks
}

fn keys(situation: &Situation) -> Vec<Check> {
    const NAME: &str = "private key";
    if situation.keys.is_empty() {
        let seen = "None is configured, so runs with secrets fail.";
        return vec![Check::warning(
            NAME,
            seen,
            "Make one with `bb-runner keys generate`, and register its certificate.",
        )];
    }
    let mut checks = Vec::new();
    for report in &situation.keys {
        match &report.key {
            Err(problem) => checks.push(Check::of_text(NAME, Level::Problem, problem)),
            Ok(key) => {
                checks.push(Check::fine(NAME, format!("{}: RSA, {} bits", report.label, key.modulus_bits())));
                checks.extend(report.warnings().iter().map(|warning| Check::of_text(NAME, Level::Warning, warning)));
            }
        }
    }
    checks
}

/// The operator's own certificates of authorities.
fn authorities(situation: &Situation) -> Vec<Check> {
    const NAME: &str = "CA certificates";
    situation
        .ca_paths
        .iter()
        .map(|path| {
            let shown = path.display();
            let files: Vec<PathBuf> = match std::fs::read_dir(path) {
                Ok(entries) => entries.flatten().map(|entry| entry.path()).filter(|file| file.is_file()).collect(),
                Err(_) if path.is_file() => vec![path.clone()],
                Err(error) => {
                    let advice = "Correct CUSTOM_CA_CERTS_PATH, or mount the certificates there.";
                    return Check::problem(NAME, format!("{shown} cannot be read ({error})."), advice);
                }
            };
            let count = |file: &PathBuf| {
                let text = crate::peek::read_bounded(file, 8 << 20);
                text.map_or(0, |text| text.expose().matches("-----BEGIN CERTIFICATE-----").count())
            };
            match files.iter().map(count).sum::<usize>() {
                0 => Check::warning(
                    NAME,
                    format!("{shown} holds no certificate."),
                    "Put PEM files there, or unset CUSTOM_CA_CERTS_PATH.",
                ),
                n => Check::fine(NAME, format!("{n} in {shown}")),
            }
        })
        .collect()
}

fn of_folders(situation: &Situation, peek: &Peek<'_>) -> Vec<Check> {
    let folder = |name, key: &str, path, runs, dispensable| {
        folders::check(&Folder { name, key: peek.key_name(key), path, runs, dispensable })
    };
    let mut checks = vec![
        folder("working folder", "workingDir", situation.working_dir.as_path(), true, false),
        folder("state folder", "stateDir", situation.state_dir.as_path(), false, situation.state_by_default),
        folder("Terraform folder", "tfInstallDir", situation.install_dir.as_path(), true, false),
    ];
    for (key, path) in &situation.folders {
        checks.push(folder("folder", key, path.as_path(), key.contains("plugin"), false));
    }
    checks
}
