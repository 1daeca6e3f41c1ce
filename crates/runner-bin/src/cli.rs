//! The command line.

use std::path::PathBuf;

use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::config_command::ConfigCommand;
use crate::doctor::DoctorArgs;
use crate::keys::KeysCommand;
use crate::register::RegisterArgs;

const ABOUT: &str = "Runs the building blocks of meshStack: claims runs, carries them out, reports how they went.";

const HELP: &str = "\
Examples:
  bb-runner demo
      See it work on this machine, without a meshStack: two building blocks are ordered,
      claimed, run and reported over real HTTP with real encryption.
  bb-runner demo --module ./my-module --input region=eu-1 --sensitive password=secret
      Try your own Terraform module as a building block.
  bb-runner --config /etc/bb-runner.yml
      Claim runs until SIGTERM or Ctrl-C; a second signal ends at once.
  bb-runner config check old/runner-config.yml
      Say everything that is wrong with a file of this or of a public runner.
  bb-runner run-once run.json
      Carry out one run from a file, as the run controller's pods do.
  bb-runner keys generate && bb-runner register --display-name NAME --workspace WORKSPACE --write-config
      Make a key pair, and create the runner in meshStack.
  bb-runner doctor
      Check everything that a runner needs, and say what to do about what is missing.
  bb-runner completions bash > /etc/bash_completion.d/bb-runner

Environment (an empty variable counts as unset; a variable beats the file):
  RUNNER_CONFIG_FILE        configuration file, where --config is not given
                            [runner-config.yml, application.yml]
  RUNNER_UUID               the runner's UUID in meshStack
  RUNNER_API_URL            meshStack's address
  RUNNER_API_CLIENT_ID, RUNNER_API_CLIENT_SECRET
                            API key
  RUNNER_API_USERNAME, RUNNER_API_PASSWORD
                            basic authentication (deprecated)
  RUNNER_PRIVATE_KEY_FILE   private key
                            [./runner-private.pem, /app/runner-private.pem]
  PORT                      port of GET /healthz: 200 OK, 503 while shutting down;
                            0 takes a free one [8100]
  SSH_KNOWN_HOSTS           known_hosts file for git over SSH
  CUSTOM_CA_CERTS_PATH      folders or files with more CA certificates, joined by `:`
  VERSION                   version to report to meshStack
  EXECUTION_MODE=single-run, SPRING_PROFILES_ACTIVE=kubernetes, RUN_JSON_FILE_PATH
                            carry out the run in that file, as run-once does
  RUNNER_API_CLIENT_SECRET_FILE, RUNNER_API_PASSWORD_FILE
                            files that hold these secrets; so do files in /run/secrets
                            that are named like the variables
  BLOCKRUNNER_UUID, BLOCKRUNNER_AUTH_APIKEY_CLIENTID, ..., SERVER_PORT
                            the JVM runners' names of the same
  BB_LOG_LEVEL, BB_LOG_FORMAT
                            as --log-level and --log-format
  BB_MAX_CONCURRENT_RUNS, BB_TERRAFORM_LOG_DIR, ...
                            our own keys of the file: the path in upper case
  HTTPS_PROXY, HTTP_PROXY, NO_PROXY
                            proxies

Exit codes:
  0    done: shut down in order; demo: all runs succeeded; run-once: the end of the
       run was reported, it was handed over or aborted, or another try could only
       carry it out twice
  1    not done: runs were cut off by a second signal; demo: a run did not succeed,
       or there is no Terraform; run-once: nothing was started, it may be tried again;
       health: /healthz does not answer 200
  2    not tried: the command line or the configuration is wrong, or PORT is taken
  130  demo: interrupted";

/// The command line of `bb-runner`.
#[derive(Debug, Parser)]
#[command(name = "bb-runner", version, about = ABOUT)]
#[command(after_help = "Examples, environment and exit codes: bb-runner --help", after_long_help = HELP)]
pub struct Cli {
    /// What to do; `run` if nothing is said.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Configuration file in YAML, in the format of any of the public runners
    #[arg(long, value_name = "FILE", global = true, display_order = 90)]
    pub config: Option<PathBuf>,
    /// How to log.
    #[command(flatten)]
    pub logging: Logging,
}

