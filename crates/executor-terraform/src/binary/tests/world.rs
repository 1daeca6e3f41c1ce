//! A runner's folder, a mirror, and two makers.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use runner_core::{Failure, Stop};
use tempfile::TempDir;

use super::super::install::Limits;
use super::super::release::Platform;
use super::super::signature::TrustedKey;
use super::super::version::{Product, Version};
use super::super::web::Patience;
use super::super::{Binaries, Binary};
use super::maker::{Maker, sum_line, zip};
use super::mirror::Mirror;
use crate::Settings;
use crate::settings::Mirrors;

/// What the program of a release is here.
pub(super) const PROGRAM: &[u8] = b"#!/bin/sh\necho 'a program'\n";

pub(super) struct World {
    pub(super) mirror: Mirror,
    pub(super) maker: Maker,
    pub(super) dir: TempDir,
    pub(super) settings: Settings,
    pub(super) binaries: Arc<Binaries>,
}

/// What a run was told, and got.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) result: Result<Binary, Failure>,
    pub(super) log: Vec<String>,
}

impl World {
    /// A runner that trusts the maker for either product, and knows no site but the mirror.
    pub(super) async fn new() -> Self {
        Self::with(Mirror::start().await, "")
    }

    /// The same with a mirror below a path.
    pub(super) async fn below(path: &str) -> Self {
        Self::with(Mirror::start().await, path)
    }

    pub(super) fn with(mirror: Mirror, path: &str) -> Self {
        let maker = Maker::new();
        let dir = tempfile::tempdir().unwrap();
        let base = format!("{}{path}", mirror.url);
        let mirrors = Mirrors { terraform: Some(base.clone()), opentofu: Some(base) };
        let settings = Settings { install_dir: dir.path().join("tfbin"), mirrors, ..Settings::default() };
        let binaries = Arc::new(binaries(maker.key()));
        Self { mirror, maker, dir, settings, binaries }
    }

    /// Trusts this key from now on.
    pub(super) fn trust(&mut self, key: TrustedKey) {
        self.binaries = Arc::new(binaries(key));
    }

    /// Puts a whole release on the mirror.
    pub(super) fn release(&self, version: &str) -> Paths {
        self.release_with(version, &zip(&[(Paths::of(version).program, PROGRAM), ("LICENSE", b"")]))
    }

    /// The same with this archive.
    pub(super) fn release_with(&self, version: &str, archive: &[u8]) -> Paths {
        let paths = Paths::of(version);
        let sums = format!("{}  other\n{}", "0".repeat(64), sum_line(archive, &paths.archive_name));
        self.mirror.put(&paths.sums, sums.as_bytes());
        self.mirror.put(&paths.signature, self.maker.sign(sums.as_bytes()));
        self.mirror.put(&paths.archive, archive);
        paths
    }

    /// What a run of this version gets.
    pub(super) async fn get(&self, version: &str) -> Told {
        get(Arc::clone(&self.binaries), self.settings.clone(), version.to_owned(), Stop::default()).await
    }

    /// The message of a run that gets nothing, with what lies below it.
    pub(super) async fn refused(&self, version: &str) -> String {
        let told = self.get(version).await;
        let failure = told.result.expect_err("it is refused");
        assert!(!self.program(version).exists(), "nothing is installed");
        assert_eq!(self.leftovers(), Vec::<PathBuf>::new());
        format!("{}\n{}", failure.user_message(), failure.causes())
    }

    pub(super) fn program(&self, version: &str) -> PathBuf {
        self.settings.install_dir.join(version).join("terraform")
    }

    /// Files and folders of installations that are not finished.
    pub(super) fn leftovers(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.settings.install_dir).into_iter().flatten();
        let paths = entries.map(|entry| entry.unwrap().path());
        paths.filter(|path| path.file_name().unwrap().to_str().unwrap().contains("partial")).collect()
    }
}

/// Asks for a version, as a run does.
pub(super) async fn get(binaries: Arc<Binaries>, settings: Settings, version: String, stop: Stop) -> Told {
    let log = Mutex::new(Vec::new());
    let note = |line: &str| log.lock().unwrap().push(line.to_owned());
    let result = binaries.of_version(&version, &settings, &stop, &note);
    let result = tokio::time::timeout(Duration::from_secs(120), result).await.expect("it comes to an end");
    Told { result, log: log.into_inner().unwrap() }
}

/// Impatient, and with small limits.
fn binaries(key: TrustedKey) -> Binaries {
    let mut binaries = Binaries::trusting(key.clone(), key);
    binaries.patience = Patience { pause: Duration::from_millis(1), ..Patience::default() };
    binaries.limits = Limits { index: 64 << 10, small: 16 << 10, archive: 1 << 20, program: 2 << 20 };
    binaries
}

/// Where the files of a release lie on a mirror.
pub(super) struct Paths {
    pub(super) program: &'static str,
    pub(super) archive_name: String,
    pub(super) archive: String,
    pub(super) sums: String,
    pub(super) signature: String,
}

impl Paths {
    pub(super) fn of(version: &str) -> Self {
        Self::below("", version)
    }

    pub(super) fn below(path: &str, version: &str) -> Self {
        let platform = Platform::this().unwrap();
        let (program, folder, end) = match Version::parse(version).unwrap().product() {
            Product::Terraform => ("terraform", format!("{path}/terraform/{version}"), "sig"),
            Product::OpenTofu => ("tofu", format!("{path}/v{version}"), "gpgsig"),
        };
        let archive_name = format!("{program}_{version}_{platform}.zip");
        Self {
            program,
            archive: format!("{folder}/{archive_name}"),
            archive_name,
            sums: format!("{folder}/{program}_{version}_SHA256SUMS"),
            signature: format!("{folder}/{program}_{version}_SHA256SUMS.{end}"),
        }
    }
}

/// The names in a folder, in order.
pub(super) fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
