//! Encryption of secrets in runs: keys, certificates, the envelope.
//!
//! Source: `protocol/encryption.md`.

mod certificate;
mod envelope;
mod generate;
mod key;
pub(crate) mod pem;
mod ring;

pub use certificate::Certificate;
pub(crate) use envelope::looks_like_envelope;
pub use generate::{KeyPair, generate_key_pair};
pub use key::{KeyError, PrivateKey};
pub use ring::{DecryptError, KeyRing};
