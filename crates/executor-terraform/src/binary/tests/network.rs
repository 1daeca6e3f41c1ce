//! Servers that fail, connections that break, and who is trusted.

use std::time::Duration;
use std::{fs, sync::Arc};

use super::maker::zip;
use super::mirror::{Answer, Mirror};
use super::world::{PROGRAM, World};

fn archive() -> Vec<u8> {
    zip(&[("tofu", PROGRAM), ("LICENSE", b"")])
}

#[tokio::test]
async fn a_server_that_fails_for_a_while_is_asked_again_and_the_log_says_so() {
    let world = World::new().await;
    let paths = world.release("1.9.0");
    let archive = Answer::File(archive());
    world.mirror.answer(&paths.archive, [Answer::Status(503), Answer::Status(429), archive]);
    let told = world.get("1.9.0").await;
    assert!(told.result.is_ok());
    let again: Vec<_> = told.log.iter().filter(|line| line.contains("Trying again")).collect();
    assert_eq!(again.len(), 2);
    assert!(again[0].contains("503"), "{again:?}");
}

#[tokio::test]
async fn a_download_that_breaks_off_begins_anew() {
    let world = World::new().await;
    let paths = world.release("1.9.0");
    let whole = archive();
    let half = whole[..whole.len() / 2].to_vec();
    world.mirror.answer(&paths.archive, [Answer::CutOff(half), Answer::File(whole)]);
    assert!(world.get("1.9.0").await.result.is_ok());
    assert_eq!(fs::read(world.program("1.9.0")).unwrap(), PROGRAM);
}

#[tokio::test]
async fn a_download_that_always_breaks_off_is_given_up_with_a_sentence() {
    let world = World::new().await;
    let paths = world.release("1.9.0");
    world.mirror.answer(&paths.archive, [Answer::CutOff(archive())]);
    let message = world.refused("1.9.0").await;
    for part in ["OpenTofu 1.9.0 could not be downloaded", "proxy", "terraform.mirrors.opentofu", "1.9.0/terraform"] {
        assert!(message.contains(part), "{part} in {message}");
    }
    assert_eq!(world.mirror.count(&paths.archive), 4);
}

#[tokio::test]
async fn a_download_that_stalls_is_given_up() {
    let mut world = World::new().await;
    let paths = world.release("1.9.0");
    world.mirror.answer(&paths.archive, [Answer::Stalled(b"PK".to_vec())]);
    let binaries = Arc::get_mut(&mut world.binaries).unwrap();
    binaries.patience.stall = Duration::from_secs(1);
    binaries.patience.attempts = 2;
    let message = world.refused("1.9.0").await;
    assert!(message.contains("could not be downloaded"), "{message}");
    assert_eq!(world.mirror.count(&paths.archive), 2);
}

#[tokio::test]
async fn what_does_not_get_better_is_asked_for_once() {
    let world = World::new().await;
    let paths = world.release("1.9.0");
    world.mirror.answer(&paths.archive, [Answer::Status(403)]);
    let message = world.refused("1.9.0").await;
    assert!(message.contains("the server answered 403"), "{message}");
    assert_eq!(world.mirror.count(&paths.archive), 1);
}

#[tokio::test]
async fn nobody_at_the_address_is_a_failure_that_names_the_way_without_network() {
    let mut world = World::new().await;
    world.settings.mirrors.opentofu = Some("http://127.0.0.1:1/".to_owned());
    let message = world.refused("1.9.0").await;
    let program = world.program("1.9.0").display().to_string();
    assert!(message.contains(&format!("put the program at {program}")), "{message}");
    assert!(message.contains("Connection refused"), "{message}");
}

#[tokio::test]
async fn credentials_in_the_address_of_a_mirror_are_sent_and_never_shown() {
    let mut world = World::new().await;
    let paths = world.release("1.9.0");
    let with_credentials = world.mirror.url.replace("://", "://user:s3cr3t@");
    world.settings.mirrors.opentofu = Some(with_credentials);
    world.mirror.answer(&paths.archive, [Answer::Status(500), Answer::Status(403)]);
    let told = world.get("1.9.0").await;
    let failure = told.result.unwrap_err();
    let all = format!("{} {} {}", failure.user_message(), failure.causes(), told.log.join("\n"));
    assert!(all.contains("the server answered 403") && !all.contains("s3cr3t"), "{all}");
    assert!(world.mirror.authorization().is_some_and(|sent| sent.starts_with("Basic ")));
}

#[tokio::test]
async fn an_authority_of_the_operator_is_trusted_and_no_other() {
    let (mirror, authority) = Mirror::start_with_tls().await;
    let mut world = World::with(mirror, "");
    world.release("1.9.0");
    let message = world.refused("1.9.0").await;
    assert!(message.contains("certificate"), "{message}");
    assert_eq!(world.mirror.asked(), Vec::<String>::new());

    let folder = world.dir.path().join("certificates");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("README"), "of our own").unwrap();
    fs::write(folder.join("broken.crt"), "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
    fs::write(folder.join("own.crt"), authority).unwrap();
    world.settings.ca_certs = vec![folder];
    assert!(world.get("1.9.0").await.result.is_ok());
}

#[tokio::test]
async fn nothing_that_began_encrypted_goes_on_in_the_clear() {
    let (mirror, authority) = Mirror::start_with_tls().await;
    let plain = World::new().await;
    let mut world = World::with(mirror, "");
    let paths = world.release("1.9.0");
    let file = world.dir.path().join("own.crt");
    fs::write(&file, authority).unwrap();
    world.settings.ca_certs = vec![file];
    plain.mirror.put(&paths.archive, archive());
    world.mirror.answer(&paths.archive, [Answer::Redirect(format!("{}{}", plain.mirror.url, paths.archive))]);
    let message = world.refused("1.9.0").await;
    assert!(message.contains("redirects from https to http"), "{message}");
    assert_eq!(plain.mirror.asked(), Vec::<String>::new());

    world.mirror.put("/elsewhere", archive());
    world.mirror.answer(&paths.archive, [Answer::Redirect("/elsewhere".to_owned())]);
    assert!(world.get("1.9.0").await.result.is_ok());
}

#[tokio::test]
async fn a_redirect_without_end_is_given_up() {
    let world = World::new().await;
    let paths = world.release("1.9.0");
    world.mirror.answer(&paths.archive, [Answer::Redirect(paths.archive.clone())]);
    let message = world.refused("1.9.0").await;
    assert!(message.contains("too many redirects"), "{message}");
    assert!(world.mirror.count(&paths.archive) < 20);
}
