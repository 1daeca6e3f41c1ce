//! Identifiers and tokens that nobody can guess.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).expect("the system has random numbers");
    bytes
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string succeeds");
        text
    })
}

/// A random text of `2 * bytes` hexadecimal digits; 16 bytes at most.
pub(crate) fn random_hex(bytes: usize) -> String {
    hex(&random_bytes::<16>()[..bytes])
}

/// A random UUID (version 4).
pub(crate) fn uuid() -> String {
    let mut bytes = random_bytes::<16>();
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let text = hex(&bytes);
    format!("{}-{}-{}-{}-{}", &text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..])
}

/// A token in the form of a JWT, with `exp`. Its signature is random: it is looked up, not verified.
pub(crate) fn run_token(run: &str, now: SystemTime, lifetime: Duration) -> String {
    let seconds = |time: SystemTime| time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let claims = serde_json::json!({
        "sub": run, "iat": seconds(now), "exp": seconds(now + lifetime), "jti": random_hex(16),
    });
    format!(
        "{}.{}.{}",
        URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","typ":"JWT"}"#),
        URL_SAFE_NO_PAD.encode(claims.to_string()),
        URL_SAFE_NO_PAD.encode(random_bytes::<32>()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_has_its_version_and_is_never_the_same() {
        let first = uuid();
        assert_eq!(first.len(), 36);
        assert_eq!(&first[14..15], "4");
        assert_ne!(first, uuid());
    }

    #[test]
    fn a_run_token_says_when_it_ends() {
        let token = run_token("run", UNIX_EPOCH + Duration::from_secs(100), Duration::from_secs(20));
        let parts: Vec<&str> = token.split('.').collect();
        let claims: serde_json::Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts[1]).unwrap()).unwrap();
        assert_eq!(parts.len(), 3);
        assert_eq!(claims["exp"], 120);
        assert_eq!(claims["sub"], "run");
    }
}
