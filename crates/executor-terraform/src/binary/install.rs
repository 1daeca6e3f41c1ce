//! Downloads a version, checks it, and puts it into its place.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use reqwest::{StatusCode, Url};
use tempfile::TempDir;
use tokio::task::JoinError;

use super::error::InstallError;
use super::folder::{Claimed, Found, Place};
use super::release::{Platform, Release, Site, shown};
use super::signature::{Problem, TrustedKey};
use super::sums::{self, Sum};
use super::unpack::{UnpackError, unpack};
use super::version::{Product, Version};
use super::web::{Patience, Say, Web, WebError};
use crate::settings::Mirrors;

/// Name of the archive while it is downloaded.
const ARCHIVE: &str = "archive.zip";

/// Bytes that are taken at most.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Of a list of all versions.
    pub(crate) index: u64,
    /// Of checksums and of a signature.
    pub(crate) small: u64,
    pub(crate) archive: u64,
    /// Of the program in the archive.
    pub(crate) program: u64,
}

impl Default for Limits {
    fn default() -> Self {
        // Of today's programs, an archive has 30 MB and holds 90 MB.
        Self { index: 16 << 20, small: 1 << 20, archive: 512 << 20, program: 1 << 30 }
    }
}

/// What is to be installed, and from where.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    pub(crate) install_dir: PathBuf,
    pub(crate) version: Version,
    pub(crate) mirrors: Mirrors,
    pub(crate) ca_certs: Vec<PathBuf>,
    pub(crate) key: TrustedKey,
    pub(crate) patience: Patience,
    pub(crate) limits: Limits,
}

impl Order {
    /// Installs the version, unless somebody else does so in the meantime.
    ///
    /// When it is dropped half way, what it wrote is removed.
    pub(crate) async fn carry_out(&self, say: Say<'_>) -> Result<(), InstallError> {
        let product = self.product();
        let platform = Platform::this().ok_or_else(|| InstallError::NoPlatform { product, path: self.path() })?;
        let site = Site::of(product, &self.mirrors)?;
        let place = Place::new(&self.install_dir, &self.version);
        let waiting = || say(format!("Waiting for another runner that installs {product} {}.", self.version));
        let claimed = place.claim(waiting).await.map_err(|e| self.disk(e))?;
        if claimed.look() != Found::Nothing {
            return Ok(());
        }
        say(format!("{product} {} is not installed yet. Getting it from {}.", self.version, shown(&site.base)));
        let web = self.web(&site).await?;
        let version = self.exact_version(&site, &web, say).await?;
        let release = site.release(&version, platform);
        let expected = self.signed_sum(&release, &version, &web, say).await?;

        let temporary = claimed.temporary().map_err(|e| self.disk(e))?;
        let archive = temporary.path().join(ARCHIVE);
        self.fetch_archive(&release, &archive, expected, &web, say).await?;
        let unpacking = Unpacking { product, most: self.limits.program, temporary, claimed };
        // Also if nobody waits any more: it takes a second, and holds the lock until it is done.
        off_the_runtime(move || unpacking.go()).await.map_err(|error| match error {
            UnpackError::Disk(error) => self.disk(error),
            source => {
                let url = shown(&release.archive);
                InstallError::Archive { version: self.version.clone(), url, source }
            }
        })?;
        say(format!("Installed {product} {version} in {}.", self.folder().display()));
        Ok(())
    }

    fn product(&self) -> Product {
        self.version.product()
    }

    fn path(&self) -> PathBuf {
        Place::new(&self.install_dir, &self.version).program()
    }

    fn folder(&self) -> PathBuf {
        self.install_dir.join(self.version.as_str())
    }

    fn disk(&self, source: std::io::Error) -> InstallError {
        InstallError::Disk { version: self.version.clone(), path: self.path(), source }
    }

    /// What is said when a file cannot be had. One that is not there is a version that is not there.
    fn no_file(&self, url: &Url, error: WebError) -> InstallError {
        let (version, url) = (self.version.clone(), shown(url));
        match error {
            WebError::Status(StatusCode::NOT_FOUND | StatusCode::GONE) => InstallError::NotAvailable { version, url },
            WebError::Disk(error) => self.disk(error),
            source => InstallError::Download { version, url, path: self.path(), source },
        }
    }

    async fn web(&self, site: &Site) -> Result<Web, InstallError> {
        let (ca_certs, to, patience) = (self.ca_certs.clone(), site.index.clone(), self.patience);
        let web = off_the_runtime(move || Web::new(&ca_certs, &to, patience)).await;
        web.map_err(|error| self.no_file(&site.index, error))
    }

    /// The version itself, or the newest patch of one of two parts.
    async fn exact_version(&self, site: &Site, web: &Web, say: Say<'_>) -> Result<Version, InstallError> {
        if self.version.is_exact() {
            return Ok(self.version.clone());
        }
        let product = self.product();
        let index = web.read(&site.index, self.limits.index, say).await;
        let url = shown(&site.index);
        let index = match index {
            // The mirror lacks its list, whatever versions it has.
            Err(WebError::Status(StatusCode::NOT_FOUND)) => return Err(InstallError::Index { product, url }),
            read => read.map_err(|error| self.no_file(&site.index, error))?,
        };
        let Some(offered) = site.versions(&index) else { return Err(InstallError::Index { product, url }) };
        let Some(newest) = self.version.newest_patch(offered.iter().map(String::as_str)) else {
            return Err(InstallError::NoPatch { version: self.version.clone(), url });
        };
        say(format!("The newest {product} {}.x is {newest}.", self.version));
        Ok(newest)
    }

