#![doc = include_str!("../README.md")]

pub mod cli;
pub mod config;
mod daemon;
mod demo;
mod exit;
mod health;
mod logging;
mod once;
mod passwords;
mod signals;
mod wiring;

pub use exit::Exit;

use cli::{Cli, Command};
use config::{Environment, Mode, Sources};

/// Does what the command line asks for.
pub fn main(cli: &Cli) -> Exit {
    let environment = Environment::of_process();
    match &cli.command {
        Some(Command::Completions { shell }) => {
            cli::completions(*shell);
            Exit::Success
        }
        Some(Command::Demo(args)) => {
            let logged = cli.logging.level.is_some();
            if logged && let Err(exit) = logging::start(&cli.logging, &environment) {
                return exit;
            }
            demo::run(args, logged)
        }
        Some(Command::RunOnce { file }) => serve(cli, &environment, Some(Mode::SingleRun(file.clone()))),
        Some(Command::Run) | None => serve(cli, &environment, None),
    }
}

/// The modes that need a configuration.
fn serve(cli: &Cli, environment: &Environment, mode: Option<Mode>) -> Exit {
    if let Err(exit) = logging::start(&cli.logging, environment) {
        return exit;
    }
    let directory = match std::env::current_dir() {
        Ok(directory) => directory,
        Err(error) => {
            logging::complain(&format!("The working directory cannot be used ({error}). Start in one that exists."));
            return Exit::BadConfiguration;
        }
    };
    let sources = Sources { file: cli.config.as_deref(), environment, directory: &directory };
    let read = mode.map_or_else(|| sources.mode(), Ok).and_then(|mode| Ok((sources.read(&mode)?, mode)));
    let (config, mode) = match read {
        Ok(read) => read,
        Err(error) => {
            logging::complain(&error.to_string());
            return Exit::BadConfiguration;
        }
    };
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    match mode {
        Mode::Daemon => daemon::run(config),
        Mode::SingleRun(file) => once::run(config, &file),
    }
}
