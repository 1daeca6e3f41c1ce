//! Where releases lie, on the makers' sites and on mirrors.

use std::fmt;

use reqwest::Url;
use serde_json::Value;

use super::error::InstallError;
use super::version::{Product, Version};
use crate::settings::Mirrors;

/// The operating system and processor, as in the names of archives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Platform {
    os: &'static str,
    arch: &'static str,
}

impl Platform {
    /// The one that this program runs on, if anybody releases for it.
    pub(crate) fn this() -> Option<Self> {
        Self::of(std::env::consts::OS, std::env::consts::ARCH)
    }

    fn of(os: &str, arch: &str) -> Option<Self> {
        let os = match os {
            "linux" => "linux",
            "macos" => "darwin",
            _ => return None,
        };
        let arch = match arch {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            _ => return None,
        };
        Some(Self { os, arch })
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", self.os, self.arch)
    }
}

/// A site that has the releases of a product. Its addresses may hold credentials, so it cannot be printed.
#[derive(Clone)]
pub(crate) struct Site {
    product: Product,
    pub(crate) base: Url,
    /// Where it lists its versions.
    pub(crate) index: Url,
}

/// The files of one release.
#[derive(Clone)]
pub(crate) struct Release {
    /// The checksums of its archives.
    pub(crate) sums: Url,
    /// Signatures of the checksums, any of which will do, in the order in which they are tried.
    pub(crate) signatures: Vec<Url>,
    pub(crate) archive: Url,
    /// Name of the archive in the checksums.
    pub(crate) archive_name: String,
}

impl Site {
    /// The mirror, if there is one, else the maker's own site.
    pub(crate) fn of(product: Product, mirrors: &Mirrors) -> Result<Self, InstallError> {
        let (mirror, own) = match product {
            Product::Terraform => (&mirrors.terraform, "https://releases.hashicorp.com"),
            Product::OpenTofu => (&mirrors.opentofu, "https://github.com/opentofu/opentofu/releases/download"),
        };
        let base = mirror.as_deref().unwrap_or(own);
        let is_web = |url: &Url| matches!(url.scheme(), "http" | "https") && url.has_host();
        let base = Url::parse(base).ok().filter(is_web).ok_or(InstallError::Mirror { product })?;
        let index = match (product, mirror) {
            (Product::Terraform, _) => below(&base, &["terraform", "index.json"]),
            (Product::OpenTofu, Some(_)) => below(&base, &["api.json"]),
            (Product::OpenTofu, None) => {
                Url::parse("https://get.opentofu.org/tofu/api.json").map_err(|_| InstallError::Mirror { product })?
            }
        };
        Ok(Self { product, base, index })
    }

    /// The files of an exact version.
    pub(crate) fn release(&self, version: &Version, platform: Platform) -> Release {
        let program = self.product.program();
        let archive_name = format!("{program}_{version}_{platform}.zip");
        let sums = format!("{program}_{version}_SHA256SUMS");
        let (folder, ends): (_, &[&str]) = match self.product {
            // For releases older than the key there is one by the key before it under the plain name.
            Product::Terraform => (vec!["terraform".to_owned(), version.to_string()], &["sig", "72D7468F.sig"]),
            Product::OpenTofu => (vec![format!("v{version}")], &["gpgsig"]),
        };
        let file = |name: &str| below(&self.base, &[folder.clone(), vec![name.to_owned()]].concat());
        Release {
            sums: file(&sums),
            signatures: ends.iter().map(|end| file(&format!("{sums}.{end}"))).collect(),
            archive: file(&archive_name),
            archive_name,
        }
    }

    /// The versions that an index lists. None if it is none.
    pub(crate) fn versions(&self, index: &[u8]) -> Option<Vec<String>> {
        let index: Value = serde_json::from_slice(index).ok()?;
        let versions = index.get("versions")?;
        Some(match self.product {
            Product::Terraform => versions.as_object()?.keys().cloned().collect(),
            Product::OpenTofu => versions
                .as_array()?
                .iter()
                .filter_map(|version| version.get("id")?.as_str())
                .map(str::to_owned)
                .collect(),
        })
    }
}

/// A path below an address, whether that ends in a slash or not.
fn below(base: &Url, path: &[impl AsRef<str>]) -> Url {
    let mut url = base.clone();
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().extend(path);
    }
    url
}

