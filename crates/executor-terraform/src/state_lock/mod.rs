//! States that somebody has locked.
//!
//! A Terraform that is killed leaves its lock behind, and nobody may release it who does not know that its owner is
//! dead. The runner can know it of its own runs: before a command that locks, it notes who begins it and when. A lock
//! that was taken on this machine, for this building block, at the time of such a note, is that run's; and once the
//! run and all its processes are gone, nobody will give it back.
//!
//! Source: `protocol/terraform.md`, "Stopping", and the book's page on Terraform.

mod info;
mod mesh_state;
mod note;

use std::path::PathBuf;
use std::time::SystemTime;

use runner_core::{Run, Step};

use self::info::LockInfo;
pub(crate) use self::mesh_state::MeshState;
use self::note::{Note, Notes};
use crate::Settings;
use crate::process::{CommandError, Finished};
use crate::terraform::Terraform;

/// A run's dealings with the lock of its state.
#[derive(Debug)]
pub(crate) struct StateLock {
    notes: Option<Notes>,
    releases: bool,
    /// The state, if meshStack keeps it and locks it.
    mesh_state: Option<MeshState>,
}

impl StateLock {
    /// For a run whose files are in `directory`.
    pub(crate) fn of(run: &Run, directory: PathBuf, mesh_state: Option<MeshState>, settings: &Settings) -> Self {
        let building_block = run.building_block_uuid();
        let notes = settings.state_lock_dir.as_ref().zip(building_block).and_then(|(folder, building_block)| {
            let opened = Notes::open(folder, run.uuid(), building_block, directory);
            opened.inspect_err(|error| tracing::warn!(%error, folder = %folder.display(), "no locks can be noted")).ok()
        });
        Self { notes, releases: settings.unlock_own_stale_locks, mesh_state }
    }

    /// A command that may lock the state is about to begin.
    pub(crate) fn may_be_taken(&self) {
        if let Some(notes) = &self.notes
            && let Err(error) = notes.add(SystemTime::now())
        {
            tracing::warn!(%error, "a lock could not be noted");
        }
    }

    /// The run is over, and well: no lock is left of it, nor of those before it.
    pub(crate) fn is_given_back(&self) {
        if let Some(notes) = &self.notes {
            notes.forget();
        }
    }

    /// Runs a subcommand that locks the state. A lock that a dead run of this runner has left is released, if the
    /// operator wants that; on any other the result says what to do.
    pub(crate) async fn run(
        &self,
        terraform: &Terraform<'_>,
        args: &[&str],
        step: &Step,
    ) -> Result<Finished, CommandError> {
        self.may_be_taken();
        let mut finished = terraform.run(args, None, step).await?;
        let Some(mut lock) = finished.first_error.as_deref().and_then(LockInfo::read) else { return Ok(finished) };
        if let (false, Some(state)) = (lock.is_known(), &self.mesh_state) {
            lock = state.holder().await.filter(|holder| holder.id == lock.id).unwrap_or(lock);
        }
        let owner = self.notes.as_ref().and_then(|notes| notes.dead_owner(&lock));
        match owner {
            Some(owner) if self.releases => {
                step.log_line(format!(
                    "The lock {} was taken by the run {} of this runner, which is dead. Releasing it.",
                    lock.id, owner.run
                ));
                if terraform.run(&["force-unlock", "-force", &lock.id], None, step).await?.success() {
                    self.may_be_taken();
                    return terraform.run(args, None, step).await;
                }
                finished.hint = Some(advice(&lock, Some(&owner)));
            }
            owner => finished.hint = Some(advice(&lock, owner.as_ref())),
        }
        Ok(finished)
    }
}

/// What to do about a lock.
fn advice(lock: &LockInfo, dead_owner: Option<&Note>) -> String {
    let LockInfo { id, who, operation, .. } = lock;
    let age = lock.age(SystemTime::now());
    let taken = format!("The state is locked with the lock {id}, taken by {who} {age} ({operation}).");
    let command = format!("terraform force-unlock -force {id}");
    match dead_owner {
        Some(note) => format!(
            "{taken} It is left over from the run {} of this runner, which is dead: the platform team can release it \
             in an initialised checkout of the module, in the workspace of the building block, with `{command}`, or let \
             the runner release such locks (terraform.unlockOwnStaleLocks).",
            note.run
        ),
        None => format!(
            "{taken} Wait for whoever has it. If nobody works on it any more, the platform team can release it in an \
             initialised checkout of the module, in the workspace of the building block, with `{command}`."
        ),
    }
}
