//! What is not installed, and what is said then.

use std::fs;

use super::maker::{AGE, Maker, Said, sum, sum_line, zip, zip_with_link};
use super::mirror::Answer;
use super::world::{PROGRAM, Paths, World};

#[tokio::test]
async fn checksums_by_another_signer_are_refused_before_the_archive_is_asked_for() {
    let world = World::new().await;
    let paths = world.release("1.9.0");
    let other = Maker::new();
    let sums = format!("{}  {}\n", "0".repeat(64), paths.archive_name);
    world.mirror.put(&paths.sums, sums.as_bytes());
    world.mirror.put(&paths.signature, other.sign(sums.as_bytes()));
    let message = world.refused("1.9.0").await;
    for part in [&other.fingerprint(), &world.maker.fingerprint(), &paths.signature, "terraform.mirrors.opentofu"] {
        assert!(message.contains(part), "{part} in {message}");
    }
    assert_eq!(world.mirror.count(&paths.archive), 0);
}

#[tokio::test]
async fn a_maker_with_a_new_key_is_refused_until_the_runner_knows_it() {
    let mut world = World::new().await;
    world.release("1.9.0");
    let before = Maker::new();
    world.trust(before.key());
    let message = world.refused("1.9.0").await;
    assert!(message.contains(&world.maker.fingerprint()) && message.contains(&before.fingerprint()), "{message}");
    assert!(message.contains("update the runner if the maker has a new key"), "{message}");
    world.trust(world.maker.key());
    assert!(world.get("1.9.0").await.result.is_ok());
}

#[tokio::test]
async fn a_release_older_than_the_key_of_terraform_is_taken_by_its_newer_signature() {
    let world = World::new().await;
    let paths = world.release("0.12.31");
    let sums = sums_of(&zip(&[("terraform", PROGRAM)]), &paths);
    world.mirror.put(&paths.archive, zip(&[("terraform", PROGRAM)]));
    world.mirror.put(&paths.sums, sums.as_bytes());
    let before = Maker::new();
    world.mirror.put(&paths.signature, before.sign(sums.as_bytes()));
    let message = world.refused("0.12.31").await;
    assert!(message.contains(&before.fingerprint()), "{message}");
    let newer = format!("{}.72D7468F.sig", paths.sums);
    world.mirror.put(&newer, world.maker.sign(sums.as_bytes()));
    assert!(world.get("0.12.31").await.result.is_ok());
}

#[tokio::test]
async fn checksums_that_were_changed_are_refused() {
    let world = World::new().await;
    let paths = world.release("1.9.0");
    let archive = zip(&[("tofu", b"something else")]);
    world.mirror.put(&paths.sums, sum_line(&archive, &paths.archive_name));
    world.mirror.put(&paths.archive, archive);
    let message = world.refused("1.9.0").await;
    assert!(message.contains(&format!("by the key {} is not one of these", world.maker.fingerprint())), "{message}");
    assert_eq!(world.mirror.count(&paths.archive), 0);
}

#[tokio::test]
async fn an_archive_that_was_changed_is_refused_and_both_sums_are_named() {
    let world = World::new().await;
    let paths = world.release("1.9.0");
    let changed = zip(&[("tofu", b"something else")]);
    let released = zip(&[("tofu", PROGRAM), ("LICENSE", b"")]);
    world.mirror.put(&paths.archive, changed.as_slice());
    let message = world.refused("1.9.0").await;
    assert!(message.contains(&sum(&changed).to_string()), "{message}");
    assert!(message.contains(&sum(&released).to_string()), "{message}");
    assert!(message.contains(&paths.archive), "{message}");
}

#[tokio::test]
async fn a_key_that_has_expired_is_refused_by_name() {
    let mut world = World::new().await;
    world.release("1.9.0");
    world.trust(world.maker.key_with(Said { life: Some(AGE - 1), ..Said::default() }));
    let message = world.refused("1.9.0").await;
    assert!(message.contains(&format!("is by the key {}, which expired on ", world.maker.fingerprint())), "{message}");
}

#[tokio::test]
async fn a_revoked_key_is_refused_by_name() {
    let mut world = World::new().await;
    world.release("1.9.0");
    world.trust(world.maker.key_with(Said { is_revoked: true, ..Said::default() }));
    let message = world.refused("1.9.0").await;
    assert!(message.contains(&format!("is by the key {}, which was revoked", world.maker.fingerprint())), "{message}");
}

#[tokio::test]
async fn checksums_of_another_version_do_not_stand_for_this_one() {
    // What a mirror would do that wants an old version with holes in it to be installed.
    let world = World::new().await;
    let (old, new) = (world.release("1.8.0"), Paths::of("1.9.0"));
    let archive = zip(&[("tofu", PROGRAM), ("LICENSE", b"")]);
    let sums = sums_of(&archive, &old);
    world.mirror.put(&new.sums, sums.as_bytes());
    world.mirror.put(&new.signature, world.maker.sign(sums.as_bytes()));
    world.mirror.put(&new.archive, archive);
    let message = world.refused("1.9.0").await;
    assert!(message.contains(&new.archive_name) && message.contains("not available for this runner"), "{message}");
}

