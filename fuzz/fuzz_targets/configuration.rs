//! Any file is read or refused, never a panic, and what is said of it repeats no secret.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use runner_bin::config::{Environment, Mode, Sources};

fuzz_target!(|data: &[u8]| {
    let file = std::env::temp_dir().join(format!("fuzz-configuration-{}.yml", std::process::id()));
    let mut text = data.to_vec();
    text.extend_from_slice(b"\napi:\n  password: canary-of-a-password\n");
    std::fs::write(&file, text).expect("a file");
    let environment = Environment::from([("RUNNER_API_CLIENT_SECRET", "canary-of-a-secret")]);
    let sources = Sources { file: Some(&file), environment: &environment, directory: Path::new("/") };
    let said = match sources.read(&Mode::Daemon) {
        Ok(config) => format!("{config:?}"),
        Err(error) => format!("{error} {error:?}"),
    };
    assert!(!said.contains("canary-of"), "{said}");
});
