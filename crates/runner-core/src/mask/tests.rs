//! The masker from outside: what passes, what does not, wherever the chunks are cut.

use proptest::collection::vec;
use proptest::prelude::*;

use super::{Masker, forms};

/// Streams `text`, cut at `cuts`.
fn streamed(masker: &Masker, text: &[u8], cuts: &[usize]) -> Vec<u8> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (text.len() + 1)).collect();
    cuts.extend([0, text.len()]);
    cuts.sort_unstable();
    let (mut stream, mut out) = (masker.stream(), Vec::new());
    for cut in cuts.windows(2) {
        stream.push(&text[cut[0]..cut[1]], &mut out);
    }
    stream.finish(&mut out);
    out
}

#[track_caller]
fn becomes(secrets: &[&str], text: &str, expected: &str) {
    let masker = Masker::new(secrets.iter().copied());
    assert_eq!(masker.mask(text), expected);
    for cut in 0..=text.len() {
        assert_eq!(String::from_utf8_lossy(&streamed(&masker, text.as_bytes(), &[cut])), expected, "cut at {cut}");
    }
    let all: Vec<usize> = (0..text.len()).collect();
    assert_eq!(String::from_utf8_lossy(&streamed(&masker, text.as_bytes(), &all)), expected, "byte by byte");
}

#[test]
fn a_secret_is_masked_wherever_it_stands() {
    becomes(&["s3cret-value"], "s3cret-value", "***");
    becomes(&["s3cret-value"], "a=s3cret-value b=s3cret-values3cret-value;", "a=*** b=***;");
    becomes(&["s3cret-value"], "s3cret-valu s3cret-s3cret-value s3cret-", "s3cret-valu s3cret-*** s3cret-");
}

#[test]
fn secrets_that_overlap_leave_nothing_of_each_other() {
    becomes(&["password", "wordpress-admin-1"], "x passwordpress-admin-1 y", "x *** y");
    becomes(&["abcd", "bcde1234xyz", "cde1"], "abcde1234xyz abcde1 bcde1234", "*** *** b***234");
    becomes(&["aaaa"], "aaaaaaaaaa aaa", "*** aaa");
    becomes(
        &["long secret with a core", "core"],
        "the core of a long secret with a cor",
        "the *** of a long secret with a cor",
    );
}

