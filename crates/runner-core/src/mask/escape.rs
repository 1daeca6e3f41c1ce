//! How a value looks after others have escaped it.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// The Base64 forms of `value` at one alignment: with `before` (0 to 2) bytes in front of it in its group of three.
///
/// Of the first and the last character only some bits may be the value's, they depend on the neighbours. So there are
/// the characters that are the value's alone, and these with the last character and the padding as they are when the
/// encoding ends with the value.
pub(super) fn base64(value: &str, before: usize) -> Vec<String> {
    let mut bytes = vec![0; before];
    bytes.extend_from_slice(value.as_bytes());
    // 0, 8 or 16 bits of neighbours reach into the first 0, 2 or 3 characters.
    let skipped = [0, 2, 3][before % 3];
    let (shared, padding) = [(0, ""), (1, "=="), (1, "=")][bytes.len() % 3];
    let mut forms = Vec::new();
    for encoded in [STANDARD_NO_PAD.encode(&bytes), URL_SAFE_NO_PAD.encode(&bytes)] {
        let own = &encoded[skipped.min(encoded.len())..];
        forms.push(own[..own.len().saturating_sub(shared)].to_owned());
        if shared > 0 {
            forms.push(format!("{own}{padding}"));
        }
    }
    forms
}

/// The URL-encoded forms: what encoders leave as it is differs, and so do the digits.
pub(super) fn url(value: &str) -> Vec<String> {
    const KEPT: [&str; 6] = [
        "-_.~",                // RFC 3986, and Go's QueryEscape but for the space
        "-_.~!'()*",           // encodeURIComponent
        "-_.~$&+=:@",          // Go's PathEscape
        "-_.~$&+,;=",          // Go's URL.User
        "-_.*",                // forms: browsers, Java's URLEncoder
        "-_.~!$&'()*+,;=:@/?", // only what must be, as curl and browsers do in a query
    ];
    let mut forms = Vec::new();
    for kept in KEPT {
        for upper in [true, false] {
            let encoded = percent(value, kept, upper);
            forms.push(encoded.replace("%20", "+"));
            forms.push(encoded);
        }
    }
    forms
}

fn percent(value: &str, kept: &str, upper: bool) -> String {
    let mut encoded = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || kept.as_bytes().contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push('%');
            push_hex(u16::from(byte), 2, upper, &mut encoded);
        }
    }
    encoded
}

fn push_hex(value: u16, digits: u32, upper: bool, out: &mut String) {
    let alphabet = if upper { b"0123456789ABCDEF" } else { b"0123456789abcdef" };
    for digit in (0..digits).rev() {
        out.push(char::from(alphabet[usize::from(value >> (4 * digit) & 0xf)]));
    }
}

/// The JSON-escaped forms, without the quotes around them.
pub(super) fn json(value: &str) -> Vec<String> {
    let styles = [
        JsonStyle::default(),
        JsonStyle { slash: true, ..JsonStyle::default() },
        JsonStyle { as_unicode: "<>&\u{2028}\u{2029}", ..JsonStyle::default() }, // Go, Terraform's jsonencode
        JsonStyle { ascii: true, ..JsonStyle::default() },                       // Python
        JsonStyle { ascii: true, slash: true, ..JsonStyle::default() },          // PHP
        JsonStyle { ascii: true, upper: true, ..JsonStyle::default() },
        JsonStyle { ascii: true, upper: true, as_unicode: "<>&'+\"`", slash: false }, // .NET
    ];
    let mut forms: Vec<String> = styles.iter().map(|style| style.escape(value)).collect();
    forms.push(styles[0].escape(&forms[0])); // JSON in a string of JSON
    forms.push(styles[2].escape(&forms[2]));
    forms
}

#[derive(Default)]
struct JsonStyle {
    /// `/` as `\/`.
    slash: bool,
    /// Non-ASCII characters as `\uXXXX`.
    ascii: bool,
    /// Digits in upper case.
    upper: bool,
    /// Further characters written as `\uXXXX`.
    as_unicode: &'static str,
}

impl JsonStyle {
    fn escape(&self, value: &str) -> String {
        let mut escaped = String::with_capacity(value.len());
        for char in value.chars() {
            if self.as_unicode.contains(char) || (self.ascii && !char.is_ascii()) {
                self.unicode(char, &mut escaped);
                continue;
            }
            match char {
                '"' => escaped.push_str("\\\""),
                '\\' => escaped.push_str("\\\\"),
                '\n' => escaped.push_str("\\n"),
                '\r' => escaped.push_str("\\r"),
                '\t' => escaped.push_str("\\t"),
                '\u{8}' => escaped.push_str("\\b"),
                '\u{c}' => escaped.push_str("\\f"),
                '/' if self.slash => escaped.push_str("\\/"),
                control if control < ' ' => self.unicode(control, &mut escaped),
                other => escaped.push(other),
            }
        }
        escaped
    }

    fn unicode(&self, char: char, escaped: &mut String) {
        for unit in char.encode_utf16(&mut [0; 2]) {
            escaped.push_str("\\u");
            push_hex(*unit, 4, self.upper, escaped);
        }
    }
}

