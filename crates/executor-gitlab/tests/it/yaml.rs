//! Reads a YAML file as GitLab does, as far as the example goes: documents, anchors, nested lists of script lines.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle};
use serde_json::{Map, Value, json};

/// The documents of a file. Scalars without quotes are read as JSON where they are JSON, else as text.
pub(crate) fn documents(text: &str) -> Vec<Value> {
    let mut events = Parser::new_from_str(text).map(|event| event.expect("YAML").0);
    let (mut documents, mut anchors) = (Vec::new(), HashMap::new());
    while let Some(event) = events.next() {
        if matches!(event, Event::DocumentStart(_)) {
            let first = events.next().expect("a node");
            documents.push(node(first, &mut events, &mut anchors));
        }
    }
    documents
}

fn node<'i>(
    event: Event<'i>,
    events: &mut impl Iterator<Item = Event<'i>>,
    anchors: &mut HashMap<usize, Value>,
) -> Value {
    let (anchor, value) = match event {
        Event::Alias(anchor) => return anchors[&anchor].clone(),
        Event::Scalar(text, style, anchor, _) => (anchor, scalar(&text, style)),
        Event::SequenceStart(anchor, _) => {
            let mut items = Vec::new();
            loop {
                match events.next().expect("an end") {
                    Event::SequenceEnd => break,
                    item => items.push(node(item, events, anchors)),
                }
            }
            (anchor, json!(items))
        }
        Event::MappingStart(anchor, _) => {
            let mut fields = Map::new();
            loop {
                match events.next().expect("an end") {
                    Event::MappingEnd => break,
                    key => {
                        let key = node(key, events, anchors);
                        let key = key.as_str().map_or_else(|| key.to_string(), str::to_owned);
                        let first = events.next().expect("a value");
                        assert!(fields.insert(key.clone(), node(first, events, anchors)).is_none(), "{key} twice");
                    }
                }
            }
            (anchor, Value::Object(fields))
        }
        other => panic!("{other:?} is no node"),
    };
    if anchor > 0 {
        anchors.insert(anchor, value.clone());
    }
    value
}

fn scalar(text: &str, style: ScalarStyle) -> Value {
    match style {
        ScalarStyle::Plain if text.is_empty() || text == "~" => Value::Null,
        ScalarStyle::Plain => serde_json::from_str(text).unwrap_or_else(|_| json!(text)),
        _ => json!(text),
    }
}

/// The lines of a job's script; lists within lists are flattened.
pub(crate) fn lines(script: &Value) -> Vec<String> {
    match script {
        Value::Null => Vec::new(),
        Value::Array(items) => items.iter().flat_map(lines).collect(),
        Value::String(line) => vec![line.clone()],
        other => panic!("{other} is no script"),
    }
}
