//! Which workflow runs belong to which of our runs, and which dispatches wait for theirs to show up.
//!
//! Only of use where GitHub does not name the run that a dispatch started. Source: `protocol/executors.md`,
//! `GITHUB_WORKFLOW`, 7.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// So many are remembered. Ids grow with time, so the smallest are the oldest.
const REMEMBERED: usize = 20_000;

/// The workflow runs that are taken.
#[derive(Debug, Default)]
pub(crate) struct Owned {
    /// The run of meshStack by API root and workflow run.
    taken: Mutex<BTreeMap<(u64, String), String>>,
}

impl Owned {
    /// Takes a workflow run for a run. Whether it is that run's now.
    pub(crate) fn take(&self, base: &str, id: u64, run: &str) -> bool {
        let mut taken = lock(&self.taken);
        let owner = taken.entry((id, base.to_owned())).or_insert_with(|| run.to_owned());
        let ours = owner == run;
        while taken.len() > REMEMBERED {
            taken.pop_first();
        }
        ours
    }

    /// Whether another run has taken it.
    pub(crate) fn is_anothers(&self, base: &str, id: u64, run: &str) -> bool {
        lock(&self.taken).get(&(id, base.to_owned())).is_some_and(|owner| owner != run)
    }
}

/// The dispatches of one workflow and ref, which are made one after another where runs are looked up.
#[derive(Debug, Default)]
pub(crate) struct Lane {
    /// Held from a dispatch until its run is found.
    pub(crate) turn: tokio::sync::Mutex<()>,
    /// Dispatches whose workflow run is not found and may still show up, until when.
    unresolved: Mutex<HashMap<String, Instant>>,
    /// Wakes those that wait for a doubt to end.
    resolved: Notify,
}

impl Lane {
    /// The workflow run of this run may show up for so long.
    pub(crate) fn doubt(&self, run: &str, time: Duration) {
        lock(&self.unresolved).insert(run.to_owned(), Instant::now() + time);
    }

    /// It was found.
    pub(crate) fn resolve(&self, run: &str) {
        lock(&self.unresolved).remove(run);
        self.resolved.notify_waiters();
    }

    /// Waits until no workflow run of another run may show up any more.
    pub(crate) async fn without_doubt(&self, run: &str) {
        loop {
            // Made before the look, so that nothing that is resolved in between is missed.
            let resolved = self.resolved.notified();
            let Some(until) = self.in_doubt_until(run) else { return };
            // Woken or at the end of the time: it is looked at again.
            let _ = tokio::time::timeout_at(until, resolved).await;
        }
    }

    /// Until when a workflow run of another run may show up.
    pub(crate) fn in_doubt_until(&self, run: &str) -> Option<Instant> {
        let mut unresolved = lock(&self.unresolved);
        let now = Instant::now();
        unresolved.retain(|_, until| *until > now);
        unresolved.iter().filter(|(other, _)| *other != run).map(|(_, until)| *until).max()
    }
}

/// All lanes, by API root, repository, workflow and ref.
#[derive(Debug, Default)]
pub(crate) struct Lanes(Mutex<HashMap<[String; 4], Arc<Lane>>>);

impl Lanes {
    pub(crate) fn get(&self, base: &str, repository: &str, workflow: &str, branch: &str) -> Arc<Lane> {
        let key = [base.to_owned(), repository.to_ascii_lowercase(), workflow.to_owned(), branch.to_owned()];
        let mut lanes = lock(&self.0);
        // Those that nobody uses any more are forgotten.
        if lanes.len() > 1000 {
            lanes.retain(|_, lane| Arc::strong_count(lane) > 1 || lane.in_doubt_until("").is_some());
        }
        Arc::clone(lanes.entry(key).or_default())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workflow_run_is_taken_once() {
        let owned = Owned::default();
        assert!(owned.take("host", 7, "a"));
        assert!(owned.take("host", 7, "a"), "again by the same");
        assert!(!owned.take("host", 7, "b"));
        assert!(owned.take("other host", 7, "b"));
        assert!(owned.is_anothers("host", 7, "b") && !owned.is_anothers("host", 7, "a"));
    }

    #[test]
    fn of_very_many_the_newest_are_remembered() {
        let owned = Owned::default();
        for id in 0..=REMEMBERED as u64 {
            owned.take("host", id, "a");
        }
        assert!(!owned.is_anothers("host", 0, "b") && owned.is_anothers("host", REMEMBERED as u64, "b"));
    }

    #[test]
    fn a_lane_is_in_doubt_while_another_dispatch_may_show_up() {
        let lane = Lane::default();
        lane.doubt("a", Duration::from_secs(60));
        assert!(lane.in_doubt_until("b").is_some() && lane.in_doubt_until("a").is_none());
        lane.resolve("a");
        assert!(lane.in_doubt_until("b").is_none());
        lane.doubt("a", Duration::ZERO);
        assert!(lane.in_doubt_until("b").is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_doubt_is_waited_for_until_it_is_resolved_or_its_time_is_up() {
        let lane = Arc::new(Lane::default());
        let begun = Instant::now();
        let waiting = |lane: &Arc<Lane>| {
            let lane = Arc::clone(lane);
            tokio::spawn(async move { lane.without_doubt("b").await })
        };
        lane.doubt("a", Duration::from_secs(120));
        let woken = waiting(&lane);
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert!(!woken.is_finished());
        lane.resolve("a");
        woken.await.unwrap();
        assert_eq!(begun.elapsed(), Duration::from_secs(5));
        lane.doubt("a", Duration::from_secs(120));
        waiting(&lane).await.unwrap();
        assert!(begun.elapsed() >= Duration::from_secs(125));
    }

    #[test]
    fn a_lane_is_one_per_workflow_and_ref() {
        let lanes = Lanes::default();
        let lane = lanes.get("host", "likvid/infra", "apply.yml", "main");
        assert!(Arc::ptr_eq(&lane, &lanes.get("host", "Likvid/Infra", "apply.yml", "main")));
        assert!(!Arc::ptr_eq(&lane, &lanes.get("host", "likvid/infra", "apply.yml", "v1")));
    }
}