/// The forms in which shells quote, without the quotes around them.
pub(super) fn shell(value: &str) -> Vec<String> {
    vec![
        value.replace('\'', r"'\''"),
        value.replace('\'', r#"'"'"'"#), // Python's shlex.quote
        backslashed(value, |char| "\"\\$`".contains(char)),
        backslashed(value, |char| "\"\\$`!".contains(char)),
        // The shell's `printf %q` and similar.
        backslashed(value, |char| char.is_ascii() && !char.is_ascii_alphanumeric() && !"-_./:=@%+,".contains(char)),
        backslashed(value, |char| char.is_ascii() && !char.is_ascii_alphanumeric() && !"-_./".contains(char)),
        // $'…'
        backslashed(value, |char| "'\\".contains(char)).replace('\n', "\\n").replace('\t', "\\t"),
    ]
}

fn backslashed(value: &str, special: impl Fn(char) -> bool) -> String {
    let mut escaped = String::with_capacity(value.len());
    for char in value.chars() {
        if special(char) {
            escaped.push('\\');
        }
        escaped.push(char);
    }
    escaped
}

/// The forms in Terraform's language: in a quoted string and in a heredoc.
pub(super) fn hcl(value: &str) -> Vec<String> {
    let template = value.replace("${", "$${").replace("%{", "%%{");
    let quoted = JsonStyle::default().escape(&template);
    vec![template, quoted]
}

#[cfg(test)]
mod tests {
    use super::{base64, hcl, json, shell, url};

    fn holds(forms: &[String], expected: &str) {
        assert!(forms.iter().any(|form| form == expected), "{expected} is not among {forms:#?}");
    }

    #[test]
    fn base64_forms_are_what_no_neighbour_can_change() {
        use ::base64::Engine as _;
        use ::base64::engine::general_purpose::STANDARD;
        let secret = "pass\u{e9}word??>>";
        for before in 0..3 {
            let own = &base64(secret, before)[0];
            assert!(own.len() >= secret.len(), "{own}");
            for (head, tail) in [(0_u8, 0_u8), (255, 255), (0x5a, 0xa5)] {
                for after in 0..3 {
                    let text = [&vec![head; before], secret.as_bytes(), &vec![tail; after]].concat();
                    assert!(STANDARD.encode(text).contains(own.as_str()), "{own} with {before} before, {after} after");
                }
            }
        }
    }

    #[test]
    fn base64_forms_include_the_end_with_padding_and_the_url_safe_alphabet() {
        holds(&base64("secret1", 0), "c2VjcmV0MQ==");
        holds(&base64("secret12", 0), "c2VjcmV0MTI=");
        holds(&base64("a>>?b>", 0), "YT4-P2I-");
        holds(&base64("a>>?b>", 0), "YT4+P2I+");
    }

    #[test]
    fn url_forms_cover_query_path_and_form_in_both_cases() {
        let forms = url("a b/\u{e4}=+*~");
        for expected in [
            "a%20b%2F%C3%A4%3D%2B%2A~",
            "a%20b%2f%c3%a4%3d%2b%2a~",
            "a+b%2F%C3%A4%3D%2B*%7E",
            "a%20b%2F%C3%A4=+%2A~",
            "a%20b/%C3%A4=+*~",
        ] {
            holds(&forms, expected);
        }
    }

    #[test]
    fn json_forms_are_those_of_common_encoders() {
        let forms = json("a\"b\\c/d<\n\u{e9}\u{1f600}\u{1}'");
        for expected in [
            "a\\\"b\\\\c/d<\\n\u{e9}\u{1f600}\\u0001'",
            "a\\\"b\\\\c\\/d<\\n\u{e9}\u{1f600}\\u0001'",
            "a\\\"b\\\\c/d\\u003c\\n\u{e9}\u{1f600}\\u0001'",
            "a\\\"b\\\\c/d<\\n\\u00e9\\ud83d\\ude00\\u0001'",
            "a\\\"b\\\\c\\/d<\\n\\u00e9\\ud83d\\ude00\\u0001'",
            "a\\u0022b\\\\c/d\\u003C\\n\\u00E9\\uD83D\\uDE00\\u0001\\u0027",
            "a\\\\\\\"b\\\\\\\\c/d<\\\\n\u{e9}\u{1f600}\\\\u0001'",
        ] {
            holds(&forms, expected);
        }
    }

    #[test]
    fn shell_and_terraform_forms() {
        let forms = shell("it's $5 \"x\"!");
        for expected in [
            r#"it'\''s $5 "x"!"#,
            r#"it'"'"'s $5 "x"!"#,
            r#"it's \$5 \"x\"!"#,
            r#"it\'s\ \$5\ \"x\"\!"#,
            r#"it\'s $5 "x"!"#,
        ] {
            holds(&forms, expected);
        }
        holds(&hcl("a${b}%{c}\"\n"), "a$${b}%%{c}\\\"\\n");
        holds(&hcl("a${b}%{c}\"\n"), "a$${b}%%{c}\"\n");
    }
}
