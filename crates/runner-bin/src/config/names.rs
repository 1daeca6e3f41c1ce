//! Names of keys: in lists, in Spring's loose spelling, as variables, and as patterns.

use super::dialect::Dialect;

/// `a[3].b` as `a[].b`.
pub(crate) fn general(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    let mut inside = false;
    for c in path.chars() {
        inside = match c {
            '[' => true,
            ']' => false,
            _ => inside,
        };
        if !inside || c == '[' {
            out.push(c);
        }
    }
    out
}

/// The one spelling of what Spring takes for the same: `client-id`, `client_id` and `clientId`.
pub(crate) fn loose(path: &str) -> String {
    path.chars().filter(|c| !matches!(c, '-' | '_')).map(|c| c.to_ascii_lowercase()).collect()
}

/// How a path is compared in a dialect. The public Go runners take keys to the letter.
pub(crate) fn comparable(dialect: Dialect, path: &str) -> String {
    let general = general(path);
    if dialect == Dialect::Jvm { loose(&general) } else { general }
}

/// What stands behind `root.` in a path, as it is written: `gitlab.example.com` of `gitlab.readTokens.gitlab.example.com`.
pub(crate) fn below<'p>(dialect: Dialect, path: &'p str, root: &str) -> Option<&'p str> {
    let dots = root.matches('.').count();
    let (at, _) = path.match_indices('.').nth(dots)?;
    (comparable(dialect, &path[..at]) == comparable(dialect, root)).then(|| &path[at + 1..])
}

/// The words of one part of a path: `client-id` and `clientId` have two.
pub(crate) fn words(part: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut starts = true;
    for c in part.chars() {
        if matches!(c, '-' | '_') {
            starts = true;
            continue;
        }
        match words.last_mut().filter(|_| !starts && !c.is_ascii_uppercase()) {
            Some(word) => word.push(c),
            None => words.push(c.to_ascii_lowercase().to_string()),
        }
        starts = false;
    }
    words
}

/// Spring's names of the variables for a key: words of a part run together, or, the older form, with `_` between them.
pub(crate) fn spring_variables(key: &str) -> Vec<String> {
    let joined = |between: &str| {
        let parts: Vec<String> = key.split('.').map(|part| words(part).join(between)).collect();
        parts.join("_").to_ascii_uppercase()
    };
    let (together, apart) = (joined(""), joined("_"));
    if apart == together { vec![together] } else { vec![together, apart] }
}

/// How far a path goes along a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Along {
    /// Elsewhere.
    Off,
    /// It leads to it: `api` of `api.url`.
    Above,
    /// It is it.
    Exact,
    /// It goes on where the pattern ends: `api.url.x` of `api.url`.
    Beyond,
    /// It is a list where the pattern has keys: `api[]` of `api.url`.
    Listed,
}

/// Compares a path with a pattern, where `*` stands for one part, and at the end for all that is left.
///
/// Both as [`comparable`] gives them.
pub(crate) fn along(path: &str, pattern: &str) -> Along {
    let (mut parts, mut wanted) = (path.split('.'), pattern.split('.').peekable());
    loop {
        match (parts.next(), wanted.next()) {
            (None, None) => return Along::Exact,
            (None, Some(_)) => return Along::Above,
            (Some(_), None) => return Along::Beyond,
            (Some(_), Some("*")) if wanted.peek().is_none() => return Along::Exact,
            (Some(_), Some("*")) => {}
            (Some(part), Some(want)) if part == want => {}
            // A list is a list wherever it is looked at.
            (Some(part), Some(want)) if part == want.trim_end_matches("[]") => {
                return if parts.next().is_some() { Along::Off } else { Along::Above };
            }
            (Some(part), Some(want)) if part.strip_prefix(want).is_some_and(|rest| rest.starts_with("[]")) => {
                return if wanted.peek().is_some() { Along::Listed } else { Along::Beyond };
            }
            _ => return Along::Off,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Along, Dialect, along, below, comparable, general, spring_variables};

    #[test]
    fn places_in_lists_do_not_matter() {
        assert_eq!(general("a[12].b[0]"), "a[].b[]");
    }

    #[test]
    fn spring_takes_every_spelling_and_the_go_runners_one() {
        for key in ["blockrunner.api-key.client-id", "blockRunner.apiKey.clientId", "BLOCKRUNNER.API_KEY.client_id"] {
            assert_eq!(comparable(Dialect::Jvm, key), "blockrunner.apikey.clientid");
            assert_eq!(comparable(Dialect::Terraform, key), key);
        }
    }

    #[test]
    fn a_host_is_kept_as_it_is_written() {
        let path = "blockrunner.gitlab.read-tokens.git-lab.example.com:8443";
        assert_eq!(below(Dialect::Jvm, path, "blockrunner.gitlab.readTokens"), Some("git-lab.example.com:8443"));
        assert_eq!(below(Dialect::Terraform, path, "gitlab.readTokens"), None);
        assert_eq!(below(Dialect::Terraform, "gitlab.readTokens", "gitlab.readTokens"), None);
    }

    #[test]
    fn spring_names_variables_in_two_ways() {
        let names = spring_variables("blockrunner.auth.api-key.client-id");
        assert_eq!(names, ["BLOCKRUNNER_AUTH_APIKEY_CLIENTID", "BLOCKRUNNER_AUTH_API_KEY_CLIENT_ID"]);
        assert_eq!(spring_variables("blockrunner.privateKey"), ["BLOCKRUNNER_PRIVATEKEY", "BLOCKRUNNER_PRIVATE_KEY"]);
        assert_eq!(spring_variables("server.port"), ["SERVER_PORT"]);
    }

    #[test]
    fn a_path_is_compared_with_a_pattern_part_by_part() {
        for (path, pattern, expected) in [
            ("api.url", "api.url", Along::Exact),
            ("api", "api.url", Along::Above),
            ("api.url.x", "api.url", Along::Beyond),
            ("api.url[]", "api.url", Along::Beyond),
            ("api[]", "api.url", Along::Listed),
            ("api[].url", "api.url", Along::Listed),
            ("ap", "api.url", Along::Off),
            ("a[]", "a[]", Along::Exact),
            ("a", "a[]", Along::Above),
            ("a.b", "a[]", Along::Off),
            ("a[].b", "a[]", Along::Beyond),
            ("n.kubernetes.io/os", "n.*", Along::Exact),
            ("i.T.image", "i.*.image", Along::Exact),
            ("i.T.imag", "i.*.image", Along::Off),
            ("i.T", "i.*.image", Along::Above),
            ("i.T.env[].name", "i.*.env[].name", Along::Exact),
        ] {
            assert_eq!(along(path, pattern), expected, "{path} {pattern}");
        }
    }
}
