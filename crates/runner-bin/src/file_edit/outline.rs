//! Where the keys and values of a YAML file stand, to the byte.

use std::collections::BTreeMap;
use std::ops::Range;

use saphyr_parser::{Event, Parser, ScalarStyle};

/// Deepest nesting that is followed. The dialects need 6.
const MAX_DEPTH: usize = 32;
/// Most keys and values that are looked at; a configuration has some dozens.
const MAX_NODES: usize = 20_000;

/// A key of a mapping, or a place in a list, with its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    /// Keys joined with dots; places in lists as `[0]`.
    pub(crate) path: String,
    /// The bytes of the key; `None` in a list.
    pub(crate) key: Option<Range<usize>>,
    /// The column of the key, counted from 0; of the value, in a list.
    pub(crate) column: usize,
    /// The line, from 1.
    pub(crate) line: usize,
    /// The bytes of a scalar; where a mapping or list begins. Empty where the value is left out.
    pub(crate) value: Range<usize>,
    /// What it is.
    pub(crate) kind: Kind,
}

/// What a value is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `null`, `~` or nothing.
    Null,
    /// Text, on one line.
    Text(String),
    /// Text over several lines (`|`, `>`, or quoted).
    LongText(String),
    /// Keys and values; `flow`: in braces.
    Mapping {
        /// Written as `{…}`.
        flow: bool,
    },
    /// Values; `flow`: in brackets.
    List {
        /// Written as `[…]`.
        flow: bool,
    },
    /// Something elsewhere in the file.
    Alias,
}

/// A YAML file with its keys and values in the order of the file.
#[derive(Debug, Clone)]
pub(crate) struct Outline {
    pub(crate) text: String,
    pub(crate) nodes: Vec<Node>,
}

/// What is being read.
struct Open {
    path: String,
    next: usize,
    list: bool,
    /// The key that waits for its value.
    key: Option<(String, Range<usize>, usize, usize)>,
}

impl Outline {
    /// Reads a text; `None` if it is no YAML that a configuration could be. An empty text has no nodes.
    pub(crate) fn of(text: &str) -> Option<Self> {
        let mut reading = Reading { text, bytes: Offsets::of(text), nodes: Vec::new(), open: Vec::new() };
        let mut documents = 0;
        for event in Parser::new_from_str(text.strip_prefix('\u{feff}').unwrap_or(text)) {
            let (event, span) = event.ok()?;
            if matches!(event, Event::DocumentStart(_)) {
                documents += 1;
            }
            let span = (span.start, span.end);
            if documents > 1 || reading.nodes.len() > MAX_NODES || reading.take(event, span).is_none() {
                return None;
            }
        }
        Some(Self { text: text.to_owned(), nodes: reading.nodes })
    }

    /// The node of a path. Of a key that is there twice the last counts, as for the reader.
    pub(crate) fn find(&self, path: &str) -> Option<&Node> {
        self.nodes.iter().rfind(|node| node.path == path)
    }

    /// The same with Spring's loose spelling: `client-id`, `clientId` and `client_id` are one key.
    pub(crate) fn find_loosely(&self, path: &str) -> Option<&Node> {
        let wanted = loose(path);
        self.nodes.iter().rfind(|node| loose(&node.path) == wanted)
    }

    /// The texts of a list, or of a single value in its place.
    pub(crate) fn texts_under<'o>(&'o self, node: &'o Node) -> impl Iterator<Item = &'o Node> {
        let inside = format!("{}[", node.path);
        self.nodes.iter().filter(move |other| {
            let own = std::ptr::eq(*other, node);
            (own || other.path.strip_prefix(&inside).is_some_and(|rest| rest.ends_with(']') && !rest.contains('.')))
                && other.text().is_some()
        })
    }

    /// Whether some key begins with these.
    pub(crate) fn has_under(&self, root: &str) -> bool {
        self.nodes.iter().any(|node| {
            node.path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        })
    }

