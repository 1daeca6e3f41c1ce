//! `meshstack-local`: a meshStack to run against, as a process of its own.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use meshstack_local::{Event, LocalMeshStack, Options};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

const HELP: &str = "\
A meshStack to run against: it queues building block runs, hands them out and takes reports.

Usage: meshstack-local [OPTIONS]

Options:
  --port PORT               Listen on 127.0.0.1 at this port [default: 0, a free one]
  --listen ADDRESS:PORT     Listen at this address, 0.0.0.0:8080 say
  --public-url URL          What links in run objects start with [default: the address listened on]
  --basic USER:PASSWORD     Also take these credentials (Basic authentication)
  --no-auth                 Let in requests without credentials
  --redeliver-after SECONDS Queue a claimed run again that has not ended by then [default: 10800]
  --plan-artifact-upload    Give DETECT runs a link to upload their plan to
  -h, --help                Show this text
  -V, --version             Show the version

When it is ready, it prints one line of JSON: {\"url\":…,\"clientId\":…,\"clientSecret\":…}
Requests that break the protocol are refused, and told on standard error.

Register a runner, order a run and wait for its end:
  curl -s URL/local/runners -H 'Content-Type: application/json' -d '{\"implementationType\":\"MANUAL\"}'
  curl -s 'URL/local/runs?runner=UUID' -H 'Content-Type: application/json' \\
       -d '{\"order\":{\"inputs\":[{\"key\":\"name\",\"value\":\"demo\"}]}}'
  curl -s 'URL/local/runs/RUN?wait=end'
";

/// What the command line asks for.
#[derive(Debug)]
enum Command {
    Serve(Box<Options>),
    Help,
    Version,
}

fn parse(arguments: impl Iterator<Item = String>) -> Result<Command, String> {
    let mut options = Options::default();
    let mut arguments = arguments;
    while let Some(argument) = arguments.next() {
        let (name, attached) = match argument.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (argument, None),
        };
        let mut value = || attached.clone().or_else(|| arguments.next()).ok_or_else(|| format!("{name} needs a value"));
        match name.as_str() {
            "--port" => options.bind = SocketAddr::from((Ipv4Addr::LOCALHOST, number(&name, &value()?)?)),
            "--listen" => {
                let text = value()?;
                options.bind = text.parse().map_err(|_| format!("--listen: {text} is not an address and a port"))?;
            }
            "--public-url" => options.public_url = Some(value()?),
            "--basic" => {
                let text = value()?;
                let (user, password) = text.split_once(':').ok_or("--basic: give USER:PASSWORD")?;
                options.basic = Some((user.to_owned(), password.to_owned()));
            }
            "--no-auth" | "--plan-artifact-upload" if attached.is_some() => {
                return Err(format!("{name} takes no value"));
            }
            "--redeliver-after" => options.redeliver_after = Duration::from_secs(number(&name, &value()?)?),
            "--no-auth" => options.require_auth = false,
            "--plan-artifact-upload" => options.plan_artifact_upload = true,
            "-h" | "--help" => return Ok(Command::Help),
            "-V" | "--version" => return Ok(Command::Version),
            _ => return Err(format!("there is no option {name}")),
        }
    }
    Ok(Command::Serve(Box::new(options)))
}

fn number<T: std::str::FromStr>(name: &str, text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{name}: {text} is not a number that fits"))
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = match parse(std::env::args().skip(1)) {
        Ok(Command::Serve(options)) => *options,
        Ok(Command::Help) => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Ok(Command::Version) => {
            println!("meshstack-local {}", env!("CARGO_PKG_VERSION"));
            return ExitCode::SUCCESS;
        }
        Err(message) => {
            eprintln!("meshstack-local: {message}\nSee meshstack-local --help.");
            return ExitCode::from(2);
        }
    };
    let bind = options.bind;
    let mesh = match LocalMeshStack::start_with(options).await {
        Ok(mesh) => mesh,
        Err(error) => {
            eprintln!("meshstack-local: cannot listen at {bind}: {error}\nChoose another port with --port.");
            return ExitCode::FAILURE;
        }
    };
    let events = mesh.events();
    let (id, secret) = mesh.api_key();
    println!("{}", serde_json::json!({ "url": mesh.url(), "clientId": id, "clientSecret": secret }));
    tell_violations(events).await;
    ExitCode::SUCCESS
}

/// Runs until the process is stopped.
async fn tell_violations(mut events: Receiver<Event>) {
    loop {
        match events.recv().await {
            Ok(Event::Violation { text }) => eprintln!("violation: {text}"),
            Ok(_) | Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(arguments: &[&str]) -> Result<Command, String> {
        parse(arguments.iter().map(ToString::to_string))
    }

    #[test]
    fn options_are_read_with_a_space_or_an_equals_sign() {
        let Ok(Command::Serve(options)) = given(&["--port=81", "--basic", "user:pass:word", "--no-auth"]) else {
            panic!("not understood");
        };
        assert_eq!(options.bind.to_string(), "127.0.0.1:81");
        assert_eq!(options.basic, Some(("user".to_owned(), "pass:word".to_owned())));
        assert!(!options.require_auth);
    }

    #[test]
    fn a_wrong_option_is_named() {
        for (arguments, message) in [
            (&["--prot", "1"][..], "there is no option --prot"),
            (&["--port"][..], "--port needs a value"),
            (&["--no-auth=false"][..], "--no-auth takes no value"),
            (&["--port", "99999"][..], "--port: 99999 is not a number that fits"),
            (&["--listen", "here"][..], "--listen: here is not an address and a port"),
            (&["--basic", "user"][..], "--basic: give USER:PASSWORD"),
        ] {
            assert_eq!(given(arguments).unwrap_err(), message);
        }
    }
}
