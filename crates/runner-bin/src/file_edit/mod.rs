//! Changes in a configuration file that keep the rest of it byte for byte: comments, order, line ends.
//!
//! A change is made in the text, then the new text is read again: unless it says exactly what the old one said and the
//! change, nothing is written and the caller shows what to write by hand.

mod outline;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

pub(crate) use outline::{Kind, Node, Outline, loose};

/// A change of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// Gives a key a text.
    Set {
        /// Keys joined with dots.
        path: String,
        /// The text.
        text: String,
    },
    /// Puts texts before the others of a list.
    Prepend {
        /// Keys joined with dots.
        path: String,
        /// The texts, in their order.
        texts: Vec<String>,
    },
    /// Gives a key another name in the same place.
    Rename {
        /// Keys joined with dots.
        path: String,
        /// The last key of the new path.
        name: String,
    },
}

/// Why a file is not changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EditError {
    /// What is there cannot be changed without risk.
    #[error("it is written in a way that cannot be changed safely")]
    Shape,
    /// The file.
    #[error("it cannot be written")]
    Io(#[source] std::io::Error),
}

/// The text with the changes made, one after the other.
pub(crate) fn change(text: &str, changes: &[Change]) -> Result<String, EditError> {
    let mut text = text.to_owned();
    for change in changes {
        text = change.made_in(&text).ok_or(EditError::Shape)?;
    }
    Ok(text)
}

/// Puts a text in the place of a file's, whole or not at all. Owner and mode stay; a link stays a link.
pub(crate) fn replace(file: &Path, text: &str) -> Result<(), EditError> {
    let replaced = || {
        let file = fs::canonicalize(file)?;
        let before = fs::metadata(&file)?;
        let folder = file.parent().unwrap_or(Path::new("/"));
        let mut new = tempfile::Builder::new().prefix(".bb-runner-").tempfile_in(folder)?;
        new.write_all(text.as_bytes())?;
        new.as_file().set_permissions(before.permissions())?;
        let own = new.as_file().metadata()?;
        if (own.uid(), own.gid()) != (before.uid(), before.gid()) {
            std::os::unix::fs::fchown(new.as_file(), Some(before.uid()), Some(before.gid()))?;
        }
        new.as_file().sync_all()?;
        new.persist(&file).map_err(|error| error.error)?;
        fs::File::open(folder)?.sync_all()
    };
    replaced().map_err(EditError::Io)
}

impl Change {
    /// The new text; `None` if it would say something else than it should.
    fn made_in(&self, text: &str) -> Option<String> {
        let outline = Outline::of(text)?;
        // What is said elsewhere by an alias would change with what it stands for. A new key of its own does not.
        let has_alias = outline.nodes.iter().any(|node| node.kind == Kind::Alias);
        let root = self.path().split('.').next().unwrap_or_default();
        if has_alias && outline.has_under(root) {
            return None;
        }
        let expected = self.meaning(&outline)?;
        let new = match self {
            Self::Set { path, text } => outline.set(path, text),
            Self::Prepend { path, texts } => outline.prepend(path, texts),
            Self::Rename { path, name } => {
                let key = outline.find(path)?.key.clone()?;
                Some(spliced(text, key.start, key.end, name))
            }
        }?;
        (Outline::of(&new)?.meaning() == expected).then_some(new)
    }

    fn path(&self) -> &str {
        match self {
            Self::Set { path, .. } | Self::Prepend { path, .. } | Self::Rename { path, .. } => path,
        }
    }

    /// What the file must say afterwards.
    fn meaning(&self, outline: &Outline) -> Option<BTreeMap<String, Option<String>>> {
        let mut meaning = outline.meaning();
        match self {
            Self::Set { path, text } => drop(meaning.insert(path.clone(), Some(text.clone()))),
            Self::Prepend { path, texts } => {
                let old: Vec<String> = match outline.find(path) {
                    None => Vec::new(),
                    Some(node) => outline.texts_under(node).filter_map(|node| node.text().map(str::to_owned)).collect(),
                };
                let inside = format!("{path}[");
                meaning.retain(|key, _| key != path && !key.starts_with(&inside));
                for (place, text) in texts.iter().chain(&old).enumerate() {
                    meaning.insert(format!("{path}[{place}]"), Some(text.clone()));
                }
            }
            Self::Rename { path, name } => {
                let new = path.rsplit_once('.').map_or_else(|| name.clone(), |(parent, _)| format!("{parent}.{name}"));
                if outline.has_under(&new) {
                    return None;
                }
                let value = meaning.remove(path)?;
                meaning.insert(new, value);
            }
        }
        Some(meaning)
    }
}

impl Outline {
    fn set(&self, path: &str, text: &str) -> Option<String> {
        let Some(node) = self.find(path) else { return self.insert(path, &[format!(" {}", scalar(text))]) };
        match node.kind {
            Kind::Null if node.value.is_empty() || !self.has_word(node) => self.after_colon(node, &scalar(text)),
            Kind::Null | Kind::Text(_) => self.replaced(node, &scalar(text)),
            _ => None,
        }
    }

