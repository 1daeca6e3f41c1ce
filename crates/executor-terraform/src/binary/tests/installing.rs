//! What is found, and what is installed.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use super::maker::zip;
use super::mirror::Answer;
use super::world::{PROGRAM, Paths, World, names};

#[tokio::test]
async fn opentofu_is_installed_under_the_name_terraform_with_a_link_beside_it() {
    let world = World::new().await;
    let paths = world.release("1.9.0");
    let told = world.get("1.9.0").await;
    let program = world.program("1.9.0");
    assert_eq!(told.result.unwrap().path, program);
    assert_eq!(fs::read(&program).unwrap(), PROGRAM);
    assert_eq!(fs::metadata(&program).unwrap().permissions().mode() & 0o7777, 0o755);
    assert_eq!(fs::read_link(program.with_file_name("tofu")).unwrap(), Path::new("terraform"));
    assert_eq!(names(program.parent().unwrap()), ["terraform", "tofu"]);
    assert_eq!(names(&world.settings.install_dir), [".1.9.0.lock", "1.9.0"]);
    assert_eq!(world.mirror.asked(), [paths.sums, paths.signature, paths.archive]);
    let ran = std::process::Command::new(program.with_file_name("tofu")).output().unwrap();
    assert_eq!(ran.stdout, b"a program\n");
}

#[tokio::test]
async fn the_log_tells_what_happens_and_what_was_checked() {
    let world = World::new().await;
    let paths = world.release("1.9.0");
    let log = world.get("1.9.0").await.log;
    let signed = format!("The checksums of OpenTofu 1.9.0 are signed by the key {}.", world.maker.fingerprint());
    assert_eq!(log[0], format!("OpenTofu 1.9.0 is not installed yet. Getting it from {}/.", world.mirror.url));
    assert_eq!(log[1], signed);
    assert_eq!(log[2], format!("Downloading {}{}.", world.mirror.url, paths.archive));
    assert!(log.iter().any(|line| line.starts_with("The archive has the signed checksum ")), "{log:#?}");
    let installed = format!("Installed OpenTofu 1.9.0 in {}.", world.program("1.9.0").parent().unwrap().display());
    assert_eq!(*log.last().unwrap(), installed);
}

#[tokio::test]
async fn the_log_tells_how_far_a_large_download_is() {
    let world = World::new().await;
    // Nothing that could be made smaller.
    let mut state = 1_u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_be_bytes()[0]
    };
    let noise: Vec<u8> = (0..500_000).map(|_| random()).collect();
    world.release_with("1.9.0", &zip(&[("tofu", &noise)]));
    let log = world.get("1.9.0").await.log;
    let percent = |line: &String| line.strip_prefix("Downloaded ")?.split_once(" % of 0.")?.0.parse::<u32>().ok();
    let told: Vec<u32> = log.iter().filter_map(percent).collect();
    assert!(told.len() > 2 && told.is_sorted_by(|a, b| a < b), "{log:#?}");
    assert_eq!(told.last(), Some(&100));
}

#[tokio::test]
async fn terraform_is_installed_up_to_1_5_5_and_has_no_other_name() {
    let world = World::new().await;
    let paths = world.release("1.5.5");
    assert!(paths.archive.starts_with("/terraform/1.5.5/terraform_1.5.5_"));
    let told = world.get("1.5.5").await;
    assert_eq!(told.result.unwrap().path, world.program("1.5.5"));
    assert_eq!(names(world.program("1.5.5").parent().unwrap()), ["terraform"]);
}

#[tokio::test]
async fn a_version_is_installed_once() {
    let world = World::new().await;
    world.release("1.10.0-rc1");
    assert!(world.get("1.10.0-rc1").await.result.is_ok());
    let again = world.get("1.10.0-rc1").await;
    assert!(again.result.is_ok());
    assert_eq!(again.log, Vec::<String>::new());
    assert_eq!(world.mirror.asked().len(), 3);
}

#[tokio::test]
async fn a_mirror_may_lie_below_a_path_that_ends_in_a_slash() {
    for path in ["/remote/tofu", "/remote/tofu/"] {
        let world = World::below(path).await;
        let (there, here) = (Paths::below("/remote/tofu", "1.9.0"), world.release("1.9.0"));
        for (from, to) in [(here.sums, there.sums), (here.signature, there.signature), (here.archive, there.archive)] {
            world.mirror.answer(&to, [Answer::Redirect(from)]);
        }
        assert!(world.get("1.9.0").await.result.is_ok(), "{path}");
    }
}

