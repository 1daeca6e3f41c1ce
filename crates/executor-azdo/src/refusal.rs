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

/// Variables because of which a start was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refused {
    /// These may not be set when a run is queued: Azure DevOps says so.
    NotSettable(Vec<String>),
    /// These are named, in words that are not known, those of another language for instance.
    Named(Vec<String>),
    /// Some of those that were sent; which ones is not known.
    Some,
}

/// What Azure DevOps says of variables that may not be set.
const NOT_SETTABLE: [&str; 5] =
    ["settable at queue time", "set the following variable", "set variable", "set the variable", "set at queue time"];

/// Signs of another cause that no name of a variable can be mistaken for.
const OTHER_CAUSES: [&str; 4] = ["(line:", "unexpected parameter", "parameter value", "variable group"];

/// Further signs of another cause, which a variable might be called like. Azure DevOps speaks the language of the token's
/// owner: parameters and groups are called much the same in many.
const LIKELY_OTHER_CAUSES: [&str; 11] = [
    "param",
    "param\u{e8}t",
    "par\u{e1}m",
    "par\u{e2}m",
    "group",
    "grup",
    "grupp",
    "not found",
    "be found",
    "not exist",
    "yaml",
];

/// The variables that a refusal is about, from "You can't set the following variables (A, B)". `None` if it is about
/// something else, or does not speak of variables.
pub(crate) fn of_variables(message: &str, sent: &[&str]) -> Option<Refused> {
    let lower = message.to_ascii_lowercase();
    let says = |signs: &[&str], text: &str| signs.iter().any(|sign| text.contains(sign));
    if says(&OTHER_CAUSES, &lower) {
        return None;
    }
    let named = in_brackets(message, sent).or_else(|| in_quotes(message, sent));
    if says(&NOT_SETTABLE, &lower) {
        return Some(named.map_or(Refused::Some, Refused::NotSettable));
    }
    // A variable may be called `parameters`: its name is no sign of anything.
    let rest = without_words(&lower, sent);
    if says(&LIKELY_OTHER_CAUSES, &rest) {
        return None;
    }
    // Variables have much the same name in many languages.
    let speaks_of_variables = says(&["variab", "vari\u{e1}v"], &rest);
    named.map(Refused::Named).or(speaks_of_variables.then_some(Refused::Some))
}

/// Variables in brackets, if all that stands there are some that were sent.
fn in_brackets(message: &str, sent: &[&str]) -> Option<Vec<String>> {
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

/// Variables that were sent and stand in quotes of any kind.
fn in_quotes(message: &str, sent: &[&str]) -> Option<Vec<String>> {
    let lower = message.to_ascii_lowercase();
    let quoted = |name: &&&str| {
        let name = name.to_ascii_lowercase();
        lower.match_indices(&name).any(|(at, _)| {
            let is_quote = |c: char| "\'\"`\u{2018}\u{2019}\u{201a}\u{201c}\u{201d}\u{201e}\u{ab}\u{bb}".contains(c);
            let before = lower[..at].trim_end_matches('\u{a0}').chars().next_back();
            let after = lower[at + name.len()..].trim_start_matches('\u{a0}').chars().next();
            before.is_some_and(is_quote) && after.is_some_and(is_quote)
        })
    };
    let named: Vec<String> =
        sent.iter().filter(|name| !name.is_empty()).filter(quoted).map(|&name| name.to_owned()).collect();
    (!named.is_empty()).then_some(named)
}

/// A text in lower case without these words.
fn without_words(lower: &str, words: &[&str]) -> String {
    let part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '-');
    let ours = |word: &&str| words.iter().any(|known| known.eq_ignore_ascii_case(word.trim_matches('.')));
    lower.split(|c: char| !part(c)).filter(|word| !ours(word)).collect::<Vec<_>>().join(" ")
}

