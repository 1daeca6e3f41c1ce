//! The time during which an installation must not ask GitHub anything: all its runs keep it, and no others.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::clock;
use crate::limits::Limit;

/// What a limit asks for may be nothing, or a time that has passed. After a first one it is waited for so long, and twice
/// as long after each that follows.
const SHORTEST: Duration = Duration::from_secs(1);

/// Where GitHub does not say for how long, it is waited no longer than this at once.
const LONGEST: Duration = Duration::from_secs(15 * 60);

/// Of limits in a row, the end of a wait that is shorter is not told.
const WORTH_TELLING: Duration = Duration::from_secs(60);

/// When an installation may ask again.
#[derive(Debug, Default)]
pub(crate) struct Pause(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    waiting: Option<Waiting>,
    /// How many limits there were in a row.
    streak: u32,
}

/// A pause that is on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Waiting {
    /// Its end.
    pub(crate) until: Instant,
    /// A sentence: why, and until when.
    pub(crate) reason: String,
}

impl Pause {
    /// GitHub asks to wait. `secondary`: the first wait where it does not say how long.
    pub(crate) fn note(&self, limit: Limit, secondary: Duration) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_on = state.waiting.as_ref().is_some_and(|waiting| waiting.until > Instant::now());
        let grown = |first: Duration| first.saturating_mul(1 << state.streak.min(10)).min(LONGEST);
        // While a pause is on, only a longer one counts.
        let shortest = if is_on { Duration::ZERO } else { grown(SHORTEST) };
        let (wait, what) = match limit {
            Limit::Primary(wait) => (wait.max(shortest), "GitHub's rate limit for this App is used up"),
            Limit::Secondary(wait) => (wait.max(shortest), "GitHub asks this App to slow down"),
            // The answer to a request that was under way when the pause began says nothing new.
            Limit::Unspecified if is_on => return,
            Limit::Unspecified => (grown(secondary), "GitHub asks this App to slow down"),
        };
        let until = Instant::now() + wait;
        let reason = reason(what, wait, state.streak);
        if !is_on {
            state.streak = state.streak.saturating_add(1);
        }
        if state.waiting.as_ref().is_none_or(|waiting| waiting.until < until) {
            state.waiting = Some(Waiting { until, reason });
        }
    }

    /// GitHub answered a request with something else than a limit.
    pub(crate) fn over(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).streak = 0;
    }

    /// The pause that is on.
    pub(crate) fn waiting(&self) -> Option<Waiting> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.waiting.take_if(|waiting| waiting.until <= Instant::now());
        state.waiting.clone()
    }
}

/// Why it is waited. Short waits in a row have the same reason, so that it is told once and not every second.
fn reason(what: &str, wait: Duration, streak: u32) -> String {
    if streak > 0 && wait < WORTH_TELLING {
        return format!("{what}, again and again. The runner waits longer each time.");
    }
    let seconds = i64::try_from(wait.as_secs()).unwrap_or(i64::MAX);
    format!("{what}. The runner goes on at {}.", clock::written(clock::now().saturating_add(seconds)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn wait(pause: &Pause) -> Duration {
        pause.waiting().map_or(Duration::ZERO, |waiting| waiting.until - Instant::now())
    }

    #[tokio::test(start_paused = true)]
    async fn a_limit_without_a_time_is_waited_for_longer_each_time_up_to_a_bound() {
        let pause = Pause::default();
        for minutes in [1, 2, 4, 8, 15, 15] {
            pause.note(Limit::Unspecified, MINUTE);
            assert_eq!(wait(&pause), MINUTE * minutes);
            tokio::time::sleep(MINUTE * minutes).await;
            assert_eq!(pause.waiting(), None);
        }
        pause.over();
        pause.note(Limit::Unspecified, MINUTE);
        assert_eq!(wait(&pause), MINUTE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_limit_that_asks_for_no_wait_is_waited_for_longer_each_time_and_told_a_few_times() {
        for nothing in [Limit::Secondary(Duration::ZERO), Limit::Primary(Duration::from_secs(1))] {
            let pause = Pause::default();
            let mut reasons = std::collections::BTreeSet::new();
            for seconds in [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900] {
                pause.note(nothing, MINUTE);
                // What others had under way does not count.
                pause.note(nothing, MINUTE);
                assert_eq!(wait(&pause), Duration::from_secs(seconds));
                if seconds < 60 {
                    reasons.extend(pause.waiting().map(|waiting| waiting.reason));
                }
                tokio::time::sleep(Duration::from_secs(seconds)).await;
            }
            assert_eq!(reasons.len(), 2, "{reasons:?}");
            pause.over();
            pause.note(nothing, MINUTE);
            assert_eq!(wait(&pause), Duration::from_secs(1));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn of_two_pauses_the_longer_one_counts_and_says_why() {
        let pause = Pause::default();
        pause.note(Limit::Primary(MINUTE * 30), MINUTE);
        pause.note(Limit::Secondary(MINUTE), MINUTE);
        assert_eq!(wait(&pause), MINUTE * 30);
        let reason = pause.waiting().unwrap().reason;
        assert!(reason.starts_with("GitHub's rate limit for this App is used up. The runner goes on at 2"), "{reason}");
    }
}
