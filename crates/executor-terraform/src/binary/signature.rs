//! Whether a maker has signed: detached `OpenPGP` signatures, and the keys that are trusted.
//!
//! A key is trusted by its fingerprint, and so are the subkeys that it vouches for. What counts when:
//! the key itself must be valid *now*; a subkey must have been valid *when it signed* (`HashiCorp` signed
//! its releases of 2021 with a subkey that ended in 2022); a revocation counts always.

use std::borrow::Cow;
use std::fmt;
use std::io::Cursor;
use std::time::{Duration, SystemTime};

use pgp::composed::{Deserializable as _, DetachedSignature, SignedPublicKey, SignedPublicSubKey};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{Signature, SignatureType};
use pgp::types::{KeyDetails, Tag, Timestamp};

use super::version::Product;

/// What is worth reading of a file with signatures.
const MOST_SIGNATURES: usize = 16;
/// Clocks differ.
const CLOCK_SKEW: Duration = Duration::from_secs(24 * 60 * 60);

/// Why a signature proves nothing. Each goes on from "The signature".
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Problem {
    NoSignature,
    OtherSigner { signers: Vec<String>, trusted: String },
    DoesNotMatch { key: String },
    Unsuitable { key: String, why: String },
    Expired { key: String, when: SystemTime },
    Revoked { key: String },
    Untimely { key: String, when: SystemTime },
    BadTrustedKey { trusted: String, why: String },
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let date = |when: &SystemTime| httpdate::fmt_http_date(*when);
        match self {
            Self::NoSignature => f.write_str("is none that OpenPGP knows"),
            Self::OtherSigner { signers, trusted } if signers.is_empty() => {
                write!(f, "names no key, and the runner trusts {trusted} only")
            }
            Self::OtherSigner { signers, trusted } => {
                write!(f, "is by the key {}, and the runner trusts {trusted} only", signers.join(", "))
            }
            Self::DoesNotMatch { key } => write!(f, "by the key {key} is not one of these checksums"),
            Self::Unsuitable { key, why } => write!(f, "by the key {key} is not to be relied on: {why}"),
            Self::Expired { key, when } => write!(f, "is by the key {key}, which expired on {}", date(when)),
            Self::Revoked { key } => write!(f, "is by the key {key}, which was revoked"),
            Self::Untimely { key, when } => {
                write!(f, "by the key {key} is dated {}, when it cannot have been made", date(when))
            }
            Self::BadTrustedKey { trusted, why } => {
                write!(f, "cannot be checked, since the runner's own copy of the key {trusted} is of no use: {why}")
            }
        }
    }
}

/// The public key of a maker.
#[derive(Debug, Clone)]
pub(crate) struct TrustedKey {
    /// In ASCII armour.
    armored: Cow<'static, str>,
    /// Upper case, without blanks.
    fingerprint: Cow<'static, str>,
}

impl TrustedKey {
    pub(crate) fn new(armored: impl Into<Cow<'static, str>>, fingerprint: impl Into<Cow<'static, str>>) -> Self {
        Self { armored: armored.into(), fingerprint: fingerprint.into() }
    }

    /// The key that signs the releases of a product.
    ///
    /// Source: `protocol/terraform.md`, "The binary".
    pub(crate) fn of_maker(product: Product) -> Self {
        match product {
            Product::Terraform => {
                Self::new(include_str!("keys/hashicorp.asc"), "C874011F0AB405110D02105534365D9472D7468F")
            }
            Product::OpenTofu => {
                Self::new(include_str!("keys/opentofu.asc"), "E3E6E43D84CB852EADB0051D0C0AF313E5FD9F80")
            }
        }
    }

    #[cfg(test)]
    pub(super) fn armored(&self) -> &str {
        &self.armored
    }

