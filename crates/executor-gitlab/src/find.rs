//! Looks for the pipeline of a run whose trigger was sent and whose answer is not known.
//!
//! A pipeline is this run's only if its variables say so. Branch and time narrow the search and prove nothing: other runs,
//! and other people, start pipelines on the same branch.

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use runner_core::web::StatusCode;
use runner_core::{Pace, RunContext, StopReason, Stopped};
use tokio::time::{Instant, timeout_at};

use crate::clock::seconds;
use crate::pipeline::Pipeline;
use crate::reader::{ReadError, Reader};

/// Pipelines of so much earlier and later than the trigger are looked at.
const AROUND: Duration = Duration::from_secs(10 * 60);

/// If the clocks of GitLab and of the runner are further apart, the difference is counted in.
const SKEW: u64 = 60;

/// So long an aborted run's pipeline is looked for, counted from the abort: the answer to the trigger before it, and the
/// cancel after it, must fit into the stop grace, too.
const AFTER_ABORT: Duration = Duration::from_secs(20);

/// What came of it.
pub(crate) enum Found {
    /// This run's pipeline.
    Pipeline(Pipeline),
    /// GitLab shows none.
    Nothing,
    /// It cannot be told.
    Unreadable(ReadError),
}

/// Looks again until `patience` is over, since a new pipeline may take a moment to show. An abort does not end it at once:
/// what is not found goes on, and nobody cancels it.
pub(crate) async fn find(
    reader: &Reader<'_>,
    ctx: &RunContext,
    reference: &str,
    at: u64,
    patience: Duration,
    first_wait: Duration,
) -> Result<Found, Stopped> {
    let mut limit = Limit { ctx, patience, until: Instant::now() + patience, aborted: false };
    let mut pace = Pace::new(first_wait.min(patience / 15), patience / 3);
    // Those of other runs.
    let mut seen = HashSet::new();
    loop {
        let looked = limit.within(look(reader, ctx, reference, at, &mut seen)).await?;
        let looked = looked.unwrap_or_else(|| Err(ReadError::Unavailable("GitLab gave no answer in time".to_owned())));
        let wait = match &looked {
            Ok(Some(_)) => Duration::ZERO,
            Ok(None) => pace.wait(),
            Err(error) => error.wait().unwrap_or_else(|| pace.wait()),
        };
        let over = Instant::now() + wait > limit.until;
        match looked {
            Ok(Some(pipeline)) => return Ok(Found::Pipeline(pipeline)),
            Ok(None) if over => return Ok(Found::Nothing),
            Err(error) if over || error.refused().is_some() => return Ok(Found::Unreadable(error)),
            Ok(None) | Err(_) => {
                pace.unchanged();
                limit.within(tokio::time::sleep(wait)).await?;
            }
        }
    }
}

/// How long is looked.
struct Limit<'a> {
    ctx: &'a RunContext,
    patience: Duration,
    until: Instant,
    aborted: bool,
}

impl Limit<'_> {
    /// The result of `work`. An abort lets it go on for a while, and then there is none; every other stop ends it.
    async fn within<T>(&mut self, work: impl Future<Output = T>) -> Result<Option<T>, Stopped> {
        let mut work = std::pin::pin!(work);
        if !self.aborted {
            match self.ctx.or_stopped(&mut work).await {
                Ok(done) => return Ok(Some(done)),
                Err(Stopped(StopReason::Aborted)) => {
                    self.aborted = true;
                    self.until = Instant::now() + self.patience.min(AFTER_ABORT);
                }
                Err(stopped) => return Err(stopped),
            }
        }
        Ok(timeout_at(self.until, work).await.ok())
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
