//! What the module says about itself at its top level.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use hcl_edit::Span as _;
use hcl_edit::structure::{Block, Body};
use serde_json::{Map, Value};

/// A file of a module is a few KiB; what is larger than this is not read.
const MAX_FILE_BYTES: u64 = 4 << 20;

/// Bytes of all files together that are read.
const MAX_TOTAL_BYTES: u64 = 64 << 20;

/// A Terraform module: which variables it declares, and where it keeps its state.
///
/// Read from `*.tf` and `*.tf.json`, top level only, when it is first asked for something: a `FILE`
/// input can be such a file too, so the question comes after [`write`](super::write()) has written them.
/// What cannot be read is a warning, Terraform says it better.
#[derive(Debug)]
pub(crate) struct Module {
    dir: PathBuf,
    content: OnceLock<Content>,
}

#[derive(Debug, Default)]
struct Content {
    /// Declared variables, and the source text of their `type`.
    variables: BTreeMap<String, Option<String>>,
    /// `cloud`, or the name of the backend.
    backend: Option<String>,
    warnings: Vec<String>,
}

impl Module {
    /// The module in this folder.
    pub(crate) fn scan(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), content: OnceLock::new() }
    }

    fn content(&self) -> &Content {
        self.content.get_or_init(|| Content::read(&self.dir))
    }

    /// The name of the module's `backend` block, or `cloud` for a `cloud` block.
    pub(crate) fn backend(&self) -> Option<&str> {
        self.content().backend.as_deref()
    }

    /// Whether there is a `variable` block of this name.
    pub(crate) fn declares(&self, variable: &str) -> bool {
        self.content().variables.contains_key(variable)
    }

    /// Whether the variable is declared with `type = string`, in these very words.
    pub(crate) fn wants_text(&self, variable: &str) -> bool {
        self.content().variables.get(variable).is_some_and(|kind| kind.as_deref() == Some("string"))
    }

    /// What could not be read, and why.
    pub(crate) fn warnings(&self) -> &[String] {
        &self.content().warnings
    }
}

impl Content {
    fn read(dir: &Path) -> Self {
        let mut content = Self::default();
        let root = checkout_root(dir);
        let mut left = MAX_TOTAL_BYTES;
        for name in module_files(dir) {
            match read_file(&dir.join(&name), root.as_deref(), left) {
                Ok(text) => {
                    left = left.saturating_sub(text.len() as u64);
                    content.add(&name, text.strip_prefix('\u{feff}').unwrap_or(&text));
                }
                Err(reason) => content.warn(&name, &reason),
            }
        }
        content
    }

    fn warn(&mut self, name: &str, reason: &str) {
        self.warnings.push(format!("Warning: {name} could not be read for its variables and backend: {reason}."));
    }

    fn add(&mut self, name: &str, text: &str) {
        let outcome = if name.strip_suffix(".tf.json").is_some() {
            serde_json::from_str::<Value>(text).map(|root| self.add_json(&root)).map_err(|e| e.to_string())
        } else {
            text.parse::<Body>().map(|body| self.add_hcl(&body, text)).map_err(|e| {
                let at = e.location();
                format!("{} (line {}, column {})", e.message().replace('\n', ", "), at.line(), at.column())
            })
        };
        if let Err(reason) = outcome {
            self.warn(name, &reason);
        }
    }

    fn add_hcl(&mut self, body: &Body, text: &str) {
        for block in body.blocks() {
            match (block.ident.as_str(), block.labels.as_slice()) {
                ("variable", [name]) => self.declare(name.as_str(), type_text(block, text)),
                ("terraform", []) => {
                    for inner in block.body.blocks() {
                        match (inner.ident.as_str(), inner.labels.as_slice()) {
                            ("backend", [kind]) => self.backend = Some(kind.as_str().to_owned()),
                            ("cloud", []) => self.backend = Some("cloud".to_owned()),
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
    }

    fn add_json(&mut self, root: &Value) {
        for body in objects(root) {
            for variables in body.get("variable").into_iter().flat_map(objects) {
                for (name, declarations) in variables {
                    let kind = objects(declarations).find_map(|d| d.get("type")).and_then(Value::as_str);
                    self.declare(name, kind.map(str::to_owned));
                }
            }
            for settings in body.get("terraform").into_iter().flat_map(objects) {
                for backends in settings.get("backend").into_iter().flat_map(objects) {
                    self.backend = backends.keys().next().cloned().or(self.backend.take());
                }
                if settings.get("cloud").is_some_and(|cloud| objects(cloud).next().is_some()) {
                    self.backend = Some("cloud".to_owned());
                }
            }
        }
    }

    /// A later declaration, in an override file, keeps the type it says nothing of.
    fn declare(&mut self, name: &str, kind: Option<String>) {
        let known = self.variables.entry(name.to_owned()).or_default();
        *known = kind.or(known.take());
    }
}

/// In JSON one block is an object, several are an array of objects.
fn objects(value: &Value) -> impl Iterator<Item = &Map<String, Value>> {
    let list = match value {
        Value::Array(items) => items.as_slice(),
        single => std::slice::from_ref(single),
    };
    list.iter().filter_map(Value::as_object)
}

fn type_text(variable: &Block, text: &str) -> Option<String> {
    let span = variable.body.get_attribute("type")?.value.span()?;
    text.get(span).map(|source| source.trim().to_owned())
}

/// The names of the files that Terraform loads from a folder, override files last.
fn module_files(dir: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| stem(name).is_some() && !name.starts_with(['.', '#']))
        .collect();
    names.sort_by_cached_key(|name| (is_override(name), name.clone()));
    names
}

/// The name of a Terraform file without its ending; none if it is another file.
fn stem(name: &str) -> Option<&str> {
    name.strip_suffix(".tf").or_else(|| name.strip_suffix(".tf.json"))
}

fn is_override(name: &str) -> bool {
    stem(name).is_some_and(|stem| stem == "override" || stem.ends_with("_override"))
}

/// The folder that the module's links may not leave: the checkout it lies in, else the module itself.
fn checkout_root(dir: &Path) -> Option<PathBuf> {
    let dir = dir.canonicalize().ok()?;
    let root = dir.ancestors().find(|folder| folder.join(".git").exists());
    Some(root.map_or_else(|| dir.clone(), Path::to_owned))
}

fn read_file(path: &Path, root: Option<&Path>, left: u64) -> Result<String, String> {
    let target = path.canonicalize().map_err(|e| e.to_string())?;
    if !root.is_some_and(|root| target.starts_with(root)) {
        return Err("it is a link that leaves the repository".to_owned());
    }
    if !target.is_file() {
        return Err("it is not a file".to_owned());
    }
    let limit = MAX_FILE_BYTES.min(left);
    let file = fs::File::open(&target).map_err(|e| e.to_string())?;
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
    if bytes.len() as u64 > limit {
        return Err("it is too large".to_owned());
    }
    String::from_utf8(bytes).map_err(|_| "it is no UTF-8 text".to_owned())
}

#[cfg(test)]
mod tests;
