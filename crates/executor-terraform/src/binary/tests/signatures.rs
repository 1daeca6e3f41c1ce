//! Which signatures are taken.

use std::time::{Duration, SystemTime};

use super::super::signature::{Problem, TrustedKey};
use super::super::version::Product;
use super::maker::{AGE, Maker, Said, days, days_ago};

const TEXT: &[u8] = b"checksums\n";

/// What is found of a signature by a key of which that is said.
fn verified(maker: &Maker, said: Said, signature: &[u8]) -> Result<String, Problem> {
    maker.key_with(said).verify(TEXT, signature, SystemTime::now())
}

#[test]
fn a_signature_by_the_trusted_key_or_its_subkey_is_taken_armoured_or_not() {
    let maker = Maker::new();
    let now = SystemTime::now();
    assert_eq!(maker.key().verify(TEXT, &maker.sign(TEXT), now).unwrap(), maker.fingerprint());
    assert_eq!(maker.key().verify(TEXT, &maker.sign_in_armour(TEXT), now).unwrap(), maker.fingerprint());
    let by_subkey = maker.sign_with_subkey_at(TEXT, now);
    assert_eq!(maker.key().verify(TEXT, &by_subkey, now).unwrap(), maker.subkey_fingerprint());
}

#[test]
fn of_several_signatures_one_by_the_trusted_key_is_enough() {
    let (maker, other) = (Maker::new(), Maker::new());
    let both = [other.sign(TEXT), maker.sign(TEXT)].concat();
    assert_eq!(maker.key().verify(TEXT, &both, SystemTime::now()).unwrap(), maker.fingerprint());
}

#[test]
fn a_signature_by_another_key_is_refused_and_both_keys_are_named() {
    let (maker, other) = (Maker::new(), Maker::new());
    let problem = maker.key().verify(TEXT, &other.sign(TEXT), SystemTime::now()).unwrap_err();
    let told = problem.to_string();
    assert!(told.contains(&other.fingerprint()) && told.contains(&maker.fingerprint()), "{told}");
}

#[test]
fn a_signature_of_other_text_is_refused() {
    let maker = Maker::new();
    let problem = verified(&maker, Said::default(), &maker.sign(b"checksums")).unwrap_err();
    assert_eq!(problem, Problem::DoesNotMatch { key: maker.fingerprint() });
}

#[test]
fn a_key_that_has_expired_is_refused_whenever_it_signed() {
    let maker = Maker::new();
    let said = Said { life: Some(AGE - 10), ..Said::default() };
    for signed in [days_ago(1), days_ago(20)] {
        for signature in [maker.sign_at(TEXT, signed), maker.sign_with_subkey_at(TEXT, signed)] {
            let problem = verified(&maker, said, &signature).unwrap_err();
            let Problem::Expired { key, when } = problem else { panic!("{problem:?}") };
            assert_eq!(key, maker.fingerprint());
            assert!(days_ago(11) < when && when < days_ago(9));
        }
    }
    let said = Said { life: Some(AGE + 10), ..Said::default() };
    assert!(verified(&maker, said, &maker.sign(TEXT)).is_ok());
}

#[test]
fn a_subkey_that_has_expired_is_taken_for_what_it_signed_before() {
    let maker = Maker::new();
    let said = Said { subkey_life: Some(AGE - 10), ..Said::default() };
    assert!(verified(&maker, said, &maker.sign_with_subkey_at(TEXT, days_ago(20))).is_ok());
    let problem = verified(&maker, said, &maker.sign_with_subkey_at(TEXT, days_ago(1))).unwrap_err();
    assert!(matches!(&problem, Problem::Expired { key, .. } if *key == maker.subkey_fingerprint()), "{problem:?}");
}

#[test]
fn a_revoked_key_or_subkey_is_refused_whenever_it_signed() {
    let maker = Maker::new();
    let said = Said { is_revoked: true, ..Said::default() };
    let problem = verified(&maker, said, &maker.sign_at(TEXT, days_ago(20))).unwrap_err();
    assert_eq!(problem, Problem::Revoked { key: maker.fingerprint() });
    let said = Said { subkey_is_revoked: true, ..Said::default() };
    let problem = verified(&maker, said, &maker.sign_with_subkey_at(TEXT, days_ago(20))).unwrap_err();
    assert_eq!(problem, Problem::Revoked { key: maker.subkey_fingerprint() });
    assert!(verified(&maker, said, &maker.sign(TEXT)).is_ok());
}

#[test]
fn a_subkey_that_does_not_agree_to_be_one_is_refused() {
    let maker = Maker::new();
    let said = Said { subkey_is_taken: true, ..Said::default() };
    let problem = verified(&maker, said, &maker.sign_with_subkey_at(TEXT, SystemTime::now())).unwrap_err();
    assert!(matches!(problem, Problem::Unsuitable { .. }), "{problem:?}");
}

