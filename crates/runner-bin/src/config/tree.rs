//! Values with their lines: built from events, merged, flattened.

use std::collections::BTreeMap;
use std::path::Path;

use saphyr_parser::{Event, ScalarStyle, Span};

use super::problem::{Place, Problem};
use super::suggest;
use super::yaml::{MAX_DEPTH, TOO_DEEP};

/// A single value in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Keys joined with dots; places in lists as `[0]`.
    pub path: String,
    /// The line of the key (of the value, in a list), from 1.
    pub line: usize,
    /// The text of a scalar; `None` for null and for an empty mapping or list.
    pub value: Option<String>,
}

/// A value.
#[derive(Debug, Clone, Default)]
pub(crate) enum Node {
    /// Null.
    #[default]
    Null,
    /// A scalar.
    Scalar(String),
    /// Values with their lines.
    List(Vec<(usize, Node)>),
    /// Keys with their lines and values, in order.
    Mapping(Vec<Pair>),
}

/// A key and its value.
#[derive(Debug, Clone)]
pub(crate) struct Pair {
    pub key: String,
    pub line: usize,
    pub node: Node,
}

impl Node {
    /// The single values in it.
    pub(super) fn entries(&self) -> Vec<Entry> {
        let mut entries = Vec::new();
        self.flatten(String::new(), 1, &mut entries);
        entries
    }

    /// As deep as the nesting is, and that is bounded.
    fn flatten(&self, path: String, line: usize, out: &mut Vec<Entry>) {
        match self {
            Self::List(items) if !items.is_empty() => {
                for (i, (line, node)) in items.iter().enumerate() {
                    node.flatten(format!("{path}[{i}]"), *line, out);
                }
            }
            Self::Mapping(pairs) if !pairs.is_empty() => {
                for pair in pairs {
                    pair.node.flatten(join(&path, &pair.key), pair.line, out);
                }
            }
            _ if path.is_empty() => {}
            Self::Scalar(text) => out.push(Entry { path, line, value: Some(text.clone()) }),
            _ => out.push(Entry { path, line, value: None }),
        }
    }

    /// The value of a key, with its line. Of a key that is there twice (a mistake of its own) the last counts.
    pub(super) fn get(&self, key: &str) -> Option<&Pair> {
        self.pairs().iter().rfind(|pair| pair.key == key)
    }

    /// The keys of a mapping; none of anything else.
    pub(super) fn pairs(&self) -> &[Pair] {
        if let Self::Mapping(pairs) = self { pairs } else { &[] }
    }
}

pub(super) fn join(prefix: &str, key: &str) -> String {
    if prefix.is_empty() { key.to_owned() } else { format!("{prefix}.{key}") }
}

/// A mapping or list that is being read.
struct Frame {
    /// For messages.
    path: String,
    /// The line that it goes by.
    line: usize,
    kind: Kind,
}

enum Kind {
    Mapping(Open),
    List(Vec<(usize, Node)>),
}

/// A mapping that is being read.
#[derive(Default)]
struct Open {
    pairs: Vec<Pair>,
    /// Keys seen so far, with their lines.
    seen: BTreeMap<String, usize>,
    /// The key whose value comes next.
    key: Option<(String, usize)>,
    /// Whether that key is a merge key.
    merging: bool,
    /// What merge keys stand for.
    merged: Vec<Pair>,
}

/// Makes a tree of events.
pub(super) struct Builder<'p> {
    shown: &'p Path,
    frames: Vec<Frame>,
    root: Node,
    mistakes: Vec<Problem>,
}

impl<'p> Builder<'p> {
    pub(super) fn new(shown: &'p Path) -> Self {
        Self { shown, frames: Vec::new(), root: Node::Null, mistakes: Vec::new() }
    }

    pub(super) fn finish(self) -> (Node, Vec<Problem>) {
        (self.root, self.mistakes)
    }

    fn at(&self, line: usize, text: impl Into<String>) -> Problem {
        Problem::new(Place::line(self.shown, line), text)
    }

