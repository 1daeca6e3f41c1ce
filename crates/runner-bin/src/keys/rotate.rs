//! `bb-runner keys rotate`: a new current key, while the old ones still decrypt.
//!
//! Source: `protocol/encryption.md`, "Rotation".

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::files::{self, Places, Written};
use super::{Refused, RotateArgs, check, generate};
use crate::config::Dialect;
use crate::file_edit::{self, Change, EditError, Node};
use crate::peek::{KeyPlace, KeySource, Origin, Peek, quoted};
use crate::say::say;
use crate::{Exit, logging};

const VARIABLE: &str = "RUNNER_PRIVATE_KEY_FILE";
const LIST_VARIABLE: &str = "BB_PRIVATE_KEY_FILES";

pub(super) fn run(args: &RotateArgs, peek: &Peek<'_>, directory: &Path) -> Result<Exit, Refused> {
    let wrong = |text: String| (text, Exit::BadConfiguration);
    let Some(current) = peek.current_key() else {
        let text = format!(
            "There is no private key to rotate: neither {} nor {VARIABLE} names one. Make the first one with \
             `bb-runner keys generate`.",
            peek.shown.display()
        );
        return Err(wrong(text));
    };
    // With a current key that does not work, the runner would not start after the change either.
    for source in peek.keys() {
        check::read_key(&source, directory)
            .map_err(|text| wrong(format!("{text} Correct that first, then rotate.")))?;
    }
    let places = places(args, &current, directory);
    let written = files::make(&args.pair, peek, places)?;
    let plan = Plan::of(&written, &current, peek, directory);
    crate::say::text(&generate::described(&written));
    let exit = if args.write { plan.write(peek) } else { Exit::Success };
    if !args.write || exit != Exit::Success {
        say!("\nWhat to change, the newest key first:\n\n{}", plan.by_hand);
    }
    say!("{}", what_is_left(&written, &current, peek));
    Ok(exit)
}

/// Beside the current key, named after the day.
fn places(args: &RotateArgs, current: &KeySource, directory: &Path) -> Places {
    if let (Some(key), Some(certificate)) = (&args.pair.key, &args.pair.cert) {
        return Places { key: directory.join(key), certificate: directory.join(certificate) };
    }
    let folder = match (&args.pair.dir, &current.key) {
        (Some(folder), _) => directory.join(folder),
        (None, KeyPlace::File(file)) => directory.join(file).parent().unwrap_or(directory).to_owned(),
        (None, KeyPlace::Inline(_)) => directory.to_owned(),
    };
    let day = check::date(SystemTime::now());
    let named = |number: u32| {
        let suffix = if number == 1 { String::new() } else { format!("-{number}") };
        let name = |kind: &str| folder.join(format!("runner-{kind}-{day}{suffix}.pem"));
        Places { key: name("private"), certificate: name("certificate") }
    };
    let free = |places: &Places| !places.key.exists() && !places.certificate.exists();
    (1..1000).map(named).find(free).unwrap_or_else(|| named(1000))
}

/// What becomes of the configuration.
struct Plan {
    changes: Vec<Change>,
    /// The same, for a person.
    by_hand: String,
    /// What no file can be changed for.
    variable: Option<String>,
}

