//! YAML as JSON, for the example pipelines.

use saphyr_parser::{Event, Parser, ScalarStyle};
use serde_json::{Map, Value, json};

/// Reads a file; what is not plain YAML fails the test.
pub(crate) fn parse(text: &str) -> Value {
    let mut events = Parser::new_from_str(text).map(|event| event.expect("YAML").0);
    loop {
        match events.next().expect("a document") {
            Event::StreamStart | Event::DocumentStart(_) => {}
            first => return value(first, &mut events),
        }
    }
}

fn value<'t>(first: Event<'t>, events: &mut impl Iterator<Item = Event<'t>>) -> Value {
    match first {
        Event::Scalar(text, style, ..) => scalar(&text, style),
        Event::SequenceStart(..) => {
            let mut list = Vec::new();
            loop {
                match events.next().expect("an item") {
                    Event::SequenceEnd => return Value::Array(list),
                    item => list.push(value(item, events)),
                }
            }
        }
        Event::MappingStart(..) => {
            let mut map = Map::new();
            loop {
                match events.next().expect("a key") {
                    Event::MappingEnd => return Value::Object(map),
                    Event::Scalar(key, ..) => {
                        let item = events.next().expect("a value");
                        let old = map.insert(key.clone().into_owned(), value(item, events));
                        assert_eq!(old, None, "{key} is there twice");
                    }
                    other => panic!("{other:?} is no key"),
                }
            }
        }
        other => panic!("Azure Pipelines does not take {other:?}"),
    }
}

fn scalar(text: &str, style: ScalarStyle) -> Value {
    match (style, text) {
        (ScalarStyle::Plain, "" | "~" | "null") => Value::Null,
        (ScalarStyle::Plain, "true" | "false") => json!(text == "true"),
        _ => json!(text),
    }
}
