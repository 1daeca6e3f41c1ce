//! `terraform init`.
//!
//! Source: `protocol/terraform.md`, "Init, backend, workspace".

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use runner_core::{Failure, RunContext, Step};

use crate::Settings;
use crate::cache::{Kept, Providers, shares_providers};
use crate::hints;
use crate::process::{CommandError, Environment};
use crate::terraform::Terraform;

const ARGS: [&str; 4] = ["init", "-no-color", "-input=false", "-upgrade"];
/// Before the one retry, for flaky proxies.
const PAUSE: Duration = Duration::from_secs(1);

/// The run's view of the runner's cache of providers, if there is one and the run may use it. It holds until the end of
/// the run, since Terraform starts its providers from it.
pub(crate) async fn providers(
    settings: &Settings,
    inputs: &BTreeMap<String, String>,
    module: &Path,
    step: &Step,
) -> Option<Arc<Providers>> {
    let folder = settings.plugin_cache_dir.clone()?;
    if !shares_providers(inputs, module) {
        step.log_line("The run may bring its own providers, so the runner's cache of providers is not used.");
        return None;
    }
    let (shown, module) = (folder.display().to_string(), module.to_owned());
    let opened = tokio::task::spawn_blocking(move || Providers::open(&folder, &module)).await;
    match opened.map_err(io::Error::other).flatten() {
        Ok(providers) => Some(Arc::new(providers)),
        Err(error) => {
            tracing::warn!(%error, folder = shown, "the cache of providers cannot be used");
            None
        }
    }
}

/// Initialises the module within `limit`, with one retry. Providers come from the cache if there is one; the retry does
/// without, so that a cache is never why a run fails. What was downloaded is in the cache afterwards, and the cache
/// within `cache_limit` bytes.
pub(crate) async fn init(
    ctx: &RunContext,
    terraform: &Terraform<'_>,
    cache: Option<&Arc<Providers>>,
    settings: &Settings,
    step: &Step,
) -> Result<(), Failure> {
    let limit = settings.init_timeout;
    let began = Instant::now();
    let cached = cache.map(|cache| Terraform { environment: with_cache(terraform, cache.dir()), ..*terraform });
    let first = attempt(cached.as_ref().unwrap_or(terraform), limit, limit, step).await?;
    if first.success() {
        if let Some(cache) = cache {
            keep(cache, terraform, settings.plugin_cache_limit, step).await;
        }
        return Ok(());
    }
    step.log_line(format!("terraform init ended with {}; trying once more.", first.how_it_ended()));
    ctx.or_stopped(tokio::time::sleep(PAUSE)).await?;
    let left = limit.saturating_sub(began.elapsed());
    let second = attempt(terraform, left, limit, step).await?;
    if second.success() {
        return Ok(());
    }
    Err(hints::failed(
        "Terraform could not initialise the module. Read its message, correct the module or its surroundings, and \
         start the run again.",
        "terraform init",
        &second,
    ))
}

/// Terraform takes a provider that the module's lock file does not have from its cache only if it is told that the
/// lock file may end up incomplete. The file is gone with the checkout, and `-upgrade` writes it anew anyway.
fn with_cache(terraform: &Terraform<'_>, cache: &Path) -> Environment {
    let mut environment = terraform.environment.clone();
    environment.insert("TF_PLUGIN_CACHE_DIR".into(), cache.into());
    environment.insert("TF_PLUGIN_CACHE_MAY_BREAK_DEPENDENCY_LOCK_FILE".into(), "true".into());
    environment
}

async fn keep(cache: &Arc<Providers>, terraform: &Terraform<'_>, limit: u64, step: &Step) {
    let data = terraform.environment.get(OsStr::new("TF_DATA_DIR")).map_or(Path::new(".terraform"), Path::new);
    let (cache, installed) = (Arc::clone(cache), terraform.dir.join(data).join("providers"));
    let kept = tokio::task::spawn_blocking(move || cache.keep(&installed, limit)).await;
    match kept.map_err(io::Error::other).flatten() {
        Ok(Kept { taken: 0, added: 0 }) => {}
        Ok(Kept { taken, added }) => {
            step.log_line(format!("Providers: {taken} from the runner's cache, {added} added to it."));
        }
        Err(error) => tracing::warn!(%error, "the cache of providers could not be brought up to date"),
    }
}

async fn attempt(
    terraform: &Terraform<'_>,
    left: Duration,
    limit: Duration,
    step: &Step,
) -> Result<crate::process::Finished, Failure> {
    terraform.run(&ARGS, Some(left), step).await.map_err(|error| match error {
        CommandError::TimeLimit { .. } => Failure::because(
            format!(
                "Terraform could not initialise the module within {} s. Start the run again; if it stays slow, ask the \
                 platform team to raise the limit (initTimeoutMins).",
                limit.as_secs()
            ),
            error,
        ),
        other => not_run(other),
    })
}

/// A Terraform that could not be run at all.
pub(crate) fn not_run(error: CommandError) -> Failure {
    error.into_failure(
        "Terraform could not be run. Ask the platform team to look at the runner, then start the run again.",
    )
}
