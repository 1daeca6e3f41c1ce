//! Names in messages: printing them safely, and the known name nearest to an unknown one.

/// The name in back quotes, if it looks like a name. Something else may be a value that slipped out of
/// its place, such as a line of a key, and is not repeated.
pub(crate) fn printable(name: &str) -> String {
    let harmless = |c: char| c.is_ascii_alphanumeric() || "._-[]".contains(c);
    if !name.is_empty() && name.len() <= 60 && name.chars().all(harmless) {
        format!("`{name}`")
    } else {
        "A key (not shown: it does not look like one)".to_owned()
    }
}

/// The path of a value, for where only such stand that belong there; parts of it may be free, such as hosts.
pub(crate) fn shown_path(path: &str) -> String {
    let harmless = |c: char| c.is_ascii_alphanumeric() || "._-[]/:".contains(c);
    if path.len() <= 120 && path.chars().all(harmless) { path.to_owned() } else { "a key that is not shown".to_owned() }
}

/// The same for the name of something else than a key.
pub(crate) fn printable_name(name: &str) -> String {
    let shown = printable(name);
    if shown.starts_with('`') { shown } else { "a name (not shown: it does not look like one)".to_owned() }
}

/// The known name that was probably meant: the one that is most alike, if at least `alike` (of 1).
pub(crate) fn nearest<'k>(name: &str, known: impl Iterator<Item = &'k str>, alike: f64) -> Option<&'k str> {
    if name.len() > 100 {
        return None;
    }
    let last = |path: &str| path.rsplit('.').next().unwrap_or_default().to_lowercase();
    let score = |candidate: &str| {
        let whole = strsim::normalized_damerau_levenshtein(&name.to_lowercase(), &candidate.to_lowercase());
        // A right name in the wrong place is as good a guess as a misspelt one in the right place.
        let end = 0.95 * strsim::normalized_damerau_levenshtein(&last(name), &last(candidate));
        (whole.max(end), whole)
    };
    known
        .map(|candidate| (score(candidate), candidate))
        .filter(|((score, _), _)| *score >= alike)
        .max_by(|((a, whole_a), _), ((b, whole_b), _)| a.total_cmp(b).then(whole_a.total_cmp(whole_b)))
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::{nearest, printable};

    #[test]
    fn the_nearest_name_is_found_by_spelling_and_by_place() {
        let known = ["runnerUuid", "api.url", "api.clientId", "timeoutMins"];
        let found = |name| nearest(name, known.into_iter(), 0.7);
        assert_eq!(found("runnerUUID"), Some("runnerUuid"));
        assert_eq!(found("runerUuid"), Some("runnerUuid"));
        assert_eq!(found("url"), Some("api.url"));
        assert_eq!(found("clientId"), Some("api.clientId"));
        assert_eq!(found("timeoutMinutes"), Some("timeoutMins"));
        assert_eq!(found("somethingElse"), None);
        let known = ["limits.terraform", "terraform.mirrors.terraform"];
        assert_eq!(nearest("limit.terraform", known.into_iter(), 0.7), Some("limits.terraform"));
    }

    #[test]
    fn what_does_not_look_like_a_key_is_not_repeated() {
        assert_eq!(printable("api.url"), "`api.url`");
        for value in ["MIIEvQ+/=", &"a".repeat(61), "two words", ""] {
            assert_eq!(printable(value), "A key (not shown: it does not look like one)");
        }
    }
}