#[test]
fn encoded_secrets_are_masked() {
    let secret = ["p\u{e4}ss\"w/o<r>d&'${x}"];
    becomes(&secret, r#"{"a":"päss\"w/o<r>d&'${x}"}"#, r#"{"a":"***"}"#);
    becomes(&secret, r#"{"a":"päss\"w\/o<r>d&'${x}"}"#, r#"{"a":"***"}"#);
    becomes(&secret, r#"{"a":"päss\"w/o\u003cr\u003ed\u0026'${x}"}"#, r#"{"a":"***"}"#);
    becomes(&secret, r#"{"a":"p\u00e4ss\"w/o<r>d&'${x}"}"#, r#"{"a":"***"}"#);
    becomes(&secret, "?a=p%C3%A4ss%22w%2Fo%3Cr%3Ed%26%27%24%7Bx%7D&b", "?a=***&b");
    becomes(&secret, "?a=p%c3%a4ss%22w%2fo%3cr%3ed%26%27%24%7bx%7d&b", "?a=***&b");
    becomes(&secret, r#"echo 'päss"w/o<r>d&'\''${x}'"#, "echo '***'");
    becomes(&secret, r#"echo "päss\"w/o<r>d&'\${x}""#, r#"echo "***""#);
    becomes(&secret, r#"a = "päss\"w/o<r>d&'$${x}""#, r#"a = "***""#);
    becomes(&["two words"], "a=two+words&b=two%20words", "a=***&b=***");
}

#[test]
fn a_secret_of_several_words_is_masked_where_a_program_has_wrapped_it() {
    let secret = ["correct horse  battery \"staple\""];
    becomes(&secret, "not like correct\nhorse  battery \"staple\".", "not like ***.");
    becomes(&secret, "not like correct horse\nbattery \"staple\".", "not like ***.");
    becomes(&secret, r#"not like "correct horse  battery"#, r#"not like "correct horse  battery"#);
    becomes(&secret, "not like correct horse  battery\n\\\"staple\\\".", "not like ***.");
}

#[test]
fn base64_is_masked_at_every_alignment() {
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
    let masker = Masker::new(["hunter2-and-more?>"]);
    for head in ["", "u", "us", "user:"] {
        for tail in ["", "\n", "@host", "@h"] {
            let text = format!("{head}hunter2-and-more?>{tail}");
            for encoded in [STANDARD.encode(&text), URL_SAFE_NO_PAD.encode(&text)] {
                let shown = masker.mask(&encoded);
                assert!(shown.contains("***"), "{encoded} became {shown}");
                // A character at each end may carry bits of the neighbours.
                assert!(shown.len() <= (head.len() + tail.len()).div_ceil(3) * 4 + 3 + 4, "{encoded} became {shown}");
            }
        }
    }
}

#[test]
fn a_secret_in_the_base64_of_json_is_masked() {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    let secret = "say \"friend\" & <enter> \u{fc}";
    let masker = Masker::new([secret]);
    let plain = serde_json::json!({ "value": secret, "behind": "it" }).to_string();
    for json in [plain.replace('&', "\\u0026").replace('<', "\\u003c").replace('>', "\\u003e"), plain] {
        for head in ["", "1", "22"] {
            let shown = masker.mask(&STANDARD.encode(format!("{head}{json}"))).into_owned();
            assert_eq!(shown.matches("***").count(), 1, "{shown}");
            // A character at each end may carry bits of the neighbours.
            assert!(shown.len() < (json.len() - secret.len()).div_ceil(3) * 4 + 8, "{shown}");
        }
    }
}

#[test]
fn wrapped_base64_of_a_long_secret_is_masked_line_by_line() {
    use base64::Engine as _;
    let secret: String = (0..300_u32).map(|i| char::from(b'!' + (i * i % 89) as u8)).collect();
    let masker = Masker::new([secret.as_str()]);
    let encoded = base64::engine::general_purpose::STANDARD.encode(&secret);
    for width in [64, 76] {
        let lines: Vec<&str> =
            encoded.as_bytes().chunks(width).map(|line| str::from_utf8(line).expect("ASCII")).collect();
        let expected = vec!["***"; lines.len()].join("\n");
        assert_eq!(masker.mask(&lines.join("\n")), expected);
    }
}

#[test]
fn a_secret_of_several_lines_is_masked_whole_and_line_by_line() {
    let key = "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0B\nAQEFAASCBKcwggSj\nxY==\n-----END KEY-----\n";
    becomes(&[key], &format!("key:\n{key}end"), "key:\n***\n***\nend");
    becomes(&[key], "    MIIEvQIBADANBgkqhkiG9w0B\n    AQEFAASCBKcwggSj\n", "    ***\n    ***\n");
    becomes(&[key], r"AQEFAASCBKcwggSj\nxY==\n", r"***\nxY==\n");
    becomes(
        &[key],
        "-----BEGIN KEY-----\npublic\n-----END KEY-----\n",
        "-----BEGIN KEY-----\npublic\n-----END KEY-----\n",
    );
    becomes(&["short\r\nlines"], "short\nlines short\r\nlines", "*** ***");
}

#[test]
fn most_of_a_long_secret_is_masked_when_it_is_cut_off() {
    let secret: String = (0..1000_u32).map(|i| char::from(b'!' + (i * i * 7 % 89) as u8)).collect();
    let masker = Masker::new([secret.as_str()]);
    let shown = masker.mask(&secret[..900]).into_owned();
    assert!(shown.starts_with("***") && shown.len() < 3 + 64, "{shown}");
    assert_eq!(masker.mask(&secret), "***");
}

#[test]
fn the_end_of_a_line_is_passed_on_at_once() {
    let masker = Masker::new(["secret-of-one-line", "two\nshort\nlines"]);
    let (mut stream, mut out) = (masker.stream(), Vec::new());
    stream.push(b"a secret-of-one-line\n", &mut out);
    assert_eq!(out, b"a ***\n");
    out.clear();
    stream.push(b"no start of any secret: s", &mut out);
    assert_eq!(out, b"no start of any secret: ");
    stream.push(b"o\n", &mut out);
    assert_eq!(out, b"no start of any secret: so\n");
    out.clear();
    stream.push(b"two\nshort\n", &mut out);
    assert_eq!(out, b"", "the secret may go on in the next line");
    stream.push(b"line\n", &mut out);
    assert_eq!(out, b"two\nshort\nline\n");
}

#[test]
fn a_masker_without_secrets_changes_nothing() {
    assert!(matches!(Masker::default().mask("anything"), std::borrow::Cow::Borrowed("anything")));
    assert!(matches!(Masker::new(["true", "abc"]).mask("true abc"), std::borrow::Cow::Borrowed("true abc")));
    assert_eq!(streamed(&Masker::default(), b"any\xffthing", &[2, 4]), b"any\xffthing");
}

#[test]
fn a_union_masks_both_and_keeps_the_first_as_it_was() {
    let first = Masker::new(["first-secret"]);
    let both = first.with(["second-secret", "first-secret", "no"]);
    assert_eq!(both.mask("first-secret second-secret no"), "*** *** no");
    assert_eq!(first.mask("first-secret second-secret"), "*** second-secret");
    assert!(format!("{both:?}").contains("secrets: 2"));
}

#[test]
fn nothing_secret_is_printed_for_debugging() {
    let masker = Masker::new(["hunter2-secret"]);
    let mut stream = masker.stream();
    stream.push(b"hunter2-secre", &mut Vec::new());
    assert!(!format!("{masker:?} {stream:?}").contains("hunter2"));
}

fn secrets() -> impl Strategy<Value = Vec<String>> {
    // Few letters, so that secrets overlap, repeat and hold each other; and some that need escaping.
    vec(
        prop_oneof!["[abc]{4,9}", "[ab\n]{4,40}", "[a-d\"\\\\/<&' %${}\u{e4}\u{1f600}\r\n\t]{4,30}", "[ -)+-~]{4,200}"],
        1..6,
    )
}

fn text_with(secrets: &[String]) -> impl Strategy<Value = Vec<u8>> + use<> {
    let patterns = forms::patterns(secrets.iter().map(String::as_str));
    let patterns = if patterns.is_empty() { vec![b"none".to_vec()] } else { patterns };
    let whole = secrets.to_vec();
    let part = prop_oneof![
        proptest::sample::select(patterns.clone()),
        (proptest::sample::select(patterns), any::<proptest::sample::Index>())
            .prop_map(|(pattern, cut)| pattern[..cut.index(pattern.len())].to_vec()),
        proptest::sample::select(whole).prop_map(String::into_bytes),
        "[abc\n]{0,6}".prop_map(String::into_bytes),
        vec(any::<u8>(), 0..6),
    ];
    vec(part, 0..12).prop_map(|parts| parts.concat())
}

fn contains(text: &[u8], pattern: &[u8]) -> bool {
    text.windows(pattern.len()).any(|window| window == pattern)
}

/// What a masker must do, in the plainest way: mark every byte of every occurrence.
fn expected(patterns: &[Vec<u8>], text: &[u8]) -> Vec<u8> {
    let mut secret = vec![false; text.len()];
    for pattern in patterns {
        for at in 0..(text.len() + 1).saturating_sub(pattern.len()) {
            if text[at..].starts_with(pattern) {
                secret[at..at + pattern.len()].fill(true);
            }
        }
    }
    let mut out = Vec::new();
    for at in 0..text.len() {
        if !secret[at] {
            out.push(text[at]);
        } else if at == 0 || !secret[at - 1] {
            out.extend_from_slice(b"***");
        }
    }
    out
}

proptest! {
    #[test]
    fn the_output_is_the_same_however_the_stream_is_cut_and_holds_no_secret(
        (secrets, text) in secrets().prop_flat_map(|secrets| { let text = text_with(&secrets); (Just(secrets), text) }),
        cuts in vec(any::<usize>(), 0..20),
    ) {
        let masker = Masker::new(secrets.iter().map(String::as_str));
        let patterns = forms::patterns(secrets.iter().map(String::as_str));
        let out = streamed(&masker, &text, &cuts);
        prop_assert_eq!(&out, &expected(&patterns, &text));
        prop_assert_eq!(&out, &streamed(&masker, &text, &[]));
        for secret in secrets.iter().filter(|secret| super::is_maskable(secret)) {
            prop_assert!(!contains(&out, secret.trim().as_bytes()), "{:?} holds {:?}", out, secret);
        }
        if let Ok(text) = str::from_utf8(&text) {
            prop_assert_eq!(masker.mask(text), String::from_utf8_lossy(&out));
        }
    }

    #[test]
    fn text_without_secrets_is_unchanged(secrets in vec("[a-z]{4,40}", 0..5), text in vec(128_u8.., 0..300), cuts in vec(any::<usize>(), 0..9)) {
        let masker = Masker::new(secrets.iter().map(String::as_str));
        prop_assert_eq!(streamed(&masker, &text, &cuts), text);
    }
}
