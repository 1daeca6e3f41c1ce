//! Looks for the pipeline of a run whose trigger was sent and whose answer is not known.
//!
//! A pipeline is this run's only if its variables say so. Branch and time narrow the search and prove nothing: other runs,
//! and other people, start pipelines on the same branch.

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use runner_core::web::StatusCode;
use runner_core::{Pace, RunContext, Stopped};
use tokio::time::Instant;

use crate::clock::seconds;
use crate::pipeline::Pipeline;
use crate::reader::{ReadError, Reader};

/// Pipelines of so much earlier and later than the trigger are looked at.
const AROUND: Duration = Duration::from_secs(10 * 60);

/// If the clocks of GitLab and of the runner are further apart, the difference is counted in.
const SKEW: u64 = 60;

/// What came of it.
pub(crate) enum Found {
    /// This run's pipeline.
    Pipeline(Pipeline),
    /// GitLab shows none.
    Nothing,
    /// It cannot be told.
    Unreadable(ReadError),
}

/// Looks again until `patience` is over, since a new pipeline may take a moment to show.
pub(crate) async fn find(
    reader: &Reader<'_>,
    ctx: &RunContext,
    reference: &str,
    at: u64,
    patience: Duration,
    first_wait: Duration,
) -> Result<Found, Stopped> {
    let until = Instant::now() + patience;
    let mut pace = Pace::new(first_wait.min(patience / 15), patience / 3);
    // Those of other runs.
    let mut seen = HashSet::new();
    loop {
        let looked = ctx.or_stopped(look(reader, ctx, reference, at, &mut seen)).await?;
        let wait = match &looked {
            Ok(Some(_)) => Duration::ZERO,
            Ok(None) => pace.wait(),
            Err(error) => error.wait().unwrap_or_else(|| pace.wait()),
        };
        let over = Instant::now() + wait > until;
        match looked {
            Ok(Some(pipeline)) => return Ok(Found::Pipeline(pipeline)),
            Ok(None) if over => return Ok(Found::Nothing),
            Err(error) if over || error.refused().is_some() => return Ok(Found::Unreadable(error)),
            Ok(None) | Err(_) => {
                pace.unchanged();
                ctx.or_stopped(tokio::time::sleep(wait)).await?;
            }
        }
    }
}

async fn look(
    reader: &Reader<'_>,
    ctx: &RunContext,
    reference: &str,
    at: u64,
    seen: &mut HashSet<u64>,
) -> Result<Option<Pipeline>, ReadError> {
    // Pipelines have the short name.
    let short =
        reference.strip_prefix("refs/heads/").or_else(|| reference.strip_prefix("refs/tags/")).unwrap_or(reference);
    let mut listed = reader.triggered(short, at, AROUND).await?;
    let (ours, theirs) = (seconds(SystemTime::now()), listed.clock.map(seconds));
    if let Some(theirs) = theirs.filter(|theirs| theirs.abs_diff(ours) > SKEW) {
        let at = if theirs > ours { at.saturating_add(theirs - ours) } else { at.saturating_sub(ours - theirs) };
        listed = reader.triggered(short, at, AROUND).await?;
    }
    for pipeline in listed.pipelines {
        if seen.contains(&pipeline.id) {
            continue;
        }
        match reader.belongs_to(pipeline.id, ctx.run()).await {
            Ok(true) => return Ok(Some(pipeline)),
            Ok(false) => {}
            // Deleted meanwhile.
            Err(error) if error.refused() == Some(StatusCode::NOT_FOUND) => {}
            Err(error) => return Err(error),
        }
        seen.insert(pipeline.id);
    }
    Ok(None)
}
