//! Decryption never panics, and what it gives out was sealed for the key.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use meshstack_client::{Certificate, KeyRing, PrivateKey, generate_key_pair};

static PAIR: LazyLock<(KeyRing, Certificate)> = LazyLock::new(|| {
    let pair = generate_key_pair("fuzz").expect("a pair");
    let key = PrivateKey::from_pem(pair.private_key_pem.expose()).expect("its key");
    (KeyRing::new(vec![key]), Certificate::from_pem(&pair.certificate_pem).expect("its certificate"))
});

fuzz_target!(|data: &[u8]| {
    let (ring, certificate) = &*PAIR;
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = ring.decrypt(text);
        let _ = PrivateKey::from_pem(text);
        let _ = Certificate::from_pem(text);
        let sealed = certificate.encrypt(text).expect("any text can be sealed");
        assert_eq!(ring.decrypt(&sealed).expect("what was sealed opens").expose(), text);
    }
});
