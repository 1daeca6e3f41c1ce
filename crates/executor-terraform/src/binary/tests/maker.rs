//! A maker with a throw-away key, who signs and archives.

use std::io::{Cursor, Write as _};
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{SHA256, digest};
use pgp::composed::{
    ArmorOptions, DetachedSignature, KeyType, SecretKeyParamsBuilder, SignedPublicKey, SignedPublicSubKey,
    SignedSecretKey, SubkeyParamsBuilder, SubpacketConfig,
};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{KeyFlags, Signature, SignatureConfig, SignatureType, Subpacket, SubpacketData};
use pgp::ser::Serialize as _;
use pgp::types::{KeyDetails as _, Password, SignedUser, SigningKey, Tag, Timestamp};
use rand_for_pgp::rngs::OsRng;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::super::signature::TrustedKey;
use super::super::sums::Sum;

/// How old keys are here, in days.
pub(super) const AGE: u64 = 1000;

pub(super) fn days(days: u64) -> Duration {
    Duration::from_secs(days * 24 * 60 * 60)
}

pub(super) fn days_ago(number: u64) -> SystemTime {
    SystemTime::now() - days(number)
}

/// What its owner says of a key.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Said {
    /// How many days the key lives.
    pub(super) life: Option<u64>,
    pub(super) subkey_life: Option<u64>,
    pub(super) is_revoked: bool,
    pub(super) subkey_is_revoked: bool,
    /// The subkey does not agree to be one.
    pub(super) subkey_is_taken: bool,
}

pub(super) struct Maker {
    secret: SignedSecretKey,
}

impl Maker {
    /// With a key of that age, and a subkey to sign with.
    pub(super) fn new() -> Self {
        let created = stamp(days_ago(AGE));
        let mut subkey = SubkeyParamsBuilder::default();
        subkey.key_type(KeyType::Ed25519Legacy).can_sign(true).created_at(created);
        let mut key = SecretKeyParamsBuilder::default();
        key.key_type(KeyType::Ed25519Legacy).can_certify(true).can_sign(true).created_at(created);
        key.primary_user_id("Maker <maker@example.com>".to_owned()).subkey(subkey.build().unwrap());
        Self { secret: key.build().unwrap().generate(OsRng).unwrap() }
    }

    pub(super) fn fingerprint(&self) -> String {
        format!("{:X}", self.secret.fingerprint())
    }

    pub(super) fn subkey_fingerprint(&self) -> String {
        format!("{:X}", self.secret.secret_subkeys[0].key.fingerprint())
    }

    /// Trust in this key.
    pub(super) fn key(&self) -> TrustedKey {
        self.key_with(Said::default())
    }

    /// Trust in this key, of which that is said.
    pub(super) fn key_with(&self, said: Said) -> TrustedKey {
        let certificate = self.certificate(said);
        TrustedKey::new(certificate.to_armored_string(ArmorOptions::default()).unwrap(), self.fingerprint())
    }

    fn certificate(&self, said: Said) -> SignedPublicKey {
        let secret = &self.secret.primary_key;
        let public = secret.public_key();
        let none = Password::empty();
        let mut certificate = self.secret.to_public_key();

        let id = certificate.details.users[0].id.clone();
        let config = statement(SignatureType::CertPositive, secret, vec![signs()], said.life);
        let certified = config.sign_certification(secret, public, &none, Tag::UserId, &id).unwrap();
        certificate.details.users = vec![SignedUser::new(id, vec![certified])];
        if said.is_revoked {
            let config = statement(SignatureType::KeyRevocation, secret, vec![], None);
            certificate.details.revocation_signatures = vec![config.sign_key(secret, &none, public).unwrap()];
        }

        let subkey = &self.secret.secret_subkeys[0].key;
        let config = statement(SignatureType::KeyBinding, subkey, vec![], None);
        let agreed = config.sign_primary_key_binding(subkey, subkey.public_key(), &none, public).unwrap();
        let agreed = (!said.subkey_is_taken).then(|| SubpacketData::EmbeddedSignature(Box::new(agreed)));
        let more = [signs()].into_iter().chain(agreed).collect();
        let config = statement(SignatureType::SubkeyBinding, secret, more, said.subkey_life);
        let mut bindings = vec![config.sign_subkey_binding(secret, public, &none, subkey.public_key()).unwrap()];
        if said.subkey_is_revoked {
            let config = statement(SignatureType::SubkeyRevocation, secret, vec![], None);
            bindings.push(config.sign_subkey_binding(secret, public, &none, subkey.public_key()).unwrap());
        }
        certificate.public_subkeys = vec![SignedPublicSubKey::new(subkey.public_key().clone(), bindings)];
        certificate
    }