    /// The checksum of the archive, out of a file that the maker has signed.
    async fn signed_sum(
        &self,
        release: &Release,
        version: &Version,
        web: &Web,
        say: Say<'_>,
    ) -> Result<Sum, InstallError> {
        let product = self.product();
        let sums = web.read(&release.sums, self.limits.small, say).await;
        let sums = sums.map_err(|error| self.no_file(&release.sums, error))?;
        let signer = self.signer(release, &sums, web, say).await?;
        say(format!("The checksums of {product} {version} are signed by the key {signer}."));
        sums::of_file(&sums, &release.archive_name).ok_or_else(|| InstallError::NotForPlatform {
            version: self.version.clone(),
            archive: release.archive_name.clone(),
            url: shown(&release.sums),
        })
    }

    /// Who of the trusted has signed the checksums. The first signature counts, unless it is somebody else's.
    async fn signer(&self, release: &Release, sums: &[u8], web: &Web, say: Say<'_>) -> Result<String, InstallError> {
        let mut first = None;
        for url in &release.signatures {
            let signature = match web.read(url, self.limits.small, say).await {
                Ok(signature) => signature,
                Err(error) => return Err(first.unwrap_or_else(|| self.no_file(url, error))),
            };
            let (key, text) = (self.key.clone(), sums.to_vec());
            let check = move || key.verify(&text, &signature, SystemTime::now());
            let problem = match off_the_runtime(check).await {
                Ok(signer) => return Ok(signer),
                Err(problem) => problem,
            };
            let other = matches!(problem, Problem::OtherSigner { .. });
            let (version, url) = (self.version.clone(), shown(url));
            let failed = InstallError::Signature { version, url, problem };
            if !other {
                return Err(failed);
            }
            first.get_or_insert(failed);
        }
        Err(first.unwrap_or_else(|| self.no_file(&release.sums, WebError::Status(StatusCode::NOT_FOUND))))
    }

    async fn fetch_archive(
        &self,
        release: &Release,
        to: &Path,
        expected: Sum,
        web: &Web,
        say: Say<'_>,
    ) -> Result<(), InstallError> {
        let url = shown(&release.archive);
        say(format!("Downloading {url}."));
        let told = AtomicU64::new(0);
        let progress = |done: u64, total: Option<u64>| {
            let line = progress_line(done, total);
            // A new attempt starts anew, so what counts is that it is another tenth, not a higher one.
            if let Some((tenth, line)) = line
                && told.swap(tenth, Ordering::Relaxed) != tenth
            {
                say(line);
            }
        };
        let found = web.save(&release.archive, to, self.limits.archive, say, &progress).await;
        let found = found.map_err(|error| self.no_file(&release.archive, error))?;
        if found != expected {
            return Err(InstallError::Checksum { version: self.version.clone(), url, expected, found });
        }
        say(format!("The archive has the signed checksum {found}."));
        Ok(())
    }
}

/// How far a download is: in tenths, or in pieces of 10 MB where nobody knows how long it is.
fn progress_line(done: u64, total: Option<u64>) -> Option<(u64, String)> {
    const MB: u64 = 1_000_000;
    let (tenth, line) = match total {
        Some(total) if total > 0 => {
            let tenth = done.saturating_mul(10) / total;
            (tenth, format!("Downloaded {} % of {}.{} MB.", tenth * 10, total / MB, total % MB / (MB / 10)))
        }
        _ => (done / (10 * MB), format!("Downloaded {} MB.", done / MB)),
    };
    (tenth > 0).then_some((tenth, line))
}

/// The part of an installation that blocks.
struct Unpacking {
    product: Product,
    most: u64,
    // Gone before the version is given free, or the next one would take it for a leftover.
    temporary: TempDir,
    claimed: Claimed,
}

impl Unpacking {
    fn go(self) -> Result<(), UnpackError> {
        let program = self.temporary.path().join("program");
        unpack(&self.temporary.path().join(ARCHIVE), self.product.program(), &program, self.most)?;
        self.claimed.place(&program).map_err(UnpackError::Disk)
    }
}

/// Runs what blocks where it may. A panic in it is ours.
async fn off_the_runtime<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await.map_err(JoinError::try_into_panic) {
        Ok(done) => done,
        Err(Ok(panic)) => std::panic::resume_unwind(panic),
        // Cancelled: the runtime ends, and we with it.
        Err(Err(_)) => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_told_in_tenths() {
        let line = |done, total| progress_line(done, total).map(|(_, line)| line);
        assert_eq!(line(1, Some(26_400_000)), None);
        assert_eq!(line(13_200_000, Some(26_400_000)).unwrap(), "Downloaded 50 % of 26.4 MB.");
        assert_eq!(line(9_000_000, None), None);
        assert_eq!(line(31_000_000, None).unwrap(), "Downloaded 31 MB.");
    }
}
