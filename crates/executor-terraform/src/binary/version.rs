//! Versions, and whose they are.

use std::cmp::Ordering;
use std::fmt;

/// The last version that is Terraform's.
const LAST_OF_TERRAFORM: (u32, u32, u32) = (1, 5, 5);

/// Whose program a version is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Product {
    Terraform,
    OpenTofu,
}

impl Product {
    /// The program's name in its archive.
    pub(crate) fn program(self) -> &'static str {
        match self {
            Self::Terraform => "terraform",
            Self::OpenTofu => "tofu",
        }
    }

    /// The key of its mirror in the configuration.
    pub(crate) fn mirror_key(self) -> &'static str {
        match self {
            Self::Terraform => "terraform.mirrors.terraform",
            Self::OpenTofu => "terraform.mirrors.opentofu",
        }
    }
}

impl fmt::Display for Product {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Terraform => "Terraform",
            Self::OpenTofu => "OpenTofu",
        })
    }
}

/// A version as a run names it: `1.5.5`, `1.10.0-rc1`, or `1.5` for its newest patch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Version {
    text: Box<str>,
    numbers: (u32, u32, Option<u32>),
}

impl Version {
    /// Two or three numbers, and after three perhaps a label. Anything else must not get near a path.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (numbers, label) = text.split_once('-').map_or((text, None), |(numbers, label)| (numbers, Some(label)));
        let numbers: Vec<u32> = numbers.split('.').map(number).collect::<Option<_>>()?;
        let numbers = match (numbers.as_slice(), label) {
            (&[major, minor], None) => (major, minor, None),
            (&[major, minor, patch], _) if label.is_none_or(is_label) => (major, minor, Some(patch)),
            _ => return None,
        };
        Some(Self { text: text.into(), numbers })
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// Above 1.5.5 a version is `OpenTofu`'s; one of two parts stands for its first patch here.
    pub(crate) fn product(&self) -> Product {
        let (major, minor, patch) = self.numbers;
        match (major, minor, patch.unwrap_or(0)).cmp(&LAST_OF_TERRAFORM) {
            Ordering::Greater => Product::OpenTofu,
            _ => Product::Terraform,
        }
    }

    /// Whether it is one release, not all patches of a minor version.
    pub(crate) fn is_exact(&self) -> bool {
        self.numbers.2.is_some()
    }

    fn is_labelled(&self) -> bool {
        self.text.contains('-')
    }

    /// The newest patch of this version among those offered, of the same product and no pre-release:
    /// so `1.5` is at most 1.5.5, since what comes after it is not Terraform's any more.
    pub(crate) fn newest_patch<'a>(&self, offered: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let is_patch = |other: &Self| {
            let same_minor = (other.numbers.0, other.numbers.1) == (self.numbers.0, self.numbers.1);
            same_minor && other.is_exact() && !other.is_labelled() && other.product() == self.product()
        };
        offered.into_iter().filter_map(Self::parse).filter(is_patch).max_by_key(|version| version.numbers.2)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A number without leading zeros.
fn number(text: &str) -> Option<u32> {
    let is_number = (1..=6).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    if is_number && (text == "0" || !text.starts_with('0')) { text.parse().ok() } else { None }
}

fn is_label(text: &str) -> bool {
    (1..=32).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Version {
        Version::parse(text).unwrap_or_else(|| panic!("{text} is a version"))
    }

    #[test]
    fn versions_are_told_from_what_could_leave_the_folder() {
        for text in ["1.5.5", "1.5", "1.10.0-beta1", "0.12.31", "1.6.0-rc.1"] {
            assert_eq!(version(text).as_str(), text);
        }
        let long = format!("1.5.{}", "1".repeat(200));
        let long_label = format!("1.5.5-{}", "a".repeat(33));
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
            "1.5.5-a/b",
            "1.6-rc1",
            " 1.5",
            "1.5\n",
            "1.05",
            "1.5.٣",
            &long,
            &long_label,
        ] {
            assert_eq!(Version::parse(other), None, "{other}");
        }
    }

    #[test]
    fn from_1_5_6_on_it_is_opentofu() {
        for text in ["1.5.6", "1.6.0-rc.1", "1.10.2", "2.0.0", "1.6"] {
            assert_eq!(version(text).product(), Product::OpenTofu, "{text}");
        }
        for text in ["1.5.5", "1.5", "0.15.0", "1.4.9"] {
            assert_eq!(version(text).product(), Product::Terraform, "{text}");
        }
    }

    #[test]
    fn the_newest_patch_is_by_number_and_no_pre_release() {
        let offered = ["1.9.9", "1.9.10", "1.9.11-rc1", "1.10.0", "not one", "1.9"];
        assert_eq!(version("1.9").newest_patch(offered), Some(version("1.9.10")));
        assert_eq!(version("1.8").newest_patch(offered), None);
    }

    #[test]
    fn the_newest_patch_of_1_5_is_still_terraform() {
        assert_eq!(version("1.5").newest_patch(["1.5.7", "1.5.5", "1.5.4"]), Some(version("1.5.5")));
    }
}
