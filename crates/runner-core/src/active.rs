//! The runs that this process has in hand, so that none is started twice.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use meshstack_client::RunAccess;
use tokio_util::sync::CancellationToken;

use crate::access::Access;
use crate::{Stop, lifecycle::Phase};

/// What others may do with a run that is in hand.
#[derive(Clone)]
pub(crate) struct Handle {
    pub(crate) access: Arc<Access>,
    pub(crate) stop: Stop,
    /// Drop the run without a word: the journal has it for the next start.
    pub(crate) leave: CancellationToken,
    pub(crate) state: Arc<Mutex<HandleState>>,
}

/// What a shutdown must know of a run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HandleState {
    pub(crate) phase: Phase,
    /// Whether the next start can carry it on.
    pub(crate) resumable: bool,
    /// Whether it only waits to be given again by meshStack.
    pub(crate) kept: bool,
    /// Whether it is handed over, and only watched.
    pub(crate) watched: bool,
}

impl HandleState {
    /// Whether nothing is left to do for it but to wait, which the next start can do as well.
    pub(crate) fn parked(self) -> bool {
        self.kept || self.watched
    }
}

impl Handle {
    pub(crate) fn new(access: RunAccess) -> Self {
        Self {
            access: Arc::new(Access::new(access)),
            stop: Stop::default(),
            leave: CancellationToken::new(),
            state: Arc::new(Mutex::new(HandleState {
                phase: Phase::Claimed,
                resumable: true,
                kept: false,
                watched: false,
            })),
        }
    }

    pub(crate) fn state(&self) -> HandleState {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_resumable(&self, resumable: bool) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).resumable = resumable;
    }

    pub(crate) fn set_kept(&self, kept: bool) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).kept = kept;
    }

    pub(crate) fn set_watched(&self, watched: bool) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).watched = watched;
    }

    pub(crate) fn set_phase(&self, phase: Phase) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).phase = phase;
    }
}

/// The runs in hand, by uuid.
#[derive(Clone, Default)]
pub(crate) struct Active(Arc<Mutex<HashMap<String, Handle>>>);

/// Takes a run out of the list when dropped.
pub(crate) struct InHand {
    active: Active,
    uuid: String,
}

impl Active {
    /// Takes a run in hand. `None` if it is already: then it goes on under the new access.
    pub(crate) fn take(&self, access: RunAccess) -> Option<(Handle, InHand)> {
        let mut runs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = runs.get(&access.uuid) {
            known.access.renew(access);
            return None;
        }
        let uuid = access.uuid.clone();
        let handle = Handle::new(access);
        runs.insert(uuid.clone(), handle.clone());
        drop(runs);
        Some((handle, InHand { active: self.clone(), uuid }))
    }

    pub(crate) fn handles(&self) -> Vec<Handle> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// How many runs only wait to be given again.
    pub(crate) fn kept(&self) -> usize {
        self.handles().iter().filter(|handle| handle.state().kept).count()
    }

    /// How many runs are handed over and watched.
    pub(crate) fn watched(&self) -> usize {
        self.handles().iter().filter(|handle| handle.state().watched).count()
    }

    /// How many runs need this process: neither kept nor watched.
    pub(crate) fn busy(&self) -> usize {
        self.handles().iter().filter(|handle| !handle.state().parked()).count()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

impl Drop for InHand {
    fn drop(&mut self) {
        self.active.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.uuid);
    }
}
