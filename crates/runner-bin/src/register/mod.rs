//! `bb-runner register`: creates or updates the runner object in meshStack.
//!
//! Source: `protocol/run-api.md`, "Runner objects".

mod access;
mod args;
mod object;
mod refusal;
mod wait;

use std::path::Path;
use std::time::Duration;

use meshstack_client::Client;

pub(crate) use access::{Access, base_url};
pub use args::{AccessArgs, FederationArgs, RegisterArgs, WaitFor};
use object::Object;

use crate::config::Environment;
use crate::file_edit::{self, Change, EditError};
use crate::peek::Peek;
use crate::runner_api::{Login, Reading, RunnerApi};
use crate::say::say;
use crate::{Exit, logging, wiring};

/// How long reading a registration may take.
const PATIENCE: Duration = Duration::from_secs(10);

type Refused = (String, Exit);

/// Does what is asked.
pub(crate) fn run(args: &RegisterArgs, config: Option<&Path>, environment: &Environment) -> Exit {
    let done = (|| {
        let directory = std::env::current_dir().map_err(|error| {
            let text = format!("The working directory cannot be used ({error}). Start in one that exists.");
            (text, Exit::BadConfiguration)
        })?;
        let runtime =
            wiring::runtime().map_err(|error| (format!("Nothing can be started ({error})."), Exit::Failure))?;
        let peek = Peek::at(config, environment, &directory);
        let done = runtime.block_on(register(args, environment, &directory, &peek));
        runtime.shutdown_background();
        done
    })();
    done.unwrap_or_else(|(message, exit)| {
        logging::complain(&message);
        exit
    })
}

async fn register(
    args: &RegisterArgs,
    environment: &Environment,
    directory: &Path,
    peek: &Peek<'_>,
) -> Result<Exit, Refused> {
    let wrong = |text: String| (text, Exit::BadConfiguration);
    let access = Access::of(&args.access, environment, directory, peek).map_err(wrong)?;
    let uuid = if args.new { None } else { args.uuid.clone().or_else(|| access.uuid.clone()) };
    let api = RunnerApi::new(access.base.clone(), Some(access.credentials.clone()), access.ca_paths.clone(), PATIENCE);
    let present = match &uuid {
        Some(uuid) if object::needs_present(args) => present(&api, uuid).await,
        _ => None,
    };
    let object = Object::of(args, &access, peek, directory, present.as_ref()).map_err(wrong)?;
    object.notes.iter().for_each(|note| logging::complain(note));
    if args.dry_run {
        say!("{}", object.json(uuid.as_deref()));
        return Ok(Exit::Success);
    }
    // What cannot be written is said before anything is created.
    if args.write_config && uuid.is_none() {
        with_uuid(peek, "00000000-0000-0000-0000-000000000000").map_err(|error| wrong(not_writable(peek, &error)))?;
    }
    let client = Client::new(access.client_config()).map_err(|error| wrong(format!("{error}.")))?;
    let (uuid, word) = if let Some(uuid) = uuid {
        let updated = client.update_runner(&uuid, &object.runner).await;
        updated.map_err(|error| refusal::of_update(&error, &uuid, &object.runner))?;
        (uuid, "updated")
    } else {
        let created = client.create_runner(&object.runner).await;
        (created.map_err(|error| refusal::of_creation(&error, &object.runner))?, "created")
    };
    say!("The runner {uuid} ({}) was {word} in meshStack.", object.runner.display_name);
    let written = if args.write_config { write(peek, &uuid) } else { Exit::Success };
    if access.uuid.as_deref() != Some(uuid.as_str()) && !args.write_config {
        let key = peek.key_name("runnerUuid");
        say!("Tell the runner its UUID: `{key}: {uuid}` in {} (or the variable RUNNER_UUID).", peek.shown.display());
    }
    if environment.get("RUNNER_UUID").and_then(|set| set.to_str()).is_some_and(|set| set.trim() != uuid) {
        logging::complain(&format!(
            "The variable RUNNER_UUID says another UUID, and beats the file. Set it to {uuid}."
        ));
    }
    let waited = match args.wait {
        None => Exit::Success,
        Some(state) => {
            wait::until(state, &api, &client, &uuid, &object.runner, Duration::from_secs(args.wait_timeout)).await
        }
    };
    Ok(if written == Exit::Success { waited } else { written })
}

/// The registration as it is, where it can be read.
async fn present(api: &RunnerApi, uuid: &str) -> Option<Reading> {
    let (login, _) = api.login().await.ok()?;
    if let Login::Refused(_) = login {
        return None;
    }
    api.read_runner(uuid, &login).await.ok()
}

/// The text of the configuration file with this UUID in it.
fn with_uuid(peek: &Peek<'_>, uuid: &str) -> Result<String, EditError> {
    let text = match &peek.outline {
        Some(outline) => outline.text.as_str(),
        None if peek.file().exists() => return Err(EditError::Shape),
        None => "",
    };
    let path = peek.key_name("runnerUuid");
    let path = peek.find(&path).map_or(path, |node| node.path.clone());
    file_edit::change(text, &[Change::Set { path, text: uuid.to_owned() }])
}

fn write(peek: &Peek<'_>, uuid: &str) -> Exit {
    let written = with_uuid(peek, uuid).and_then(|text| {
        if peek.file().exists() {
            return file_edit::replace(&peek.file(), &text);
        }
        std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(peek.file())
            .and_then(|mut file| std::io::Write::write_all(&mut file, text.as_bytes()))
            .map_err(EditError::Io)
    });
    match written {
        Ok(()) => {
            say!("The UUID was written into {}.", peek.shown.display());
            Exit::Success
        }
        Err(error) => {
            logging::complain(&format!(
                "{} The UUID is {uuid}: write `{}: {uuid}` by hand.",
                not_writable(peek, &error),
                peek.key_name("runnerUuid")
            ));
            Exit::Failure
        }
    }
}

fn not_writable(peek: &Peek<'_>, error: &EditError) -> String {
    let cause = std::error::Error::source(error).map(|cause| format!(" ({cause})")).unwrap_or_default();
    format!("The UUID cannot be put into {}: {error}{cause}.", peek.shown.display())
}
