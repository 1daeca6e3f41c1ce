//! The App's private key, and the tokens that are signed with it.
//!
//! Source: `protocol/executors.md`, `GITHUB_WORKFLOW`, 2.

use std::fmt;

use aws_lc_rs::digest;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use runner_core::meshstack_client::Secret;
use serde_json::json;
use zeroize::Zeroizing;

/// A token is dated back by this much, in seconds: GitHub's own advice, against clocks that are ahead.
const DATED_BACK: i64 = 60;

/// A token is good for this long, in seconds; GitHub takes ten minutes at most.
const LIFETIME: i64 = 300;

/// A key that no token can be signed with. Each text is a clause that says what is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum KeyError {
    #[error("it holds no PEM block of a private key")]
    NoPrivateKey,
    #[error("it is protected by a passphrase")]
    Encrypted,
    #[error("it is no RSA key, and the keys of GitHub Apps are")]
    NotRsa,
    #[error("it is shorter than 2048 bits, so it is no key of a GitHub App")]
    TooSmall,
    #[error("it is damaged; it may have been copied in part")]
    Damaged,
    #[error("the cryptographic library could not sign with it")]
    Signing,
}

/// The private key of a GitHub App.
pub(crate) struct AppKey {
    key: RsaKeyPair,
}

impl AppKey {
    /// Reads PKCS#1 or PKCS#8, in lines of any ending, on one line, or with `\n` written out.
    pub(crate) fn from_pem(text: &Secret) -> Result<Self, KeyError> {
        let text = Secret::new(text.expose().replace("\\r", "\r").replace("\\n", "\n"));
        let (label, body) = private_key_block(text.expose()).ok_or(KeyError::NoPrivateKey)?;
        if label.contains("ENCRYPTED") || body.contains("ENCRYPTED") {
            return Err(KeyError::Encrypted);
        }
        let body = Secret::new(body.split_whitespace().collect::<String>());
        let der = Zeroizing::new(STANDARD.decode(body.expose()).map_err(|_| KeyError::Damaged)?);
        let key = match label {
            "RSA PRIVATE KEY" => RsaKeyPair::from_der(&der),
            "PRIVATE KEY" => RsaKeyPair::from_pkcs8(&der),
            _ => return Err(KeyError::NotRsa),
        };
        let key = key.map_err(|rejected| match rejected.to_string().as_str() {
            "TooSmall" => KeyError::TooSmall,
            "WrongAlgorithm" => KeyError::NotRsa,
            _ if label == "PRIVATE KEY" && !contains(&der, RSA_ENCRYPTION) => KeyError::NotRsa,
            _ => KeyError::Damaged,
        })?;
        Ok(Self { key })
    }

    /// A token that says who the App is; `now` in seconds since 1970.
    pub(crate) fn token(&self, app_id: &str, now: i64) -> Result<Secret, KeyError> {
        let encode = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let mut token = encode(json!({ "alg": "RS256", "typ": "JWT" }));
        token.push('.');
        token += &encode(json!({ "iat": now - DATED_BACK, "exp": now + LIFETIME, "iss": app_id }));
        let mut signature = vec![0; self.key.public_modulus_len()];
        self.key
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), token.as_bytes(), &mut signature)
            .map_err(|_| KeyError::Signing)?;
        token.push('.');
        token += &URL_SAFE_NO_PAD.encode(signature);
        Ok(Secret::new(token))
    }
}

impl fmt::Debug for AppKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AppKey")
    }
}

/// Tells keys apart, and nothing about them.
pub(crate) fn fingerprint(pem: &Secret) -> [u8; 32] {
    let mut fingerprint = [0; 32];
    fingerprint.copy_from_slice(digest::digest(&digest::SHA256, pem.expose().trim().as_bytes()).as_ref());
    fingerprint
}

/// `rsaEncryption` of RFC 8017, DER.
const RSA_ENCRYPTION: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

