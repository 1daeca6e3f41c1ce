//! Terraform state over HTTP (`protocol/run-api.md`, Terraform state over HTTP), with locks.

use std::collections::HashMap;

use axum::body::Bytes;
use serde_json::Value;

use crate::answer::{Answer, JSON, Refusal};

/// What is done to a state.
#[derive(Debug)]
pub(crate) enum StateCall {
    /// `GET`: 404 when there is none.
    Read,
    /// `POST`, with the id of the lock in the query when there is one.
    Write { lock_id: Option<String>, state: Bytes },
    /// `DELETE`.
    Delete,
    /// `LOCK` with the lock's information; 423 with the holder's when somebody else has it.
    Lock(Value),
    /// `UNLOCK` with the lock's information; without any it is taken from whoever holds it (`force-unlock`).
    Unlock(Option<Value>),
}

#[derive(Debug, Default)]
struct Stored {
    state: Option<Bytes>,
    lock: Option<Value>,
}

/// The states of all building blocks, by workspace and building block.
#[derive(Debug, Default)]
pub(crate) struct TerraformStates(HashMap<(String, String), Stored>);

impl TerraformStates {
    pub(crate) fn state(&self, workspace: &str, building_block: &str) -> Option<Bytes> {
        self.0.get(&key(workspace, building_block))?.state.clone()
    }

    pub(crate) fn lock(&self, workspace: &str, building_block: &str) -> Option<Value> {
        self.0.get(&key(workspace, building_block))?.lock.clone()
    }

    pub(crate) fn answer(&mut self, workspace: &str, building_block: &str, call: StateCall) -> Result<Answer, Refusal> {
        let stored = self.0.entry(key(workspace, building_block)).or_default();
        match call {
            StateCall::Read => match &stored.state {
                Some(state) => Ok(Answer::new(200, JSON, state.clone())),
                None => Err(Refusal::expected(404, "there is no state yet")),
            },
            StateCall::Write { lock_id, state } => stored.write(lock_id.as_deref(), state),
            StateCall::Delete => {
                stored.state = None;
                Ok(Answer::empty(200))
            }
            StateCall::Lock(wanted) => Ok(stored.take_lock(wanted)),
            StateCall::Unlock(given) => Ok(stored.release(given.as_ref())),
        }
    }
}

fn key(workspace: &str, building_block: &str) -> (String, String) {
    (workspace.to_owned(), building_block.to_owned())
}

fn held_by(holder: &Value) -> Answer {
    Answer::json(423, JSON, holder)
}

impl Stored {
    fn write(&mut self, lock_id: Option<&str>, state: Bytes) -> Result<Answer, Refusal> {
        match (&self.lock, lock_id) {
            (Some(holder), given) if holder["ID"].as_str() != given => return Ok(held_by(holder)),
            (None, Some(_)) => return Err(Refusal::expected(409, "the lock is not held any more")),
            _ => {}
        }
        self.state = Some(state);
        Ok(Answer::empty(200))
    }

    /// Taking a lock twice is in order: the first answer may have been lost.
    fn take_lock(&mut self, wanted: Value) -> Answer {
        match &self.lock {
            Some(holder) if holder["ID"] != wanted["ID"] => held_by(holder),
            _ => {
                self.lock = Some(wanted);
                Answer::empty(200)
            }
        }
    }

    fn release(&mut self, given: Option<&Value>) -> Answer {
        match (&self.lock, given) {
            (Some(holder), Some(given)) if holder["ID"] != given["ID"] => held_by(holder),
            _ => {
                self.lock = None;
                Answer::empty(200)
            }
        }
    }
}
