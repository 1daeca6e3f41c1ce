//! Values for property tests, with everything in them that a text format can stumble over.

use proptest::prelude::*;
use serde_json::{Map, Number, Value};

/// Numbers with and without fraction and exponent, also far beyond what a float holds.
pub(crate) fn number() -> impl Strategy<Value = Number> {
    "-?(0|[1-9][0-9]{0,40})(\\.[0-9]{1,12})?([eE][+-]?[0-9]{1,2})?".prop_map(|digits| digits.parse().unwrap())
}

/// Texts of quotes, introducers of templates, escapes and control characters, in Unicode's NFC.
pub(crate) fn tricky_text() -> impl Strategy<Value = String> {
    const PIECES: [&str; 33] = [
        "$", "%", "${", "%{", "$$", "%%", "$${", "%%{", "}", "{", "~", "\"", "'", "\\", "\\n", "\\u0041", "\n", "\r\n",
        "\t", "\0", "\u{1}", "\u{7f}", "\u{85}", "\u{2028}", "\u{feff}", "#", "//", "<<EOT\n", "ä", "日", "😀", "a",
        " ",
    ];
    prop::collection::vec(prop::sample::select(PIECES.as_slice()), 0..12).prop_map(|pieces| pieces.concat())
}

/// Any JSON value whose texts are of this kind.
pub(crate) fn value(text: impl Strategy<Value = String> + Clone + 'static) -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        number().prop_map(Value::Number),
        text.clone().prop_map(Value::String),
    ];
    leaf.prop_recursive(4, 32, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
            prop::collection::vec((text.clone(), inner), 0..6)
                .prop_map(|fields| Value::Object(fields.into_iter().collect::<Map<_, _>>())),
        ]
    })
}
