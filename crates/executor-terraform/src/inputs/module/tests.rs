use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use tempfile::TempDir;

use super::{MAX_FILE_BYTES, Module};

fn module(files: &[(&str, &str)]) -> (TempDir, Module) {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(dir.path().join(name), text).unwrap();
    }
    let module = Module::scan(dir.path());
    (dir, module)
}

#[test]
fn variables_of_hcl_and_json_files_are_found_with_the_text_of_their_type() {
    let (_dir, module) = module(&[
        (
            "main.tf",
            "\u{feff}variable \"a\" {\r\n  type = string # text\r\n}\r\nvariable b { type = list( string ) }\n\
             variable \"c\" {}\nvariable \"q\" {\n  type = \"string\"\n}\n\
             resource \"x\" \"y\" {\n  variable \"no\" {\n  }\n}\n",
        ),
        (
            "more.tf.json",
            r#"[{"variable": {"d": {"type": "string"}}}, {"variable": [{"e": [{"type": "number"}]}, {"f": {}}]}]"#,
        ),
        ("notes.txt", "variable \"g\" {}"),
        (".hidden.tf", "variable \"h\" {}"),
    ]);
    for name in ["a", "b", "c", "d", "e", "f", "q"] {
        assert!(module.declares(name), "{name}");
    }
    for name in ["no", "g", "h", "string"] {
        assert!(!module.declares(name), "{name}");
    }
    let text: Vec<&str> =
        ["a", "b", "c", "d", "e", "f", "q"].into_iter().filter(|name| module.wants_text(name)).collect();
    assert_eq!(text, ["a", "d"]);
    assert_eq!(module.warnings(), &[] as &[String]);
    assert_eq!(module.backend(), None);
}

#[test]
fn an_override_file_changes_only_what_it_says() {
    let (_dir, module) = module(&[
        ("a_override.tf", "variable \"x\" { type = string }\nvariable \"y\" { default = 1 }"),
        ("main.tf", "variable \"x\" { type = any }\nvariable \"y\" { type = string }"),
    ]);
    assert!(module.wants_text("x") && module.wants_text("y"));
}

#[test]
fn a_backend_is_found_in_either_syntax() {
    for (name, text, backend) in [
        ("a.tf", "terraform {\n  backend \"s3\" {}\n}", Some("s3")),
        ("a.tf", "terraform {\n  backend \"local\" { path = \"x\" }\n}", Some("local")),
        ("a.tf", "terraform {\n  cloud {\n    organization = \"o\"\n  }\n}", Some("cloud")),
        ("a.tf", "terraform {\n  required_version = \">= 1\"\n}", None),
        ("a.tf", "# terraform { backend \"s3\" {} }\nlocals {\n  backend = 1\n}", None),
        ("a.tf.json", r#"{"terraform": {"backend": {"gcs": {}}}}"#, Some("gcs")),
        ("a.tf.json", r#"[{"terraform": [{"required_version": "1"}, {"backend": [{"http": [{}]}]}]}]"#, Some("http")),
        ("a.tf.json", r#"{"terraform": {"cloud": {}}}"#, Some("cloud")),
        ("a.tf.json", r#"{"terraform": {"backend": {}, "cloud": null}}"#, None),
        ("override.tf", "terraform {\n  backend \"azurerm\" {}\n}", Some("azurerm")),
    ] {
        let (_dir, module) = module(&[("z.tf", "terraform {}"), (name, text)]);
        assert_eq!(module.backend(), backend, "{text}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_a_warning_and_the_others_count() {
    let (dir, module) = module(&[
        ("a.tf", "variable \"a\" {"),
        ("b.tf.json", "{"),
        ("c.tf", "variable \"c\" { type = string }"),
        ("e.tf", &format!("a = {}1{}", "[".repeat(1 << 20), "]".repeat(1 << 20))),
        ("f.tf.json", &"[".repeat(1 << 20)),
        ("g.tf", &" ".repeat(usize::try_from(MAX_FILE_BYTES).unwrap() + 1)),
    ]);
    fs::write(dir.path().join("d.tf"), [0xff, 0xfe]).unwrap();
    fs::create_dir(dir.path().join("h.tf")).unwrap();
    assert!(module.wants_text("c"));
    let named: Vec<&str> = module.warnings().iter().map(|w| w.split(' ').nth(1).unwrap()).collect();
    assert_eq!(named, ["a.tf", "b.tf.json", "d.tf", "e.tf", "f.tf.json", "g.tf", "h.tf"]);
    assert!(module.warnings()[0].contains("line 1"), "{}", module.warnings()[0]);
}

#[test]
fn a_link_is_followed_inside_the_repository_only() {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret.tf"), "variable \"secret\" {}").unwrap();
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("modules/demo");
    fs::create_dir_all(&dir).unwrap();
    fs::create_dir(root.path().join(".git")).unwrap();
    fs::write(root.path().join("shared.tf"), "variable \"shared\" {}").unwrap();
    symlink("../../shared.tf", dir.join("shared.tf")).unwrap();
    symlink(outside.path().join("secret.tf"), dir.join("secret.tf")).unwrap();
    symlink("nowhere.tf", dir.join("dangling.tf")).unwrap();

    let module = Module::scan(&dir);
    assert!(module.declares("shared"));
    assert!(!module.declares("secret"));
    assert_eq!(module.warnings().len(), 2);
}

#[test]
fn a_file_written_after_the_module_was_named_counts() {
    let (dir, module) = module(&[]);
    fs::write(dir.path().join("late.tf"), "terraform {\n  backend \"pg\" {}\n}").unwrap();
    assert_eq!(module.backend(), Some("pg"));
}

#[test]
fn a_missing_folder_declares_nothing() {
    let module = Module::scan(Path::new("/nonexistent/module"));
    assert!(!module.declares("a"));
}
