//! Reads a workflow file, as far as the examples go.

use saphyr_parser::{Event, Parser, ScalarStyle};
use serde_json::{Map, Value, json};

/// The only document of a file. Scalars without quotes are JSON where they can be read so, else text.
pub(crate) fn document(text: &str) -> Value {
    let mut events = Parser::new_from_str(text).map(|event| event.expect("YAML").0);
    loop {
        if let Event::DocumentStart(_) = events.next().expect("a document") {
            let first = events.next().expect("a node");
            return node(first, &mut events);
        }
    }
}

fn node<'i>(event: Event<'i>, events: &mut impl Iterator<Item = Event<'i>>) -> Value {
    match event {
        Event::Scalar(text, ScalarStyle::Plain, ..) if text.is_empty() => Value::Null,
        Event::Scalar(text, ScalarStyle::Plain, ..) => serde_json::from_str(&text).unwrap_or_else(|_| json!(text)),
        Event::Scalar(text, ..) => json!(text),
        Event::SequenceStart(..) => {
            let mut items = Vec::new();
            loop {
                match events.next().expect("an end") {
                    Event::SequenceEnd => return json!(items),
                    item => items.push(node(item, events)),
                }
            }
        }
        Event::MappingStart(..) => {
            let mut fields = Map::new();
            loop {
                match events.next().expect("an end") {
                    Event::MappingEnd => return Value::Object(fields),
                    key => {
                        let Value::String(key) = node(key, events) else { panic!("a key is no text") };
                        let first = events.next().expect("a value");
                        assert!(fields.insert(key.clone(), node(first, events)).is_none(), "{key} twice");
                    }
                }
            }
        }
        other => panic!("{other:?} is no node"),
    }
}