    /// Checks a detached signature of `text`, armoured or not. Gives the fingerprint of the key that made it.
    pub(crate) fn verify(&self, text: &[u8], signature: &[u8], now: SystemTime) -> Result<String, Problem> {
        let certificate = self.certificate()?;
        let mut signers = Vec::new();
        let mut problem = None;
        for signature in signatures(signature).ok_or(Problem::NoSignature)? {
            let Some(signer) = Signer::of(&certificate, &signature) else {
                signers.extend(names(&signature));
                continue;
            };
            match signer.check(&certificate, &signature, text, now) {
                Ok(()) => return Ok(signer.name()),
                Err(found) => problem = problem.or(Some(found)),
            }
        }
        Err(problem.unwrap_or_else(|| Problem::OtherSigner { signers, trusted: self.fingerprint.to_string() }))
    }

    fn certificate(&self) -> Result<SignedPublicKey, Problem> {
        let bad = |why: String| Problem::BadTrustedKey { trusted: self.fingerprint.to_string(), why };
        let (certificate, _) = SignedPublicKey::from_string(&self.armored).map_err(|e| bad(e.to_string()))?;
        let found = format!("{:X}", certificate.fingerprint());
        if found == self.fingerprint { Ok(certificate) } else { Err(bad(format!("it is {found}"))) }
    }
}

/// All signatures in a file. None if it holds anything else.
fn signatures(file: &[u8]) -> Option<Vec<Signature>> {
    let parsed = if file.starts_with(b"-----BEGIN") {
        DetachedSignature::from_armor_many(Cursor::new(file)).ok()?.0
    } else {
        DetachedSignature::from_bytes_many(Cursor::new(file)).ok()?
    };
    let signatures: Vec<_> = parsed
        .take(MOST_SIGNATURES)
        .map(|parsed| parsed.map(|parsed| parsed.signature))
        .collect::<Result<_, _>>()
        .ok()?;
    (!signatures.is_empty()).then_some(signatures)
}

/// The key that a signature names, by fingerprint or by the shorter id.
fn names(signature: &Signature) -> Option<String> {
    let fingerprint = signature.issuer_fingerprint().first().map(|fingerprint| format!("{fingerprint:X}"));
    fingerprint.or_else(|| signature.issuer_key_id().first().map(|id| id.to_string().to_uppercase()))
}