    /// What the file says, without how it is written: every value by its path.
    pub(crate) fn meaning(&self) -> BTreeMap<String, Option<String>> {
        self.nodes
            .iter()
            .filter(|node| !matches!(node.kind, Kind::Mapping { .. } | Kind::List { .. }))
            .map(|node| (node.path.clone(), node.text().map(str::to_owned)))
            .collect()
    }
}

impl Node {
    /// The text, if it is one.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Text(text) | Kind::LongText(text) => Some(text),
            _ => None,
        }
    }
}

/// A path without what Spring does not mind.
pub(crate) fn loose(path: &str) -> String {
    path.chars().filter(|c| !matches!(c, '-' | '_')).map(|c| c.to_ascii_lowercase()).collect()
}

struct Reading<'t> {
    text: &'t str,
    bytes: Offsets,
    nodes: Vec<Node>,
    open: Vec<Open>,
}

type Marks = (saphyr_parser::Marker, saphyr_parser::Marker);

impl Reading<'_> {
    fn take(&mut self, event: Event<'_>, (start, end): Marks) -> Option<()> {
        let range = self.bytes.byte(start.index())..self.bytes.byte(end.index());
        let at = (start.line(), start.col());
        match event {
            Event::Scalar(text, style, ..) => {
                let awaits_key = self.open.last().is_some_and(|open| !open.list && open.key.is_none());
                if awaits_key {
                    let (line, column) = at;
                    self.open.last_mut()?.key = Some((text.into_owned(), range, line, column));
                    return Some(());
                }
                // The parser's end of a quoted text lies behind the comment that follows it.
                let quote = match style {
                    ScalarStyle::SingleQuoted => Some('\''),
                    ScalarStyle::DoubleQuoted => Some('"'),
                    _ => None,
                };
                let range = match quote {
                    Some(quote) => range.start..quoted_end(self.text, range.start, quote)?,
                    None => range,
                };
                let null = style == ScalarStyle::Plain && matches!(&*text, "" | "~" | "null" | "Null" | "NULL");
                let long = self.text.get(range.clone())?.contains(['\n', '\r']);
                let kind = match (null, long) {
                    (true, _) => Kind::Null,
                    (_, false) => Kind::Text(text.into_owned()),
                    (_, true) => Kind::LongText(text.into_owned()),
                };
                self.add(range, at, kind);
            }
            Event::Alias(_) => drop(self.add(range, at, Kind::Alias)),
            Event::MappingStart(..) => {
                let flow = self.text[range.start..].starts_with('{');
                self.open(range.start, at, Kind::Mapping { flow }, false)?;
            }
            Event::SequenceStart(..) => {
                let flow = self.text[range.start..].starts_with('[');
                self.open(range.start, at, Kind::List { flow }, true)?;
            }
            Event::MappingEnd | Event::SequenceEnd => drop(self.open.pop()),
            _ => {}
        }
        Some(())
    }

    /// Adds a value and gives its path. The document itself is none.
    fn add(&mut self, value: Range<usize>, (line, column): (usize, usize), kind: Kind) -> String {
        let Some(open) = self.open.last_mut() else { return String::new() };
        if open.list {
            let path = format!("{}[{}]", open.path, open.next);
            open.next += 1;
            self.nodes.push(Node { path: path.clone(), key: None, column, line, value, kind });
            return path;
        }
        let Some((name, key, line, column)) = open.key.take() else { return String::new() };
        let path = if open.path.is_empty() { name } else { format!("{}.{name}", open.path) };
        self.nodes.push(Node { path: path.clone(), key: Some(key), column, line, value, kind });
        path
    }

    fn open(&mut self, start: usize, at: (usize, usize), kind: Kind, list: bool) -> Option<()> {
        if self.open.len() >= MAX_DEPTH {
            return None;
        }
        // A mapping as a key is nothing that a configuration has.
        if self.open.last().is_some_and(|open| !open.list && open.key.is_none()) {
            return None;
        }
        let path = self.add(start..start, at, kind);
        self.open.push(Open { path, next: 0, list, key: None });
        Some(())
    }
}

