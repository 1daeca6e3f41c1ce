//! The time during which an installation must not ask GitHub anything: all its runs keep it, and no others.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::clock;
use crate::limits::Limit;

/// A secondary limit without a time is waited for no longer than this at once.
const LONGEST: Duration = Duration::from_secs(15 * 60);

/// When an installation may ask again.
#[derive(Debug, Default)]
pub(crate) struct Pause(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    waiting: Option<Waiting>,
    /// How many secondary limits without a time there were in a row.
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
        let (wait, what) = match limit {
            Limit::Primary(wait) => (wait, "GitHub's rate limit for this App is used up"),
            Limit::Secondary(wait) => (wait, "GitHub asks this App to slow down"),
            // The answer to a request that was under way when the pause began says nothing new.
            Limit::Unspecified if is_on => return,
            Limit::Unspecified => {
                let wait = secondary.saturating_mul(1 << state.streak.min(10)).min(LONGEST);
                state.streak += 1;
                (wait, "GitHub asks this App to slow down")
            }
        };
        let until = Instant::now() + wait;
        let seconds = i64::try_from(wait.as_secs()).unwrap_or(i64::MAX);
        let reason = format!("{what}. The runner goes on at {}.", clock::written(clock::now().saturating_add(seconds)));
        if state.waiting.as_ref().is_none_or(|waiting| waiting.until < until) {
            state.waiting = Some(Waiting { until, reason });
        }
    }

    /// GitHub took a request.
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
    async fn of_two_pauses_the_longer_one_counts_and_says_why() {
        let pause = Pause::default();
        pause.note(Limit::Primary(MINUTE * 30), MINUTE);
        pause.note(Limit::Secondary(MINUTE), MINUTE);
        assert_eq!(wait(&pause), MINUTE * 30);
        let reason = pause.waiting().unwrap().reason;
        assert!(reason.starts_with("GitHub's rate limit for this App is used up. The runner goes on at 2"), "{reason}");
    }
}
