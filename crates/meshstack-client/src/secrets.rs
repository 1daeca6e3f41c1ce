//! Decrypting a run.
//!
//! Source: `protocol/encryption.md`, "What is encrypted in a run".

use serde_json::{Map, Value};

use crate::crypto::looks_like_envelope;
use crate::{DecryptError, ImplementationType, InputType, KeyRing, RunObject, Secret};

/// A run whose secrets can be read.
#[derive(Debug, Clone)]
pub struct Decrypted {
    /// The run; nothing but the secrets differs from what meshStack sent.
    pub run: RunObject,
    /// Every secret text of the run, for masking.
    pub secrets: Vec<Secret>,
    /// What an operator should look at; names keys, never values.
    pub warnings: Vec<String>,
}

/// A run with a secret that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecryptRunError {
    /// There is a secret, but no key.
    #[error(
        "{place} is encrypted, but the runner has no private key. Configure the one whose certificate is registered for \
         this runner"
    )]
    NoKey {
        /// Where the secret is: names an input or a field.
        place: String,
    },
    /// There is a secret that no key opens.
    #[error(
        "{place} cannot be decrypted with any of the runner's private keys. Check that the building block is assigned to \
         the right runner and that its key pair matches the registration, or enter the inputs again"
    )]
    NoneFits {
        /// Where the secret is: names an input or a field.
        place: String,
    },
}

impl DecryptRunError {
    fn new(place: String, error: DecryptError) -> Self {
        match error {
            DecryptError::NoKey => Self::NoKey { place },
            DecryptError::NoneFits => Self::NoneFits { place },
        }
    }
}

impl RunObject {
    /// A copy in which every secret is decrypted.
    ///
    /// Takes about a millisecond of computing per secret and key: call it off the async threads.
    pub fn decrypted(&self, ring: &KeyRing) -> Result<Decrypted, DecryptRunError> {
        let mut opening = Opening { ring, secrets: Vec::new(), warnings: Vec::new() };
        let field = implementation_secret(&self.implementation_type());
        let mut run = self.clone();
        let raw = run.raw_mut();
        if let Some(inputs) = raw.pointer_mut("/spec/buildingBlock/spec/inputs").and_then(Value::as_array_mut) {
            for (index, input) in inputs.iter_mut().enumerate() {
                if let Some(input) = input.as_object_mut() {
                    opening.input(index, input)?;
                }
            }
        }
        if let Some(field) = field
            && let Some(value) = implementation_mut(raw).and_then(|i| i.get_mut(field))
        {
            opening.value(value, || format!("`{field}` of the implementation"))?;
        }
        Ok(Decrypted { run, secrets: opening.secrets, warnings: opening.warnings })
    }

    /// The object as pipelines get it: of `implementation`, nothing but `type` is left.
    #[must_use]
    pub fn without_implementation_secrets(&self) -> Self {
        let mut run = self.clone();
        if let Some(implementation) = implementation_mut(run.raw_mut()) {
            implementation.retain(|field, _| field == "type");
        }
        run
    }
}

fn implementation_mut(raw: &mut Value) -> Option<&mut Map<String, Value>> {
    raw.pointer_mut("/spec/buildingBlockDefinition/spec/implementation")?.as_object_mut()
}

/// The one field of an implementation that is encrypted.
fn implementation_secret(kind: &ImplementationType) -> Option<&'static str> {
    match kind {
        ImplementationType::Terraform => Some("sshPrivateKey"),
        ImplementationType::GithubWorkflow => Some("appPem"),
        ImplementationType::GitlabCicd => Some("pipelineTriggerToken"),
        ImplementationType::AzureDevops => Some("personalAccessToken"),
        ImplementationType::Manual | ImplementationType::Other(_) => None,
    }
}

/// What has come out so far.
struct Opening<'a> {
    ring: &'a KeyRing,
    secrets: Vec<Secret>,
    warnings: Vec<String>,
}

impl Opening<'_> {
    fn input(&mut self, index: usize, input: &mut Map<String, Value>) -> Result<(), DecryptRunError> {
        if !input.get("isSensitive").and_then(Value::as_bool).unwrap_or(false) {
            return Ok(());
        }
        let place = match input.get("key").and_then(Value::as_str) {
            Some(key) => format!("the input `{key}`"),
            None => format!("the input number {} (it has no key)", index + 1),
        };
        let kind = InputType::from(input.get("type").and_then(Value::as_str).unwrap_or_default());
        let must_be_encrypted = matches!(kind, InputType::String | InputType::Code | InputType::List | InputType::File);
        let Some(value) = input.get_mut("value") else { return Ok(()) };
        // An envelope that no key opens must not go on as if it were the value, whatever the type.
        let Some(text) = value.as_str() else { return Ok(()) };
        if must_be_encrypted || text.is_empty() || looks_like_envelope(text) {
            return self.value(value, || place);
        }
        self.warnings.push(format!("{place} ({kind}) is sensitive, but came unencrypted; it is used as it is"));
        self.secrets.push(Secret::new(text));
        Ok(())
    }

    /// Decrypts a value in place; what is no text, or empty, stays as it is.
    fn value(&mut self, value: &mut Value, place: impl FnOnce() -> String) -> Result<(), DecryptRunError> {
        let Some(ciphertext) = value.as_str().filter(|text| !text.is_empty()) else { return Ok(()) };
        let plaintext = self.ring.decrypt(ciphertext).map_err(|error| DecryptRunError::new(place(), error))?;
        *value = Value::String(plaintext.expose().to_owned());
        if !plaintext.is_empty() {
            self.secrets.push(plaintext);
        }
        Ok(())
    }
}
