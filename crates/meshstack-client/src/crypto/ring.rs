//! The private keys of a runner, newest first.

use std::sync::Arc;

use super::{PrivateKey, envelope};
use crate::Secret;

/// The private keys of a runner: the newest first, older ones to read what was stored before a rotation.
///
/// Cheap to clone. Source: `protocol/encryption.md`, "Rotation".
#[derive(Debug, Clone)]
pub struct KeyRing {
    keys: Arc<[PrivateKey]>,
}

/// A value that could not be decrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecryptError {
    /// There is no key at all.
    #[error("the runner has no private key. Configure the one whose certificate is registered for this runner")]
    NoKey,
    /// No key opens it. Whether the value is damaged or for somebody else is not told.
    #[error(
        "none of the runner's private keys fits. Check that the building block is assigned to this runner and that its \
         key pair matches the registration, or enter the inputs again"
    )]
    NoneFits,
}

impl KeyRing {
    /// A ring of these keys, the newest first: each value is tried with each, in this order.
    pub fn new(newest_first: Vec<PrivateKey>) -> Self {
        Self { keys: newest_first.into() }
    }

    /// A ring without keys: enough for runs that carry no secret.
    pub fn empty() -> Self {
        Self::new(Vec::new())
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The keys, the newest first.
    pub fn keys(&self) -> &[PrivateKey] {
        &self.keys
    }

    /// Decrypts a value. An empty one stays empty, and needs no key.
    ///
    /// Takes about a millisecond of computing per key that is tried: for many values, call it off the async threads.
    pub fn decrypt(&self, ciphertext: &str) -> Result<Secret, DecryptError> {
        if ciphertext.is_empty() {
            return Ok(Secret::default());
        }
        if self.is_empty() {
            return Err(DecryptError::NoKey);
        }
        let bytes = envelope::decode(ciphertext).ok_or(DecryptError::NoneFits)?;
        self.keys.iter().find_map(|key| envelope::open(&bytes, key.oaep())).ok_or(DecryptError::NoneFits)
    }
}
