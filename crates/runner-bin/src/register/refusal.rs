//! What meshStack's refusals mean for the person who registers.

use meshstack_client::{ApiError, Problem, RunnerObject};

use super::Refused;
use crate::Exit;

pub(super) fn of_creation(error: &ApiError, runner: &RunnerObject) -> Refused {
    let text = match &error.problem {
        Problem::Gone { .. } => format!(
            "meshStack knows no runner objects at this address ({error}). Check that `api.url` is its base address, \
             without a path."
        ),
        Problem::Conflict { .. } => format!(
            "meshStack has something that contradicts the new runner ({error}). If there is one of the name {:?} \
             already, update it with --uuid, or give another --display-name.",
            runner.display_name
        ),
        Problem::NoAnswer { connect: false } | Problem::TryAgain { .. } => format!(
            "There was no clear answer ({error}), so the runner may have been created or not. Look in meshStack before \
             you try again."
        ),
        // A success that does not say what became of it.
        Problem::BrokenAnswer { status: 200..300, .. } if !at_login(error) => format!(
            "The answer was a success without the runner's UUID ({error}), so the runner may have been created. Look in \
             meshStack before you try again; if it is there, give its UUID with --uuid. If it is not, `bb-runner doctor` \
             tells what is in the way."
        ),
        _ => return of_any(error, runner),
    };
    (text, Exit::Failure)
}

pub(super) fn of_update(error: &ApiError, uuid: &str, runner: &RunnerObject) -> Refused {
    let text = match &error.problem {
        Problem::Gone { .. } => format!(
            "meshStack has no runner {uuid} ({error}): it was never created there, or was removed. Create one with \
             `bb-runner register --new --write-config`; meshStack gives it another UUID, which building block definitions \
             must then name. If the runner is another one, give its UUID with --uuid."
        ),
        Problem::Conflict { .. } => format!(
            "The update contradicts what meshStack has ({error}). Somebody may have changed the runner at the same time: \
             look at it there, and try again."
        ),
        _ => return of_any(error, runner),
    };
    (text, Exit::Failure)
}

fn of_any(error: &ApiError, runner: &RunnerObject) -> Refused {
    let at_login = at_login(error);
    let text = match &error.problem {
        Problem::Unauthorised { status: 403, .. } if !at_login => format!(
            "The API key may not save building block runners of the workspace {:?} ({error}). Give it that permission \
             (BUILDINGBLOCKRUNNER_SAVE) in that workspace, or use a key that has it: --client-id and --client-secret-file.",
            runner.owned_by_workspace
        ),
        Problem::Unauthorised { .. } => format!(
            "meshStack refused the credentials ({error}). Check the client id and the secret: whether they are of this \
             meshStack, and whether the key has run out."
        ),
        Problem::Refused { .. } => format!(
            "meshStack did not take the runner object ({error}). Compare it with what --dry-run prints; the workspace \
             {:?} must exist.",
            runner.owned_by_workspace
        ),
        Problem::NoAnswer { .. } | Problem::BrokenAnswer { .. } => {
            let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
            format!(
                "meshStack cannot be reached as it should ({error}{cause}). `bb-runner doctor` tells what is in the way."
            )
        }
        Problem::TryAgain { .. } => format!("meshStack is not available now ({error}). Try again later."),
        _ => format!("The runner was not registered ({error}). Correct that, and try again."),
    };
    (text, Exit::Failure)
}

fn at_login(error: &ApiError) -> bool {
    error.path.ends_with("/api/login")
}
