//! The settings as a JSON Schema, for editors: made of the table, so that the two cannot differ.
//!
//! Draft 7, since that is what the language servers for YAML know. It is as lenient as the reader is: numbers for
//! texts, one value for a list, blanks for what is not set.

use serde_json::{Map, Value, json};

use super::dialect::Dialect;
use super::names::words;
use super::settings::{self, Kind, Preset};
use super::table::STRUCTURES;

/// The schema of all three formats of the file.
pub fn schema() -> Value {
    let reference = |dialect: Dialect| json!({ "$ref": format!("#/definitions/{}", dialect.word()) });
    let mut definitions = Map::new();
    for dialect in Dialect::ALL {
        definitions.insert(dialect.word().to_owned(), definition(dialect));
    }
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Configuration of bb-runner",
        "description": "Made by `bb-runner config schema`. The format is told by the keys at the root.",
        "type": ["object", "null"],
        "if": { "required": ["blockrunner"] },
        "then": reference(Dialect::Jvm),
        "else": {
            "if": { "anyOf": [{ "required": ["implementations"] }, { "required": ["crypto"] }] },
            "then": reference(Dialect::Controller),
            "else": reference(Dialect::Terraform),
        },
        "definitions": definitions,
    })
}

fn definition(dialect: Dialect) -> Value {
    let mut root = Shape::default();
    for row in settings::rows() {
        for key in row.keys(dialect) {
            let leaf = |kind| Leaf { kind, preset: row.preset, what: row.what };
            match row.kind {
                Kind::Structure => root.at(&key).about = Some(row.what),
                Kind::Tokens => {
                    root.at(&key).about = Some(row.what);
                    root.at(&format!("{key}.*")).leaf = Some(leaf(Kind::Secret));
                }
                Kind::Secret => {
                    let file = Leaf {
                        kind: Kind::Path,
                        preset: Preset::Nothing,
                        what: "File that holds the value of the key of this name without `File`",
                    };
                    root.at(&key).leaf = Some(leaf(Kind::Secret));
                    root.at(&format!("{key}File")).leaf = Some(file);
                }
                kind if kind.is_list() => {
                    root.at(&key).about = Some(row.what);
                    root.at(&format!("{key}[]")).leaf = Some(leaf(Kind::Text));
                }
                kind => root.at(&key).leaf = Some(leaf(kind)),
            }
        }
    }
    if dialect == Dialect::Controller {
        for part in STRUCTURES {
            root.at(part.path).leaf = Some(Leaf { kind: part.kind, preset: Preset::Nothing, what: part.what });
        }
    }
    let mut schema = root.schema(dialect);
    schema["title"] = format!("A file in {dialect}").into();
    if dialect == Dialect::Jvm {
        // The rest of a Spring application's file is Spring's.
        schema["additionalProperties"] = true.into();
    }
    schema
}

/// A single value.
#[derive(Clone)]
struct Leaf {
    kind: Kind,
    preset: Preset,
    what: &'static str,
}

/// What may stand at a place: one or several of a single value, a list, a mapping.
#[derive(Default)]
struct Shape {
    about: Option<&'static str>,
    leaf: Option<Leaf>,
    keys: Vec<(String, Shape)>,
    any_key: Option<Box<Shape>>,
    items: Option<Box<Shape>>,
}

impl Shape {
    /// The shape at a path, where `[]` is a place in a list and `*` any key.
    fn at(&mut self, path: &str) -> &mut Self {
        let mut shape = self;
        for part in path.split('.') {
            let name = part.trim_end_matches("[]");
            shape = if name == "*" {
                shape.any_key.get_or_insert_default()
            } else {
                let known = shape.keys.iter().position(|(key, _)| key == name);
                let at = known.unwrap_or_else(|| {
                    shape.keys.push((name.to_owned(), Self::default()));
                    shape.keys.len() - 1
                });
                &mut shape.keys[at].1
            };
            if part.ends_with("[]") {
                shape = shape.items.get_or_insert_default();
            }
        }
        shape
    }

    fn schema(&self, dialect: Dialect) -> Value {
        let mut types = Vec::new();
        let mut out = Map::new();
        if let Some(what) = self.about.or(self.leaf.as_ref().map(|leaf| leaf.what)) {
            out.insert("description".to_owned(), what.into());
        }
        out.insert("type".to_owned(), Value::Null);
        if !self.keys.is_empty() || self.any_key.is_some() {
            types.push("object");
            self.mapping(dialect, &mut out);
        }
        if let Some(items) = &self.items {
            types.push("array");
            out.insert("items".to_owned(), items.schema(dialect));
            // One value is a list of one.
            if items.leaf.is_some() {
                types.push("string");
            }
        }
        if let Some(leaf) = &self.leaf {
            types.extend(leaf.types(dialect));
            leaf.limits(&mut out);
        }
        // A key without a value is not set.
        types.push("null");
        out.insert("type".to_owned(), types.into());
        Value::Object(out)
    }

    fn mapping(&self, dialect: Dialect, out: &mut Map<String, Value>) {
        let schemas: Vec<(&String, Value)> =
            self.keys.iter().map(|(key, shape)| (key, shape.schema(dialect))).collect();
        if dialect == Dialect::Jvm {
            let loose = schemas.iter().filter_map(|(key, schema)| Some((spellings(key)?, schema.clone())));
            let loose: Map<String, Value> = loose.collect();
            if !loose.is_empty() {
                out.insert("patternProperties".to_owned(), Value::Object(loose));
            }
        }
        let schemas: Map<String, Value> = schemas.into_iter().map(|(key, schema)| (key.clone(), schema)).collect();
        if !schemas.is_empty() {
            out.insert("properties".to_owned(), Value::Object(schemas));
        }
        let others = self.any_key.as_ref().map_or(Value::Bool(false), |shape| shape.schema(dialect));
        out.insert("additionalProperties".to_owned(), others);
    }
}

impl Leaf {
    fn types(&self, dialect: Dialect) -> Vec<&'static str> {
        let mut types = match self.kind {
            Kind::Flag => vec!["boolean"],
            Kind::Number { .. } => vec!["integer"],
            // What YAML takes for a number or a truth is a text all the same.
            _ => vec!["string", "number", "boolean"],
        };
        // A placeholder.
        if dialect == Dialect::Jvm && types[0] != "string" {
            types.push("string");
        }
        types
    }

    fn limits(&self, out: &mut Map<String, Value>) {
        if let Kind::Number { least, most, .. } = self.kind {
            out.insert("minimum".to_owned(), least.into());
            out.insert("maximum".to_owned(), most.into());
        }
        let default: Value = match self.preset {
            Preset::Number(number) | Preset::Limit(number) => number.into(),
            Preset::Off => false.into(),
            Preset::Text(text) => text.into(),
            Preset::Nothing | Preset::Required | Preset::Words(_) => return,
        };
        out.insert("default".to_owned(), default);
    }
}

/// A pattern of every spelling that Spring takes for a key, if it has more than one: `^[cC]lient[-_]?[iI]d$`.
fn spellings(key: &str) -> Option<String> {
    let words = words(key);
    if words.len() < 2 {
        return None;
    }
    let word = |word: &String| {
        let (first, rest) = word.split_at(1);
        format!("[{first}{}]{rest}", first.to_ascii_uppercase())
    };
    Some(format!("^{}$", words.iter().map(word).collect::<Vec<_>>().join("[-_]?")))
}

#[cfg(test)]
mod tests;
