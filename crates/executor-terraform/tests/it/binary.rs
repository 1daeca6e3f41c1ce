//! Binaries that a run has to wait for, from a mirror on this machine.
//!
//! The keys of the makers are compiled in, so what is installed in the end is tested in the crate, with others.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{Response, Uri};
use executor_terraform::{Mirrors, Settings};
use libtest_mimic::Trial;
use runner_core::Shutdown;
use serde_json::json;

use crate::world::{World, build_runner, fixture, log, message, patiently, statuses, until};

pub(crate) fn tests() -> Vec<Trial> {
    trials![plain:
        a_version_that_is_not_released_is_named_with_its_address_and_what_to_do,
        checksums_that_another_maker_signed_are_refused_and_both_keys_are_named,
        checksums_of_a_real_release_are_taken_and_another_archive_is_refused,
        a_shutdown_ends_a_run_that_waits_for_a_download,
        a_proxy_in_the_environment_is_asked,
    ]
}

/// Said to this program: be a runner of your own, with an environment of your own.
const ASKED: &str = "__runner_with_mirror";

/// A runner in a process of its own, which downloads from that mirror.
fn start_elsewhere(world: &World, mirror: &str, environment: &[(&str, &str)]) -> std::process::Child {
    let (client_id, client_secret) = world.mesh.api_key();
    Command::new(std::env::current_exe().expect("this program"))
        .args([ASKED, &world.mesh.url(), &client_id, &client_secret, &world.runner, mirror])
        .args([&world.settings.install_dir, &world.work()])
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .spawn()
        .expect("a second process")
}

pub(crate) fn run_if_asked() {
    let mut args = std::env::args().skip(1);
    if args.next().as_deref() != Some(ASKED) {
        return;
    }
    let mut next = || args.next().expect("an argument");
    let (url, key, uuid, mirror) = (next(), (next(), next()), next(), next());
    let mirrors = Mirrors { terraform: None, opentofu: Some(mirror) };
    let settings = Settings { install_dir: next().into(), mirrors, ..Settings::default() };
    let work = PathBuf::from(next());
    crate::run(async move {
        build_runner(&url, &key, &uuid, &settings, &work, Duration::ZERO).run(&Shutdown::new()).await;
    });
    std::process::exit(0);
}

/// What is asked for, and the mirror's address.
struct Mirror {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Mirror {
    /// Has these files. Of one that is empty, the answer never ends.
    async fn start(files: &[(&str, Vec<u8>)]) -> Self {
        let files: HashMap<String, Bytes> =
            files.iter().map(|(path, content)| ((*path).to_owned(), content.clone().into())).collect();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let note = Arc::clone(&asked);
        let answer = move |uri: Uri| {
            note.lock().expect("no panic").push(uri.to_string());
            let file = files.get(uri.path()).cloned();
            async move {
                match file {
                    Some(content) if content.is_empty() => std::future::pending().await,
                    Some(content) => Response::new(Body::from(content)),
                    None => Response::builder().status(404).body(Body::empty()).expect("an answer"),
                }
            }
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await });
        Self { url, asked }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("no panic").clone()
    }
}

/// A world without binaries, which may come from there.
async fn world_with(mirror: &str) -> World {
    let mut world = World::with_fake().await;
    world.settings.install_dir = world.dir.path().join("tfbin");
    world.settings.mirrors = Mirrors { terraform: Some(mirror.to_owned()), opentofu: Some(mirror.to_owned()) };
    world
}

fn released(name: &str) -> Vec<u8> {
    fs::read(fixture("releases").join(name)).expect("a fixture")
}

const SUMS: &str = "/v1.8.5/tofu_1.8.5_SHA256SUMS";
const SIGNATURE: &str = "/v1.8.5/tofu_1.8.5_SHA256SUMS.gpgsig";

async fn a_version_that_is_not_released_is_named_with_its_address_and_what_to_do() {
    let mirror = Mirror::start(&[]).await;
    let world = world_with(&mirror.url).await;
    let view = world.carry_out(world.order_with(&[], &json!({ "terraformVersion": "1.9.99" }))).await;
    assert_eq!(view.status, "FAILED");
    assert_eq!(statuses(&view)[0], ("sources", "FAILED"));
    let told = message(&view, "sources");
    assert!(told.contains("1.9.99 of OpenTofu is not available"), "{told}");
    assert!(told.contains(&format!("{}/v1.9.99/tofu_1.9.99_SHA256SUMS", mirror.url)), "{told}");
    assert!(told.contains("Ask the platform team to choose a released version"), "{told}");
}