#[tokio::test]
async fn an_archive_that_was_cut_before_it_was_signed_is_damaged() {
    let world = World::new().await;
    let archive = zip(&[("tofu", &PROGRAM.repeat(1000))]);
    let paths = world.release_with("1.9.0", &archive[..archive.len() / 2]);
    let message = world.refused("1.9.0").await;
    assert!(message.contains(&paths.archive) && message.contains("it is damaged"), "{message}");
}

#[tokio::test]
async fn an_archive_with_an_entry_outside_its_folder_is_refused() {
    for name in ["../tofu", "/tofu", "a/../../b", "..\\tofu"] {
        let world = World::new().await;
        world.release_with("1.9.0", &zip(&[(name, b"bad"), ("tofu", PROGRAM)]));
        let message = world.refused("1.9.0").await;
        assert!(message.contains("would lie outside the folder"), "{name}: {message}");
    }
}

#[tokio::test]
async fn an_archive_with_a_link_is_refused() {
    let world = World::new().await;
    let secret = world.dir.path().join("secret");
    fs::write(&secret, "secret").unwrap();
    for (link, program) in [("tofu", "other"), ("other", "tofu")] {
        world.release_with("1.9.0", &zip_with_link(link, secret.to_str().unwrap(), program));
        let message = world.refused("1.9.0").await;
        assert!(message.contains(&format!("its entry \"{link}\" is a link")), "{message}");
    }
}

#[tokio::test]
async fn an_archive_without_the_program_is_refused() {
    let world = World::new().await;
    world.release_with("1.9.0", &zip(&[("bin/tofu", PROGRAM), ("terraform", PROGRAM)]));
    let message = world.refused("1.9.0").await;
    assert!(message.contains("it holds no file tofu"), "{message}");
}

#[tokio::test]
async fn a_program_larger_than_any_is_refused_whatever_its_archive_says_of_it() {
    let world = World::new().await;
    let mut bomb = zip(&[("tofu", &vec![0; 3 << 20])]);
    assert!(bomb.len() < 64 << 10);
    world.release_with("1.9.0", &bomb);
    let message = world.refused("1.9.0").await;
    assert!(message.contains("its tofu has more than 2097152 bytes"), "{message}");

    // The length before the file and the one in the list at the end.
    let length = (3_u32 << 20).to_le_bytes();
    let lies: Vec<_> = (0..bomb.len() - 3).filter(|&at| bomb[at..at + 4] == length).collect();
    assert!(!lies.is_empty());
    for at in lies {
        bomb[at..at + 4].copy_from_slice(&1_u32.to_le_bytes());
    }
    world.release_with("1.9.0", &bomb);
    let message = world.refused("1.9.0").await;
    assert!(message.contains("is not as it should be"), "{message}");
}

#[tokio::test]
async fn an_archive_and_checksums_larger_than_any_are_refused() {
    let world = World::new().await;
    let paths = world.release("1.9.0");
    world.mirror.put(&paths.archive, vec![0; (1 << 20) + 1]);
    let message = world.refused("1.9.0").await;
    assert!(message.contains("it has more than 1048576 bytes"), "{message}");
    world.mirror.put(&paths.sums, vec![b'0'; (16 << 10) + 1]);
    let message = world.refused("1.9.0").await;
    assert!(message.contains("it has more than 16384 bytes"), "{message}");
}

#[tokio::test]
async fn a_version_that_is_not_released_is_named_with_its_address_and_asked_for_once() {
    let world = World::new().await;
    let paths = Paths::of("1.99.0");
    let message = world.refused("1.99.0").await;
    assert!(message.starts_with("The version 1.99.0 of OpenTofu is not available"), "{message}");
    assert!(message.contains(&format!("{}{}", world.mirror.url, paths.sums)), "{message}");
    assert_eq!(world.mirror.asked(), [paths.sums]);
}

#[tokio::test]
async fn a_version_between_the_two_products_is_explained() {
    let world = World::new().await;
    let message = world.refused("1.5.7").await;
    assert!(message.contains("Terraform up to 1.5.5, OpenTofu from 1.6.0 on"), "{message}");
}

#[tokio::test]
async fn a_version_of_two_parts_without_a_patch_is_named() {
    let world = World::new().await;
    world.mirror.put("/api.json", r#"{"versions": [{"id": "1.9.0"}]}"#);
    let message = world.refused("1.8").await;
    assert!(message.contains("1.8") && message.contains("/api.json lists no patch"), "{message}");
    for answer in [Answer::File(b"<html>".to_vec()), Answer::Status(404)] {
        world.mirror.answer("/api.json", [answer]);
        let message = world.refused("1.8").await;
        assert!(message.contains("/api.json cannot be read") && message.contains("three parts"), "{message}");
    }
}

fn sums_of(archive: &[u8], paths: &Paths) -> String {
    sum_line(archive, &paths.archive_name)
}
