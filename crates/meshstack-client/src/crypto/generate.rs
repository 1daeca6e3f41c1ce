//! New key pairs.

use std::time::{Duration, SystemTime};

use rcgen::{CertificateParams, DnType, KeyUsagePurpose, PKCS_RSA_SHA256, RsaKeySize};
use zeroize::Zeroize;

use super::KeyError;
use crate::Secret;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A private key, and the certificate to register.
#[derive(Debug, Clone)]
pub struct KeyPair {
    /// PKCS#8, PEM, not encrypted.
    pub private_key_pem: Secret,
    /// X.509, PEM, signed with the same key.
    pub certificate_pem: String,
}

/// Makes a key pair: RSA of 4096 bits, and a certificate for ten years, signed by itself.
///
/// Takes from a tenth of a second to some seconds of computing: call it off the async threads.
pub fn generate_key_pair(common_name: &str) -> Result<KeyPair, KeyError> {
    let library = |operation| move |_: rcgen::Error| KeyError::Library { operation };
    let mut key = rcgen::KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_4096)
        .map_err(library("generating the key pair"))?;

    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.key_usages = vec![KeyUsagePurpose::KeyEncipherment];
    // From yesterday on, for clocks that are behind.
    let now = SystemTime::now();
    params.not_before = (now - DAY).into();
    params.not_after = (now + 3650 * DAY).into();
    let certificate = params.self_signed(&key).map_err(library("signing the certificate"))?;

    let pair = KeyPair { private_key_pem: Secret::new(key.serialize_pem()), certificate_pem: certificate.pem() };
    key.zeroize();
    Ok(pair)
}
