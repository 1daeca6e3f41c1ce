use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use meshstack_client::{Certificate, DecryptError, KeyError, KeyPair, KeyRing, PrivateKey, generate_key_pair};
use serde::Deserialize;

use crate::support::read;

#[derive(Deserialize)]
struct Vectors {
    decrypts: Vec<Decrypts>,
    refused: Vec<Refused>,
}

#[derive(Deserialize)]
struct Decrypts {
    key: String,
    plaintext: String,
    ciphertext: String,
}

#[derive(Deserialize)]
struct Refused {
    name: String,
    key: String,
    ciphertext: String,
}

fn vectors() -> Vectors {
    serde_json::from_str(&read("crypto/vectors.json")).unwrap()
}

pub(crate) fn key(name: &str) -> PrivateKey {
    PrivateKey::from_pem(&read(&format!("crypto/{name}"))).unwrap()
}

pub(crate) fn ring(names: &[&str]) -> KeyRing {
    KeyRing::new(names.iter().map(|name| key(name)).collect())
}

pub(crate) fn certificate(name: &str) -> Certificate {
    Certificate::from_pem(&read(&format!("crypto/{name}"))).unwrap()
}

/// One for all tests: it takes a while.
fn generated() -> &'static KeyPair {
    static PAIR: OnceLock<KeyPair> = OnceLock::new();
    PAIR.get_or_init(|| generate_key_pair("runner of a test").unwrap())
}

#[test]
fn every_vector_decrypts() {
    let vectors = vectors();
    assert!(vectors.decrypts.len() >= 12);
    for vector in vectors.decrypts {
        let plaintext = ring(&[&vector.key]).decrypt(&vector.ciphertext).unwrap();
        assert!(plaintext.expose() == vector.plaintext, "{} for {}", vector.plaintext, vector.key);
    }
}

#[test]
fn every_damaged_ciphertext_is_refused_in_the_same_words() {
    let vectors = vectors();
    assert!(vectors.refused.len() >= 11);
    for vector in vectors.refused {
        let result = ring(&[&vector.key]).decrypt(&vector.ciphertext);
        assert_eq!(result, Err(DecryptError::NoneFits), "{}", vector.name);
    }
}

#[test]
fn a_ciphertext_cut_at_any_byte_is_refused() {
    let whole = &vectors().decrypts[0].ciphertext;
    let ring = ring(&["current.key.pem"]);
    // Every fourth place is valid base64, so that the cut reaches the envelope itself.
    for length in (1..whole.len()).rev().step_by(7).chain((4..whole.len()).step_by(64)) {
        assert_eq!(ring.decrypt(&whole[..length]), Err(DecryptError::NoneFits), "{length}");
    }
}

#[test]
fn a_ring_reads_what_any_of_its_keys_reads() {
    let ring = ring(&["current.key.pem", "unrelated-2048.key.pem", "previous.key.pem"]);
    let texts = [("current.cert.pem", "new"), ("previous.cert.pem", "from before the rotation")];
    for (certificate_name, text) in texts {
        let sealed = certificate(certificate_name).encrypt(text).unwrap();
        assert_eq!(ring.decrypt(&sealed).unwrap().expose(), text);
    }
    for vector in vectors().decrypts {
        assert!(ring.clone().decrypt(&vector.ciphertext).unwrap().expose() == vector.plaintext, "{}", vector.key);
    }
}

#[test]
fn a_ring_without_a_fitting_key_says_so_and_one_without_keys_as_well() {
    let sealed = certificate("current.cert.pem").encrypt("text").unwrap();
    assert_eq!(ring(&["previous.key.pem", "unrelated-2048.key.pem"]).decrypt(&sealed), Err(DecryptError::NoneFits));
    assert_eq!(KeyRing::empty().decrypt(&sealed), Err(DecryptError::NoKey));
    assert_eq!(KeyRing::empty().decrypt("").unwrap().expose(), "");
    assert!(KeyRing::empty().is_empty() && !ring(&["current.key.pem"]).is_empty());
}

