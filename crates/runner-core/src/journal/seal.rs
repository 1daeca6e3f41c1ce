//! Encryption of entries at rest: AES-256-GCM.

use std::fmt::Write as _;
use std::io;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::digest;
use rand::TryRng as _;
use rand::rngs::SysRng;
use zeroize::Zeroizing;

const MAGIC: &[u8; 8] = b"bbrun\x00\x00\x01";
const NONCE: usize = 12;

/// Seals with the newest key, opens with any.
pub(super) struct Seal(Vec<LessSafeKey>);

impl Seal {
    pub(super) fn new(newest_first: &[Zeroizing<[u8; 32]>]) -> Self {
        // The length fits the algorithm, so each key is taken.
        Self(
            newest_first
                .iter()
                .filter_map(|key| UnboundKey::new(&AES_256_GCM, key.as_slice()).ok())
                .map(LessSafeKey::new)
                .collect(),
        )
    }

    /// A new key.
    pub(super) fn fresh_key() -> io::Result<Zeroizing<[u8; 32]>> {
        let mut key = Zeroizing::new([0; 32]);
        SysRng.try_fill_bytes(key.as_mut_slice()).map_err(|_| io::Error::other("no random numbers"))?;
        Ok(key)
    }

    /// A file name for a uuid that cannot be one.
    pub(super) fn name_of(uuid: &str) -> String {
        let mut name = String::from("x");
        for byte in &digest::digest(&digest::SHA256, uuid.as_bytes()).as_ref()[..16] {
            let _ = write!(name, "{byte:02x}");
        }
        name
    }

    /// `magic ‖ nonce ‖ ciphertext ‖ tag`
    pub(super) fn seal(&self, plain: &[u8]) -> io::Result<Vec<u8>> {
        let failed = || io::Error::other("the entry cannot be encrypted");
        let key = self.0.first().ok_or_else(failed)?;
        let mut nonce = [0; NONCE];
        SysRng.try_fill_bytes(&mut nonce).map_err(|_| failed())?;
        let mut body = Zeroizing::new(plain.to_vec());
        let tag = key
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(MAGIC), body.as_mut_slice())
            .map_err(|_| failed())?;
        Ok([MAGIC.as_slice(), &nonce, &body, tag.as_ref()].concat())
    }

    pub(super) fn open(&self, sealed: &[u8]) -> Result<Vec<u8>, String> {
        let body = sealed.strip_prefix(MAGIC.as_slice()).ok_or("it does not start like an entry")?;
        let (nonce, body) = body.split_at_checked(NONCE).ok_or("it is cut off")?;
        for key in &self.0 {
            let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| "it is cut off")?;
            let mut work = body.to_vec();
            if let Ok(plain) = key.open_in_place(nonce, Aad::from(MAGIC), &mut work) {
                return Ok(plain.to_vec());
            }
        }
        Err("it is damaged, or sealed with a key that the runner does not have any more".to_owned())
    }
}
