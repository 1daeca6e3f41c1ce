//! The envelope: an AES key for the runner, and the text for that AES key.
//!
//! ```text
//! base64( RSA-OAEP(aes key) ‖ len(iv) as u32 big endian ‖ iv ‖ AES-128-GCM(plaintext) ‖ 16-byte tag )
//! ```
//! Source: `protocol/encryption.md`.

use aes_gcm::aead::consts::{U12, U13, U14, U15};
use aes_gcm::aead::inout::InOutBuf;
use aes_gcm::aead::{AeadInOut, KeyInit};
use aes_gcm::aes::Aes128;
use aes_gcm::{AesGcm, Nonce, Tag};
use aws_lc_rs::rand;
use aws_lc_rs::rsa::{OAEP_SHA1_MGF1SHA1, OaepPrivateDecryptingKey, OaepPublicEncryptingKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::Secret;

const TAG: usize = 16;
const AES_KEY: usize = 16;
/// What meshStack writes.
const IV: usize = 12;

/// The parts of an envelope.
struct Layout<'a> {
    wrapped_key: &'a [u8],
    iv: &'a [u8],
    text: &'a [u8],
    tag: &'a [u8; TAG],
}

impl<'a> Layout<'a> {
    /// Cuts an envelope for a modulus of this many bytes; `None` if it cannot be one.
    fn cut(bytes: &'a [u8], modulus: usize) -> Option<Self> {
        let (wrapped_key, rest) = bytes.split_at_checked(modulus)?;
        let (iv_length, rest) = rest.split_first_chunk::<4>()?;
        let iv_length = usize::try_from(u32::from_be_bytes(*iv_length)).ok().filter(|n| (12..=15).contains(n))?;
        let (iv, rest) = rest.split_at_checked(iv_length)?;
        let (text, tag) = rest.split_last_chunk::<TAG>()?;
        Some(Self { wrapped_key, iv, text, tag })
    }
}

/// The bytes of an envelope that is still closed; `None` if the text is no base64.
pub(super) fn decode(envelope: &str) -> Option<Vec<u8>> {
    STANDARD.decode(envelope).ok()
}

/// Opens an envelope with one key.
///
/// Costs one RSA operation, none where the layout does not fit the key. `None` does not tell why: not the form, the key,
/// the padding nor the tag.
pub(super) fn open(bytes: &[u8], key: &OaepPrivateDecryptingKey) -> Option<Secret> {
    let layout = Layout::cut(bytes, key.key_size_bytes())?;
    let mut buffer = Zeroizing::new(vec![0; key.min_output_size()]);
    let aes_key = key.decrypt(&OAEP_SHA1_MGF1SHA1, layout.wrapped_key, &mut buffer, None).ok()?;
    let mut text = Zeroizing::new(layout.text.to_vec());
    decrypt_text(aes_key, layout.iv, &mut text, layout.tag)?;
    // Checked before the text is moved out, so that bytes that are no text are wiped.
    std::str::from_utf8(&text).ok()?;
    String::from_utf8(std::mem::take(&mut *text)).ok().map(Secret::new)
}

fn decrypt_text(key: &[u8], iv: &[u8], text: &mut [u8], tag: &[u8; TAG]) -> Option<()> {
    let key: &[u8; AES_KEY] = key.try_into().ok()?;
    let tag = Tag::from(*tag);
    // The length of the iv is part of the cipher's type.
    macro_rules! decrypt_with {
        ($length:ty) => {{
            let iv = Nonce::<$length>::try_from(iv).ok()?;
            AesGcm::<Aes128, $length>::new(key.into()).decrypt_inout_detached(&iv, &[], InOutBuf::from(text), &tag)
        }};
    }
    match iv.len() {
        12 => decrypt_with!(U12),
        13 => decrypt_with!(U13),
        14 => decrypt_with!(U14),
        15 => decrypt_with!(U15),
        _ => return None,
    }
    .ok()
}

/// Puts a text into an envelope, as meshStack does; `None` if the library fails.
pub(super) fn seal(plaintext: &str, key: &OaepPublicEncryptingKey) -> Option<String> {
    let mut aes_key = Zeroizing::new([0; AES_KEY]);
    let mut iv = [0; IV];
    rand::fill(&mut *aes_key).ok()?;
    rand::fill(&mut iv).ok()?;
    let mut wrapped_key = vec![0; key.ciphertext_size()];
    let wrapped_key: &[u8] = key.encrypt(&OAEP_SHA1_MGF1SHA1, &*aes_key, &mut wrapped_key, None).ok()?;

    let mut text = plaintext.as_bytes().to_vec();
    let cipher = AesGcm::<Aes128, U12>::new((&*aes_key).into());
    let tag = cipher.encrypt_inout_detached(&iv.into(), &[], text.as_mut_slice().into()).ok()?;

    let iv_length = 12_u32.to_be_bytes();
    Some(STANDARD.encode([wrapped_key, &iv_length, &iv, &text, &tag].concat()))
}

/// Whether a text has the form of an envelope for some RSA key of 2048 to 8192 bits.
///
/// Random bytes pass with a chance of one in ten million.
pub(crate) fn looks_like_envelope(text: &str) -> bool {
    decode(text).is_some_and(|bytes| (256..=1024).step_by(8).any(|modulus| Layout::cut(&bytes, modulus).is_some()))
}
