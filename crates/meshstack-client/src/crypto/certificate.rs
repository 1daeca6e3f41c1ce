//! The certificate that is registered with meshStack: the public half of a runner's key.

use std::fmt;
use std::time::SystemTime;

use aws_lc_rs::rsa::{OaepPublicEncryptingKey, PublicEncryptingKey};
use x509_cert::der::{Decode, Encode};

use super::key::{hex_sha256, is_rsa, kind_of, rejection};
use super::{KeyError, envelope, pem};

/// An X.509 certificate with an RSA key of at least 2048 bits.
///
/// It only carries the key: meshStack checks neither who signed it nor how long it lives, and neither do we.
pub struct Certificate {
    pem: String,
    key: OaepPublicEncryptingKey,
    /// `SubjectPublicKeyInfo`, DER.
    public: Vec<u8>,
    /// The key itself, without the algorithm's name.
    public_bits: Vec<u8>,
    not_before: SystemTime,
    not_after: SystemTime,
}

impl Certificate {
    /// Reads a PEM text; of a bundle, the first `CERTIFICATE` block that can be parsed counts.
    pub fn from_pem(bundle: &str) -> Result<Self, KeyError> {
        let mut found = Vec::new();
        for block in pem::blocks(bundle) {
            let parsed = (block.label == "CERTIFICATE").then(|| block.der()).flatten().and_then(|der| {
                let certificate = x509_cert::Certificate::from_der(&der).ok()?;
                Some((der, certificate))
            });
            if let Some((der, certificate)) = parsed {
                return Self::new(&der, &certificate);
            }
            found.push(block.label.to_owned());
        }
        if found.iter().any(|label| label == "CERTIFICATE") {
            return Err(KeyError::Damaged { reason: "it is no X.509 certificate" });
        }
        Err(KeyError::NoSuchBlock { wanted: "CERTIFICATE", found })
    }

    fn new(der: &[u8], certificate: &x509_cert::Certificate) -> Result<Self, KeyError> {
        let content = certificate.tbs_certificate();
        let info = content.subject_public_key_info();
        if !is_rsa(info.algorithm.oid) {
            return Err(KeyError::NotRsa { kind: kind_of(info.algorithm.oid) });
        }
        let public = info.to_der().map_err(|_| KeyError::Damaged { reason: "its public key cannot be written" })?;
        let key = PublicEncryptingKey::from_der(&public).map_err(|rejected| rejection(&rejected))?;
        Ok(Self {
            pem: pem::write("CERTIFICATE", der),
            key: OaepPublicEncryptingKey::new(key).map_err(|_| KeyError::Library { operation: "loading the key" })?,
            public_bits: info.subject_public_key.raw_bytes().to_vec(),
            public,
            not_before: SystemTime::UNIX_EPOCH + content.validity().not_before.to_unix_duration(),
            not_after: SystemTime::UNIX_EPOCH + content.validity().not_after.to_unix_duration(),
        })
    }

    /// The certificate alone, PEM with lines of 64 characters: what a registration sends.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// Encrypts a text for the owner of the private key, as meshStack does. An empty text stays empty.
    pub fn encrypt(&self, plaintext: &str) -> Result<String, KeyError> {
        if plaintext.is_empty() {
            return Ok(String::new());
        }
        envelope::seal(plaintext, &self.key).ok_or(KeyError::Library { operation: "encryption" })
    }

    /// From when it is valid.
    pub fn not_before(&self) -> SystemTime {
        self.not_before
    }

    /// Until when it is valid. Afterwards it still encrypts; renew it where a policy asks for that.
    pub fn not_after(&self) -> SystemTime {
        self.not_after
    }

    /// SHA-256 of the public key, as 64 hexadecimal digits; the same as that of its private key.
    pub fn fingerprint(&self) -> String {
        hex_sha256(&self.public)
    }

    /// Length of the modulus, in bits.
    pub fn modulus_bits(&self) -> usize {
        self.key.key_size_bits()
    }

    pub(super) fn public_bits(&self) -> &[u8] {
        &self.public_bits
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").field("fingerprint", &self.fingerprint()).finish_non_exhaustive()
    }
}
