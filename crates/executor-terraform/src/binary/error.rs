//! Why a binary cannot be had. Each says what happened, and what to do.

use std::io;
use std::path::PathBuf;

use super::signature::Problem;
use super::sums::Sum;
use super::unpack::UnpackError;
use super::version::{Product, Version};
use super::web::WebError;

#[derive(Debug, thiserror::Error)]
pub(crate) enum InstallError {
    #[error(
        "The configuration's {} is no http or https address. Ask the platform team to correct it in the runner's \
         configuration.",
        product.mirror_key()
    )]
    Mirror { product: Product },

    #[error(
        "{product} is not released for the runner's operating system and processor ({} {}). Ask the platform team to \
         put a program at {}, or to run the runner on Linux or macOS.",
        std::env::consts::OS, std::env::consts::ARCH, path.display()
    )]
    NoPlatform { product: Product, path: PathBuf },

    #[error(
        "The version {version} of {product} is not available: there is no {url}. Ask the platform team to choose a \
         released version in the building block definition{}.",
        hint(version),
        product = version.product()
    )]
    NotAvailable { version: Version, url: String },

    #[error(
        "The version {version} of {product} is not available: {url} lists no patch of it. Ask the platform team to \
         choose a released version in the building block definition{}.",
        hint(version),
        product = version.product()
    )]
    NoPatch { version: Version, url: String },

    #[error(
        "The list of {product} versions at {url} cannot be read. Ask the platform team to correct the mirror \
         ({}), or to name a version with three parts in the building block definition.",
        product.mirror_key()
    )]
    Index { product: Product, url: String },

    #[error(
        "The version {version} of {product} is not available for this runner: {url} names no {archive}. Ask the \
         platform team to choose another version in the building block definition.",
        product = version.product()
    )]
    NotForPlatform { version: Version, archive: String, url: String },

    #[error(
        "{product} {version} could not be downloaded from {url}. Ask the platform team to check the runner's proxy and \
         certificates, to name a mirror ({}), or to put the program at {}.",
        version.product().mirror_key(), path.display(),
        product = version.product()
    )]
    Download {
        version: Version,
        url: String,
        path: PathBuf,
        #[source]
        source: WebError,
    },

    #[error(
        "{product} {version} was not installed: the signature {url} {problem}. Ask the platform team to check where \
         it comes from ({}), or to update the runner if the maker has a new key.",
        version.product().mirror_key(),
        product = version.product()
    )]
    Signature { version: Version, url: String, problem: Problem },

    #[error(
        "{product} {version} was not installed: {url} has the SHA-256 checksum {found}, but the signed one is \
         {expected}. Start the run again; if that does not help, ask the platform team to check where it comes from \
         ({}).",
        version.product().mirror_key(),
        product = version.product()
    )]
    Checksum { version: Version, url: String, expected: Sum, found: Sum },

    #[error(
        "{product} {version} was not installed: the archive {url} is not as it should be. Ask the platform team to \
         check where it comes from ({}).",
        version.product().mirror_key(),
        product = version.product()
    )]
    Archive {
        version: Version,
        url: String,
        #[source]
        source: UnpackError,
    },

    #[error(
        "{product} {version} could not be installed in {}. Ask the platform team to make the folder writable for the \
         runner, with room for 200 MB, or to put the program at {}.",
        path.parent().unwrap_or(path).display(), path.display(),
        product = version.product()
    )]
    Disk {
        version: Version,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// Nobody released what lies between the two.
fn hint(version: &Version) -> &'static str {
    if version.as_str().starts_with("1.5.") && version.product() == Product::OpenTofu {
        ": Terraform up to 1.5.5, OpenTofu from 1.6.0 on"
    } else {
        ""
    }
}
