//! A YAML file as a tree of values with their lines, and as a flat list of keys.
//!
//! The parser's events are folded without recursion, and everything is bounded: size, depth, number of values,
//! and what aliases may grow to.

use std::collections::HashMap;
use std::io::Read;
use std::ops::Range;
use std::path::Path;

use saphyr_parser::{Event, Parser, Span};

use super::problem::{Place, Problem};
use super::tree::{Builder, Node};

pub(crate) use super::tree::Entry;

/// Largest file that is read, in bytes. The longest ones in the field have a few thousand.
const MAX_BYTES: u64 = 1 << 20;
/// Deepest nesting. The dialects need 7.
pub(super) const MAX_DEPTH: usize = 32;
/// Most events, after aliases were replaced by what they stand for.
const MAX_EVENTS: usize = 20_000;

pub(super) const TOO_DEEP: &str = "The file is nested too deeply to be a runner configuration. Check its name.";

/// What a file holds.
#[derive(Debug, Default)]
pub(crate) struct Document {
    /// As a tree: a mapping, or nothing.
    pub root: Node,
    /// As a list.
    pub entries: Vec<Entry>,
    /// Mistakes that leave the rest readable, such as a key given twice.
    pub mistakes: Vec<Problem>,
}

/// Reads a file.
pub(crate) fn read(file: &Path, shown: &Path) -> Result<Document, Problem> {
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
    let line_of = |at: usize| bytes[..at].split(|byte| *byte == b'\n').count();
    if matches!(bytes.as_slice(), [0xff, 0xfe, ..] | [0xfe, 0xff, ..]) {
        return Err(whole("The file is UTF-16 text. Save it as UTF-8.".to_owned()));
    }
    if let Some(at) = bytes.iter().position(|byte| *byte == 0) {
        let text = "There is a NUL byte in the file, so it is no text. Save it as UTF-8.";
        return Err(Problem::new(Place::line(shown, line_of(at)), text));
    }
    let text = std::str::from_utf8(&bytes).map_err(|e| {
        Problem::new(Place::line(shown, line_of(e.valid_up_to())), "The file is not UTF-8 text. Save it as UTF-8.")
    })?;
    parse(text.strip_prefix('\u{feff}').unwrap_or(text), shown)
}

/// Reads text.
pub(crate) fn parse(text: &str, shown: &Path) -> Result<Document, Problem> {
    let mut builder = Builder::new(shown);
    for (event, span) in expand(events(text, shown)?, shown)? {
        builder.take(event, &span)?;
    }
    let (root, mistakes) = builder.finish();
    Ok(Document { entries: root.entries(), root, mistakes })
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
            return Err(at(TOO_DEEP));
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
                // The anchor is known to the parser; what it stands for is not whole yet if the alias is inside of it.
                let Some(range) = anchors.get(id).cloned() else {
                    let place = Place::line(shown, span.start.line());
                    return Err(Problem::new(place, "This alias is part of what it stands for. Write the value out."));
                };
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Entry, parse};

    fn entries(text: &str) -> Vec<Entry> {
        let document = parse(text, Path::new("f.yml")).unwrap();
        assert_eq!(document.mistakes, []);
        document.entries
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
        let document = parse("api:\n  url: a\n  user: b\n  url: c\n", Path::new("f.yml")).unwrap();
        let texts: Vec<String> = document.mistakes.iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["f.yml:4: `api.url` is there twice, the first time in line 2. Remove one of the two."]);
    }

    #[test]
    fn what_is_merged_stands_behind_what_is_written() {
        let text = "a: &a {x: 1, y: {z: 2}}\nb: &b {x: 3, w: 4}\nc:\n  <<: *a\n  x: 5\nd:\n  <<: [*b, *a]\ne: {<<: *a, <<: *b}\n'<<': 6\n";
        let found: Vec<String> = entries(text)
            .into_iter()
            .filter(|entry| !entry.path.starts_with(['a', 'b']))
            .map(|entry| format!("{}={}", entry.path, entry.value.unwrap_or_default()))
            .collect();
        assert_eq!(found, ["c.x=5", "c.y.z=2", "d.x=3", "d.w=4", "d.y.z=2", "e.x=1", "e.y.z=2", "e.w=4", "<<=6"]);
    }

    #[test]
    fn an_alias_inside_of_what_it_stands_for_is_refused() {
        for text in ["a: &a [*a]\n", "a: &a {b: *a, c: d}\n", "a: &a\n  b:\n    <<: *a\n"] {
            assert!(refusal(text).contains("part of what it stands for"), "{text}");
        }
    }

    #[test]
    fn only_mappings_can_be_merged() {
        for text in ["a:\n  <<: x\n", "a:\n  <<: [{b: c}, x]\n", "a:\n  <<:\n"] {
            let document = parse(text, Path::new("f.yml")).unwrap();
            assert_eq!(document.mistakes.len(), 1, "{text}");
            assert!(document.mistakes[0].text.starts_with("`<<` takes a mapping"), "{text}");
        }
    }
}