/// The key of a certificate that made a signature.
enum Signer<'a> {
    Primary(&'a SignedPublicKey),
    Subkey(&'a SignedPublicSubKey),
}

impl<'a> Signer<'a> {
    fn of(certificate: &'a SignedPublicKey, signature: &Signature) -> Option<Self> {
        let made_by = |key: &dyn KeyDetails| {
            let fingerprints = signature.issuer_fingerprint();
            if fingerprints.is_empty() {
                signature.issuer_key_id().contains(&&key.legacy_key_id())
            } else {
                fingerprints.contains(&&key.fingerprint())
            }
        };
        if made_by(&certificate.primary_key) {
            return Some(Self::Primary(certificate));
        }
        certificate.public_subkeys.iter().find(|subkey| made_by(&subkey.key)).map(Self::Subkey)
    }

    fn name(&self) -> String {
        match self {
            Self::Primary(certificate) => format!("{:X}", certificate.fingerprint()),
            Self::Subkey(subkey) => format!("{:X}", subkey.key.fingerprint()),
        }
    }

    fn check(
        &self,
        certificate: &SignedPublicKey,
        signature: &Signature,
        text: &[u8],
        now: SystemTime,
    ) -> Result<(), Problem> {
        let key = self.name();
        let matches = match self {
            Self::Primary(certificate) => signature.verify(&certificate.primary_key, text),
            Self::Subkey(subkey) => signature.verify(&subkey.key, text),
        };
        matches.map_err(|_| Problem::DoesNotMatch { key: key.clone() })?;
        if signature.typ() != Some(SignatureType::Binary) {
            return Err(Problem::Unsuitable { key, why: "it is not of the kind for files".to_owned() });
        }
        if !is_strong(signature.hash_alg()) {
            let hash = signature.hash_alg().map_or_else(String::new, |hash| hash.to_string());
            return Err(Problem::Unsuitable { key, why: format!("{hash} is too weak") });
        }
        let made = signature.created().map_or(SystemTime::UNIX_EPOCH, SystemTime::from);
        if made > now + CLOCK_SKEW {
            return Err(Problem::Untimely { key, when: made });
        }
        if let Some(life) = signature.signature_expiration_time().filter(|life| life.as_secs() > 0) {
            let end = made + Duration::from_secs(life.as_secs().into());
            if end < now {
                return Err(Problem::Unsuitable { key, why: format!("it ended on {}", httpdate::fmt_http_date(end)) });
            }
        }

        let primary = State::of_primary(certificate);
        primary.check(certificate.fingerprint().to_string().to_uppercase(), now)?;
        match self {
            Self::Primary(_) => primary.check_signer(key, made),
            Self::Subkey(subkey) => State::of_subkey(subkey, certificate).check_signer(key, made),
        }
    }
}

/// SHA-1 and what is older can be forged.
fn is_strong(hash: Option<HashAlgorithm>) -> bool {
    matches!(hash, Some(HashAlgorithm::Sha256 | HashAlgorithm::Sha384 | HashAlgorithm::Sha512))
}

/// What the owner of a key says of it, as far as it is signed.
struct State {
    created: SystemTime,
    expires: Option<SystemTime>,
    may_sign: bool,
    is_revoked: bool,
}

impl State {
    fn of_primary(certificate: &SignedPublicKey) -> Self {
        let key = &certificate.primary_key;
        let details = &certificate.details;
        let on_the_key = details.direct_signatures.iter().filter(|said| said.verify_key(key).is_ok());
        let on_a_name = details.users.iter().flat_map(|user| {
            let is_own = move |said: &&Signature| said.verify_certification(key, Tag::UserId, &user.id).is_ok();
            user.signatures.iter().filter(|said| said.is_certification()).filter(is_own)
        });
        let said = newest(on_the_key.chain(on_a_name));
        let is_revoked = details.revocation_signatures.iter().any(|said| said.verify_key(key).is_ok());
        Self::of(key.created_at(), said, said.is_some_and(|said| said.key_flags().sign()), is_revoked)
    }

    fn of_subkey(subkey: &SignedPublicSubKey, certificate: &SignedPublicKey) -> Self {
        let primary = &certificate.primary_key;
        let (revocations, bindings): (Vec<_>, Vec<_>) = subkey
            .signatures
            .iter()
            .filter(|said| said.verify_subkey_binding(primary, &subkey.key).is_ok())
            .partition(|said| said.typ() == Some(SignatureType::SubkeyRevocation));
        let said = newest(bindings.into_iter());
        // A key that signs must agree to be a subkey, or somebody could make it one of theirs.
        let may_sign = said.is_some_and(|said| {
            let agrees = |back: &Signature| back.verify_primary_key_binding(&subkey.key, primary).is_ok();
            said.key_flags().sign() && said.embedded_signature().is_some_and(agrees)
        });
        Self::of(subkey.key.created_at(), said, may_sign, !revocations.is_empty())
    }

    fn of(created: Timestamp, said: Option<&Signature>, may_sign: bool, is_revoked: bool) -> Self {
        let created = SystemTime::from(created);
        let life = said.and_then(Signature::key_expiration_time).filter(|life| life.as_secs() > 0);
        let expires = life.map(|life| created + Duration::from_secs(life.as_secs().into()));
        Self { created, expires, may_sign, is_revoked }
    }

    /// Whether the key is valid at that time.
    fn check(&self, key: String, at: SystemTime) -> Result<(), Problem> {
        if self.is_revoked {
            return Err(Problem::Revoked { key });
        }
        match self.expires {
            Some(when) if when <= at => Err(Problem::Expired { key, when }),
            _ => Ok(()),
        }
    }

    /// Whether the key could sign when it did.
    fn check_signer(&self, key: String, made: SystemTime) -> Result<(), Problem> {
        self.check(key.clone(), made)?;
        if !self.may_sign {
            return Err(Problem::Unsuitable { key, why: "the key is not meant for signatures".to_owned() });
        }
        if made < self.created {
            return Err(Problem::Untimely { key, when: made });
        }
        Ok(())
    }
}

/// What was said last, in words that cannot be forged.
fn newest<'a>(said: impl Iterator<Item = &'a Signature>) -> Option<&'a Signature> {
    said.filter(|said| is_strong(said.hash_alg())).max_by_key(|said| said.created())
}
