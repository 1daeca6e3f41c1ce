//! Which `terraform` a run gets.
//!
//! Source: `protocol/terraform.md`, "The binary".

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use runner_core::{Failure, Run};

use crate::Settings;

/// The binary of a run: `OpenTofu` is called `terraform` too, from version 1.5.6 on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Binary {
    pub(crate) path: PathBuf,
}

/// Finds the binary of the run's version. One that lies there is used as it is.
pub(crate) fn find(run: &Run, settings: &Settings) -> Result<Binary, Failure> {
    if let Some(fixed) = &settings.binary {
        return if is_program(fixed) {
            Ok(Binary { path: fixed.clone() })
        } else {
            Err(Failure::new(format!(
                "The runner has no program {}. Ask the platform team to correct the runner's configuration.",
                fixed.display()
            )))
        };
    }
    let Some(version) = run.implementation_text("terraformVersion") else {
        return Err(Failure::new(
            "The building block definition names no Terraform version. Ask the platform team to set one.",
        ));
    };
    if !is_version(version) {
        let shown: String = version.chars().take(40).collect();
        return Err(Failure::new(format!(
            "\"{shown}\" is no Terraform version. Ask the platform team to set one such as 1.5.5 in the building \
             block definition."
        )));
    }
    let folder = settings.install_dir.join(version);
    let path = folder.join("terraform");
    if is_program(&path) {
        return Ok(Binary { path });
    }
    Err(Failure::new(format!(
        "Terraform {version} is not installed on the runner: there is no program `terraform` in {}. \
         Ask the platform team to put {} {version} there under this name, or to choose an installed version in the \
         building block definition.",
        folder.display(),
        if is_opentofu(version) { "OpenTofu" } else { "Terraform" },
    )))
}

/// Two or three numbers, and an optional label. Anything else must not get near a path.
fn is_version(text: &str) -> bool {
    let (numbers, label) = text.split_once('-').map_or((text, None), |(numbers, label)| (numbers, Some(label)));
    let parts: Vec<&str> = numbers.split('.').collect();
    let number = |part: &&str| (1..=6).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
    let labelled = |label: &str| {
        (1..=32).contains(&label.len()) && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'-')
    };
    (2..=3).contains(&parts.len()) && parts.iter().all(number) && label.is_none_or(labelled)
}

/// Above 1.5.5 the name stands for `OpenTofu`. A two-part version is the newest of its patches.
fn is_opentofu(version: &str) -> bool {
    let numbers = version.split('-').next().unwrap_or_default();
    let mut parts = numbers.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    let mut next = || parts.next();
    (next().unwrap_or(0), next().unwrap_or(0), next().unwrap_or(0)) > (1, 5, 5)
}

fn is_program(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_told_from_what_could_leave_the_folder() {
        for version in ["1.5.5", "1.5", "1.10.0-beta1", "0.12.31", "1.6.0-rc.1"] {
            assert!(is_version(version), "{version}");
        }
        for other in [
            "",
            "1",
            "latest",
            "../..",
            "1.5/..",
            "1.5.5/../x",
            "v1.5.5",
            "1.5.5.1",
            "1..5",
            "1.5.5-",
            "1.5-/x",
            " 1.5",
        ] {
            assert!(!is_version(other), "{other}");
        }
    }

    #[test]
    fn from_1_5_6_on_it_is_opentofu() {
        let tofu = ["1.5.6", "1.6.0-rc.1", "1.10.2", "2.0.0", "1.6"];
        assert!(tofu.iter().all(|version| is_opentofu(version)));
        let terraform = ["1.5.5", "1.5", "0.15.0", "1.4.9"];
        assert!(!terraform.iter().any(|version| is_opentofu(version)));
    }
}
