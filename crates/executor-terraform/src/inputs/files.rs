//! `FILE` inputs: their content, as files in the working directory.

use std::fs;
use std::path::{Component, Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use runner_core::Failure;
use runner_core::meshstack_client::{Input, InputType};
use serde_json::Value;

use super::own_file;

/// Writes the content of every `FILE` input to the file named by its key, below `dir`.
///
/// A file of the repository is overwritten, with a note. Through a link that stays in the working
/// directory the file behind it is.
pub(super) fn write(inputs: &[Input], dir: &Path, note: &mut dyn FnMut(String)) -> Result<(), Failure> {
    for input in inputs.iter().filter(|input| input.kind == InputType::File) {
        let key = &input.key;
        if input.environment {
            return Err(Failure::new(format!(
                "The input `{key}` is a file and cannot be an environment variable. \
                 Ask the platform team to turn off \"environment variable\" for it."
            )));
        }
        let content = decode(key, &input.value)?;
        let (target, exists) = place(dir, key)?;
        if exists {
            note(format!("The file {key} of the repository is overwritten by the input of that name."));
        }
        own_file::replace(&target, &content).map_err(|e| {
            Failure::because(
                format!(
                    "The file of the input `{key}` could not be written. Ask the platform team to look at its name \
                     and at the runner's disk."
                ),
                e,
            )
        })?;
    }
    Ok(())
}

/// The bytes of a data URL, `data:<type>;base64,<content>`.
fn decode(key: &str, value: &Value) -> Result<Vec<u8>, Failure> {
    let broken = |what: &str| {
        Failure::new(format!(
            "The file of the input `{key}` cannot be read: {what}. \
             Choose the file again, or give its content as `data:text/plain;base64,…`."
        ))
    };
    let url = match value {
        Value::String(url) => url,
        Value::Null => return Err(broken("it has no value")),
        _ => return Err(broken("its value is no text")),
    };
    let content = url
        .strip_prefix("data:")
        .and_then(|rest| rest.split_once(";base64,"))
        .map(|(_, content)| content)
        .ok_or_else(|| broken("its value is no data URL"))?;
    let content: String = content.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
    STANDARD.decode(content).map_err(|_| broken("its content is no base64"))
}

/// Where the file goes, and whether there is one already.
fn place(dir: &Path, key: &str) -> Result<(PathBuf, bool), Failure> {
    let refused = |what: &str| {
        Failure::new(format!(
            "The input `{}` cannot be written as a file: {what}. \
             Ask the platform team to name it after a file in an existing folder of the module.",
            key.escape_debug()
        ))
    };
    let leaves = || refused("its name leaves the working directory");

    if key.chars().any(char::is_control) || key.ends_with('/') || key.ends_with("/.") {
        return Err(refused("its name is no file name"));
    }
    let path = Path::new(key);
    for component in path.components() {
        match component {
            Component::Normal(_) | Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return Err(leaves()),
        }
    }
    let (Some(name), Some(folder)) = (path.file_name(), path.parent()) else {
        return Err(refused("its name is no file name"));
    };

    let root = dir.canonicalize().map_err(|_| refused("the working directory is gone"))?;
    let folder = root.join(folder).canonicalize().ok().filter(|folder| folder.is_dir());
    let folder = folder.ok_or_else(|| refused("there is no such folder"))?;
    if !folder.starts_with(&root) {
        return Err(leaves());
    }
    let target = folder.join(name);
    let Ok(found) = fs::symlink_metadata(&target) else { return Ok((target, false)) };
    if found.is_symlink() {
        let behind = target.canonicalize().map_err(|_| refused("it is a link to nowhere"))?;
        return if behind.starts_with(&root) && behind.is_file() { Ok((behind, true)) } else { Err(leaves()) };
    }
    if !found.is_file() {
        return Err(refused("there is a folder of that name"));
    }
    Ok((target, true))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::path::Path;

    use runner_core::meshstack_client::{Input, InputType};
    use serde_json::{Value, json};
    use tempfile::TempDir;

    use super::write;

    fn file(key: &str, value: Value) -> Input {
        Input { key: key.to_owned(), value, kind: InputType::File, sensitive: true, environment: false }
    }

    fn run(dir: &Path, inputs: &[Input]) -> Result<Vec<String>, String> {
        let mut notes = Vec::new();
        write(inputs, dir, &mut |note| notes.push(note)).map_err(|e| e.user_message().to_owned())?;
        Ok(notes)
    }

    fn working_directory() -> TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("sub")).unwrap();
        fs::write(dir.path().join("there.txt"), "old").unwrap();
        fs::set_permissions(dir.path().join("there.txt"), fs::Permissions::from_mode(0o644)).unwrap();
        dir
    }

    #[test]
    fn the_bytes_of_the_data_url_are_written_for_the_runner_alone() {
        let dir = working_directory();
        let notes = run(
            dir.path(),
            &[
                file("motd.txt", json!("data:text/plain;base64,aGkK")),
                file("sub/raw", json!("data:application/x;name=a,b;base64,AP8=\r\n")),
                file("./empty", json!("data:;base64,")),
                file("there.txt", json!("data:text/plain;base64,bmV3")),
            ],
        );
        assert_eq!(notes.unwrap(), ["The file there.txt of the repository is overwritten by the input of that name."]);
        for (name, content) in
            [("motd.txt", &b"hi\n"[..]), ("sub/raw", &[0, 255]), ("empty", b""), ("there.txt", b"new")]
        {
            let path = dir.path().join(name);
            assert_eq!(fs::read(&path).unwrap(), content, "{name}");
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "{name}");
        }
    }

    #[test]
    fn a_name_that_leaves_the_working_directory_fails_the_run() {
        let outside = tempfile::tempdir().unwrap();
        let victim = outside.path().join("victim");
        fs::write(&victim, "untouched").unwrap();
        let dir = working_directory();
        symlink(outside.path(), dir.path().join("out")).unwrap();
        symlink(&victim, dir.path().join("link")).unwrap();
        symlink(outside.path().join("new"), dir.path().join("dangling")).unwrap();
        let absolute = victim.to_str().unwrap().to_owned();
        for key in [
            "../x",
            "sub/../../x",
            "sub/../x",
            &absolute,
            "out/x",
            "out/victim",
            "link",
            "dangling",
            "",
            ".",
            "..",
            "sub",
            "sub/",
            "sub/.",
            "no/such",
            "a\0b",
            "there.txt/x",
        ] {
            let message = run(dir.path(), &[file(key, json!("data:;base64,aGkK"))]).unwrap_err();
            assert!(message.contains("cannot be written as a file"), "{key}: {message}");
        }
        assert_eq!(fs::read_to_string(&victim).unwrap(), "untouched");
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_link_that_stays_inside_leads_to_its_file() {
        let dir = working_directory();
        symlink("sub", dir.path().join("alias")).unwrap();
        symlink("../there.txt", dir.path().join("sub/link")).unwrap();
        run(dir.path(), &[file("alias/link", json!("data:;base64,aGkK"))]).unwrap();
        assert_eq!(fs::read_to_string(dir.path().join("there.txt")).unwrap(), "hi\n");
    }

    #[test]
    fn a_value_that_is_no_data_url_fails_the_run_and_is_not_shown() {
        let dir = working_directory();
        for value in [
            json!(null),
            json!(5),
            json!("s3cret"),
            json!("data:text/plain,s3cret"),
            json!("x data:;base64,aGkK"),
            json!("data:;base64,s3cret!"),
        ] {
            let message = run(dir.path(), &[file("f", value)]).unwrap_err();
            assert!(message.contains("`f`") && !message.contains("s3cret"), "{message}");
        }
    }

    #[test]
    fn a_file_cannot_be_an_environment_variable() {
        let dir = working_directory();
        let input = Input { environment: true, ..file("f", json!("data:;base64,aGkK")) };
        let message = run(dir.path(), &[input]).unwrap_err();
        assert!(message.contains("cannot be an environment variable"), "{message}");
        assert!(!dir.path().join("f").exists());
    }
}