#[test]
fn what_is_encrypted_is_decrypted_and_never_looks_the_same() {
    let (certificate, ring) = (certificate("current.cert.pem"), ring(&["current.key.pem"]));
    for text in ["x", "ünïcödé ✓ 漢字\0\n", &"long ".repeat(50_000)] {
        let (one, two) = (certificate.encrypt(text).unwrap(), certificate.encrypt(text).unwrap());
        assert_ne!(one, two);
        assert!(ring.decrypt(&one).unwrap().expose() == text && ring.decrypt(&two).unwrap().expose() == text);
    }
    assert_eq!(certificate.encrypt("").unwrap(), "");
}

#[test]
fn a_key_is_the_same_in_every_form_of_pem() {
    let text = read("crypto/current.key.pem");
    let one_line: String = text.lines().collect();
    let forms = [
        read("crypto/current.key.pkcs1.pem"),
        read("crypto/current.key.oneline.pem"),
        one_line,
        text.replace('\n', "\r\n"),
        format!("Bag Attributes\n  friendlyName: x\n{}{text}", read("crypto/current.cert.pem")),
    ];
    let expected = key("current.key.pem").fingerprint();
    for form in forms {
        assert_eq!(PrivateKey::from_pem(&form).unwrap().fingerprint(), expected, "{form}");
    }
}

#[test]
fn keys_that_are_no_use_are_refused_with_a_reason() {
    let body = read("crypto/current.key.pem").lines().nth(3).unwrap().to_owned();
    let block = |label: &str, body: &str| format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n");
    let cases = [
        (read("crypto/ec.key.pem"), "no RSA key (EC)"),
        (block("EC PRIVATE KEY", "AAAA"), "no RSA key (EC)"),
        (read("crypto/weak-1024.key.pem"), "shorter than 2048 bits"),
        (block("ENCRYPTED PRIVATE KEY", "AAAA"), "encrypted with a passphrase"),
        (block("RSA PRIVATE KEY", "Proc-Type: 4,ENCRYPTED\nDEK-Info: x\n\nAAAA"), "encrypted with a passphrase"),
        (block("OPENSSH PRIVATE KEY", "AAAA"), "`OPENSSH PRIVATE KEY` is not supported"),
        (block("PRIVATE KEY", &body), "no PKCS#8 key"),
        (block("RSA PRIVATE KEY", &body), "not those of an RSA key"),
        (block("PRIVATE KEY", "%%%"), "no base64"),
        (read("crypto/current.cert.pem"), "no PEM block `PRIVATE KEY` in it, only `CERTIFICATE`"),
        ("garbage".to_owned(), "no PEM block `PRIVATE KEY` in it"),
        (String::new(), "no PEM block `PRIVATE KEY` in it"),
    ];
    for (text, expected) in cases {
        let error = PrivateKey::from_pem(&text).unwrap_err().to_string();
        assert!(error.contains(expected), "{error} in place of {expected}");
        assert!(!error.contains(&body), "{error}");
    }
}

#[test]
fn a_damaged_key_is_refused() {
    let text = read("crypto/current.key.pem");
    // A byte of the private exponent: the form is right, the numbers are not.
    let line = text.lines().nth(20).unwrap();
    let damaged = text.replace(line, &line.chars().rev().collect::<String>());
    assert!(matches!(PrivateKey::from_pem(&damaged), Err(KeyError::Damaged { .. })));
}

#[test]
fn a_key_knows_its_certificate() {
    let current = key("current.key.pem");
    assert!(current.matches(&certificate("current.cert.pem")));
    assert!(!current.matches(&certificate("previous.cert.pem")));
    assert!(key("previous.key.pem").matches(&certificate("previous.cert.pem")));
    assert_eq!(current.fingerprint(), certificate("current.cert.pem").fingerprint());
    assert_ne!(current.fingerprint(), key("previous.key.pem").fingerprint());
    assert_eq!((current.fingerprint().len(), current.modulus_bits()), (64, 4096));
    assert_eq!(key("unrelated-2048.key.pem").modulus_bits(), 2048);
}

