//! The runner's private key.

use std::fmt;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::error::KeyRejected;
use aws_lc_rs::rsa::{OaepPrivateDecryptingKey, PrivateDecryptingKey};
use aws_lc_rs::{digest, hkdf};
use pkcs8::der::asn1::{AnyRef, OctetStringRef};
use pkcs8::spki::{AlgorithmIdentifierRef, ObjectIdentifier, SubjectPublicKeyInfoRef};
use pkcs8::{PrivateKeyInfoRef, SecretDocument};
use zeroize::Zeroizing;

use super::{Certificate, pem};

/// Separates keys derived here from those that others may derive.
const DERIVATION: &[u8] = b"building block runner";

/// `rsaEncryption` of RFC 8017.
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

/// A key or certificate that cannot be used. The caller knows the file's name and adds it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The text holds no PEM block of the kind that is wanted.
    #[error("there is no PEM block `{wanted}` in it{}", found_text(.found))]
    NoSuchBlock {
        /// The label that was looked for.
        wanted: &'static str,
        /// The labels that were found instead.
        found: Vec<String>,
    },
    /// The private key is protected by a passphrase.
    #[error("the private key is encrypted with a passphrase. Store it without one (`openssl pkey -in old -out new`)")]
    Encrypted,
    /// The key is of another kind than RSA.
    #[error("the key is no RSA key ({kind}). meshStack encrypts for RSA keys only: generate a pair of 4096 bits")]
    NotRsa {
        /// What it is instead, as far as can be told.
        kind: String,
    },
    /// The private key is in a format of its own.
    #[error("the format `{label}` is not supported. Convert the key to PKCS#8, which starts with `BEGIN PRIVATE KEY`")]
    Unsupported {
        /// The label of the PEM block.
        label: String,
    },
    /// The modulus is shorter than 2048 bits.
    #[error("the RSA key is shorter than 2048 bits, which is not safe. Generate a pair of 4096 bits")]
    TooSmall,
    /// The block is damaged.
    #[error("the PEM block is damaged: {reason}. Copy the whole file again")]
    Damaged {
        /// What is wrong.
        reason: &'static str,
    },
    /// The cryptographic library failed, for want of memory or randomness.
    #[error("{operation} failed in the cryptographic library. Try again")]
    Library {
        /// What was tried.
        operation: &'static str,
    },
}

fn found_text(found: &[String]) -> String {
    if found.is_empty() { String::new() } else { format!(", only `{}`", found.join("`, `")) }
}

/// An RSA private key that reads what meshStack encrypted.
///
/// Source: `protocol/encryption.md`, "Keys".
pub struct PrivateKey {
    key: OaepPrivateDecryptingKey,
    /// `SubjectPublicKeyInfo`, DER.
    public: Vec<u8>,
    /// Further keys are derived from this (HKDF, RFC 5869).
    derivation: hkdf::Prk,
}