impl Plan {
    fn of(written: &Written, current: &KeySource, peek: &Peek<'_>, directory: &Path) -> Self {
        let old_text = old_text(current, peek, directory);
        let new = in_the_style_of(&old_text, &written.key, directory);
        let scalar = file_edit::scalar(&new);
        let (file, list) = (peek.key_name("privateKeyFile"), peek.key_name("privateKeyFiles"));
        let shown = peek.shown.display();
        let further = peek.further_keys();
        let listed_by_variable =
            further.iter().any(|key| key.setting == LIST_VARIABLE && matches!(key.key, KeyPlace::File(_)));
        let set = || Change::Set { path: spelled(peek, &file), text: new.clone() };
        let prepend = |texts: Vec<String>| Change::Prepend { path: spelled(peek, &list), texts };
        let files = || further.iter().filter_map(|key| as_file(&key.key));
        // It may have been put into the list already, as a public runner's keys are in both places.
        let listed = |old: &Path| files().any(|file| directory.join(file) == directory.join(old));
        let others = |old: &Path| {
            let mut paths: Vec<PathBuf> = Vec::new();
            for path in files().filter(|path| directory.join(path) != directory.join(old)) {
                if !paths.contains(path) {
                    paths.push(path.clone());
                }
            }
            paths
        };
        let rest = |old: &Path| {
            let mut lines = format!("  {file}: {scalar}\n  {list}:\n    - {}\n", file_edit::scalar(&old_text));
            for path in others(old) {
                let _ = writeln!(lines, "    - {}", file_edit::scalar(&path.to_string_lossy()));
            }
            format!("in {shown}:\n\n{lines}")
        };
        if peek.dialect == Dialect::Controller {
            return Self::of_controller(written, current, peek, directory);
        }
        match (&current.key, current.origin) {
            (KeyPlace::File(old), origin) if listed_by_variable || origin == Origin::Variable => {
                let new = written.key.display();
                let old = if origin == Origin::Default { directory.join(old) } else { old.clone() };
                let files: Vec<PathBuf> = [old.clone()].into_iter().chain(others(&old)).collect();
                let joined = files.iter().map(|file| file.to_string_lossy()).collect::<Vec<_>>().join(",");
                let by_hand =
                    format!("in the environment of the runner:\n\n  {VARIABLE}={new}\n  {LIST_VARIABLE}={joined}\n");
                let text = format!(
                    "The keys are set by variables, which no file can change. Set {VARIABLE} and {LIST_VARIABLE} as shown."
                );
                Self { changes: Vec::new(), by_hand, variable: Some(text) }
            }
            (KeyPlace::File(old), _) => {
                let by_hand = rest(old);
                let changes = if listed(old) { vec![set()] } else { vec![prepend(vec![old_text.clone()]), set()] };
                Self { changes, by_hand, variable: None }
            }
            (KeyPlace::Inline(_), _) => {
                let inline = current.setting.clone();
                let moved = peek.key_name("privateKeys");
                let by_hand = format!(
                    "in {shown}: give `{inline}` the name `{moved}` (it is read as a list of one; a file beats `{inline}`,\n\
                     so under its old name the key would no longer be used), and add\n\n  {file}: {scalar}\n"
                );
                let rename = Change::Rename { path: spelled(peek, &inline), name: "privateKeys".to_owned() };
                Self { changes: vec![rename, set()], by_hand, variable: None }
            }
        }
    }

    /// The controller registers itself, so the certificate changes with the key. Where both are files, they can be named anew.
    fn of_controller(written: &Written, current: &KeySource, peek: &Peek<'_>, directory: &Path) -> Self {
        let old_text = old_text(current, peek, directory);
        let old_certificate = peek.find("crypto.publicKeyFile").and_then(Node::text).unwrap_or_default().trim();
        let key = in_the_style_of(&old_text, &written.key, directory);
        let certificate = in_the_style_of(old_certificate, &written.certificate, directory);
        let moved = match &current.key {
            KeyPlace::File(_) => format!("  privateKeyFiles:\n    - {}\n", file_edit::scalar(&old_text)),
            KeyPlace::Inline(_) => "  privateKeys:\n    - (what stands in `crypto.privateKey` now)\n".to_owned(),
        };
        let by_hand = format!(
            "in {}, in place of `crypto.privateKey` and `crypto.publicKey` where they are, and before other keys in the list:\n\n  \
             crypto:\n    privateKeyFile: {}\n    publicKeyFile: {}\n{moved}",
            peek.shown.display(),
            file_edit::scalar(&key),
            file_edit::scalar(&certificate)
        );
        let both_files = peek.find("crypto.publicKeyFile").is_some() && current.origin == Origin::File;
        let changes = match &current.key {
            KeyPlace::File(_) if both_files => vec![
                Change::Prepend { path: "privateKeyFiles".to_owned(), texts: vec![old_text] },
                Change::Set { path: "crypto.privateKeyFile".to_owned(), text: key },
                Change::Set { path: "crypto.publicKeyFile".to_owned(), text: certificate },
            ],
            _ => Vec::new(),
        };
        Self { changes, by_hand, variable: None }
    }