    /// A detached signature of now.
    pub(super) fn sign(&self, text: &[u8]) -> Vec<u8> {
        self.sign_at(text, SystemTime::now())
    }

    pub(super) fn sign_at(&self, text: &[u8], when: SystemTime) -> Vec<u8> {
        bytes(&detached(&self.secret.primary_key, text, when, HashAlgorithm::Sha512))
    }

    pub(super) fn sign_with_subkey_at(&self, text: &[u8], when: SystemTime) -> Vec<u8> {
        bytes(&detached(&self.secret.secret_subkeys[0].key, text, when, HashAlgorithm::Sha256))
    }

    pub(super) fn sign_in_armour(&self, text: &[u8]) -> Vec<u8> {
        let signature = detached(&self.secret.primary_key, text, SystemTime::now(), HashAlgorithm::Sha256);
        DetachedSignature::new(signature).to_armored_bytes(ArmorOptions::default()).unwrap()
    }
}

fn signs() -> SubpacketData {
    let mut flags = KeyFlags::default();
    flags.set_sign(true);
    SubpacketData::KeyFlags(flags)
}

/// Something that a key says of keys.
fn statement(
    kind: SignatureType,
    key: &impl SigningKey,
    more: Vec<SubpacketData>,
    life: Option<u64>,
) -> SignatureConfig {
    let mut config = SignatureConfig::from_key(OsRng, key, kind).unwrap();
    let life = life.map(|life| {
        let seconds = u32::try_from(days(life).as_secs()).unwrap();
        SubpacketData::KeyExpirationTime(pgp::types::Duration::from_secs(seconds))
    });
    let issuer = SubpacketData::IssuerFingerprint(key.fingerprint());
    let all = [SubpacketData::SignatureCreationTime(stamp(days_ago(AGE))), issuer];
    config.hashed_subpackets =
        all.into_iter().chain(more).chain(life).map(|data| Subpacket::regular(data).unwrap()).collect();
    config
}

fn detached(key: &impl SigningKey, text: &[u8], when: SystemTime, hash: HashAlgorithm) -> Signature {
    let hashed =
        [SubpacketData::IssuerFingerprint(key.fingerprint()), SubpacketData::SignatureCreationTime(stamp(when))];
    let hashed = hashed.into_iter().map(|data| Subpacket::regular(data).unwrap()).collect();
    let subpackets = SubpacketConfig::UserDefined { hashed, unhashed: vec![] };
    let none = Password::empty();
    DetachedSignature::sign_binary_data_with_subpackets(OsRng, key, &none, hash, text, subpackets).unwrap().signature
}

fn bytes(signature: &Signature) -> Vec<u8> {
    DetachedSignature::new(signature.clone()).to_bytes().unwrap()
}

fn stamp(time: SystemTime) -> Timestamp {
    Timestamp::try_from(time).unwrap()
}

/// The line of a file in a list of checksums.
pub(super) fn sum_line(content: &[u8], name: &str) -> String {
    format!("{}  {name}\n", sum(content))
}

pub(super) fn sum(content: &[u8]) -> Sum {
    Sum(digest(&SHA256, content).as_ref().try_into().unwrap())
}

/// A zip archive of these files.
pub(super) fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in files {
        zip.start_file(*name, SimpleFileOptions::default()).unwrap();
        zip.write_all(content).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// A zip archive with a link beside a program.
pub(super) fn zip_with_link(name: &str, to: &str, program: &str) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    zip.start_file(program, SimpleFileOptions::default()).unwrap();
    zip.add_symlink(name, to, SimpleFileOptions::default()).unwrap();
    zip.finish().unwrap().into_inner()
}
