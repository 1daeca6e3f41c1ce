//! How long something is tried again that will hardly get better by itself.

use std::time::{Duration, Instant};

/// Runs out when trouble lasts; a success gives it back.
#[derive(Debug)]
pub(crate) struct Patience {
    length: Duration,
    since: Option<Instant>,
}

impl Patience {
    pub(crate) fn new(length: Duration) -> Self {
        Self { length, since: None }
    }

    /// There is trouble (again). Whether to go on trying.
    pub(crate) fn lasts(&mut self) -> bool {
        self.since.get_or_insert_with(Instant::now).elapsed() < self.length
    }

    /// It worked.
    pub(crate) fn restore(&mut self) {
        self.since = None;
    }
}
