#![doc = include_str!("../README.md")]

mod ask_health;
pub mod called_as;
pub mod cli;
pub mod config;
pub mod config_command;
mod daemon;
mod demo;
pub mod doctor;
mod exit;
mod file_edit;
mod first_process;
mod health;
pub mod keys;
mod logging;
mod once;
mod passwords;
mod peek;
pub mod register;
mod runner_api;
mod say;
mod signals;
mod wiring;

pub use exit::Exit;

use cli::{Cli, Command};
use config::{Environment, Mode, Sources};

/// Does what the command line asks for.
pub fn main(cli: &Cli) -> Exit {
    say::end(command(cli))
}

fn command(cli: &Cli) -> Exit {
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
        Some(Command::Config { command }) => config_command::run(command, cli.config.as_deref(), &environment),
        Some(Command::Doctor(args)) => doctor::run(args, cli.config.as_deref(), &environment),
        Some(Command::Keys { command }) => keys::run(command, cli.config.as_deref(), &environment),
        Some(Command::Health { port }) => ask_health::run(*port, cli.config.as_deref(), &environment),
        Some(Command::Register(args)) => register::run(args, cli.config.as_deref(), &environment),
        Some(Command::RunOnce { file }) => serve(cli, &environment, Some(Mode::SingleRun(file.clone()))),
        None if called_as::is_controller() => {
            logging::complain(
                "The run controller is not part of this version. Keep the public image for the controller; \
                 the pods that it starts may use this one.",
            );
            Exit::BadConfiguration
        }
        Some(Command::Run) | None => serve(cli, &environment, None),
    }
}

/// The modes that need a configuration.
fn serve(cli: &Cli, environment: &Environment, mode: Option<Mode>) -> Exit {
    if let Err(exit) = logging::start(&cli.logging, environment) {
        return exit;
    }
    first_process::stand_in();
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
