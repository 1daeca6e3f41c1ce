//! Read tokens of the operator, each for one GitLab server.

use std::collections::HashMap;

use runner_core::meshstack_client::Secret;
use runner_core::web::Url;

/// Which token is for which server.
#[derive(Debug, Default)]
pub(crate) struct ReadTokens(Vec<ReadToken>);

#[derive(Debug)]
struct ReadToken {
    place: Url,
    token: Secret,
}

impl ReadTokens {
    /// Keys that are no place of a server are left out, and said in the log.
    pub(crate) fn new(tokens: &HashMap<String, Secret>) -> Self {
        let mut known = Vec::new();
        for (key, token) in tokens {
            let key = key.trim().trim_end_matches('/');
            let text = if key.contains("://") { key.to_owned() } else { format!("https://{key}") };
            match Url::parse(&text) {
                Ok(place) if matches!(place.scheme(), "https" | "http") && !token.is_empty() => {
                    known.push(ReadToken { place, token: Secret::new(token.expose().trim()) });
                }
                _ => tracing::warn!(
                    key,
                    "a GitLab read token is not used: its key is no `host[:port][/sub-path]`, or it is empty"
                ),
            }
        }
        Self(known)
    }

    /// The token for the server at this address.
    pub(crate) fn of(&self, base: &Url) -> Option<&Secret> {
        let here = |known: &&ReadToken| {
            let path = |url: &Url| url.path().trim_end_matches('/').to_owned();
            known.place.host_str() == base.host_str()
                && known.place.port_or_known_default() == base.port_or_known_default()
                && path(&known.place) == path(base)
        };
        let known = self.0.iter().find(here)?;
        // Whoever writes a definition chooses its address, but not how well the operator's token is kept.
        if base.scheme() == "https" || known.place.scheme() == "http" || is_loopback(base) {
            return Some(&known.token);
        }
        tracing::warn!(
            server = %base,
            "the GitLab read token is not used: it would be sent unencrypted. Use https in the building block definition, \
             or begin the token's key with http://"
        );
        None
    }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    host == "localhost" || host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use runner_core::meshstack_client::Secret;
    use runner_core::web::Url;

    use super::ReadTokens;

    fn found(key: &str, base: &str) -> bool {
        let tokens = ReadTokens::new(&[(key.to_owned(), Secret::new("read"))].into());
        tokens.of(&Url::parse(base).expect("an address")).is_some()
    }

    #[test]
    fn a_token_is_for_its_host_port_and_sub_path_only() {
        for (key, base) in [
            ("gitlab.com", "https://gitlab.com/"),
            ("GitLab.com/", "https://gitlab.com"),
            ("https://gitlab.com", "https://gitlab.com"),
            ("gitlab.com:443", "https://gitlab.com"),
            ("h:8443", "https://h:8443"),
            ("h/git/lab", "https://h/git/lab"),
            ("127.0.0.1:80", "http://127.0.0.1"),
            ("[::1]:8080", "http://[::1]:8080"),
            ("http://h", "http://h"),
        ] {
            assert!(found(key, base), "{key} {base}");
        }
        for (key, base) in [
            ("gitlab.com", "https://gitlab.com.evil.example"),
            ("gitlab.com", "https://gitlab.com:8443"),
            ("gitlab.com", "https://gitlab.com/evil"),
            ("h/git", "https://h"),
            ("h/git", "https://h/gitlab"),
            ("h:80", "http://h"),
            ("h", "http://h"),
            ("http://h", "https://h"),
            ("", "https://h"),
            ("file:///h", "https://h"),
            ("not a host", "https://h"),
        ] {
            assert!(!found(key, base), "{key} {base}");
        }
    }

    #[test]
    fn an_empty_token_is_none() {
        let tokens = ReadTokens::new(&[("h".to_owned(), Secret::new(""))].into());
        assert!(tokens.of(&Url::parse("https://h").expect("an address")).is_none());
    }
}