/// How to log.
#[derive(Debug, Args)]
pub struct Logging {
    /// How log lines look on standard error; auto: text on a terminal, JSON elsewhere
    #[arg(long = "log-format", value_enum, value_name = "FORMAT", global = true, display_order = 91)]
    pub format: Option<LogFormat>,
    /// The least important lines to log [default: info; demo: none]
    #[arg(long = "log-level", value_enum, value_name = "LEVEL", global = true, display_order = 92)]
    pub level: Option<LogLevel>,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
    /// Text on a terminal, JSON elsewhere.
    Auto,
}

/// How much is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    /// What needs somebody's attention.
    Error,
    /// What may.
    Warn,
    /// What happens to runs.
    Info,
    /// Each poll and request.
    Debug,
    /// Everything.
    Trace,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Claim runs and carry them out until told to stop (the default)
    Run,
    /// Show it at work on this machine, without a meshStack
    Demo(DemoArgs),
    /// Carry out one run from a file, then end
    RunOnce {
        /// The run object, JSON, with its secrets in plain text
        file: PathBuf,
    },
    /// Make and check key pairs
    Keys {
        /// What to do with them.
        #[command(subcommand)]
        command: KeysCommand,
    },
    /// Ask the runner of this machine or container how it is: exit code 0 if its /healthz answers 200
    Health {
        /// Its port [default: as the runner has it: `SERVER_PORT`, PORT, the file's server.port, or 8100]
        #[arg(long)]
        port: Option<u16>,
    },
    /// Create or update the runner's registration in meshStack
    Register(Box<RegisterArgs>),
    /// Check and show the configuration
    Config {
        /// What to do with it.
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Check everything that a runner needs, and say what to do about what is missing
    Doctor(DoctorArgs),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
}

const DEMO_HELP: &str = "\
Inputs:
  A value that is JSON decides its type: 3 is INTEGER, true is BOOLEAN,
  [\"a\",\"b\"] is MULTI_SELECT, other lists and objects are CODE, and \"3\" in quotes
  is STRING. Everything else is STRING. KEY=@FILE takes the value from a file.
  Values of --sensitive are STRING or CODE, and encrypted on the way.

Modules:
  A folder is taken with its uncommitted changes; in a git working tree the whole
  tree comes along, without what is ignored, so that `../` works. With --ref, and
  of a URL, it is what was committed.

Exit codes:
  0 all runs succeeded; 1 one did not, or there is no Terraform; 2 wrong arguments;
  130 interrupted";

/// What to show.
#[derive(Debug, Args)]
#[command(after_help = DEMO_HELP)]
pub struct DemoArgs {
    /// Your own Terraform module: a folder, or a git URL
    #[arg(long, value_name = "PATH|GIT_URL")]
    pub module: Option<String>,
    /// Branch, tag or commit of the module's repository
    #[arg(long = "ref", value_name = "REF", requires = "module")]
    pub reference: Option<String>,
    /// Folder of the module in its repository
    #[arg(long, value_name = "PATH", requires = "module")]
    pub path: Option<String>,
    /// An input of the module; may be repeated
    #[arg(long = "input", value_name = "KEY=VALUE", requires = "module")]
    pub inputs: Vec<String>,
    /// A secret input; may be repeated. KEY=@FILE keeps it from being seen among the processes
    #[arg(long = "sensitive", value_name = "KEY=VALUE", requires = "module")]
    pub sensitive: Vec<String>,
}

/// Prints the completion script.
pub(crate) fn completions(shell: Shell) {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "bb-runner", &mut script);
    crate::say::text(&String::from_utf8_lossy(&script));
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    use super::{Cli, HELP};

    #[test]
    fn the_definition_of_the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn help_names_every_variable_of_the_public_runners() {
        for variable in crate::config::variables() {
            assert!(HELP.contains(variable) || variable.starts_with("BB_"), "{variable} is not in --help");
        }
    }

    #[test]
    fn global_options_may_come_before_and_after_the_command() {
        for line in ["bb-runner --config a.yml run", "bb-runner run --config a.yml", "bb-runner --config a.yml"] {
            let cli = Cli::try_parse_from(line.split(' ')).unwrap();
            assert_eq!(cli.config.unwrap().to_str(), Some("a.yml"));
        }
    }

    #[test]
    fn options_of_a_module_need_a_module() {
        let refused = Cli::try_parse_from(["bb-runner", "demo", "--input", "a=b"]).unwrap_err();
        assert!(refused.to_string().contains("--module"), "{refused}");
    }
}