#[tokio::test]
async fn a_version_of_two_parts_is_its_newest_patch_in_a_folder_of_the_given_name() {
    let world = World::new().await;
    let paths = world.release("1.9.10");
    let versions = r#"{"versions": [{"id": "1.10.0"}, {"id": "1.9.11-rc1"}, {"id": "1.9.9"}, {"id": "1.9.10"}]}"#;
    world.mirror.put("/api.json", versions);
    let told = world.get("1.9").await;
    assert_eq!(told.result.unwrap().path, world.program("1.9"));
    assert_eq!(fs::read(world.program("1.9")).unwrap(), PROGRAM);
    assert_eq!(told.log[1], "The newest OpenTofu 1.9.x is 1.9.10.");
    assert_eq!(world.mirror.count(&paths.archive), 1);
}

#[tokio::test]
async fn a_version_of_two_parts_of_terraform_is_found_in_its_index() {
    let world = World::new().await;
    world.release("1.5.5");
    let versions = r#"{"name": "terraform", "versions": {"1.5.5": {}, "1.5.7": {}, "1.5.4": {}}}"#;
    world.mirror.put("/terraform/index.json", versions);
    let told = world.get("1.5").await;
    assert_eq!(told.result.unwrap().path, world.program("1.5"));
    assert_eq!(told.log[1], "The newest Terraform 1.5.x is 1.5.5.");
}

#[tokio::test]
async fn what_an_operator_put_there_is_used_as_it_is_and_nothing_is_written() {
    let world = World::new().await;
    for version in ["1.5.5", "1.9.0", "1.8"] {
        feed(&world.program(version), 0o755);
    }
    fs::set_permissions(&world.settings.install_dir, Permissions::from_mode(0o555)).unwrap();
    for version in ["1.5.5", "1.9.0", "1.8"] {
        let told = world.get(version).await;
        assert_eq!(told.result.unwrap().path, world.program(version));
        assert_eq!(told.log, Vec::<String>::new());
        assert_eq!(names(world.program(version).parent().unwrap()), ["terraform"]);
    }
    // So that it can be removed.
    fs::set_permissions(&world.settings.install_dir, Permissions::from_mode(0o755)).unwrap();
    assert_eq!(names(&world.settings.install_dir), ["1.5.5", "1.8", "1.9.0"]);
    assert_eq!(world.mirror.asked(), Vec::<String>::new());
}

#[tokio::test]
async fn an_opentofu_that_an_operator_unpacked_there_is_used_under_both_names() {
    let world = World::new().await;
    let program = world.program("1.9.0");
    feed(&program.with_file_name("tofu"), 0o755);
    assert_eq!(world.get("1.9.0").await.result.unwrap().path, program);
    assert_eq!(fs::read_link(&program).unwrap(), Path::new("tofu"));
    assert_eq!(world.mirror.asked(), Vec::<String>::new());
}

#[tokio::test]
async fn a_file_that_cannot_be_run_is_named_and_not_replaced() {
    let world = World::new().await;
    world.release("1.9.0");
    let program = world.program("1.9.0");
    feed(&program, 0o644);
    let told = world.get("1.9.0").await.result.unwrap_err();
    let message = told.user_message();
    assert!(message.contains(&program.display().to_string()) && message.contains("chmod 755"), "{message}");
    assert_eq!(fs::read(&program).unwrap(), b"by hand");
    assert_eq!(world.mirror.asked(), Vec::<String>::new());
}

#[tokio::test]
async fn a_version_that_is_none_touches_no_path_and_no_mirror() {
    let world = World::new().await;
    for version in ["latest", "../..", "", "1", "1.5.5/../../x", "v1.5.5"] {
        let told = world.get(version).await.result.unwrap_err();
        assert!(told.user_message().contains("is no Terraform version"), "{told}");
    }
    assert!(!world.settings.install_dir.exists());
    assert_eq!(world.mirror.asked(), Vec::<String>::new());
}

#[tokio::test]
async fn a_link_that_leads_nowhere_is_no_program() {
    // A crash between the link and the rename leaves the link.
    let world = World::new().await;
    world.release("1.9.0");
    let folder = world.settings.install_dir.join("1.9.0");
    fs::create_dir_all(&folder).unwrap();
    symlink("terraform", folder.join("tofu")).unwrap();
    assert!(world.get("1.9.0").await.result.is_ok());
    assert_eq!(fs::read(folder.join("tofu")).unwrap(), PROGRAM);
}

#[tokio::test]
async fn a_folder_that_cannot_be_made_is_named() {
    let mut world = World::new().await;
    world.release("1.9.0");
    let file = world.dir.path().join("file");
    fs::write(&file, "").unwrap();
    world.settings.install_dir = file.join("tfbin");
    let told = world.get("1.9.0").await.result.unwrap_err();
    let message = told.user_message();
    assert!(message.contains("writable") && message.contains("file/tfbin/1.9.0/terraform"), "{message}");
    assert!(!told.causes().is_empty());
}

fn feed(path: &Path, mode: u32) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, "by hand").unwrap();
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}
