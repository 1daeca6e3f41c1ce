//! `bb-runner register --wait`.
//!
//! Two things can be waited for. That meshStack *has* the registration: it can be read and has our certificate, or, where it
//! cannot be read, the same update is taken once more. And that a runner is *at work* under it: meshStack notes when a runner
//! last asked for a run. The second needs a registration that can be read.

use std::time::Duration;

use meshstack_client::{Certificate, RunnerObject};
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout_at};

use super::args::WaitFor;
use super::object::Object;
use crate::runner_api::{Login, Reading, Registered, RunnerApi};
use crate::say::say;
use crate::{Exit, logging};

const PAUSE: Duration = Duration::from_secs(1);

/// Where the waiting is.
enum Seen {
    Done(&'static str),
    NotYet(&'static str),
    /// It will not come.
    Never(String),
}

pub(super) async fn until(state: WaitFor, api: &RunnerApi, uuid: &str, object: &Object, limit: Duration) -> Exit {
    let what = match state {
        WaitFor::Registered => "meshStack has the registration",
        WaitFor::Active => "a runner has asked meshStack for work under it",
    };
    say!("Waiting up to {} seconds until {what} …", limit.as_secs());
    let deadline = Instant::now() + limit;
    let mut first = None;
    let mut last = "nothing was answered";
    loop {
        let look = look(state, api, uuid, object, &mut first);
        match timeout_at(deadline, look).await {
            Ok(Seen::Done(how)) => {
                say!("{how}");
                return Exit::Success;
            }
            Ok(Seen::Never(text)) => {
                logging::complain(&text);
                return Exit::Failure;
            }
            Ok(Seen::NotYet(why)) => last = why,
            Err(_) => {}
        }
        if timeout_at(deadline, sleep(PAUSE)).await.is_err() || Instant::now() >= deadline {
            let advice = match state {
                WaitFor::Registered => "Try `bb-runner register --wait` again, or look at the runner in meshStack",
                WaitFor::Active => {
                    "Start the runner with this UUID (`bb-runner`), and look at its log; `bb-runner doctor` checks the way to meshStack"
                }
            };
            logging::complain(&format!("After {} seconds: {last}. {advice}.", limit.as_secs()));
            return Exit::Failure;
        }
    }
}

async fn look(state: WaitFor, api: &RunnerApi, uuid: &str, object: &Object, first: &mut Option<String>) -> Seen {
    let login = match api.login().await {
        Ok((Login::Refused(_), _)) => return Seen::NotYet("the login is refused"),
        Ok((login, _)) => login,
        Err(_) => return Seen::NotYet("meshStack does not answer the login"),
    };
    match (api.read_runner(uuid, &login).await, state) {
        (Ok(Reading::Found(present)), WaitFor::Registered) => {
            if same_key(&present, &object.runner) {
                Seen::Done("The registration is there, with this certificate.")
            } else {
                Seen::NotYet("the registration still has another certificate")
            }
        }
        (Ok(Reading::Found(present)), WaitFor::Active) => {
            // Empty: never.
            let seen = present.last_seen().unwrap_or_default();
            let before = first.get_or_insert_with(|| seen.clone());
            if seen == *before {
                Seen::NotYet("no runner has asked for work under this UUID since")
            } else {
                Seen::Done("The runner is active: it has just asked meshStack for work.")
            }
        }
        (Ok(Reading::NotFound | Reading::Refused(_)), WaitFor::Registered) => {
            match api.update_runner(uuid, &again(object, uuid)).await {
                Ok(()) => Seen::Done("The registration is there: it cannot be read, but was taken once more."),
                Err(_) => Seen::NotYet("the registration can neither be read nor updated"),
            }
        }
        (Ok(Reading::NotFound | Reading::Refused(_)), WaitFor::Active) => Seen::Never(
            "Whether the runner is active cannot be told here: meshStack does not let this API key read the runner \
             (BUILDINGBLOCKRUNNER_LIST). Look at it in meshStack."
                .to_owned(),
        ),
        (Ok(Reading::Unreadable(_)) | Err(_), _) => Seen::NotYet("meshStack does not answer"),
    }
}

/// The update that is sent once more: of a runner that was just created, with the UUID that it got.
fn again(object: &Object, uuid: &str) -> Value {
    let mut json = object.json.clone();
    json["metadata"]["uuid"] = uuid.into();
    json
}

fn same_key(present: &Registered, runner: &RunnerObject) -> bool {
    let fingerprint = |pem: &str| Certificate::from_pem(pem).ok().map(|certificate| certificate.fingerprint());
    let ours = fingerprint(&runner.public_key);
    ours.is_some() && present.public_key().and_then(|pem| fingerprint(&pem)) == ours
}