    fn write(&self, peek: &Peek<'_>) -> Exit {
        if let Some(text) = &self.variable {
            logging::complain(text);
            return Exit::Failure;
        }
        let outline = peek.outline.as_ref();
        let written = match outline {
            Some(outline) if !self.changes.is_empty() => {
                file_edit::change(&outline.text, &self.changes).and_then(|text| file_edit::replace(&peek.file(), &text))
            }
            _ => Err(EditError::Shape),
        };
        match written {
            Ok(()) => {
                say!("\n{} was changed: the new key is the current one, the old ones stay.", peek.shown.display());
                Exit::Success
            }
            Err(error) => {
                let cause = std::error::Error::source(&error).map(|cause| format!(" ({cause})")).unwrap_or_default();
                logging::complain(&format!(
                    "The file {} was not changed: {error}{cause}. Change it by hand, as shown.",
                    peek.shown.display()
                ));
                Exit::Failure
            }
        }
    }
}

/// The file of the current key as it goes on the list. Where it was only found, nobody has to run in this folder again.
fn old_text(current: &KeySource, peek: &Peek<'_>, directory: &Path) -> String {
    let KeyPlace::File(old) = &current.key else { return String::new() };
    match current.origin {
        // As it is written there.
        Origin::File => peek.find(&current.setting).and_then(Node::text).unwrap_or_default().trim().to_owned(),
        Origin::Variable => old.to_string_lossy().into_owned(),
        Origin::Default => directory.join(old).to_string_lossy().into_owned(),
    }
}

/// A new file as the old one is written: relative to the working directory, if that one is.
fn in_the_style_of(old: &str, new: &Path, directory: &Path) -> String {
    let relative = !old.is_empty() && !old.starts_with(['/', '~', '$']);
    let new = if relative { new.strip_prefix(directory).unwrap_or(new) } else { new };
    new.to_string_lossy().into_owned()
}

fn as_file(key: &KeyPlace) -> Option<&PathBuf> {
    match key {
        KeyPlace::File(path) => Some(path),
        KeyPlace::Inline(_) => None,
    }
}

/// A key as the file spells it, where it is there.
fn spelled(peek: &Peek<'_>, path: &str) -> String {
    peek.find(path).map_or_else(|| path.to_owned(), |node| node.path.clone())
}

fn what_is_left(written: &Written, current: &KeySource, peek: &Peek<'_>) -> String {
    let old = match &current.key {
        KeyPlace::File(file) => file.clone(),
        KeyPlace::Inline(_) => PathBuf::from(format!("the key in `{}`", current.setting)),
    };
    format!(
        "\nWhat is left to do:\n\n\
         1. Restart every process of this runner with the new configuration. From then on it reads what is encrypted for\n   \
            either key. Do this before the next step, or runs with new secrets fail until it is done.\n\
         2. Upload the new certificate: `{}`, or paste it\n   \
            into the building block runner in meshStack. From then on meshStack encrypts for the new key.\n\
         3. Keep the old key ({}) configured. meshStack does not encrypt anew what it has: sensitive inputs of\n   \
            building blocks, and secrets of building block definitions (SSH keys, app keys, pipeline tokens), that were\n   \
            stored before step 2 stay readable for as long as the old key is configured.\n\
         4. To take the old key away: enter each of those inputs and secrets again in meshStack first. Runs whose secrets\n   \
            were not entered again fail afterwards, and say that no key fits.",
        peek.command(&format!("register --cert {}", quoted(&written.certificate))),
        old.display(),
    )
}