#[test]
fn of_a_bundle_the_first_certificate_that_can_be_read_counts() {
    let (current, previous) = (read("crypto/current.cert.pem"), read("crypto/previous.cert.pem"));
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let bundle = format!("# ours\n{}{broken}{current}\n{previous}", read("crypto/ec.key.pem"));
    let certificate = Certificate::from_pem(&bundle).unwrap();
    assert!(key("current.key.pem").matches(&certificate));
    assert_eq!(certificate.pem().trim(), current.trim());
    let one_line: String = current.lines().collect();
    assert_eq!(Certificate::from_pem(&one_line).unwrap().pem().trim(), current.trim());

    for (text, expected) in [
        (broken.to_owned(), "no X.509 certificate"),
        (read("crypto/github-app.pub.pem"), "no PEM block `CERTIFICATE` in it, only `PUBLIC KEY`"),
        (String::new(), "no PEM block `CERTIFICATE` in it"),
    ] {
        let error = Certificate::from_pem(&text).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn a_generated_pair_belongs_together_and_is_of_4096_bits() {
    let pair = generated();
    assert!(pair.private_key_pem.expose().starts_with("-----BEGIN PRIVATE KEY-----"));
    let private = PrivateKey::from_pem(pair.private_key_pem.expose()).unwrap();
    let public = Certificate::from_pem(&pair.certificate_pem).unwrap();
    assert!(private.matches(&public));
    assert_eq!((private.modulus_bits(), public.modulus_bits()), (4096, 4096));
    let sealed = public.encrypt("text").unwrap();
    assert_eq!(KeyRing::new(vec![private]).decrypt(&sealed).unwrap().expose(), "text");
}

#[test]
fn a_generated_certificate_is_valid_now_and_for_ten_years() {
    let certificate = Certificate::from_pem(&generated().certificate_pem).unwrap();
    let year = Duration::from_secs(365 * 24 * 60 * 60);
    let now = SystemTime::now();
    assert!(certificate.not_before() < now, "{:?}", certificate.not_before());
    assert!(certificate.not_after() > now + 9 * year && certificate.not_after() < now + 11 * year);
}

#[test]
fn a_generated_certificate_is_signed_by_itself_in_its_own_name() {
    use x509_cert::der::{DecodePem, Encode};

    let parsed = x509_cert::Certificate::from_pem(&generated().certificate_pem).unwrap();
    let content = parsed.tbs_certificate();
    assert_eq!(content.subject().to_string(), "CN=runner of a test");
    assert_eq!(content.issuer(), content.subject());
    let key = content.subject_public_key_info().subject_public_key.raw_bytes();
    let verifier = aws_lc_rs::signature::UnparsedPublicKey::new(&aws_lc_rs::signature::RSA_PKCS1_2048_8192_SHA256, key);
    verifier.verify(&content.to_der().unwrap(), parsed.signature().raw_bytes()).unwrap();
}

#[test]
fn certificates_without_a_strong_rsa_key_are_refused() {
    let params = || rcgen::CertificateParams::new(Vec::new()).unwrap();
    let ec = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let text = params().self_signed(&ec).unwrap().pem();
    assert!(matches!(Certificate::from_pem(&text), Err(KeyError::NotRsa { kind }) if kind == "EC"));
}

#[test]
fn a_derived_key_depends_on_the_private_key_and_the_purpose_and_not_on_the_file_format() {
    let [pkcs8, pkcs1, oneline, other] =
        ["current.key.pem", "current.key.pkcs1.pem", "current.key.oneline.pem", "previous.key.pem"].map(key);
    let derived = pkcs8.derive("journal");
    assert_eq!(derived, pkcs1.derive("journal"));
    assert_eq!(derived, oneline.derive("journal"));
    assert_ne!(derived, pkcs8.derive("something else"));
    assert_ne!(derived, other.derive("journal"));
    assert_ne!(*derived, [0; 32]);
}