/// Whether the pipeline's branch or tag is what is wrong.
pub(crate) fn is_about_the_ref(message: &str) -> bool {
    let lower = message.to_ascii_lowercase();
    let signs = [
        "could not be resolved to a version",
        "could not get the latest source version",
        "tf401175",
        "no ref found",
        "could not find the branch",
        "invalid branch",
    ];
    if signs.iter().any(|sign| lower.contains(sign)) {
        return true;
    }
    // Of a file or a group of variables it may also be said, with the branch where it is missing.
    let missing = ["cannot be found", "can't be found", "could not be found", "was not found"];
    let word = |sought: &str| lower.split(|c: char| !c.is_alphanumeric()).any(|word| word == sought);
    missing.iter().any(|sign| lower.contains(sign))
        && ["branch", "ref", "refs", "tag"].into_iter().any(word)
        && !["file", "group", "parameter", "template"].into_iter().any(word)
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
        let read = |message: &str| in_brackets(message, &sent);
        let message = "You can't set the following variables (DD_API_KEY, region). If you want to be able to set these \
                       variables, then edit the pipeline and select Settable at queue time.";
        assert_eq!(read(message), Some(vec!["DD_API_KEY".to_owned(), "region".to_owned()]));
        assert_eq!(read("Validation (1 error): You can't set (X)"), Some(vec!["X".to_owned()]));
        for unclear in ["", "no brackets", "(REGION, OTHER)", "(", "()", "(REGION"] {
            assert_eq!(read(unclear), None, "{unclear}");
        }
    }

    #[test]
    fn a_refusal_of_variables_is_known_by_its_words_or_by_their_names() {
        let sent = ["REGION", "KEY", "parameters", "a"];
        let some = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        let cases = [
            ("You can't set the following variables (KEY).", Refused::NotSettable(some(&["KEY"]))),
            ("You can't set the following variables (parameters).", Refused::NotSettable(some(&["parameters"]))),
            ("Unable to set variable 'REGION': it is read-only.", Refused::NotSettable(some(&["REGION"]))),
            ("Some are not settable at queue time.", Refused::Some),
            (
                "Sie können diese Variablen nicht festlegen (REGION, parameters).",
                Refused::Named(some(&["REGION", "parameters"])),
            ),
            ("Définition impossible : «\u{a0}key\u{a0}»", Refused::Named(some(&["KEY"]))),
            ("Einige Variablen dürfen nicht gesetzt werden.", Refused::Some),
        ];
        for (message, expected) in cases {
            assert_eq!(of_variables(message, &sent), Some(expected), "{message}");
        }
    }

    #[test]
    fn a_refusal_for_another_cause_is_not_taken_for_one_of_variables() {
        for message in [
            "The 'KEY' parameter value 'REGION' is not valid.",
            "A value for the 'KEY' parameter must be provided.",
            "Der Parameter \"KEY\" erlaubt diesen Wert nicht.",
            "Le param\u{e8}tre 'KEY' n'est pas valide.",
            "Variable group KEY was not found or is not authorized for use.",
            "Die Variablengruppe 'KEY' ist nicht vorhanden.",
            "/azure-pipelines.yml (Line: 3, Col: 1): Unexpected value 'variables'",
            "/azure-pipelines.yml: Unexpected parameter 'KEY'",
            "The environment 'KEY' could not be found.",
            "Something about a KEY and a REGION",
            "it gives no reason",
            "",
        ] {
            assert_eq!(of_variables(message, &["KEY", "REGION", "a"]), None, "{message}");
        }
    }

    #[test]
    fn a_missing_branch_is_known_by_what_is_said_of_it() {
        for message in [
            "TF401175: The version descriptor <Branch: x> could not be resolved to a version",
            "The branch x cannot be found.",
            "/azure-pipelines.yml: The ref refs/tags/v1 cannot be found in the repository.",
        ] {
            assert!(is_about_the_ref(message), "{message}");
        }
        for message in [
            "Unexpected parameter 'branch'",
            "Variable group x cannot be found.",
            "File /azure-pipelines.yml cannot be found in repository r branch refs/heads/main.",
            "The variable group 'branch' cannot be found.",
        ] {
            assert!(!is_about_the_ref(message), "{message}");
        }
    }
}
