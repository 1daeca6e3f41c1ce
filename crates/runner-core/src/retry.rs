//! When to try again. Which errors are worth it is said by
//! [`Problem::is_transient`](meshstack_client::Problem::is_transient).

use std::time::Duration;

use rand::RngExt;

/// The longest wait that a `Retry-After` may impose.
const LONGEST_ASKED: Duration = Duration::from_secs(15 * 60);

/// Waits that double up to a limit, each cut by a random part so that many runners do not come back
/// in step.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    next: Duration,
}

impl Backoff {
    /// Waits of `first`, then twice as long each time, up to `longest`.
    pub fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, next: first }
    }

    /// The wait before the next try; never shorter than what the other side asked for.
    pub fn wait(&mut self, asked: Option<Duration>) -> Duration {
        let wait = jittered(self.next);
        self.next = (self.next * 2).min(self.longest);
        asked.map_or(wait, |asked| wait.max(asked.min(LONGEST_ASKED)))
    }

    /// It worked: start over.
    pub fn reset(&mut self) {
        self.next = self.first;
    }
}

/// When to look again at something that moves by itself, a pipeline for instance: at its usual pace
/// while something changes, ever slower while nothing does.
#[derive(Debug, Clone)]
pub struct Pace {
    usual: Duration,
    slowest: Duration,
    now: Duration,
}

impl Pace {
    /// A pace between these two waits.
    pub fn new(usual: Duration, slowest: Duration) -> Self {
        Self { usual, slowest: slowest.max(usual), now: usual }
    }

    /// Something changed at the last look.
    pub fn changed(&mut self) {
        self.now = self.usual;
    }

    /// Nothing changed: the next wait is half as long again.
    pub fn unchanged(&mut self) {
        self.now = self.now.mul_f64(1.5).min(self.slowest);
    }

    /// The wait before the next look, jittered.
    pub fn wait(&self) -> Duration {
        jittered(self.now)
    }
}

/// Between three quarters of the duration and all of it.
pub(crate) fn jittered(duration: Duration) -> Duration {
    duration.mul_f64(rand::rng().random_range(0.75..=1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_limit_and_start_over_after_a_success() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
        for expected in [1, 2, 4, 8, 16, 32, 60, 60] {
            let wait = backoff.wait(None).as_secs_f64();
            let expected = f64::from(expected);
            assert!((expected * 0.75..=expected).contains(&wait), "{wait} for {expected}");
        }
        backoff.reset();
        assert!(backoff.wait(None) <= Duration::from_secs(1));
    }

    #[test]
    fn a_pace_slows_down_while_nothing_changes_and_recovers_at_once() {
        let mut pace = Pace::new(Duration::from_secs(10), Duration::from_secs(30));
        for expected in [10.0, 15.0, 22.5, 30.0, 30.0] {
            let wait = pace.wait().as_secs_f64();
            assert!((expected * 0.75..=expected).contains(&wait), "{wait} for {expected}");
            pace.unchanged();
        }
        pace.changed();
        assert!(pace.wait() <= Duration::from_secs(10));
    }

    #[test]
    fn the_other_side_may_ask_for_more_but_not_for_ever() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
        assert_eq!(backoff.wait(Some(Duration::from_secs(120))), Duration::from_secs(120));
        assert_eq!(backoff.wait(Some(Duration::from_secs(1_000_000))), LONGEST_ASKED);
    }
}
