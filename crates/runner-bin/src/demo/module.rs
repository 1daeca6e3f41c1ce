//! The Terraform module to order, as a git repository that the runner can clone.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// The module that ships with the program.
const SHIPPED: &str = include_str!("module/main.tf");

/// Where the runner finds a module.
#[derive(Debug)]
pub(super) struct Module {
    /// What people call it.
    pub name: String,
    pub repository_url: String,
    pub repository_path: Option<String>,
    pub reference: Option<String>,
    /// The repository that was made for it, if one was.
    _made: Option<TempDir>,
}

/// The module that ships with the program, in a repository of its own.
pub(super) fn shipped() -> Result<Module, String> {
    let made = super::private_folder().map_err(|error| no_folder(&error))?;
    fs::write(made.path().join("main.tf"), SHIPPED).map_err(|error| no_folder(&error))?;
    commit(made.path())?;
    Ok(Module {
        name: "Demo application".to_owned(),
        repository_url: file_url(made.path()),
        repository_path: None,
        reference: None,
        _made: Some(made),
    })
}

/// The user's own module: a folder, or a git URL.
pub(super) fn users(module: &str, reference: Option<&str>, path: Option<&str>) -> Result<Module, String> {
    let folder = Path::new(module);
    if !folder.exists() {
        if module.contains("://") || module.starts_with("git@") {
            let name = module.trim_end_matches('/').rsplit(['/', ':']).next().unwrap_or(module);
            return Ok(Module {
                name: name.trim_end_matches(".git").to_owned(),
                repository_url: module.to_owned(),
                repository_path: path.map(str::to_owned),
                reference: reference.map(str::to_owned),
                _made: None,
            });
        }
        return Err(format!(
            "The module {module} does not exist. Name a folder, or a git URL such as https://host/repository.git."
        ));
    }
    let folder = folder.canonicalize().map_err(|error| format!("The module {module} cannot be read ({error})."))?;
    if !folder.is_dir() {
        return Err(format!("The module {module} is a file. Name the folder that it is in."));
    }
    let name = folder.file_name().unwrap_or(OsStr::new("module")).to_string_lossy().into_owned();
    local(&folder, name, reference, path)
}

/// A folder: in a git working tree, that tree; else the folder itself.
fn local(folder: &Path, name: String, reference: Option<&str>, path: Option<&str>) -> Result<Module, String> {
    let top = git_says(folder, &["rev-parse", "--show-toplevel"]).map(PathBuf::from);
    let bare = top.is_none() && git_says(folder, &["rev-parse", "--is-bare-repository"]).as_deref() == Some("true");
    let inside = top.as_ref().and_then(|top| folder.strip_prefix(top).ok()).unwrap_or(Path::new(""));
    // Collected from its parts, so that an absent part leaves no slash behind.
    let inside: PathBuf =
        inside.components().chain(Path::new(path.unwrap_or_default().trim_start_matches('/')).components()).collect();
    if inside.components().any(|part| part == Component::ParentDir) {
        return Err("--path must name a folder in the module's repository, without `..`.".to_owned());
    }
    let repository_path = Some(inside.to_string_lossy().into_owned()).filter(|path| !path.is_empty());
    let reference = reference.map(str::to_owned);
    if bare || reference.is_some() {
        let Some(root) = top.as_deref().or(bare.then_some(folder)) else {
            return Err(format!(
                "{} is no git repository, so it has no --ref. Leave the option out.",
                folder.display()
            ));
        };
        return Ok(Module { name, repository_url: file_url(root), repository_path, reference, _made: None });
    }
    let made = super::private_folder().map_err(|error| no_folder(&error))?;
    let copied = match &top {
        Some(top) => copy_working_tree(top, made.path()),
        None => copy_folder(folder, made.path()),
    };
    copied.map_err(|error| format!("The module {} cannot be copied ({error}).", folder.display()))?;
    let module = made.path().join(&inside);
    if !holds_terraform(&module) {
        let shown = path.map_or_else(|| folder.to_owned(), |path| folder.join(path.trim_start_matches('/')));
        return Err(format!(
            "There is no Terraform file (*.tf) in {}. Name the folder of the module.",
            shown.display()
        ));
    }
    commit(made.path())?;
    Ok(Module { name, repository_url: file_url(made.path()), repository_path, reference, _made: Some(made) })
}

