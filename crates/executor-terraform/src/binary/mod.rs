//! Which `terraform` a run gets.
//!
//! Source: `protocol/terraform.md`, "The binary".
//!
//! What lies in a version's folder is used as it is ([`folder`]). What does not is downloaded ([`web`]) from the
//! maker's site or a mirror ([`release`]): first the checksums with their signature ([`signature`], [`sums`]), then
//! the archive, of which the program alone is unpacked ([`unpack`]) and renamed into place ([`install`]).

mod error;
mod folder;
mod install;
mod release;
mod signature;
mod sums;
mod unpack;
mod version;
mod web;

use std::collections::HashMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::{Mutex, PoisonError};

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared, WeakShared};
use runner_core::{Failure, Run, Stop, Stopped};
use tokio::sync::watch;

use self::error::InstallError;
use self::folder::{Found, Place, is_program};
use self::install::{Limits, Order};
use self::signature::TrustedKey;
use self::version::{Product, Version};
use self::web::Patience;
use crate::Settings;

/// The binary of a run: `OpenTofu` is called `terraform` too, from version 1.5.6 on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Binary {
    pub(crate) path: PathBuf,
}

/// Finds binaries, and installs those that are missing.
#[derive(Debug)]
pub(crate) struct Binaries {
    terraform: TrustedKey,
    opentofu: TrustedKey,
    patience: Patience,
    limits: Limits,
    under_way: Mutex<HashMap<PathBuf, UnderWay>>,
}

/// An installation that several runs may wait for. It goes on as long as one of them does.
type Installation = Shared<BoxFuture<'static, Result<(), Told>>>;

/// An installation, without being somebody who waits for it.
#[derive(Debug)]
struct UnderWay {
    installation: WeakShared<BoxFuture<'static, Result<(), Told>>>,
    said: watch::Receiver<Vec<String>>,
}

/// A failure that can be told to several runs.
#[derive(Debug, Clone)]
struct Told {
    message: String,
    cause: Option<String>,
}

impl From<InstallError> for Told {
    fn from(error: InstallError) -> Self {
        let mut causes = Vec::new();
        let mut next = error.source();
        while let Some(cause) = next {
            causes.push(cause.to_string());
            next = cause.source();
        }
        Self { message: error.to_string(), cause: (!causes.is_empty()).then(|| causes.join("\ncaused by: ")) }
    }
}

impl From<Told> for Failure {
    fn from(told: Told) -> Self {
        match told.cause {
            Some(cause) => Self::because(told.message, cause),
            None => Self::new(told.message),
        }
    }
}

impl Default for Binaries {
    fn default() -> Self {
        Self::trusting(TrustedKey::of_maker(Product::Terraform), TrustedKey::of_maker(Product::OpenTofu))
    }
}

impl Binaries {
    /// With these keys of the makers.
    fn trusting(terraform: TrustedKey, opentofu: TrustedKey) -> Self {
        Self {
            terraform,
            opentofu,
            patience: Patience::default(),
            limits: Limits::default(),
            under_way: Mutex::default(),
        }
    }

    /// The binary of the run's version, which is installed if it is missing. `log` takes what happens meanwhile.
    pub(crate) async fn of_run(
        &self,
        run: &Run,
        settings: &Settings,
        stop: &Stop,
        log: &(dyn Fn(&str) + Sync),
    ) -> Result<Binary, Failure> {
        if let Some(fixed) = &settings.binary {
            return of_configuration(fixed);
        }
        let Some(version) = run.implementation_text("terraformVersion") else {
            return Err(Failure::new(
                "The building block definition names no Terraform version. Ask the platform team to set one.",
            ));
        };
        self.of_version(version, settings, stop, log).await
    }

    async fn of_version(
        &self,
        version: &str,
        settings: &Settings,
        stop: &Stop,
        log: &(dyn Fn(&str) + Sync),
    ) -> Result<Binary, Failure> {
        let Some(version) = Version::parse(version) else {
            let shown: String = version.chars().take(40).collect();
            return Err(Failure::new(format!(
                "\"{shown}\" is no Terraform version. Ask the platform team to set one such as 1.5.5 in the building \
                 block definition."
            )));
        };
        let place = Place::new(&settings.install_dir, &version);
        if place.look() == Found::Nothing {
            let (installation, said) = self.installation(&version, settings);
            wait_for(installation, said, stop, log).await?;
        }
        if place.look() == Found::Program {
            return Ok(Binary { path: place.program() });
        }
        Err(Failure::new(format!(
            "The runner cannot run {}: it is no executable file. Ask the platform team to make it one (chmod 755), or to \
             remove it, so that the runner downloads it.",
            place.program().display()
        )))
    }

    /// The installation of this version that is under way, or else a new one.
    fn installation(&self, version: &Version, settings: &Settings) -> (Installation, watch::Receiver<Vec<String>>) {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        let program = Place::new(&settings.install_dir, version).program();
        if let Some(known) = under_way.get(&program)
            && let Some(installation) = known.installation.upgrade()
        {
            return (installation, known.said.clone());
        }
        under_way.retain(|_, known| known.installation.upgrade().is_some());

        let order = Order {
            install_dir: settings.install_dir.clone(),
            version: version.clone(),
            mirrors: settings.mirrors.clone(),
            ca_certs: settings.ca_certs.clone(),
            key: match version.product() {
                Product::Terraform => self.terraform.clone(),
                Product::OpenTofu => self.opentofu.clone(),
            },
            patience: self.patience,
            limits: self.limits,
        };
        let (sender, said) = watch::channel(Vec::new());
        let carry_out = async move {
            let say = |line: String| sender.send_modify(|said| said.push(line));
            order.carry_out(&say).await.map_err(Told::from)
        };
        let installation = carry_out.boxed().shared();
        if let Some(weak) = installation.downgrade() {
            under_way.insert(program, UnderWay { installation: weak, said: said.clone() });
        }
        (installation, said)
    }
}

/// Waits for the end, and passes on what is said, from the beginning.
async fn wait_for(
    installation: Installation,
    mut said: watch::Receiver<Vec<String>>,
    stop: &Stop,
    log: &(dyn Fn(&str) + Sync),
) -> Result<(), Failure> {
    let mut installation = pin!(installation);
    let mut heard = 0;
    let mut listen = |said: &mut watch::Receiver<Vec<String>>| {
        let lines = said.borrow_and_update();
        lines[heard..].iter().for_each(|line| log(line));
        heard = lines.len();
    };
    loop {
        tokio::select! {
            biased;
            reason = stop.requested() => return Err(Stopped(reason).into()),
            done = &mut installation => {
                listen(&mut said);
                return done.map_err(Failure::from);
            }
            Ok(()) = said.changed() => listen(&mut said),
        }
    }
}

/// The one binary that a configuration names for all versions.
fn of_configuration(path: &Path) -> Result<Binary, Failure> {
    if is_program(path) {
        return Ok(Binary { path: path.to_owned() });
    }
    Err(Failure::new(format!(
        "The runner has no program {}. Ask the platform team to correct the runner's configuration.",
        path.display()
    )))
}

#[cfg(test)]
mod tests;
