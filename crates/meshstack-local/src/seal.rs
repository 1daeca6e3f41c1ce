//! Encrypting a secret for a runner (`protocol/encryption.md`).

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::rsa::{OAEP_SHA1_MGF1SHA1, OaepPublicEncryptingKey, PublicEncryptingKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use x509_cert::Certificate;
use x509_cert::der::{DecodePem as _, Encode as _};

/// Keys below this are refused.
const SMALLEST_KEY_BITS: usize = 2048;

/// Why a certificate cannot be registered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// It is no certificate in PEM.
    #[error("the public key is not an X.509 certificate in PEM")]
    NotACertificate(#[source] x509_cert::der::Error),
    /// Its key is no RSA key.
    #[error("the certificate's key is not an RSA key")]
    NotRsa,
    /// Its key is too short.
    #[error("the certificate's RSA key has {bits} bits, at least {SMALLEST_KEY_BITS} are needed")]
    TooShort {
        /// How long it is.
        bits: usize,
    },
}

/// Encrypts for the holder of one certificate's private key.
#[derive(Debug)]
pub(crate) struct Sealer(OaepPublicEncryptingKey);

impl Sealer {
    pub(crate) fn from_certificate(pem: &str) -> Result<Self, CertificateError> {
        let certificate = Certificate::from_pem(pem).map_err(CertificateError::NotACertificate)?;
        let public_key = certificate
            .tbs_certificate()
            .subject_public_key_info()
            .to_der()
            .map_err(CertificateError::NotACertificate)?;
        let key = PublicEncryptingKey::from_der(&public_key).map_err(|_| CertificateError::NotRsa)?;
        let bits = key.key_size_bits();
        if bits < SMALLEST_KEY_BITS {
            return Err(CertificateError::TooShort { bits });
        }
        OaepPublicEncryptingKey::new(key).map(Self).map_err(|_| CertificateError::NotRsa)
    }

    /// `base64( RSA-OAEP(aes key) ‖ len(iv) as u32 big endian ‖ iv ‖ AES-128-GCM(plaintext) ‖ tag )`.
    pub(crate) fn seal(&self, plaintext: &str) -> String {
        let (mut key, mut iv) = ([0_u8; 16], [0_u8; 12]);
        aws_lc_rs::rand::fill(&mut key).expect("the system has random numbers");
        aws_lc_rs::rand::fill(&mut iv).expect("the system has random numbers");

        let mut envelope = vec![0; self.0.ciphertext_size()];
        self.0.encrypt(&OAEP_SHA1_MGF1SHA1, &key, &mut envelope, None).expect("16 bytes fit into an RSA block");
        envelope.extend(12_u32.to_be_bytes());
        envelope.extend(iv);

        let cipher = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key).expect("an AES-128 key has 16 bytes"));
        let mut text = plaintext.as_bytes().to_vec();
        cipher
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(iv), Aad::empty(), &mut text)
            .expect("the text is shorter than AES-GCM's limit of 64 GiB");
        envelope.extend(text);
        STANDARD.encode(envelope)
    }
}
