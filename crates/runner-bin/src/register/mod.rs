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
use object::{Object, Present};

use crate::config::Environment;
use crate::file_edit::{self, Change, EditError};
use crate::peek::Peek;
use crate::runner_api::{Login, Reading, RunnerApi, Unanswered};
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
    let config = access.client_config();
    let version = config.version.clone();
    let client = Client::new(config).map_err(|error| wrong(format!("{error}.")))?;
    let uuid = if args.new { None } else { args.uuid.clone().or_else(|| access.uuid.clone()) };
    let api = RunnerApi::new(access.base.clone(), Some(access.credentials.clone()), access.ca_paths.clone(), PATIENCE)
        .named(&version);
    let present = match &uuid {
        Some(uuid) => present(&api, uuid).await.map_err(|text| (text, Exit::Failure))?,
        None => Present::None,
    };
    let object = Object::of(args, &access, peek, directory, uuid.as_deref(), &present)?;
    object.notes.iter().for_each(|note| logging::complain(note));
    if args.dry_run {
        say!("{:#}", object.json);
        return Ok(Exit::Success);
    }
    // What cannot be written is said before anything is created.
    if args.write_config && uuid.is_none() {
        with_uuid(peek, "00000000-0000-0000-0000-000000000000").map_err(|error| wrong(not_writable(peek, &error)))?;
    }
    let (uuid, word) = if let Some(uuid) = uuid {
        let updated = api.update_runner(&uuid, &object.json).await;
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
        Some(state) => wait::until(state, &api, &uuid, &object, Duration::from_secs(args.wait_timeout)).await,
    };
    Ok(if written == Exit::Success { waited } else { written })
}

/// The registration as it is. An update replaces it, so it goes on without only where meshStack does not let it be read.
async fn present(api: &RunnerApi, uuid: &str) -> Result<Present, String> {
    let again = |what: &str, why: &str| {
        format!(
            "{what} ({why}), so nothing was changed: an update replaces the whole registration. Try again; `bb-runner \
             doctor` tells what is in the way."
        )
    };
    let unanswered = |error: &Unanswered| again("meshStack cannot be reached as it should", &error.chain());
    let unread = |why: String| again("The present registration was not answered as it should be", &why);
    let login = match api.login().await.map_err(|error| unanswered(&error))?.0 {
        Login::Refused(answered) if matches!(answered.status, 401 | 403) && !answered.html => {
            return Ok(Present::WrongCredentials(answered.status));
        }
        Login::Refused(answered) => {
            let what = if answered.html { "a web page and no login" } else { "no token" };
            return Err(again(
                "The login was not answered as it should be",
                &format!("HTTP {}, {what}", answered.status),
            ));
        }
        login => login,
    };
    match api.read_runner(uuid, &login).await.map_err(|error| unanswered(&error))? {
        Reading::Found(registered) => Ok(Present::Found(registered)),
        Reading::Refused(401) => Ok(Present::WrongCredentials(401)),
        // 405: this meshStack lets the path be written alone.
        Reading::Refused(status @ (403 | 405)) => Ok(Present::Hidden(status)),
        Reading::NotFound => Ok(Present::Hidden(404)),
        Reading::Refused(status) => Err(unread(format!("HTTP {status}"))),
        Reading::Unreadable(status) => Err(unread(format!("HTTP {status}, and no runner object"))),
    }
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