/// The end of a quoted text that starts here.
fn quoted_end(text: &str, start: usize, quote: char) -> Option<usize> {
    let mut rest = text[start..].char_indices().skip(1).peekable();
    while let Some((at, c)) = rest.next() {
        if c == '\\' && quote == '"' {
            rest.next();
        } else if c == quote {
            let doubled = quote == '\'' && rest.peek().is_some_and(|(_, next)| *next == quote);
            if !doubled {
                return Some(start + at + 1);
            }
            rest.next();
        }
    }
    None
}

/// The parser counts characters.
struct Offsets {
    /// Of each character; `None`: the text is ASCII, so they are the same.
    bytes: Option<Vec<usize>>,
    /// The byte order mark, which the parser does not see.
    skipped: usize,
    length: usize,
}

impl Offsets {
    fn of(text: &str) -> Self {
        let seen = text.strip_prefix('\u{feff}').unwrap_or(text);
        let bytes = (!seen.is_ascii()).then(|| seen.char_indices().map(|(at, _)| at).collect());
        Self { bytes, skipped: text.len() - seen.len(), length: text.len() }
    }

    fn byte(&self, character: usize) -> usize {
        let at = match &self.bytes {
            None => character,
            Some(bytes) => bytes.get(character).copied().unwrap_or(self.length),
        };
        (at + self.skipped).min(self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::{Kind, Outline};

    fn outline(text: &str) -> Outline {
        Outline::of(text).unwrap()
    }

    #[test]
    fn every_key_and_value_is_found_where_it_stands() {
        let text = "\u{feff}# größer\r\nname: 'über' # comment\r\nlist:\r\n  - a\r\n  - \"b\"\r\nflow: {x: [1, 2]}\r\nempty:\r\n";
        let outline = outline(text);
        let at = |path: &str| {
            let node = outline.find(path).unwrap_or_else(|| panic!("{path} in {:?}", outline.nodes));
            (node.key.clone().map(|key| &text[key]), &text[node.value.clone()])
        };
        assert_eq!(at("name"), (Some("name"), "'über'"));
        assert_eq!(at("list[0]"), (None, "a"));
        assert_eq!(at("list[1]"), (None, "\"b\""));
        assert_eq!(at("flow.x[1]"), (None, "2"));
        assert_eq!(outline.find("empty").unwrap().kind, Kind::Null);
        assert_eq!(outline.find("flow").unwrap().kind, Kind::Mapping { flow: true });
        assert_eq!(outline.find("list").unwrap().kind, Kind::List { flow: false });
        let list = outline.find("list").unwrap();
        assert_eq!(outline.texts_under(list).map(|node| node.text().unwrap()).collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn a_quoted_text_ends_at_its_quote() {
        for quoted in ["'it''s'", "'#'", r#""a \" b""#, r#""\\""#, "''"] {
            let text = format!("a: {quoted}   # comment\n");
            let value = outline(&text).find("a").unwrap().value.clone();
            assert_eq!(&text[value], quoted);
        }
    }

    #[test]
    fn what_is_no_configuration_has_no_outline() {
        for text in ["a: 'open", "a: 1\n---\nb: 2\n", "? [a]\n: b\n", &format!("a: {}", "[".repeat(60))] {
            assert!(Outline::of(text).is_none(), "{text:?}");
        }
        assert_eq!(outline("# nothing\n").nodes, []);
    }

    #[test]
    fn springs_loose_spelling_finds_the_same_key() {
        for text in [
            "blockrunner: {private-key-file: x}",
            "blockrunner: {privateKeyFile: x}",
            "blockrunner.private_key_file: x",
        ] {
            assert_eq!(outline(text).find_loosely("blockrunner.privateKeyFile").and_then(super::Node::text), Some("x"));
        }
    }
}