async fn checksums_that_another_maker_signed_are_refused_and_both_keys_are_named() {
    let signature = released("terraform_1.9.8_SHA256SUMS.sig");
    let mirror = Mirror::start(&[(SUMS, released("tofu_1.8.5_SHA256SUMS")), (SIGNATURE, signature)]).await;
    let world = world_with(&mirror.url).await;
    let view = world.carry_out(world.order_with(&[], &json!({ "terraformVersion": "1.8.5" }))).await;
    assert_eq!(view.status, "FAILED");
    let told = message(&view, "sources");
    assert!(told.contains("374EC75B485913604A831CC7C820C6D5CD27AB87"), "{told}");
    assert!(told.contains("E3E6E43D84CB852EADB0051D0C0AF313E5FD9F80"), "{told}");
    assert_eq!(mirror.asked(), [SUMS, SIGNATURE]);
}

async fn checksums_of_a_real_release_are_taken_and_another_archive_is_refused() {
    let sums = released("tofu_1.8.5_SHA256SUMS");
    let mut files = vec![(SUMS, sums.clone()), (SIGNATURE, released("tofu_1.8.5_SHA256SUMS.gpgsig"))];
    let archives: Vec<String> = ["linux_amd64", "linux_arm64", "darwin_amd64", "darwin_arm64"]
        .map(|p| format!("/v1.8.5/tofu_1.8.5_{p}.zip"))
        .into();
    files.extend(archives.iter().map(|archive| (archive.as_str(), b"another archive".to_vec())));
    let mirror = Mirror::start(&files).await;
    let world = world_with(&mirror.url).await;
    let view = world.carry_out(world.order_with(&[], &json!({ "terraformVersion": "1.8.5" }))).await;
    assert_eq!(view.status, "FAILED");
    let log = log(&view, "sources");
    assert!(log.contains("are signed by the key E3E6E43D84CB852EADB0051D0C0AF313E5FD9F80."), "{log}");
    let told = message(&view, "sources");
    let found = "2c69436dc18e5782410cdfa0e5e728985a4e51939a2ba73998e933e9921fed02";
    let archive = mirror.asked().pop().expect("the archive was asked for");
    let name = archive.rsplit('/').next().expect("a name");
    let sums = String::from_utf8(sums).expect("text");
    let line = sums.lines().find(|line| line.ends_with(name)).expect("a released archive");
    assert!(told.contains(&line[..64]) && told.contains(found), "{told}");
    assert!(!world.settings.install_dir.join("1.8.5").exists());
}

async fn a_shutdown_ends_a_run_that_waits_for_a_download() {
    let mirror = Mirror::start(&[(SUMS, Vec::new())]).await;
    let mut world = world_with(&mirror.url).await;
    world.shutdown_grace = Duration::ZERO;
    let order = world.order_with(&[], &json!({ "terraformVersion": "1.8.5" }));
    let run = world.mesh.order(&world.runner, order).await;
    let running = world.start();
    until("the mirror is asked", || !mirror.asked().is_empty()).await;

    running.drain().await;

    let view = patiently(world.mesh.wait_for_end(&run)).await;
    assert_eq!(view.status, "FAILED");
    assert!(message(&view, "sources").contains("shut down"), "{view:#?}");
    assert_eq!(mirror.asked(), [SUMS]);
}

async fn a_proxy_in_the_environment_is_asked() {
    let proxy = Mirror::start(&[]).await;
    let world = world_with(&proxy.url).await;
    let order = world.order_with(&[], &json!({ "terraformVersion": "1.9.99" }));
    let run = world.mesh.order(&world.runner, order).await;
    let environment =
        [("http_proxy", proxy.url.as_str()), ("HTTP_PROXY", &proxy.url), ("no_proxy", ""), ("NO_PROXY", "")];
    let mut runner = start_elsewhere(&world, "http://releases.invalid/opentofu", &environment);

    let view = patiently(world.mesh.wait_for_end(&run)).await;

    runner.kill().expect("it runs");
    runner.wait().expect("it is gone");
    let told = message(&view, "sources");
    assert!(told.contains("there is no http://releases.invalid/opentofu/v1.9.99/tofu_1.9.99_SHA256SUMS"), "{told}");
    assert_eq!(proxy.asked(), ["http://releases.invalid/opentofu/v1.9.99/tofu_1.9.99_SHA256SUMS"]);
}
