//! The module's folder in the checkout.
//!
//! The whole checkout stays: a module may reach through `../` for what lies beside it.

use std::path::{Component, Path, PathBuf};

use runner_core::Failure;

/// A `repositoryPath`, relative to the checkout's root; empty for the root itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// Reads a `repositoryPath`: absent, empty, `.` and `/` are the root, a leading `/` is the
    /// checkout's root. One that leads out of the checkout is refused.
    pub(super) fn parse(text: Option<&str>) -> Result<Self, Failure> {
        let text = text.unwrap_or_default().trim();
        if text.chars().any(char::is_control) {
            return Err(leaves(text));
        }
        let mut folder = PathBuf::new();
        for component in Path::new(text).components() {
            match component {
                Component::Normal(name) => folder.push(name),
                Component::ParentDir => {
                    // Out of the root; and `..` behind a link is not where it seems to lead.
                    if !folder.pop() {
                        return Err(leaves(text));
                    }
                }
                Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
            }
        }
        Ok(Self(folder))
    }

    /// The folder below this root, with all links resolved.
    pub(super) fn find(&self, root: &Path, of: &dyn std::fmt::Display) -> Result<PathBuf, Failure> {
        let shown = self.0.display();
        let root = root.canonicalize().map_err(|e| {
            Failure::because("The downloaded sources are gone. Ask the platform team to look at the runner's disk.", e)
        })?;
        let found = root.join(&self.0).canonicalize().map_err(|e| {
            Failure::because(
                format!(
                    "There is no folder `{shown}` in {of}. Check the path and the ref in the building block definition."
                ),
                e,
            )
        })?;
        if !found.starts_with(&root) {
            return Err(leaves(&shown.to_string()));
        }
        if !found.is_dir() {
            return Err(Failure::new(format!(
                "`{shown}` in {of} is not a folder. Set the path in the building block definition to the folder that \
                 holds the module."
            )));
        }
        Ok(found)
    }
}

fn leaves(path: &str) -> Failure {
    Failure::new(format!(
        "The path `{}` leads out of the repository. \
         Ask the platform team to correct it in the building block definition.",
        path.escape_debug()
    ))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::Folder;

    #[test]
    fn the_root_has_many_names() {
        for root in [None, Some(""), Some("."), Some("/"), Some("./"), Some("//"), Some(" / "), Some("a/..")] {
            assert_eq!(Folder::parse(root).unwrap().0.as_os_str(), "", "{root:?}");
        }
        for folder in ["modules/demo", "/modules/demo", "./modules//demo/", "modules/x/../demo"] {
            assert_eq!(Folder::parse(Some(folder)).unwrap().0.as_os_str(), "modules/demo", "{folder}");
        }
    }

    #[test]
    fn a_path_out_of_the_repository_is_refused() {
        for hostile in ["..", "../x", "/..", "a/../../x", "/../../etc", "a\0b", "a\nb"] {
            let failure = Folder::parse(Some(hostile)).unwrap_err();
            assert!(failure.user_message().contains("leads out of the repository"), "{failure}");
        }
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("checkout");
        fs::create_dir_all(root.join("real/module")).unwrap();
        fs::create_dir(dir.path().join("checkout-beside")).unwrap();
        symlink("/", root.join("absolute")).unwrap();
        symlink("../checkout-beside", root.join("beside")).unwrap();
        symlink("real/module", root.join("inside")).unwrap();
        for hostile in ["absolute/etc", "absolute", "beside"] {
            let failure = Folder::parse(Some(hostile)).unwrap().find(&root, &"r").unwrap_err();
            assert!(failure.user_message().contains("leads out of the repository"), "{failure}");
        }
        let found = Folder::parse(Some("inside")).unwrap().find(&root, &"r").unwrap();
        assert!(found.ends_with("checkout/real/module"), "{found:?}");
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("file"), "").unwrap();
        let message =
            |path| Folder::parse(Some(path)).unwrap().find(dir.path(), &"https://h/r at main").unwrap_err().to_string();
        assert!(message("modules/x").starts_with("There is no folder `modules/x` in https://h/r at main."));
        assert!(message("file").starts_with("`file` in https://h/r at main is not a folder."));
    }
}