    fn prepend(&self, path: &str, texts: &[String]) -> Option<String> {
        let Some(node) = self.find(path) else {
            let items = texts.iter().map(|text| format!("  - {}", scalar(text)));
            return self.insert(path, &std::iter::once(String::new()).chain(items).collect::<Vec<_>>());
        };
        let joined = texts.iter().map(|text| scalar(text)).collect::<Vec<_>>().join(", ");
        match &node.kind {
            Kind::Null if node.value.is_empty() || !self.has_word(node) => {
                self.after_colon(node, &format!("[{joined}]"))
            }
            Kind::Null => self.replaced(node, &format!("[{joined}]")),
            // One value where a list is expected is a list of one.
            Kind::Text(_) => {
                let old = &self.text[node.value.clone()];
                self.replaced(node, &format!("[{joined}, {old}]"))
            }
            Kind::List { flow: true } => {
                let inside = node.value.start + 1;
                let empty = self.text[inside..].trim_start().starts_with(']');
                let added = if empty { joined } else { format!("{joined}, ") };
                Some(spliced(&self.text, inside, inside, &added))
            }
            Kind::List { flow: false } => {
                let first = self.find(&format!("{path}[0]"))?;
                let line = self.line_start(first.value.start);
                let before = &self.text[line..first.value.start];
                if before.trim() != "-" {
                    return None;
                }
                let mut added = String::new();
                for text in texts {
                    added.extend([before, &scalar(text), self.line_end()]);
                }
                Some(spliced(&self.text, line, line, &added))
            }
            _ => None,
        }
    }

    /// A key that is not there yet: at the end of the file, or as the first one of the mapping it belongs to.
    ///
    /// `value`: what comes behind the colon, then further lines.
    fn insert(&self, path: &str, value: &[String]) -> Option<String> {
        let parent = path.rmatch_indices('.').find_map(|(at, _)| {
            let node = self.find(&path[..at])?;
            matches!(node.kind, Kind::Mapping { .. }).then_some((node, &path[at + 1..]))
        });
        let (at, column, name) = match parent {
            None => (self.text.len(), self.nodes.first().map_or(0, |node| node.column), path),
            Some((node, name)) => {
                let inside = format!("{}.", node.path);
                let child = self.nodes.iter().find(|other| other.path.starts_with(&inside))?;
                // In braces, or on the line of its parent: left to a person.
                if node.kind == (Kind::Mapping { flow: true }) || child.line == node.line {
                    return None;
                }
                let line =
                    self.text[node.key.clone()?.end..].find('\n').map(|at| node.key.clone().map(|k| k.end + at + 1));
                (line??, child.column, name)
            }
        };
        if name.contains('.') {
            return None;
        }
        let (indent, end) = (" ".repeat(column), self.line_end());
        let mut added = String::new();
        if at == self.text.len() && !self.text.is_empty() && !self.text.ends_with('\n') {
            added.push_str(end);
        }
        for (number, line) in value.iter().enumerate() {
            added.push_str(&indent);
            if number == 0 {
                added.push_str(name);
                added.push(':');
            }
            added.push_str(line);
            added.push_str(end);
        }
        Some(spliced(&self.text, at, at, &added))
    }

    fn has_word(&self, node: &Node) -> bool {
        matches!(self.text[node.value.clone()].trim(), "~" | "null" | "Null" | "NULL")
    }

    /// `None` where something else than the value would go with it.
    fn replaced(&self, node: &Node, with: &str) -> Option<String> {
        let old = &self.text[node.value.clone()];
        let quoted = old.starts_with(['\'', '"']);
        (quoted || !old.contains(['#', '\n'])).then(|| spliced(&self.text, node.value.start, node.value.end, with))
    }

    fn after_colon(&self, node: &Node, value: &str) -> Option<String> {
        let key = node.key.clone()?;
        let colon = key.end + self.text[key.end..].find(':')? + 1;
        Some(spliced(&self.text, colon, colon, &format!(" {value}")))
    }

    fn line_start(&self, at: usize) -> usize {
        self.text[..at].rfind('\n').map_or(0, |end| end + 1)
    }

    fn line_end(&self) -> &'static str {
        if self.text.contains("\r\n") { "\r\n" } else { "\n" }
    }
}

fn spliced(text: &str, from: usize, to: usize, with: &str) -> String {
    format!("{}{with}{}", &text[..from], &text[to..])
}

/// A text as YAML: plain where that is beyond doubt, else in single quotes.
pub(crate) fn scalar(text: &str) -> String {
    let harmless = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    let word = matches!(text.to_ascii_lowercase().as_str(), "null" | "true" | "false" | "yes" | "no" | "on" | "off");
    let starts_well = text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '/' || c == '.');
    let number = text.parse::<f64>().is_ok();
    if starts_well && !word && !number && text.chars().all(harmless) && !text.starts_with("...") {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "''"))
    }
}

#[cfg(test)]
mod tests;