impl PrivateKey {
    /// Reads the first private key of a PEM text: PKCS#8 or PKCS#1, with or without line breaks.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        let mut found = Vec::new();
        for block in pem::blocks(text) {
            if block.label == "ENCRYPTED PRIVATE KEY" || block.has_encryption_header() {
                return Err(KeyError::Encrypted);
            }
            let der = || block.der().map(Zeroizing::new).ok_or(KeyError::Damaged { reason: "it is no base64" });
            match block.label {
                "PRIVATE KEY" => return Self::from_pkcs8(&der()?),
                "RSA PRIVATE KEY" => return Self::from_pkcs1(&der()?),
                "EC PRIVATE KEY" => return Err(KeyError::NotRsa { kind: "EC".to_owned() }),
                other if other.ends_with("PRIVATE KEY") => {
                    return Err(KeyError::Unsupported { label: other.to_owned() });
                }
                other => found.push(other.to_owned()),
            }
        }
        Err(KeyError::NoSuchBlock { wanted: "PRIVATE KEY", found })
    }

    fn from_pkcs8(der: &[u8]) -> Result<Self, KeyError> {
        let info = PrivateKeyInfoRef::try_from(der).map_err(|_| KeyError::Damaged { reason: "it is no PKCS#8 key" })?;
        if info.algorithm.oid != RSA {
            return Err(KeyError::NotRsa { kind: kind_of(info.algorithm.oid) });
        }
        let key = PrivateDecryptingKey::from_pkcs8(der).map_err(|rejected| rejection(&rejected))?;
        let public = key
            .public_key()
            .as_der()
            .map_err(|_| KeyError::Library { operation: "writing the public key" })?
            .as_ref()
            .to_vec();
        let key = OaepPrivateDecryptingKey::new(key).map_err(|_| KeyError::Library { operation: "loading the key" })?;
        // The inner key is the same in a PKCS#1 and a PKCS#8 file.
        let derivation = hkdf::Salt::new(hkdf::HKDF_SHA256, DERIVATION).extract(info.private_key.as_bytes());
        Ok(Self { key, public, derivation })
    }

    /// PKCS#1 is what PKCS#8 has inside, so it is wrapped.
    fn from_pkcs1(der: &[u8]) -> Result<Self, KeyError> {
        let damaged = |_| KeyError::Damaged { reason: "it is no PKCS#1 key" };
        let algorithm = AlgorithmIdentifierRef { oid: RSA, parameters: Some(AnyRef::NULL) };
        let inner = OctetStringRef::new(der).map_err(damaged)?;
        let wrapped = SecretDocument::encode_msg(&PrivateKeyInfoRef::new(algorithm, inner)).map_err(damaged)?;
        Self::from_pkcs8(wrapped.as_bytes())
    }

    /// Whether the certificate holds this key's public half.
    pub fn matches(&self, certificate: &Certificate) -> bool {
        // The bits alone: writers differ in how they spell the algorithm's empty parameters.
        let ours = SubjectPublicKeyInfoRef::try_from(self.public.as_slice()).ok();
        ours.is_some_and(|ours| ours.subject_public_key.raw_bytes() == certificate.public_bits())
    }

    /// SHA-256 of the public key (`SubjectPublicKeyInfo`, DER), as 64 hexadecimal digits.
    pub fn fingerprint(&self) -> String {
        hex_sha256(&self.public)
    }

    /// Length of the modulus, in bits.
    pub fn modulus_bits(&self) -> usize {
        self.key.key_size_bits()
    }

    /// A key of 256 bits for a purpose of the runner's own. Whoever has the private key can derive it
    /// again; from it nothing can be learnt of the private key, nor of keys for other purposes.
    pub fn derive(&self, purpose: &str) -> Zeroizing<[u8; 32]> {
        let mut derived = Zeroizing::new([0; 32]);
        let info = [purpose.as_bytes()];
        // Expansion fails only for outputs longer than 255 hashes.
        let expanded =
            self.derivation.expand(&info, hkdf::HKDF_SHA256).and_then(|okm| okm.fill(derived.as_mut_slice()));
        debug_assert!(expanded.is_ok(), "32 bytes are one hash");
        derived
    }

    /// The key as the cryptographic library has it.
    pub(super) fn oaep(&self) -> &OaepPrivateDecryptingKey {
        &self.key
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrivateKey").field("fingerprint", &self.fingerprint()).finish_non_exhaustive()
    }
}

/// SHA-256 in hexadecimal digits.
pub(super) fn hex_sha256(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(64);
    for byte in digest::digest(&digest::SHA256, bytes).as_ref() {
        for nibble in [byte >> 4, byte & 15] {
            out.push(char::from_digit(u32::from(nibble), 16).unwrap_or_default());
        }
    }
    out
}

/// The name of a key's algorithm, for people.
pub(super) fn kind_of(algorithm: ObjectIdentifier) -> String {
    match algorithm.to_string().as_str() {
        "1.2.840.10045.2.1" => "EC".to_owned(),
        "1.3.101.112" => "Ed25519".to_owned(),
        "1.2.840.113549.1.1.10" => "RSA for PSS signatures only".to_owned(),
        other => format!("algorithm {other}"),
    }
}

/// Why the library does not take an RSA key.
pub(super) fn rejection(rejected: &KeyRejected) -> KeyError {
    match rejected.to_string().as_str() {
        "TooSmall" => KeyError::TooSmall,
        "TooLarge" => KeyError::Damaged { reason: "its modulus is longer than 8192 bits" },
        _ => KeyError::Damaged { reason: "its numbers are not those of an RSA key" },
    }
}

/// Whether an algorithm is plain RSA.
pub(super) fn is_rsa(algorithm: ObjectIdentifier) -> bool {
    algorithm == RSA
}