/// Label and body of the first block whose label ends with `PRIVATE KEY`.
fn private_key_block(text: &str) -> Option<(&str, &str)> {
    let mut rest = text;
    loop {
        let (label, after) = rest.split_once("-----BEGIN ")?.1.split_once("-----")?;
        let (body, after_body) = after.split_once("-----END ").unwrap_or((after, ""));
        if label.ends_with("PRIVATE KEY") && !after_body.is_empty() {
            return Some((label, body));
        }
        rest = after_body;
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
    use serde_json::Value;

    use super::*;

    const PKCS1: &str = include_str!("../tests/fixtures/github-app.key.pem");
    const PKCS8: &str = include_str!("../tests/fixtures/unrelated-2048.key.pem");
    const PUBLIC: &str = include_str!("../tests/fixtures/github-app.pub.pem");

    fn read(text: &str) -> Result<AppKey, KeyError> {
        AppKey::from_pem(&Secret::new(text))
    }

    /// Whether GitHub would take the signature, by the App's public key.
    fn verifies(token: &Secret) -> bool {
        let (signed, signature) = token.expose().rsplit_once('.').unwrap();
        let public: String = PUBLIC.lines().filter(|line| !line.starts_with('-')).collect();
        let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, STANDARD.decode(public).unwrap());
        public.verify(signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap()).is_ok()
    }

    #[test]
    fn a_token_says_who_signs_it_and_is_dated_back() {
        let token = read(PKCS1).unwrap().token("12345", 1_000_000).unwrap();
        let (signed, signature) = token.expose().rsplit_once('.').unwrap();
        let claims = URL_SAFE_NO_PAD.decode(signed.split_once('.').unwrap().1).unwrap();
        let claims: Value = serde_json::from_slice(&claims).unwrap();
        assert_eq!(claims, json!({ "iat": 999_940, "exp": 1_000_300, "iss": "12345" }));
        assert!(verifies(&token) && !signature.is_empty());
    }

    #[test]
    fn a_key_is_read_however_its_lines_end() {
        let one_line: String = PKCS1.lines().collect();
        let with_comment = format!("a comment\n-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n{PKCS1}");
        for text in [
            PKCS1.replace('\n', "\r\n"),
            PKCS1.replace('\n', "\\n"),
            PKCS1.replace('\n', "\\r\\n"),
            PKCS1.replace('\n', " "),
            format!("\n\n  {PKCS1}  \n"),
            with_comment,
            one_line,
        ] {
            assert!(verifies(&read(&text).unwrap().token("1", 1).unwrap()), "{text}");
        }
        assert!(!verifies(&read(PKCS8).unwrap().token("1", 1).unwrap()), "another key");
    }

    #[test]
    fn keys_are_told_apart_by_their_text() {
        let secret = |text: &str| Secret::new(text);
        assert_eq!(fingerprint(&secret(PKCS1)), fingerprint(&secret(&format!("\n{PKCS1}"))));
        assert_ne!(fingerprint(&secret(PKCS1)), fingerprint(&secret(PKCS8)));
    }

    #[test]
    fn what_is_no_key_is_refused_with_a_reason() {
        let half = &PKCS1[..PKCS1.len() / 2];
        let cut = PKCS1.lines().enumerate().filter(|(i, _)| *i != 5).map(|(_, line)| format!("{line}\n"));
        let cases = [
            (String::new(), KeyError::NoPrivateKey),
            ("hunter2".to_owned(), KeyError::NoPrivateKey),
            (PUBLIC.to_owned(), KeyError::NoPrivateKey),
            (half.to_owned(), KeyError::NoPrivateKey),
            (cut.collect(), KeyError::Damaged),
            (include_str!("../tests/fixtures/ec.key.pem").to_owned(), KeyError::NotRsa),
            (include_str!("../tests/fixtures/weak-1024.key.pem").to_owned(), KeyError::TooSmall),
            (PKCS8.replace("PRIVATE KEY", "EC PRIVATE KEY"), KeyError::NotRsa),
            (PKCS8.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY"), KeyError::Encrypted),
            (PKCS8.replace("PRIVATE KEY-----\nM", "PRIVATE KEY-----\n!"), KeyError::Damaged),
        ];
        for (text, expected) in cases {
            assert_eq!(read(&text).err(), Some(expected), "{text}");
        }
    }

    #[test]
    fn a_key_is_never_printed() {
        assert_eq!(format!("{:?}", read(PKCS1).unwrap()), "AppKey");
    }
}
