//! A YAML file as a flat list of keys with their lines.
//!
//! Configuration is looked up by path, reported by line and never written, so a list of
//! `path = value` is all we need of it. The parser's events are folded without recursion, and everything
//! is bounded: size, depth, number of values, and what aliases may grow to.

use std::collections::{BTreeMap, HashMap};
use std::io::Read;
use std::ops::Range;
use std::path::Path;

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

use super::problem::{Place, Problem};

/// Largest file that is read, in bytes. The longest ones in the field have a few thousand.
const MAX_BYTES: u64 = 1 << 20;
/// Deepest nesting. The dialects need 6.
const MAX_DEPTH: usize = 32;
/// Most events, after aliases were replaced by what they stand for.
const MAX_EVENTS: usize = 20_000;

/// A value in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Keys joined with dots; places in lists as `[0]`.
    pub path: String,
    /// The line of the key (of the value, in a list), from 1.
    pub line: usize,
    /// The text of a scalar; `None` for null and for an empty mapping or list.
    pub value: Option<String>,
}

/// Reads a file. Mistakes that leave the rest readable (a key given twice) come beside the entries.
pub(crate) fn read(file: &Path, shown: &Path) -> Result<(Vec<Entry>, Vec<Problem>), Problem> {
    let whole = |text: String| Problem::new(Place::File(shown.to_owned()), text);
    let mut bytes = Vec::new();
    std::fs::File::open(file)
        .and_then(|opened| opened.take(MAX_BYTES + 1).read_to_end(&mut bytes))
        .map_err(|e| whole(format!("The file cannot be read ({e}). Check its name and its permissions.")))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(whole(
            "The file has more than 1 MiB, so it is no runner configuration. Check its name.".to_owned(),
        ));
    }
    let text = std::str::from_utf8(&bytes).map_err(|e| {
        let line = 1 + String::from_utf8_lossy(&bytes[..e.valid_up_to()]).matches('\n').count();
        Problem::new(Place::line(shown, line), "The file is not UTF-8 text. Save it as UTF-8.")
    })?;
    parse(text.strip_prefix('\u{feff}').unwrap_or(text), shown)
}

/// Reads text.
pub(crate) fn parse(text: &str, shown: &Path) -> Result<(Vec<Entry>, Vec<Problem>), Problem> {
    let events = expand(events(text, shown)?, shown)?;
    let mut fold = Fold { shown, entries: Vec::new(), mistakes: Vec::new(), frames: Vec::new() };
    for (event, span) in events {
        fold.take(event, span)?;
    }
    Ok((fold.entries, fold.mistakes))
}

type Spanned<'t> = (Event<'t>, Span);

fn events<'t>(text: &'t str, shown: &Path) -> Result<Vec<Spanned<'t>>, Problem> {
    let mut events = Vec::new();
    let (mut depth, mut documents) = (0_usize, 0);
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|e| syntax(text, shown, e.marker().line(), e.info()))?;
        let at = |what: &str| Problem::new(Place::line(shown, span.start.line().max(1)), what);
        match event {
            Event::DocumentStart(_) => documents += 1,
            Event::SequenceStart(..) | Event::MappingStart(..) => depth += 1,
            Event::SequenceEnd | Event::MappingEnd => depth -= 1,
            _ => {}
        }
        if documents > 1 {
            return Err(at(
                "The file holds several YAML documents. Keep one: remove the line `---` and what follows it.",
            ));
        }
        if depth > MAX_DEPTH {
            return Err(at("The file is nested too deeply to be a runner configuration. Check its name."));
        }
        if events.len() >= MAX_EVENTS {
            return Err(at("The file holds too many values to be a runner configuration. Check its name."));
        }
        events.push((event, span));
    }
    Ok(events)
}

fn syntax(text: &str, shown: &Path, line: usize, info: &str) -> Problem {
    let info: String = info.chars().filter(|c| !c.is_control()).take(200).collect();
    // The parser names the line before a tab as often as its own.
    let mut near = text.lines().skip(line.saturating_sub(1)).take(2);
    let hint = if near.any(|line| line.trim_start_matches(' ').starts_with('\t')) {
        "Indent with spaces: YAML takes no tabs"
    } else {
        "Check the indentation and the quotes of this line and the one before it"
    };
    Problem::new(Place::line(shown, line.max(1)), format!("This is no valid YAML ({info}). {hint}."))
}

