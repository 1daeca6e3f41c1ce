//! Masking never panics, never lets a whole secret pass, and leaves other text alone, however it is cut.
#![no_main]

use libfuzzer_sys::fuzz_target;
use runner_core::mask::{Masker, is_maskable};

fuzz_target!(|input: (Vec<String>, Vec<u8>, Vec<u8>)| {
    let (secrets, text, cuts) = input;
    let masker = Masker::new(secrets.iter().map(String::as_str));

    let mut whole = Vec::new();
    let mut stream = masker.stream();
    stream.push(&text, &mut whole);
    stream.finish(&mut whole);

    let mut cut = Vec::new();
    let mut stream = masker.stream();
    let mut rest = text.as_slice();
    for length in cuts {
        let (chunk, after) = rest.split_at(usize::from(length).min(rest.len()));
        stream.push(chunk, &mut cut);
        rest = after;
    }
    stream.push(rest, &mut cut);
    stream.finish(&mut cut);
    assert_eq!(whole, cut);

    let contains = |hay: &[u8], needle: &str| hay.windows(needle.len().max(1)).any(|w| w == needle.as_bytes());
    for secret in secrets.iter().filter(|secret| is_maskable(secret) && !secret.contains('*')) {
        assert!(!contains(&whole, secret), "{secret:?} passed");
    }
    if secrets.is_empty() {
        assert_eq!(whole, text);
    }
});
