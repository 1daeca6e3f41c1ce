//! What a refused start means: Azure DevOps says it in free text only.
//!
//! Source: `protocol/executors.md`, `AZURE_DEVOPS`, 1.

/// The parameters that a pipeline does not declare, from "Unexpected parameter 'X'".
pub(crate) fn undeclared(message: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut rest = message;
    while let Some(at) = find_ignoring_case(rest, "unexpected parameter") {
        rest = &rest[at + "unexpected parameter".len()..];
        let Some(open) = rest.find(['\'', '"', '‘', '“']) else { break };
        let quote = rest[open..].chars().next().unwrap_or('\'');
        let close = match quote {
            '‘' => '’',
            '“' => '”',
            other => other,
        };
        let start = open + quote.len_utf8();
        let Some(length) = rest[start..].find(close) else { break };
        let name = rest[start..start + length].trim().to_owned();
        rest = &rest[start + length..];
        if !name.is_empty() && !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// The variables that may not be set when a run is queued, from "You can't set the following variables (A, B)". None if
/// they cannot be read with certainty.
pub(crate) fn unsettable<'n>(message: &str, sent: impl Iterator<Item = &'n str>) -> Option<Vec<String>> {
    let sent: Vec<&str> = sent.collect();
    let mut rest = message;
    while let Some(open) = rest.find('(') {
        rest = &rest[open + 1..];
        let close = rest.find(')')?;
        let named: Vec<&str> = rest[..close].split(',').map(str::trim).collect();
        let ours = |name: &&str| sent.iter().any(|sent| sent.eq_ignore_ascii_case(name));
        if named.iter().all(ours) {
            return Some(named.into_iter().map(str::to_owned).collect());
        }
        rest = &rest[close + 1..];
    }
    None
}

/// Whether the pipeline's branch or tag is what is wrong.
pub(crate) fn is_about_the_ref(message: &str) -> bool {
    let lower = message.to_lowercase();
    ["could not be resolved to a version", "tf401175", "no ref found", "could not find the branch", "invalid branch"]
        .iter()
        .any(|sign| lower.contains(sign))
}

/// Place of an ASCII text, whatever its case.
fn find_ignoring_case(text: &str, sought: &str) -> Option<usize> {
    // Of the same length as the text, so that a place in one is a place in the other.
    text.to_ascii_lowercase().find(sought)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn undeclared_parameters_are_named_once_each() {
        let message = "/azure-pipelines.yml: Unexpected parameter 'size'\n/azure-pipelines.yml: Unexpected parameter 'ümlaut key' \
                       and unexpected parameter \"size\"";
        assert_eq!(undeclared(message), ["size", "ümlaut key"]);
        for other in [
            "",
            "Unexpected parameter",
            "Unexpected parameter 'x",
            "a parameter 'x' is wrong",
            "unexpected parameter ''",
        ] {
            assert!(undeclared(other).is_empty(), "{other}");
        }
    }

    #[test]
    fn variables_that_may_not_be_set_are_those_in_brackets_if_all_are_ours() {
        let sent = ["DD_API_KEY", "REGION", "X"];
        let read = |message: &str| unsettable(message, sent.iter().copied());
        let message = "You can't set the following variables (DD_API_KEY, region). If you want to be able to set these \
                       variables, then edit the pipeline and select Settable at queue time.";
        assert_eq!(read(message), Some(vec!["DD_API_KEY".to_owned(), "region".to_owned()]));
        assert_eq!(read("Validation (1 error): You can't set (X)"), Some(vec!["X".to_owned()]));
        for unclear in ["", "no brackets", "(REGION, OTHER)", "(", "()", "(REGION"] {
            assert_eq!(read(unclear), None, "{unclear}");
        }
    }

    #[test]
    fn a_missing_branch_is_known_by_what_is_said_of_it() {
        assert!(is_about_the_ref("TF401175: The version descriptor <Branch: x> could not be resolved to a version"));
        assert!(!is_about_the_ref("Unexpected parameter 'branch'"));
    }
}