    pub(super) fn take(&mut self, event: Event<'_>, span: &Span) -> Result<(), Problem> {
        let line = span.start.line().max(1);
        match event {
            Event::Scalar(text, style, ..) => {
                let plain = style == ScalarStyle::Plain;
                if self.awaits_key() {
                    self.key(&text, plain, line);
                    return Ok(());
                }
                let null = plain && matches!(&*text, "" | "~" | "null" | "Null" | "NULL");
                if self.frames.is_empty() && !null {
                    return Err(self.at(line, "The file must hold keys and values, like `runnerUuid: …`."));
                }
                let node = if null { Node::Null } else { Node::Scalar(text.into_owned()) };
                self.put(line, node);
            }
            Event::MappingStart(..) => self.open(line, Kind::Mapping(Open::default()))?,
            Event::SequenceStart(..) => self.open(line, Kind::List(Vec::new()))?,
            Event::MappingEnd | Event::SequenceEnd => {
                let Some(frame) = self.frames.pop() else { return Ok(()) };
                let node = match frame.kind {
                    Kind::Mapping(open) => Node::Mapping(open.close()),
                    Kind::List(items) => Node::List(items),
                };
                self.put(frame.line, node);
            }
            _ => {}
        }
        Ok(())
    }

    fn awaits_key(&self) -> bool {
        matches!(self.frames.last(), Some(Frame { kind: Kind::Mapping(Open { key: None, .. }), .. }))
    }

    fn key(&mut self, text: &str, plain: bool, line: usize) {
        let Some(Frame { path, kind: Kind::Mapping(open), .. }) = self.frames.last_mut() else { return };
        open.key = Some((text.to_owned(), line));
        open.merging = plain && text == "<<";
        if let Some(first) = open.seen.insert(text.to_owned(), line).filter(|_| !open.merging) {
            let path = suggest::printable(&join(path, text));
            let text = format!("{path} is there twice, the first time in line {first}. Remove one of the two.");
            self.mistakes.push(Problem::new(Place::line(self.shown, line), text));
        }
    }

    /// A value is complete: it goes where it belongs.
    fn put(&mut self, line: usize, node: Node) {
        let merged = match self.frames.last_mut() {
            None => {
                self.root = node;
                return;
            }
            Some(Frame { kind: Kind::List(items), .. }) => {
                items.push((line, node));
                return;
            }
            Some(Frame { kind: Kind::Mapping(open), .. }) => open.put(node),
        };
        if let Err(line) = merged {
            let text = "`<<` takes a mapping, or a list of mappings, such as `<<: *name`. Correct what stands there.";
            self.mistakes.push(self.at(line, text));
        }
    }

    fn open(&mut self, line: usize, kind: Kind) -> Result<(), Problem> {
        if self.awaits_key() {
            return Err(self.at(line, "A list or mapping cannot be a key here. Check the indentation."));
        }
        if self.frames.is_empty() && matches!(kind, Kind::List(_)) {
            return Err(self.at(line, "The file must hold keys and values, like `runnerUuid: …`."));
        }
        // Aliases nest deeper than what is written.
        if self.frames.len() > MAX_DEPTH {
            return Err(self.at(line, TOO_DEEP));
        }
        let path = match self.frames.last() {
            Some(Frame { path, kind: Kind::Mapping(Open { key: Some((key, _)), .. }), .. }) => join(path, key),
            Some(Frame { path, kind: Kind::List(items), .. }) => format!("{path}[{}]", items.len()),
            _ => String::new(),
        };
        self.frames.push(Frame { path, line, kind });
        Ok(())
    }
}

impl Open {
    /// Takes the value of the key that waits for one. The line of a merge key that has a wrong one.
    fn put(&mut self, node: Node) -> Result<(), usize> {
        let Some((key, line)) = self.key.take() else { return Ok(()) };
        if !self.merging {
            self.pairs.push(Pair { key, line, node });
            return Ok(());
        }
        let sources = match node {
            Node::List(items) => items.into_iter().map(|(_, node)| node).collect(),
            node => vec![node],
        };
        for source in sources {
            match source {
                Node::Mapping(pairs) => self.merged.extend(pairs),
                _ => return Err(line),
            }
        }
        Ok(())
    }

    /// The mapping with what was merged into it: its own keys win, then the first that has one.
    fn close(mut self) -> Vec<Pair> {
        for pair in self.merged {
            if self.seen.insert(pair.key.clone(), pair.line).is_none() {
                self.pairs.push(pair);
            }
        }
        self.pairs
    }
}