/// Puts what an alias stands for in its place.
fn expand<'t>(events: Vec<Spanned<'t>>, shown: &Path) -> Result<Vec<Spanned<'t>>, Problem> {
    if !events.iter().any(|(event, _)| matches!(event, Event::Alias(_))) {
        return Ok(events);
    }
    let mut anchors: HashMap<usize, Range<usize>> = HashMap::new();
    let mut open = Vec::new();
    let mut out: Vec<Spanned<'t>> = Vec::new();
    for (event, span) in events {
        match &event {
            Event::Alias(id) => {
                let range = anchors.get(id).cloned().unwrap_or_default();
                if out.len() + range.len() > MAX_EVENTS {
                    let place = Place::line(shown, span.start.line());
                    return Err(Problem::new(
                        place,
                        "The aliases in this file stand for too many values. Write them out.",
                    ));
                }
                out.extend_from_within(range);
                continue;
            }
            Event::Scalar(_, _, anchor, _) if *anchor > 0 => {
                anchors.insert(*anchor, out.len()..out.len() + 1);
            }
            Event::SequenceStart(anchor, _) | Event::MappingStart(anchor, _) => open.push((*anchor, out.len())),
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some((anchor, start)) = open.pop().filter(|(anchor, _)| *anchor > 0) {
                    anchors.insert(anchor, start..out.len() + 1);
                }
            }
            _ => {}
        }
        out.push((event, span));
    }
    Ok(out)
}

/// A mapping or list that is being read.
struct Frame {
    prefix: String,
    kind: Kind,
    empty: bool,
}

enum Kind {
    /// Keys seen so far with their lines, and the key whose value comes next.
    Mapping { seen: BTreeMap<String, usize>, key: Option<(String, usize)> },
    /// Place of the next value.
    List(usize),
}

struct Fold<'p> {
    shown: &'p Path,
    entries: Vec<Entry>,
    mistakes: Vec<Problem>,
    frames: Vec<Frame>,
}

