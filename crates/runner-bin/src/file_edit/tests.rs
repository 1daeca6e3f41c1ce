use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::{Change, EditError, Outline, change, replace, scalar};

fn set(path: &str, text: &str) -> Change {
    Change::Set { path: path.to_owned(), text: text.to_owned() }
}

fn prepend(path: &str, texts: &[&str]) -> Change {
    Change::Prepend { path: path.to_owned(), texts: texts.iter().map(ToString::to_string).collect() }
}

#[track_caller]
fn changed(before: &str, made: Change, after: &str) {
    assert_eq!(change(before, &[made]).unwrap(), after);
}

#[test]
fn a_value_is_replaced_and_everything_else_stays() {
    changed(
        "# ours\r\nrunnerUuid: 'old'   # do not touch\r\napi:\r\n    url:   http://x\r\n",
        set("runnerUuid", "new"),
        "# ours\r\nrunnerUuid: new   # do not touch\r\napi:\r\n    url:   http://x\r\n",
    );
    changed("runnerUuid: # later\nä: ö\n", set("runnerUuid", "new"), "runnerUuid: new # later\nä: ö\n");
    changed("ä: ö\nrunnerUuid: ~\n", set("runnerUuid", "new"), "ä: ö\nrunnerUuid: new\n");
    changed("runnerUuid:\napi: {}\n", set("runnerUuid", "new"), "runnerUuid: new\napi: {}\n");
    changed("runnerUuid: \"a\"", set("runnerUuid", "it's"), "runnerUuid: 'it''s'");
}

#[test]
fn a_missing_key_is_added_at_the_end_or_as_the_first_of_its_mapping() {
    changed("api:\n  url: x\n# end\n", set("runnerUuid", "new"), "api:\n  url: x\n# end\nrunnerUuid: new\n");
    changed("api:\n  url: x", set("runnerUuid", "new"), "api:\n  url: x\nrunnerUuid: new\n");
    changed("", set("runnerUuid", "new"), "runnerUuid: new\n");
    changed("a: &x b\nc: *x\n", set("runnerUuid", "new"), "a: &x b\nc: *x\nrunnerUuid: new\n");
    changed("# only this\n", set("runnerUuid", "new"), "# only this\nrunnerUuid: new\n");
    changed(
        "blockrunner: # ours\n    # where\n    api:\n        url: x\nother: y\n",
        set("blockrunner.uuid", "new"),
        "blockrunner: # ours\n    uuid: new\n    # where\n    api:\n        url: x\nother: y\n",
    );
}

#[test]
fn a_list_gets_its_new_entries_in_front_in_the_way_it_is_written() {
    changed("a: b\n", prepend("keys", &["n", "o"]), "a: b\nkeys:\n  - n\n  - o\n");
    changed("keys:\n- o # old\n- p\n", prepend("keys", &["n"]), "keys:\n- n\n- o # old\n- p\n");
    changed("keys:\n    -   o\n", prepend("keys", &["n"]), "keys:\n    -   n\n    -   o\n");
    changed("keys: [ 'o' ] # x\n", prepend("keys", &["n"]), "keys: [n,  'o' ] # x\n");
    changed("keys: []\n", prepend("keys", &["n"]), "keys: [n]\n");
    changed("keys: o # x\n", prepend("keys", &["n"]), "keys: [n, o] # x\n");
    changed("keys:\nb: c\n", prepend("keys", &["n"]), "keys: [n]\nb: c\n");
    changed(
        "blockrunner:\n  uuid: u\n",
        prepend("blockrunner.keys", &["n"]),
        "blockrunner:\n  keys:\n    - n\n  uuid: u\n",
    );
}

#[test]
fn a_key_is_renamed_and_its_value_stays_as_it_is_written() {
    let rename = || Change::Rename { path: "privateKey".to_owned(), name: "privateKeys".to_owned() };
    let before = "privateKey: |\n  -----BEGIN\n  x\n# end\n";
    assert_eq!(change(before, &[rename()]).unwrap(), "privateKeys: |\n  -----BEGIN\n  x\n# end\n");
    let taken = change("privateKey: x\nprivateKeys: [y]\n", &[rename()]);
    assert!(matches!(taken, Err(EditError::Shape)));
}

#[test]
fn what_cannot_be_changed_safely_is_left_alone() {
    for (before, made) in [
        ("{runnerUuid: {a: b}}\n", set("runnerUuid", "new")),
        ("{api: x}\n", set("runnerUuid", "new")),
        ("blockrunner: {uuid: &a x, other: *a}\n", set("blockrunner.other", "new")),
        ("a: 'open\n", set("a", "new")),
        ("a: b\n...\n", set("c", "new")),
        ("blockrunner: {api: x}\n", set("blockrunner.uuid", "new")),
        ("keys: {a: b}\n", prepend("keys", &["n"])),
        ("keys:\n  - [a]\n", prepend("keys", &["n"])),
        ("a: &x b\nc: *x\n", set("c", "new")),
        ("a: &x b\nc: *x\n", set("a", "new")),
        ("blockrunner: &x\n  api: y\nother: *x\n", set("blockrunner.uuid", "new")),
        ("a: &x [b]\nc: *x\n", prepend("a", &["n"])),
    ] {
        let made_of = change(before, std::slice::from_ref(&made));
        assert!(matches!(made_of, Err(EditError::Shape)), "{before:?} {made:?} gave {made_of:?}");
    }
}

#[test]
fn a_scalar_is_quoted_where_yaml_could_read_something_else() {
    for text in ["a b", "", "#x", "true", "1e3", "-a", "a: b", "'", "…", "null", "12"] {
        let file = format!("k: {}\n", scalar(text));
        assert_eq!(Outline::of(&file).unwrap().find("k").and_then(super::Node::text), Some(text), "{file}");
    }
    assert_eq!(scalar("/etc/bb-runner/runner-private.pem"), "/etc/bb-runner/runner-private.pem");
    assert_eq!(scalar("7f3c9b1e-0d52-4c5a-9a64-3f1f0c1f7a10"), "7f3c9b1e-0d52-4c5a-9a64-3f1f0c1f7a10");
}

#[test]
fn a_file_that_is_replaced_keeps_its_mode_and_stays_behind_its_link() {
    let folder = tempfile::tempdir().unwrap();
    let (file, link) = (folder.path().join("real.yml"), folder.path().join("link.yml"));
    fs::write(&file, "old").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    std::os::unix::fs::symlink("real.yml", &link).unwrap();
    replace(&link, "new").unwrap();
    assert_eq!(fs::read_to_string(&file).unwrap(), "new");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
    assert!(fs::symlink_metadata(&link).unwrap().file_type().is_symlink());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "nothing is left behind");
    assert!(matches!(replace(&folder.path().join("missing"), "x"), Err(EditError::Io(_))));
}