#[test]
fn a_signature_from_the_future_or_from_before_its_key_is_refused() {
    let maker = Maker::new();
    for when in [SystemTime::now() + days(3), days_ago(AGE + 1)] {
        let problem = verified(&maker, Said::default(), &maker.sign_at(TEXT, when)).unwrap_err();
        assert!(matches!(problem, Problem::Untimely { .. }), "{problem:?}");
    }
}

#[test]
fn a_signature_over_sha_1_is_refused() {
    let armored = include_str!("../../../tests/fixtures/releases/weak.asc");
    let key = TrustedKey::new(armored, "FD3D293A020D61FF85DC35DDB28CAB3FE26A004F");
    let signature = include_bytes!("../../../tests/fixtures/releases/weak.sig");
    let problem = key.verify(TEXT, signature, SystemTime::now()).unwrap_err();
    assert!(problem.to_string().contains("SHA1"), "{problem}");
}

#[test]
fn what_is_no_signature_is_refused() {
    let maker = Maker::new();
    let signature = maker.sign(TEXT);
    let cut = &signature[..signature.len() / 2];
    for other in [b"".as_slice(), b"<html>not found</html>", &[0xff; 64], cut, b"-----BEGIN PGP SIGNATURE-----\n\n"] {
        assert_eq!(verified(&maker, Said::default(), other).unwrap_err(), Problem::NoSignature);
    }
}

#[test]
fn a_key_that_is_not_the_one_of_its_fingerprint_is_not_trusted() {
    let (maker, other) = (Maker::new(), Maker::new());
    let armored = other.key().armored().to_owned();
    let swapped = TrustedKey::new(armored, maker.fingerprint());
    let problem = swapped.verify(TEXT, &other.sign(TEXT), SystemTime::now()).unwrap_err();
    assert!(matches!(problem, Problem::BadTrustedKey { .. }), "{problem:?}");
    assert!(problem.to_string().contains(&maker.fingerprint()), "{problem}");
}

mod of_the_makers {
    use super::*;

    const TERRAFORM: &[u8] = include_bytes!("../../../tests/fixtures/releases/terraform_1.9.8_SHA256SUMS");
    const TERRAFORM_SIG: &[u8] = include_bytes!("../../../tests/fixtures/releases/terraform_1.9.8_SHA256SUMS.sig");
    const TOFU: &[u8] = include_bytes!("../../../tests/fixtures/releases/tofu_1.8.5_SHA256SUMS");
    const TOFU_SIG: &[u8] = include_bytes!("../../../tests/fixtures/releases/tofu_1.8.5_SHA256SUMS.gpgsig");

    /// A day in 2025, when all keys were valid.
    fn then() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_750_000_000)
    }

    #[test]
    fn real_releases_are_taken() {
        let terraform = TrustedKey::of_maker(Product::Terraform);
        let signer = terraform.verify(TERRAFORM, TERRAFORM_SIG, then()).unwrap();
        assert_eq!(signer, "374EC75B485913604A831CC7C820C6D5CD27AB87");
        let opentofu = TrustedKey::of_maker(Product::OpenTofu);
        let signer = opentofu.verify(TOFU, TOFU_SIG, then()).unwrap();
        assert_eq!(signer, "E3E6E43D84CB852EADB0051D0C0AF313E5FD9F80");
    }

    #[test]
    fn real_releases_that_were_changed_are_refused() {
        let mut sums = TERRAFORM.to_vec();
        sums[0] = b'c';
        let problem = TrustedKey::of_maker(Product::Terraform).verify(&sums, TERRAFORM_SIG, then()).unwrap_err();
        assert!(matches!(problem, Problem::DoesNotMatch { .. }), "{problem:?}");
    }

    #[test]
    fn one_maker_does_not_stand_for_the_other() {
        let problem = TrustedKey::of_maker(Product::OpenTofu).verify(TERRAFORM, TERRAFORM_SIG, then()).unwrap_err();
        let told = problem.to_string();
        assert!(told.contains("374EC75B485913604A831CC7C820C6D5CD27AB87"), "{told}");
        assert!(told.contains("E3E6E43D84CB852EADB0051D0C0AF313E5FD9F80"), "{told}");
    }

    #[test]
    fn the_key_of_hashicorp_ends_in_2030() {
        let in_2031 = SystemTime::UNIX_EPOCH + Duration::from_secs(1_925_000_000);
        let problem = TrustedKey::of_maker(Product::Terraform).verify(TERRAFORM, TERRAFORM_SIG, in_2031).unwrap_err();
        assert!(matches!(&problem, Problem::Expired { key, .. } if key.ends_with("34365D9472D7468F")), "{problem:?}");
        assert!(problem.to_string().contains("Mar 2030"), "{problem}");
    }
}
