//! Spring's placeholders in values of the JVM runners' files: `${NAME:default}`.
//!
//! Source: `protocol/configuration.md`, dialect 2, and the reference of Spring Boot, "Property Placeholders".

/// A placeholder that stands for nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Unresolved {
    /// The name is not set, and there is no default.
    NotSet(String),
    /// It stands for itself, or for more than any value holds.
    Endless,
}

/// Most placeholders in the making of one value, and the longest value in bytes.
const MOST: usize = 1000;
const LONGEST: usize = 256 << 10;
/// How deep placeholders may lead from one to the next.
const DEEPEST: usize = 32;

/// What placeholders stand for: the value of a name, if it is set.
pub(super) type Lookup<'l> = dyn Fn(&str) -> Option<String> + 'l;

/// Replaces every placeholder. `\${` is a plain `${`, and one that is not closed is plain text.
pub(super) fn resolve(text: &str, lookup: &Lookup<'_>) -> Result<String, Unresolved> {
    if !text.contains("${") {
        return Ok(text.to_owned());
    }
    Resolver { lookup, left: MOST }.text(text, 0)
}

struct Resolver<'l> {
    lookup: &'l Lookup<'l>,
    left: usize,
}

impl Resolver<'_> {
    fn text(&mut self, text: &str, depth: usize) -> Result<String, Unresolved> {
        if depth > DEEPEST {
            return Err(Unresolved::Endless);
        }
        let mut out = String::new();
        let mut rest = text;
        while let Some(at) = rest.find("${") {
            let (before, behind) = (&rest[..at], &rest[at + 2..]);
            if let Some(before) = before.strip_suffix('\\') {
                out.push_str(before);
                out.push_str("${");
                rest = behind;
                continue;
            }
            let Some(end) = closing(behind) else { break };
            out.push_str(before);
            out.push_str(&self.placeholder(&behind[..end], depth)?);
            if out.len() > LONGEST {
                return Err(Unresolved::Endless);
            }
            rest = &behind[end + 1..];
        }
        out.push_str(rest);
        Ok(out)
    }

    fn placeholder(&mut self, inside: &str, depth: usize) -> Result<String, Unresolved> {
        self.left = self.left.checked_sub(1).ok_or(Unresolved::Endless)?;
        let (name, default) = match split(inside) {
            Some((name, default)) => (name, Some(default)),
            None => (inside, None),
        };
        let name = self.text(name, depth + 1)?;
        match ((self.lookup)(name.trim()), default) {
            (Some(value), _) => self.text(&value, depth + 1),
            (None, Some(default)) => self.text(default, depth + 1),
            (None, None) => Err(Unresolved::NotSet(name.trim().to_owned())),
        }
    }
}

/// Where the placeholder ends whose inside starts `text`; braces in it are in pairs.
fn closing(text: &str) -> Option<usize> {
    let mut open = 0_usize;
    for (at, c) in text.char_indices() {
        match c {
            '{' => open += 1,
            '}' if open == 0 => return Some(at),
            '}' => open -= 1,
            _ => {}
        }
    }
    None
}

/// Name and default: at the first colon that is not part of a placeholder in the name.
fn split(inside: &str) -> Option<(&str, &str)> {
    let mut open = 0_usize;
    for (at, c) in inside.char_indices() {
        match c {
            '{' => open += 1,
            '}' => open = open.saturating_sub(1),
            ':' if open == 0 => return Some((&inside[..at], &inside[at + 1..])),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{Unresolved, resolve};

    fn resolved(text: &str) -> Result<String, Unresolved> {
        resolve(text, &|name| {
            let value = match name {
                "A" => "a",
                "NAME" => "A",
                "LEADS_ON" => "${A}",
                "ITSELF" => "x${ITSELF}",
                "TWICE_1" => "${TWICE_2}${TWICE_2}",
                "TWICE_2" => "${TWICE_3}${TWICE_3}",
                "TWICE_3" => "${TWICE_4}${TWICE_4}",
                "TWICE_4" => "${TWICE_5}${TWICE_5}",
                "TWICE_5" => "${LONG}${LONG}",
                "LONG" => return Some("y".repeat(100_000)),
                _ => return None,
            };
            Some(value.to_owned())
        })
    }

    #[test]
    fn a_placeholder_is_its_value_or_its_default() {
        for (text, expected) in [
            ("plain", "plain"),
            ("${A}", "a"),
            ("x ${A} y ${ A } z", "x a y a z"),
            ("${A:default}", "a"),
            ("${NONE:}", ""),
            ("${NONE:default}", "default"),
            ("${NONE:http://host:8080/x}", "http://host:8080/x"),
            ("${NONE:${A}}", "a"),
            ("${NONE:${NEITHER:deep:er}}", "deep:er"),
            ("${NONE:{\"json\": {}}}", "{\"json\": {}}"),
            ("${${NAME}}", "a"),
            ("${${NOT:NAME}:x}", "A"),
            ("${LEADS_ON}", "a"),
            // The default is not looked at where it is not needed.
            ("${A:${NONE}}", "a"),
            ("\\${A}", "${A}"),
            ("open ${A and $ { }", "open ${A and $ { }"),
            ("$A {A} }", "$A {A} }"),
        ] {
            assert_eq!(resolved(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn one_without_a_value_is_named() {
        assert_eq!(resolved("x${NONE}"), Err(Unresolved::NotSet("NONE".to_owned())));
        assert_eq!(resolved("${NONE:${NEITHER}}"), Err(Unresolved::NotSet("NEITHER".to_owned())));
    }

    #[test]
    fn what_never_ends_or_grows_without_measure_is_refused() {
        for text in ["${ITSELF}", "${TWICE_1}"] {
            assert_eq!(resolved(text), Err(Unresolved::Endless), "{text}");
        }
        let nested = format!("{}x{}", "${N:".repeat(5000), "}".repeat(5000));
        assert_eq!(resolved(&nested), Err(Unresolved::Endless));
    }
}
