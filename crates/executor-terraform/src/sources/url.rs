//! The repository's address: what is let through to git, and what is shown of it.
//!
//! Source: `protocol/terraform.md`, "Sources".

use std::fmt;

use runner_core::Failure;
use runner_core::meshstack_client::Secret;

/// Where a repository is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Repository {
    /// The address that git gets, without credentials: its arguments are visible to every process
    /// of the machine, and it writes the address into the checkout.
    pub(super) address: String,
    /// Credentials that stood in the address.
    pub(super) credentials: Option<Credentials>,
    /// Whether it is reached with ssh.
    pub(super) ssh: bool,
    shown: String,
}

/// A user and a password for one https server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Credentials {
    /// The server, as `https://host:port`.
    pub(super) server: String,
    pub(super) username: Secret,
    pub(super) password: Secret,
}

/// The address as people may see it: no credentials, no query.
impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl Repository {
    /// Reads an address: `https`, `http`, `git`, `ssh` and `file` URLs, `user@host:path`, and absolute paths.
    ///
    /// Everything else is refused before git sees it: options, `ext::` and other helpers that run
    /// commands, and relative paths, for which there is nothing to be relative to.
    pub(super) fn parse(text: &str) -> Result<Self, Failure> {
        let text = text.trim();
        if text.is_empty() {
            return Err(refused("there is none"));
        }
        if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(refused("it holds blanks or control characters"));
        }
        if text.starts_with('-') {
            return Err(refused("it starts with a dash"));
        }
        if let Some((scheme, rest)) = text.split_once("://") {
            return Self::of_url(&scheme.to_ascii_lowercase(), rest);
        }
        if text.starts_with('/') {
            // As a URL, or git would take no notice of the depth. In a URL `%` is an escape.
            return Ok(Self::plain(format!("file://{}", text.replace('%', "%25")), false));
        }
        Self::of_scp_form(text)
    }

    fn plain(address: String, ssh: bool) -> Self {
        Self { shown: address.clone(), address, credentials: None, ssh }
    }

    fn of_url(scheme: &str, rest: &str) -> Result<Self, Failure> {
        if scheme == "file" {
            return match rest.strip_prefix("localhost").unwrap_or(rest) {
                path if path.starts_with('/') => Ok(Self::plain(format!("file://{path}"), false)),
                _ => Err(refused("a file URL needs an absolute path: `file:///…`")),
            };
        }
        if !matches!(scheme, "https" | "http" | "git" | "ssh") {
            return Err(refused("only https, http, git, ssh and file are supported"));
        }
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let (user, host) = authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
        check_host(host)?;
        if scheme == "ssh" {
            // The user is `git` whatever the URL says.
            return Ok(Self::plain(format!("ssh://git@{host}{path}"), true));
        }
        let server = format!("{scheme}://{host}");
        let credentials = match user {
            Some(user) if scheme != "git" && !user.is_empty() => Some(Credentials::read(&server, user)?),
            _ => None,
        };
        let shown_path = path.split(['?', '#']).next().unwrap_or_default();
        Ok(Self { address: format!("{server}{path}"), credentials, ssh: false, shown: format!("{server}{shown_path}") })
    }

    fn of_scp_form(text: &str) -> Result<Self, Failure> {
        let unknown = || refused("it is no https, ssh or file address");
        let after_brackets =
            if let Some(bracket) = text.find("@[").map(|at| at + 1).or(text.starts_with('[').then_some(0)) {
                text[bracket..].find(']').map(|at| bracket + at).ok_or_else(unknown)?
            } else {
                0
            };
        let colon = after_brackets + text[after_brackets..].find(':').ok_or_else(unknown)?;
        let (login, path) = (&text[..colon], &text[colon + 1..]);
        if login.contains('/') || path.is_empty() {
            return Err(unknown());
        }
        if path.starts_with(':') {
            return Err(refused("it names a program to run"));
        }
        if path.starts_with('-') {
            return Err(refused("its path starts with a dash"));
        }
        let host = login.rsplit_once('@').map_or(login, |(_, host)| host);
        check_host(host)?;
        Ok(Self::plain(format!("git@{host}:{path}"), true))
    }
}

impl Credentials {
    fn read(server: &str, user: &str) -> Result<Self, Failure> {
        let (username, password) = user.split_once(':').unwrap_or((user, ""));
        let read = |part: &str| {
            percent_decoded(part)
                .filter(|text| !text.chars().any(char::is_control))
                .map(Secret::new)
                .ok_or_else(|| refused("its user or password is not written as in a URL"))
        };
        Ok(Self { server: server.to_owned(), username: read(username)?, password: read(password)? })
    }
}

