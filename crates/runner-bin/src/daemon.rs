//! `bb-runner run`: claims runs until told to stop.

use runner_core::Shutdown;

use crate::config::Config;
use crate::signals::Signals;
use crate::{Exit, health, logging, wiring};

/// Runs until a signal.
pub(crate) fn run(config: Config) -> Exit {
    let refuse = |message: &str, exit: Exit| {
        logging::complain(message);
        exit
    };
    let listener = match health::listen(config.port) {
        Ok(listener) => listener,
        Err(message) => return refuse(&message, Exit::BadConfiguration),
    };
    let (runner_uuid, api, keys) = (config.runner_uuid.clone(), config.api_url.clone(), config.keys.len());
    let runner = match wiring::daemon(config) {
        Ok(runner) => runner,
        Err(message) => return refuse(&message, Exit::BadConfiguration),
    };
    let started = wiring::runtime().and_then(|runtime| {
        let _entered = runtime.enter();
        let signals = Signals::catch()?;
        Ok((runtime, signals))
    });
    let (runtime, signals) = match started {
        Ok(started) => started,
        Err(error) => return refuse(&format!("The runner cannot start ({error})."), Exit::Failure),
    };
    tracing::info!(runner = runner_uuid, api, keys, version = env!("CARGO_PKG_VERSION"), "bb-runner started");
    if keys == 0 {
        tracing::warn!(
            "no private key is configured: runs with secrets will fail. Set privateKeyFile if there are such"
        );
    }
    let drained = runtime.block_on(async {
        let shutdown = Shutdown::new();
        tokio::spawn(signals.turn(shutdown.clone()));
        if let Some(listener) = listener {
            tokio::spawn(health::serve(listener, shutdown.clone()));
        }
        runner.run(&shutdown).await
    });
    // Whatever still blocks a thread is not waited for.
    runtime.shutdown_background();
    if drained.left_behind == 0 {
        tracing::info!("bb-runner ended");
        Exit::Success
    } else {
        Exit::Failure
    }
}
