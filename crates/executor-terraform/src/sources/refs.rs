//! What of a repository is wanted: a branch, a tag or a commit.

use runner_core::Failure;

/// The wanted ref.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reference {
    /// The default branch.
    Default,
    /// A branch, else a tag, else a commit.
    Named(String),
    /// A ref by its full name, `refs/…`, also one that no clone brings along.
    Full(String),
}

impl Reference {
    /// Reads a `refName`. `HEAD` is the default branch, `origin/x` the branch `x`.
    pub(super) fn parse(text: Option<&str>) -> Result<Self, Failure> {
        let name = match text.map(str::trim) {
            None | Some("" | "HEAD") => return Ok(Self::Default),
            Some(name) => name,
        };
        let forbidden = |c: char| c.is_control() || c.is_whitespace() || "~^:?*[\\".contains(c);
        if name.starts_with(['-', '+', '/', '.'])
            || name.ends_with(['/', '.'])
            || name.contains(forbidden)
            || ["..", "@{", "//"].iter().any(|part| name.contains(part))
        {
            return Err(Failure::new(format!(
                "`{}` cannot be a branch, tag or commit. \
                 Ask the platform team to correct the ref in the building block definition.",
                name.escape_debug()
            )));
        }
        if name.starts_with("refs/") { Ok(Self::Full(name.to_owned())) } else { Ok(Self::Named(name.to_owned())) }
    }

    /// What people know it as.
    pub(super) fn shown(&self) -> &str {
        match self {
            Self::Default => "its default branch",
            Self::Named(name) | Self::Full(name) => name,
        }
    }
}

/// Another reading of a name that is no branch or tag: git's shorter forms of full names.
pub(super) fn full_name(name: &str) -> Option<String> {
    if name.starts_with("heads/") || name.starts_with("tags/") {
        return Some(format!("refs/{name}"));
    }
    name.strip_prefix("origin/").map(|branch| format!("refs/heads/{branch}"))
}

/// Whether a name can be that of a commit, in full or abbreviated.
pub(super) fn is_commit(name: &str) -> bool {
    (4..=64).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Whether it is a commit's full name, which a server may hand out by itself.
pub(super) fn is_whole_commit(name: &str) -> bool {
    is_commit(name) && matches!(name.len(), 40 | 64)
}

#[cfg(test)]
mod tests {
    use super::{Reference, full_name, is_commit};

    #[test]
    fn names_are_read_as_people_mean_them() {
        for default in [None, Some(""), Some(" "), Some("HEAD")] {
            assert_eq!(Reference::parse(default).unwrap(), Reference::Default);
        }
        assert_eq!(Reference::parse(Some(" feature/a-b@1 ")).unwrap(), Reference::Named("feature/a-b@1".to_owned()));
        assert_eq!(Reference::parse(Some("refs/pull/1/head")).unwrap(), Reference::Full("refs/pull/1/head".to_owned()));
        assert_eq!(full_name("origin/main").as_deref(), Some("refs/heads/main"));
        assert_eq!(full_name("tags/v1").as_deref(), Some("refs/tags/v1"));
        assert_eq!(full_name("main"), None);
        assert!(is_commit("abcd") && is_commit("ABCDEF0123") && !is_commit("abc") && !is_commit("main"));
    }

    #[test]
    fn what_git_could_take_for_something_else_is_refused() {
        for hostile in [
            "--upload-pack=x",
            "-b",
            "+refs/heads/*:refs/heads/*",
            "a:b",
            "a b",
            "a\nb",
            "a\0b",
            "a..b",
            "a@{1}",
            "^a",
            "a~1",
            "a*",
            "a?",
            "a[b",
            "a\\b",
            "/a",
            "a/",
            "a//b",
            ".a",
            "\u{1b}[0m",
        ] {
            let failure = Reference::parse(Some(hostile)).unwrap_err();
            assert!(!failure.user_message().contains(char::is_control), "{failure}");
        }
    }
}