fn holds_terraform(folder: &Path) -> bool {
    let named = |name: &OsStr| {
        Path::new(name).extension().is_some_and(|e| e == "tf") || name.to_string_lossy().ends_with(".tf.json")
    };
    fs::read_dir(folder).is_ok_and(|files| files.flatten().any(|file| named(&file.file_name())))
}

/// What git knows of the working tree and what it does not know yet, but not what it is told to ignore.
fn copy_working_tree(top: &Path, to: &Path) -> io::Result<()> {
    let listed = Command::new("git")
        .arg("-C")
        .arg(top)
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .stderr(Stdio::null())
        .output()?;
    for name in listed.stdout.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let name = Path::new(std::str::from_utf8(name).map_err(io::Error::other)?);
        // What was deleted and not committed is listed, and so are submodules; neither is a file.
        let from = top.join(name);
        if fs::symlink_metadata(&from).is_ok_and(|found| !found.is_dir()) {
            let target = to.join(name);
            if let Some(parent) = target.parent() {
                fs::create_dir_all(parent)?;
            }
            copy_file(&from, &target)?;
        }
    }
    Ok(())
}

/// A folder without git: all of it, but for what Terraform itself leaves in it.
fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    for file in fs::read_dir(from)? {
        let file = file?;
        let name = file.file_name();
        let shown = name.to_string_lossy();
        if shown == ".git" || shown == ".terraform" || shown.contains(".tfstate") {
            continue;
        }
        let target = to.join(&name);
        if file.file_type()?.is_dir() {
            fs::create_dir(&target)?;
            copy_folder(&file.path(), &target)?;
        } else {
            copy_file(&file.path(), &target)?;
        }
    }
    Ok(())
}

/// A link stays a link. Pipes and devices are left out.
fn copy_file(from: &Path, to: &Path) -> io::Result<()> {
    let kind = fs::symlink_metadata(from)?.file_type();
    if kind.is_symlink() {
        std::os::unix::fs::symlink(fs::read_link(from)?, to)
    } else if kind.is_file() {
        fs::copy(from, to).map(drop)
    } else {
        Ok(())
    }
}

/// Makes a folder a repository with one commit. The user's own git configuration (hooks, signing) stays out of it.
fn commit(folder: &Path) -> Result<(), String> {
    let steps: [&[&str]; 3] = [
        &["init", "--quiet", "--initial-branch=main"],
        &["add", "--all", "--force"],
        &["commit", "--quiet", "--allow-empty", "--no-verify", "--message", "Module"],
    ];
    for arguments in steps {
        let done = Command::new("git")
            .current_dir(folder)
            .args(["-c", "user.name=bb-runner demo", "-c", "user.email=demo@localhost", "-c", "core.autocrlf=false"])
            .args(arguments)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env_remove("GIT_DIR")
            .env_remove("GIT_WORK_TREE")
            .env_remove("GIT_INDEX_FILE")
            .stdin(Stdio::null())
            .output();
        match done {
            Ok(done) if done.status.success() => {}
            Ok(done) => {
                let said = String::from_utf8_lossy(&done.stderr);
                return Err(format!("git cannot make a repository for the module: {}", said.trim()));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(
                    "git is not installed, and Terraform modules are cloned with it. Install git and try again."
                        .to_owned(),
                );
            }
            Err(error) => return Err(format!("git cannot be started ({error}).")),
        }
    }
    Ok(())
}

fn git_says(folder: &Path, arguments: &[&str]) -> Option<String> {
    let said = Command::new("git").arg("-C").arg(folder).args(arguments).stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8(said.stdout).ok()?.trim_end_matches('\n').to_owned();
    (said.status.success() && !text.is_empty()).then_some(text)
}

