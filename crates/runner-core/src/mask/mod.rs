//! One masker for everything that leaves the process: step logs and messages, error texts, our own log.
//!
//! ```
//! use runner_core::mask::Masker;
//!
//! let masker = Masker::new(["correct horse battery"]);
//! assert_eq!(masker.mask("password: correct horse battery!"), "password: ***!");
//! assert_eq!(masker.mask("?password=correct%20horse%20battery"), "?password=***");
//! ```
//!
//! # What is masked
//! Each secret is replaced by `***` wherever it stands
//! - as it is (without white space at its ends; also with `\r\n` as `\n`, and without control characters, as a step's
//!   log shows it),
//! - in Base64, standard and URL-safe, padded or not, at any of the three alignments (it may be part of what was
//!   encoded), and in lines of 64 or 76 characters where the encoding begins with it,
//! - URL-encoded, as query, path, user info or form (`+`), with upper and lower case digits,
//! - JSON-escaped (also `\/`, `\u003c`, non-ASCII as `\uXXXX`, and JSON within JSON),
//! - shell-escaped (`'\''`, `'"'"'`, with backslashes, within double quotes or `$'…'`),
//! - escaped as in Terraform's language (`$${`, `%%{`, `\"`, `\n`).
//!
//! A secret of several lines is masked line by line: each line of at least eight bytes that is no PEM marker
//! (`-----BEGIN …-----`) and not made of three characters or fewer (`--------`). The other lines are masked where their
//! neighbours stand around them, so of the secret as a whole nothing is left but line ends. Parts of more than 64 bytes
//! are masked piece by piece, so most of a secret is masked even where the text breaks off or wraps in it. Secrets that
//! overlap or touch become one `***`.
//!
//! # What is not
//! - Values of less than four characters, `true`, `false`, `null` and the like, and values of white space or asterisks
//!   only ([`is_maskable`]): masking those would make logs unreadable, and tell what the value is.
//! - The encoded forms of values above 16 KiB, and what is beyond the first 128 KiB of a value: this bounds memory.
//! - What is in a secret that is itself a document, once a program has read it: whoever knows that a value is JSON or a
//!   data URL adds its texts.
//! - Anything cut before it was masked: mask first, then cut.
//! - Other transformations (hex, compression, encryption, reversal).

mod escape;
mod forms;
mod matcher;
mod stream;

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, OnceLock};

use meshstack_client::Secret;

pub use self::forms::is_maskable;
use self::matcher::Matcher;
pub use self::stream::MaskStream;

/// What stands in place of a secret.
pub const MASK: &str = "***";

/// Replaces secrets by `***`. Cheap to clone; the default masks nothing.
#[derive(Clone, Default)]
pub struct Masker(Arc<Inner>);

#[derive(Default)]
struct Inner {
    secrets: Vec<Secret>,
    /// Built when it is first used: maskers are often only a step to a larger one. `None` if there is nothing to mask.
    matcher: OnceLock<Option<Matcher>>,
}

impl Masker {
    /// A masker of these secrets, in all their forms. Values that are not [maskable](is_maskable) are left out.
    ///
    /// Its first use takes about a millisecond, and 300 KiB of memory, for each KiB of secrets.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Self {
        Self::default().with(secrets)
    }

    /// A masker of these secrets and of its own.
    #[must_use]
    pub fn with<'a>(&self, more: impl IntoIterator<Item = &'a str>) -> Self {
        let mut secrets = self.0.secrets.clone();
        let known = secrets.len();
        for secret in more.into_iter().filter(|secret| is_maskable(secret)) {
            if !secrets.iter().any(|other| other.expose() == secret) {
                secrets.push(Secret::new(secret));
            }
        }
        if secrets.len() == known {
            return self.clone();
        }
        Self(Arc::new(Inner { secrets, matcher: OnceLock::new() }))
    }

    /// The text with its secrets masked; borrowed if there are none in it.
    pub fn mask<'t>(&self, text: &'t str) -> Cow<'t, str> {
        if !self.finds_any(text) {
            return Cow::Borrowed(text);
        }
        let mut masked = Vec::with_capacity(text.len());
        let mut stream = self.stream();
        stream.push(text.as_bytes(), &mut masked);
        stream.finish(&mut masked);
        // Patterns are whole characters, so what is left is, too; lossy only because the compiler cannot know it.
        Cow::Owned(String::from_utf8_lossy(&masked).into_owned())
    }

    /// A masker for a text that comes in chunks.
    pub fn stream(&self) -> MaskStream {
        MaskStream::new(self.clone())
    }

    fn finds_any(&self, text: &str) -> bool {
        let mut any = false;
        if let Some(matcher) = self.matcher() {
            matcher.scan(matcher.start(), text.as_bytes(), |_, _| any = true);
        }
        any
    }

    fn matcher(&self) -> Option<&Matcher> {
        let build = || Matcher::new(&forms::patterns(self.0.secrets.iter().map(Secret::expose)));
        self.0.matcher.get_or_init(build).as_ref()
    }
}

/// Says how many secrets there are, and nothing about them.
impl fmt::Debug for Masker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Masker").field("secrets", &self.0.secrets.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