impl Fold<'_> {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Problem> {
        let line = span.start.line().max(1);
        match event {
            Event::Scalar(text, style, ..) => {
                if self.awaits_key() {
                    self.key(&text, line);
                } else {
                    let null = style == ScalarStyle::Plain && matches!(&*text, "" | "~" | "null" | "Null" | "NULL");
                    if self.frames.is_empty() && !null {
                        let text = "The file must hold keys and values, like `runnerUuid: …`.";
                        return Err(Problem::new(Place::line(self.shown, line), text));
                    }
                    let (path, line) = self.place(line);
                    self.add(path, line, if null { None } else { Some(text.into_owned()) });
                }
            }
            Event::MappingStart(..) => self.open(line, Kind::Mapping { seen: BTreeMap::new(), key: None })?,
            Event::SequenceStart(..) => self.open(line, Kind::List(0))?,
            Event::MappingEnd | Event::SequenceEnd => {
                if let Some(frame) = self.frames.pop().filter(|frame| frame.empty) {
                    self.add(frame.prefix, line, None);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn awaits_key(&self) -> bool {
        matches!(self.frames.last(), Some(Frame { kind: Kind::Mapping { key: None, .. }, .. }))
    }

    fn key(&mut self, text: &str, line: usize) {
        let Some(Frame { prefix, kind: Kind::Mapping { seen, key }, empty }) = self.frames.last_mut() else { return };
        *empty = false;
        *key = Some((text.to_owned(), line));
        if let Some(first) = seen.insert(text.to_owned(), line) {
            let path = super::suggest::printable(&join(prefix, text));
            let text = format!("{path} is there twice, the first time in line {first}. Remove one of the two.");
            self.mistakes.push(Problem::new(Place::line(self.shown, line), text));
        }
    }

    /// The path and line that the next value goes by.
    fn place(&mut self, line: usize) -> (String, usize) {
        match self.frames.last_mut() {
            None => (String::new(), line),
            Some(Frame { prefix, kind: Kind::List(next), empty }) => {
                *empty = false;
                *next += 1;
                (format!("{prefix}[{}]", *next - 1), line)
            }
            Some(Frame { prefix, kind: Kind::Mapping { key, .. }, .. }) => {
                let (name, at) = key.take().unwrap_or_default();
                (join(prefix, &name), at)
            }
        }
    }

    fn open(&mut self, line: usize, kind: Kind) -> Result<(), Problem> {
        let refused = if self.awaits_key() {
            Some("A list or mapping cannot be a key here. Check the indentation.")
        } else if self.frames.is_empty() && matches!(kind, Kind::List(_)) {
            Some("The file must hold keys and values, like `runnerUuid: …`.")
        } else if self.frames.len() > MAX_DEPTH {
            Some("The file is nested too deeply to be a runner configuration. Check its name.")
        } else {
            None
        };
        if let Some(text) = refused {
            return Err(Problem::new(Place::line(self.shown, line), text));
        }
        let (prefix, _) = self.place(line);
        self.frames.push(Frame { prefix, kind, empty: true });
        Ok(())
    }

    fn add(&mut self, path: String, line: usize, value: Option<String>) {
        if !path.is_empty() {
            self.entries.push(Entry { path, line, value });
        }
    }
}

fn join(prefix: &str, key: &str) -> String {
    if prefix.is_empty() { key.to_owned() } else { format!("{prefix}.{key}") }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Entry, parse};

    fn entries(text: &str) -> Vec<Entry> {
        let (entries, mistakes) = parse(text, Path::new("f.yml")).unwrap();
        assert_eq!(mistakes, []);
        entries
    }

    fn refusal(text: &str) -> String {
        parse(text, Path::new("f.yml")).unwrap_err().to_string()
    }

    fn entry(path: &str, line: usize, value: Option<&str>) -> Entry {
        Entry { path: path.to_owned(), line, value: value.map(str::to_owned) }
    }

    #[test]
    fn keys_become_paths_with_their_lines() {
        let found = entries("a: 1\r\nb:\r\n  c: 'x'\r\n  d:\r\n    - y\r\n    - z: {}\r\n");
        let expected = [
            entry("a", 1, Some("1")),
            entry("b.c", 3, Some("x")),
            entry("b.d[0]", 5, Some("y")),
            entry("b.d[1].z", 6, None),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn null_in_all_its_spellings_is_no_value_but_a_quoted_one_is_text() {
        let values: Vec<_> = entries("a:\nb: ~\nc: null\nd: 'null'\ne: ''\n").into_iter().map(|e| e.value).collect();
        assert_eq!(values, [None, None, None, Some("null".to_owned()), Some(String::new())]);
    }

    #[test]
    fn an_empty_file_holds_nothing() {
        for text in ["", "\n\n", "# only a comment\n", "---\n", "{}\n", "null\n"] {
            assert_eq!(entries(text), [], "{text:?}");
        }
    }

    #[test]
    fn an_alias_stands_for_its_anchor() {
        let found = entries("a: &x {k: v}\nb: *x\n");
        assert_eq!(found, [entry("a.k", 1, Some("v")), entry("b.k", 1, Some("v"))]);
    }

    #[test]
    fn a_bomb_of_aliases_is_refused_before_it_grows() {
        let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for i in 1..12 {
            let row = vec![format!("*a{}", i - 1); 10].join(", ");
            text = format!("{text}a{i}: &a{i} [{row}]\n");
        }
        insta::assert_snapshot!(refusal(&text), @"f.yml:5: The aliases in this file stand for too many values. Write them out.");
    }

    #[test]
    fn deep_nesting_is_refused_without_recursion() {
        let nested = |levels| refusal(&format!("a: {}", "[".repeat(levels)));
        insta::assert_snapshot!(nested(40), @"f.yml:1: The file is nested too deeply to be a runner configuration. Check its name.");
        assert!(nested(100_000).contains("recursion limit"), "{}", nested(100_000));
    }

    #[test]
    fn mistakes_name_their_line() {
        insta::assert_snapshot!(refusal("a: 1\n\tb: 2\n"));
        insta::assert_snapshot!(refusal("a: 'open\nb: 2\n"));
        insta::assert_snapshot!(refusal("just text\n"));
        insta::assert_snapshot!(refusal("- a\n- b\n"));
        insta::assert_snapshot!(refusal("a: 1\n---\nb: 2\n"));
        insta::assert_snapshot!(refusal("? [a]\n: b\n"));
    }

    #[test]
    fn a_key_given_twice_is_named_with_both_lines() {
        let (_, mistakes) = parse("api:\n  url: a\n  user: b\n  url: c\n", Path::new("f.yml")).unwrap();
        let texts: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["f.yml:4: `api.url` is there twice, the first time in line 2. Remove one of the two."]);
    }
}
