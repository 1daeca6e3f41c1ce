//! The states of a run and of a step, and which may follow which. Pure: no I/O, no clock.
//!
//! ```text
//! Claimed ─▶ Registered ─▶ Running ─┬▶ Succeeded
//!    │            │                 ├▶ HandedOver
//!    └────────────┴────────────────▶├▶ Failed
//!                                   └▶ Aborted
//! ```
//! A run that was handed over and is watched may still turn Failed or Aborted.

use meshstack_client::StepStatus;

/// Where a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// meshStack gave it to us; nothing is said yet.
    Claimed,
    /// meshStack knows our steps.
    Registered,
    /// The executor works on it.
    Running,
    /// Ended well.
    Succeeded,
    /// Ended badly.
    Failed,
    /// A pipeline reports the end.
    HandedOver,
    /// Somebody aborted it in meshStack.
    Aborted,
}

/// What happens to a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Event {
    /// meshStack took the registration.
    Register,
    /// The executor begins.
    Start,
    /// The executor is done.
    Succeed,
    /// The run cannot go on, from wherever it is.
    Fail,
    /// A pipeline has taken over.
    HandOver,
    /// meshStack says that it was aborted.
    Abort,
}

/// An event that cannot happen in this phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{event:?} cannot follow {phase:?}")]
pub struct IllegalTransition {
    /// Where the run is.
    pub phase: Phase,
    /// What was to happen.
    pub event: Event,
}

impl Phase {
    /// The phase after `event`.
    pub fn after(self, event: Event) -> Result<Self, IllegalTransition> {
        use Event::{Abort, Fail, HandOver, Register, Start, Succeed};
        match (self, event) {
            (Self::Claimed, Register) => Ok(Self::Registered),
            (Self::Registered, Start) => Ok(Self::Running),
            (Self::Running, Succeed) => Ok(Self::Succeeded),
            (Self::Running, HandOver) => Ok(Self::HandedOver),
            (Self::Claimed | Self::Registered | Self::Running | Self::HandedOver, Fail) => Ok(Self::Failed),
            (Self::Claimed | Self::Registered | Self::Running | Self::HandedOver, Abort) => Ok(Self::Aborted),
            (phase, event) => Err(IllegalTransition { phase, event }),
        }
    }

    /// Whether nothing more can happen.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Aborted)
    }
}

/// Whether a step may go from one status to another.
///
/// Forward only, with one way back: a step that succeeded may still turn FAILED, as a trigger step
/// does when the pipeline that it triggered fails.
pub fn step_may_become(from: StepStatus, to: StepStatus) -> bool {
    use StepStatus::{Failed, InProgress, Pending, Succeeded};
    matches!(
        (from, to),
        (Pending, InProgress | Succeeded | Failed) | (InProgress, Succeeded | Failed) | (Succeeded, Failed)
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const EVENTS: [Event; 6] =
        [Event::Register, Event::Start, Event::Succeed, Event::Fail, Event::HandOver, Event::Abort];

    proptest! {
        #[test]
        fn a_final_phase_is_left_by_no_event_and_reached_once(events in prop::collection::vec(0..6usize, 0..40)) {
            let mut phase = Phase::Claimed;
            let mut ends = 0;
            for event in events.into_iter().map(|i| EVENTS[i]) {
                let was = phase;
                match was.after(event) {
                    Ok(next) => {
                        prop_assert!(!was.is_final());
                        prop_assert_ne!(next, was);
                        ends += usize::from(next.is_final());
                        phase = next;
                    }
                    Err(refused) => prop_assert_eq!(refused, IllegalTransition { phase: was, event }),
                }
            }
            prop_assert!(ends <= 1);
        }

        #[test]
        fn success_is_reached_only_through_registered_and_running(events in prop::collection::vec(0..6usize, 0..40)) {
            let mut seen = vec![Phase::Claimed];
            for event in events.into_iter().map(|i| EVENTS[i]) {
                if let Ok(next) = seen[seen.len() - 1].after(event) {
                    seen.push(next);
                }
            }
            if matches!(seen.last(), Some(Phase::Succeeded | Phase::HandedOver)) {
                prop_assert_eq!(&seen[..3], &[Phase::Claimed, Phase::Registered, Phase::Running]);
            }
        }
    }

    #[test]
    fn every_unfinished_phase_can_fail_and_be_aborted() {
        for phase in [Phase::Claimed, Phase::Registered, Phase::Running, Phase::HandedOver] {
            assert_eq!(phase.after(Event::Fail), Ok(Phase::Failed));
            assert_eq!(phase.after(Event::Abort), Ok(Phase::Aborted));
        }
    }

    #[test]
    fn a_step_never_goes_back_to_pending_or_in_progress() {
        use StepStatus::{Failed, InProgress, Pending, Succeeded};
        for from in [Pending, InProgress, Succeeded, Failed] {
            assert!(!step_may_become(from, Pending));
            assert_eq!(step_may_become(from, InProgress), from == Pending);
            assert!(!step_may_become(Failed, from));
        }
        assert!(step_may_become(Succeeded, Failed));
    }
}
