//! `bb-runner keys`: makes key pairs, changes them, and says which certificate belongs to which key.
//!
//! Source: `protocol/encryption.md`, "Keys".

mod check;
mod files;
mod generate;
mod rotate;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use crate::config::Environment;
use crate::peek::Peek;
use crate::{Exit, logging};

pub(crate) use check::{
    KeyReport, certificate_beside, certificate_warnings, date, grouped, read_certificate_file, read_key,
};

/// What to do with keys.
#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Make a key pair: a private key for the runner, a certificate for meshStack
    Generate(GenerateArgs),
    /// Make a new current key; what was encrypted for the old ones stays readable
    Rotate(RotateArgs),
    /// Say which certificate belongs to which key, and what is wrong with them
    Check(CheckArgs),
}

/// Where a key pair goes, and how it is called.
#[derive(Debug, Args)]
pub struct PairArgs {
    /// Folder for both files [default: the working directory; for `rotate`, that of the current key]
    #[arg(long, value_name = "DIR", conflicts_with_all = ["key", "cert"])]
    pub dir: Option<PathBuf>,
    /// File for the private key; must not exist yet
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub key: Option<PathBuf>,
    /// File for the certificate; must not exist yet
    #[arg(long, value_name = "FILE", requires = "key")]
    pub cert: Option<PathBuf>,
    /// Common name in the certificate [default: building block runner, and its UUID]
    #[arg(long, value_name = "CN")]
    pub name: Option<String>,
    /// Days that the certificate is valid for
    #[arg(long, value_name = "N", default_value_t = 3650, value_parser = clap::value_parser!(u32).range(1..=36_500))]
    pub days: u32,
}

/// `keys generate`.
#[derive(Debug, Args)]
#[command(after_help = "Exit codes: 0 made; 1 not made (a file exists, or cannot be written); 2 wrong arguments")]
pub struct GenerateArgs {
    /// Where, and how it is called.
    #[command(flatten)]
    pub pair: PairArgs,
}

/// `keys rotate`.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes:
  0 made; 1 not made, or --write could not change the file (what to write is shown); 2 wrong arguments, or there is no
  usable current key to rotate")]
pub struct RotateArgs {
    /// Where, and how it is called.
    #[command(flatten)]
    pub pair: PairArgs,
    /// Change the configuration file; comments and everything else stay as they are
    #[arg(long)]
    pub write: bool,
}

/// `keys check`.
#[derive(Debug, Args)]
#[command(after_help = "\
Without --key, the keys of the configuration are checked; without --cert, the certificates that lie beside them, or that a
controller's file holds.

Exit codes:
  0 in order, warnings included; 1 a key or certificate cannot be used, or a certificate belongs to no key; 2 there is
  nothing to check")]
pub struct CheckArgs {
    /// A private key; may be repeated
    #[arg(long = "key", value_name = "FILE")]
    pub keys: Vec<PathBuf>,
    /// A certificate; may be repeated
    #[arg(long = "cert", value_name = "FILE")]
    pub certificates: Vec<PathBuf>,
}

/// Why nothing was done, and how that ends.
pub(crate) type Refused = (String, Exit);

/// Does what is asked.
pub(crate) fn run(command: &KeysCommand, config: Option<&Path>, environment: &Environment) -> Exit {
    let done = std::env::current_dir()
        .map_err(|error| {
            let text = format!("The working directory cannot be used ({error}). Start in one that exists.");
            (text, Exit::BadConfiguration)
        })
        .and_then(|directory| {
            let peek = Peek::at(config, environment, &directory);
            let asks_it = match command {
                KeysCommand::Generate(_) => false,
                KeysCommand::Rotate(_) => true,
                KeysCommand::Check(args) => args.keys.is_empty() || config.is_some(),
            };
            if let Some(text) = peek.unreadable().filter(|_| asks_it) {
                return Err((text, Exit::BadConfiguration));
            }
            match command {
                KeysCommand::Generate(args) => generate::run(args, &peek, &directory),
                KeysCommand::Rotate(args) => rotate::run(args, &peek, &directory),
                KeysCommand::Check(args) => check::run(args, &peek, &directory),
            }
        });
    done.unwrap_or_else(|(message, exit)| {
        logging::complain(&message);
        exit
    })
}