fn file_url(path: &Path) -> String {
    let harmless = |byte: u8| byte.is_ascii_alphanumeric() || b"/-_.~".contains(&byte);
    let part = |byte: u8| if harmless(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    let path: String = path.to_string_lossy().bytes().map(part).collect();
    format!("file://{path}")
}

fn no_folder(error: &io::Error) -> String {
    format!("No temporary folder can be written ({error}). Free some space, or set TMPDIR to another folder.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn git(folder: &Path, arguments: &[&str]) {
        let quiet = [("GIT_CONFIG_GLOBAL", "/dev/null"), ("GIT_CONFIG_NOSYSTEM", "1")];
        let author = ["-c", "user.name=test", "-c", "user.email=test@localhost"];
        let done = Command::new("git").current_dir(folder).args(author).args(arguments).envs(quiet).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }

    /// The files that a clone of the module has.
    fn cloned(module: &Module) -> Vec<String> {
        let to = tempfile::tempdir().unwrap();
        git(to.path(), &["clone", "--quiet", &module.repository_url, "checkout"]);
        let listed = git_says(&to.path().join("checkout"), &["ls-files"]).unwrap();
        listed.lines().map(str::to_owned).collect()
    }

    #[test]
    fn the_shipped_module_is_a_repository() {
        assert_eq!(cloned(&shipped().unwrap()), ["main.tf"]);
    }

    #[test]
    fn a_folder_without_git_is_copied_but_for_what_terraform_left_in_it() {
        let folder = tempfile::Builder::new().prefix("with space ").tempdir().unwrap();
        for name in [
            "main.tf",
            ".terraform.lock.hcl",
            "terraform.tfstate",
            "terraform.tfstate.backup",
            "files/a.txt",
            ".terraform/x",
        ] {
            fs::create_dir_all(folder.path().join(name).parent().unwrap()).unwrap();
            fs::write(folder.path().join(name), "").unwrap();
        }
        let module = users(folder.path().to_str().unwrap(), None, None).unwrap();
        assert_eq!(cloned(&module), [".terraform.lock.hcl", "files/a.txt", "main.tf"]);
        assert_eq!(module.repository_path, None);
    }

    #[test]
    fn a_working_tree_goes_whole_and_with_its_uncommitted_changes() {
        let tree = tempfile::tempdir().unwrap();
        git(tree.path(), &["init", "--quiet"]);
        fs::create_dir_all(tree.path().join("modules/app")).unwrap();
        fs::write(tree.path().join("modules/app/main.tf"), "old").unwrap();
        fs::write(tree.path().join("gone.tf"), "").unwrap();
        fs::write(tree.path().join(".gitignore"), "secret.txt\n").unwrap();
        git(tree.path(), &["add", "."]);
        git(tree.path(), &["commit", "--quiet", "-m", "x"]);
        fs::write(tree.path().join("modules/app/main.tf"), "new").unwrap();
        fs::write(tree.path().join("modules/app/more.tf"), "").unwrap();
        fs::write(tree.path().join("secret.txt"), "").unwrap();
        fs::remove_file(tree.path().join("gone.tf")).unwrap();

        let module = users(tree.path().join("modules/app").to_str().unwrap(), None, None).unwrap();
        assert_eq!(cloned(&module), [".gitignore", "modules/app/main.tf", "modules/app/more.tf"]);
        assert_eq!(module.repository_path.as_deref(), Some("modules/app"));
        let copied = module.repository_url.strip_prefix("file://").unwrap();
        assert_eq!(fs::read_to_string(Path::new(copied).join("modules/app/main.tf")).unwrap(), "new");

        let committed = users(tree.path().to_str().unwrap(), Some("HEAD"), Some("modules/app")).unwrap();
        assert_eq!(cloned(&committed), [".gitignore", "gone.tf", "modules/app/main.tf"]);
        assert_eq!(committed.repository_path.as_deref(), Some("modules/app"));
    }

    #[test]
    fn an_url_is_handed_on_as_it_is() {
        let module = users("https://example.com/group/network.git", Some("v1"), Some("modules/a")).unwrap();
        assert_eq!((module.name.as_str(), module.reference.as_deref()), ("network", Some("v1")));
        assert_eq!(module.repository_url, "https://example.com/group/network.git");
        assert_eq!(module.repository_path.as_deref(), Some("modules/a"));
    }

    #[test]
    fn what_is_no_module_is_refused_with_a_sentence() {
        let empty = tempfile::tempdir().unwrap();
        let name = empty.path().to_str().unwrap();
        let refusal = |module, reference, path| users(module, reference, path).unwrap_err().replace(name, "FOLDER");
        insta::assert_snapshot!(refusal("/no/where", None, None), @"The module /no/where does not exist. Name a folder, or a git URL such as https://host/repository.git.");
        insta::assert_snapshot!(refusal(name, None, None), @"There is no Terraform file (*.tf) in FOLDER. Name the folder of the module.");
        insta::assert_snapshot!(refusal(name, Some("v1"), None), @"FOLDER is no git repository, so it has no --ref. Leave the option out.");
        insta::assert_snapshot!(refusal(name, None, Some("../up")), @"--path must name a folder in the module's repository, without `..`.");
    }
}