/// An address without what must not be shown: credentials and signed parameters.
pub(crate) fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINUX: Platform = Platform { os: "linux", arch: "amd64" };

    fn version(text: &str) -> Version {
        Version::parse(text).unwrap()
    }

    fn mirrors(terraform: Option<&str>, opentofu: Option<&str>) -> Mirrors {
        Mirrors { terraform: terraform.map(str::to_owned), opentofu: opentofu.map(str::to_owned) }
    }

    #[test]
    fn terraform_comes_from_hashicorp() {
        let site = Site::of(Product::Terraform, &Mirrors::default()).unwrap();
        let release = site.release(&version("1.5.5"), LINUX);
        let folder = "https://releases.hashicorp.com/terraform/1.5.5";
        assert_eq!(release.archive.as_str(), format!("{folder}/terraform_1.5.5_linux_amd64.zip"));
        assert_eq!(release.sums.as_str(), format!("{folder}/terraform_1.5.5_SHA256SUMS"));
        assert_eq!(release.signatures[0].as_str(), format!("{folder}/terraform_1.5.5_SHA256SUMS.sig"));
        assert_eq!(site.index.as_str(), "https://releases.hashicorp.com/terraform/index.json");
    }

    #[test]
    fn opentofu_comes_from_its_releases() {
        let site = Site::of(Product::OpenTofu, &Mirrors::default()).unwrap();
        let release = site.release(&version("1.10.0-rc1"), LINUX);
        let folder = "https://github.com/opentofu/opentofu/releases/download/v1.10.0-rc1";
        assert_eq!(release.archive.as_str(), format!("{folder}/tofu_1.10.0-rc1_linux_amd64.zip"));
        assert_eq!(release.sums.as_str(), format!("{folder}/tofu_1.10.0-rc1_SHA256SUMS"));
        let signatures: Vec<_> = release.signatures.iter().map(Url::as_str).collect();
        assert_eq!(signatures, [format!("{folder}/tofu_1.10.0-rc1_SHA256SUMS.gpgsig")]);
        assert_eq!(site.index.as_str(), "https://get.opentofu.org/tofu/api.json");
    }

    #[test]
    fn a_mirror_may_lie_below_a_path_with_or_without_a_slash() {
        for base in ["http://mirror.example.com/a/b", "http://mirror.example.com/a/b/"] {
            let site = Site::of(Product::OpenTofu, &mirrors(None, Some(base))).unwrap();
            let release = site.release(&version("1.9.0"), LINUX);
            assert_eq!(release.sums.as_str(), "http://mirror.example.com/a/b/v1.9.0/tofu_1.9.0_SHA256SUMS");
            assert_eq!(site.index.as_str(), "http://mirror.example.com/a/b/api.json");
            let site = Site::of(Product::Terraform, &mirrors(Some(base), None)).unwrap();
            assert_eq!(site.index.as_str(), "http://mirror.example.com/a/b/terraform/index.json");
        }
    }

    #[test]
    fn an_address_that_is_no_web_address_is_refused_with_the_name_of_its_key() {
        for other in ["", "releases", "file:///releases", "ftp://mirror.example.com"] {
            let error = Site::of(Product::Terraform, &mirrors(Some(other), None)).err().unwrap();
            assert!(error.to_string().contains("terraform.mirrors.terraform"), "{error}");
        }
    }

    #[test]
    fn versions_are_read_from_either_index() {
        let terraform = Site::of(Product::Terraform, &Mirrors::default()).unwrap();
        let index = br#"{"name": "terraform", "versions": {"1.5.4": {"builds": []}, "1.5.5": {}}}"#;
        assert_eq!(terraform.versions(index).unwrap(), ["1.5.4", "1.5.5"]);
        let opentofu = Site::of(Product::OpenTofu, &Mirrors::default()).unwrap();
        let index = br#"{"versions": [{"id": "1.9.0", "files": []}, {"id": "1.8.1"}]}"#;
        assert_eq!(opentofu.versions(index).unwrap(), ["1.9.0", "1.8.1"]);
        assert_eq!(opentofu.versions(b"<html>"), None);
    }

    #[test]
    fn platforms_have_the_names_that_archives_have() {
        assert_eq!(Platform::of("linux", "x86_64").unwrap().to_string(), "linux_amd64");
        assert_eq!(Platform::of("macos", "aarch64").unwrap().to_string(), "darwin_arm64");
        assert_eq!(Platform::of("windows", "x86_64"), None);
    }

    #[test]
    fn what_is_shown_of_an_address_holds_no_credentials() {
        let url = Url::parse("https://user:secret@mirror.example.com/x?token=secret#secret").unwrap();
        assert_eq!(shown(&url), "https://mirror.example.com/x");
    }
}
