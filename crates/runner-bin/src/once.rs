//! `bb-runner run-once FILE`: one run from a file, as in a pod of a run controller.
//!
//! Source: `protocol/run-controller.md`, "Single-run mode".

use std::io::Read as _;
use std::path::Path;

use meshstack_client::RunObject;
use runner_core::{RunOnce, Shutdown};

use crate::config::Config;
use crate::signals::Signals;
use crate::{Exit, logging, wiring};

/// Largest run that is read, in bytes. A controller hands over less than 1 MiB; by hand it may be more.
const MAX_BYTES: u64 = 64 << 20;

/// Carries the run out.
pub(crate) fn run(config: Config, file: &Path) -> Exit {
    let refuse = |message: &str, exit: Exit| {
        logging::complain(message);
        exit
    };
    let object = match read(file) {
        Ok(object) => object,
        Err(message) => return refuse(&message, Exit::Failure),
    };
    let runner = match wiring::single(config) {
        Ok(runner) => runner,
        Err(message) => return refuse(&message, Exit::BadConfiguration),
    };
    let runtime = match wiring::runtime() {
        Ok(runtime) => runtime,
        Err(error) => return refuse(&format!("The runner cannot start ({error})."), Exit::Failure),
    };
    let outcome = runtime.block_on(async {
        let shutdown = Shutdown::new();
        tokio::spawn(Signals::catch()?.turn(shutdown.clone()));
        std::io::Result::Ok(runner.run_once(object, &shutdown).await)
    });
    runtime.shutdown_background();
    match outcome {
        Ok(outcome) => exit(outcome),
        Err(error) => refuse(&format!("The runner cannot catch signals ({error})."), Exit::Failure),
    }
}

fn read(file: &Path) -> Result<RunObject, String> {
    let mut bytes = Vec::new();
    std::fs::File::open(file).and_then(|opened| opened.take(MAX_BYTES).read_to_end(&mut bytes)).map_err(|error| {
        format!("The run in {} cannot be read ({error}). Check the path and its permissions.", file.display())
    })?;
    RunObject::parse(&bytes).map_err(|error| {
        format!("The file {} holds no run: {error}. It must hold the run object as JSON.", file.display())
    })
}

/// Failure only where a second try cannot carry the run out twice.
fn exit(outcome: RunOnce) -> Exit {
    match outcome {
        RunOnce::NotStarted { reason } => {
            logging::complain(&format!("The run was not started: {reason}. It may be tried again."));
            Exit::Failure
        }
        RunOnce::Unreported { reason } => {
            tracing::error!(reason, "the run was carried out, but meshStack did not take its end");
            Exit::Success
        }
        outcome => {
            tracing::info!(?outcome, "the run is over for this runner");
            Exit::Success
        }
    }
}

#[cfg(test)]
mod tests {
    use runner_core::RunOnce;

    use super::exit;
    use crate::Exit;

    #[test]
    fn only_a_run_that_was_not_started_may_be_tried_again() {
        let reason = || "because".to_owned();
        let cases = [
            (RunOnce::Ended { succeeded: true }, Exit::Success),
            (RunOnce::Ended { succeeded: false }, Exit::Success),
            (RunOnce::HandedOver, Exit::Success),
            (RunOnce::Aborted, Exit::Success),
            (RunOnce::AlreadyOver, Exit::Success),
            (RunOnce::Unreported { reason: reason() }, Exit::Success),
            (RunOnce::NotStarted { reason: reason() }, Exit::Failure),
        ];
        for (outcome, expected) in cases {
            assert_eq!(exit(outcome.clone()), expected, "{outcome:?}");
        }
    }
}