/// Host and port: nothing that ssh or a shell could take for something else.
fn check_host(text: &str) -> Result<(), Failure> {
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, rest)) => (address, rest.strip_prefix(':').unwrap_or(rest)),
        None => text.split_once(':').unwrap_or((text, "")),
    };
    let bracketed = text.starts_with('[');
    let fine = |c: char| c.is_alphanumeric() || "-._".contains(c) || (bracketed && c == ':');
    if host.is_empty() || host.starts_with('-') || !host.chars().all(fine) || !port.chars().all(|c| c.is_ascii_digit())
    {
        return Err(refused("its host is none"));
    }
    Ok(())
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        if first == b'%' {
            let digits = std::str::from_utf8(tail.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &tail[2..];
        } else {
            bytes.push(first);
        }
    }
    String::from_utf8(bytes).ok()
}

/// The address itself is not shown: it may hold credentials in whatever form.
fn refused(what: &str) -> Failure {
    Failure::new(format!(
        "The repository's address cannot be used: {what}. \
         Ask the platform team to correct it in the building block definition."
    ))
}

#[cfg(test)]
mod tests {
    use super::Repository;

    #[test]
    fn addresses_are_passed_on_without_credentials() {
        for (given, address, ssh) in [
            ("https://git.example.com/org/repo.git", "https://git.example.com/org/repo.git", false),
            (" HTTPS://git.example.com:8443/r?a=b \n", "https://git.example.com:8443/r?a=b", false),
            ("https://user:t%40ken@git.example.com/r", "https://git.example.com/r", false),
            ("http://token@git.example.com/r", "http://git.example.com/r", false),
            ("git://git.example.com/r", "git://git.example.com/r", false),
            ("ssh://git.example.com:2222/r", "ssh://git@git.example.com:2222/r", true),
            ("ssh://jo:pw@git.example.com/~/r", "ssh://git@git.example.com/~/r", true),
            ("git@git.example.com:org/repo.git", "git@git.example.com:org/repo.git", true),
            ("jo@git.example.com:r", "git@git.example.com:r", true),
            ("git.example.com:r", "git@git.example.com:r", true),
            ("git@[::1]:r", "git@[::1]:r", true),
            ("[::1]:r", "git@[::1]:r", true),
            ("file:///srv/repo.git", "file:///srv/repo.git", false),
            ("file://localhost/srv/r", "file:///srv/r", false),
            ("/srv/100%/repo", "file:///srv/100%25/repo", false),
        ] {
            let repository = Repository::parse(given).unwrap();
            assert_eq!((repository.address.as_str(), repository.ssh), (address, ssh), "{given}");
        }
    }

    #[test]
    fn credentials_are_kept_aside_and_never_shown() {
        let repository = Repository::parse("https://j%6F:t%40k:en@git.example.com:8443/r?token=s3cret#x").unwrap();
        let credentials = repository.credentials.clone().unwrap();
        assert_eq!(credentials.server, "https://git.example.com:8443");
        assert_eq!((credentials.username.expose(), credentials.password.expose()), ("jo", "t@k:en"));
        assert_eq!(repository.to_string(), "https://git.example.com:8443/r");
        assert!(!format!("{credentials:?}").contains("t@k"));
    }

    #[test]
    fn what_git_could_take_for_an_option_or_a_command_is_refused_and_not_repeated() {
        for hostile in [
            "",
            " ",
            "-u./payload",
            "--upload-pack=touch s3cret",
            "ext::sh -c s3cret",
            "ext::s3cret",
            "fd::17",
            "foo::bar",
            "ext://x",
            "https+x://h/s3cret",
            "ftp://h/s3cret",
            "javascript://h/s3cret",
            "s3cret",
            "./s3cret",
            "../s3cret",
            "dir/s3cret:x",
            "file://host/s3cret",
            "file://s3cret",
            "ssh://-oProxyCommand=s3cret/x",
            "ssh://git@-oProxyCommand=x/s3cret",
            "-oProxyCommand=s3cret@h:x",
            "git@-oProxyCommand=s3cret:x",
            "git@h:-s3cret",
            "git@h:",
            "@h",
            "https://",
            "https:///s3cret",
            "https://h\n/s3cret",
            "https://h/a\0s3cret",
            "https://h/a b",
            "https://a$(s3cret)/x",
            "https://h%0a:s3cret",
            "https://u:p%0as3cret@h/x",
            "https://u:p%zzs3cret@h/x",
            "git@[::1",
            "ssh://a;s3cret/x",
            "https://h\u{85}/x",
            "::1:x",
        ] {
            let failure = Repository::parse(hostile).map(|r| r.address).unwrap_err();
            assert!(!failure.user_message().contains("s3cret"), "{hostile}: {failure}");
        }
    }
}
