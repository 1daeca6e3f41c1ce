//! What a failed Terraform command means to people: its own words first, a hint beside them.

use runner_core::Failure;

use crate::process::Finished;

/// Of output without an error of Terraform's own, this many bytes are shown.
const MOST_OF_LAST_LINES: usize = 2 * 1024;

/// The clouds' own words for it are about laptops.
const CREDENTIALS: &str = "The module's backend or one of its providers found no credentials for its cloud. The platform \
                           team can give them as environment inputs of the building block, or let the runner pass on \
                           its own workload identity (passEnvironment).";

/// Words in Terraform's messages, and what helps.
const HINTS: [(&str, &str); 16] = [
    (
        "Error acquiring the state lock",
        "Another run works on this state, or an earlier one was killed and left its lock. Wait for the other run; if \
         there is none, the platform team can remove the lock.",
    ),
    (
        "No value for required variable",
        "The module has a variable without a default that the building block definition gives no input for.",
    ),
    (
        "no available releases match the given constraints",
        "No version of the provider satisfies everything that the module and the modules it uses ask for.",
    ),
    (
        "Failed to query available provider packages",
        "The runner could not find a provider. It may not reach the registry: the platform team can check its proxy \
         and certificates.",
    ),
    (
        "Failed to resolve provider packages",
        "The runner could not find a provider. It may not reach the registry: the platform team can check its proxy \
         and certificates.",
    ),
    (
        "Failed to install provider",
        "The runner could not download a provider. It may not reach the registry: the platform team can check its \
         proxy and certificates.",
    ),
    (
        "Failed to download module",
        "The runner could not fetch a module that this one uses. The platform team can check its address and the \
         runner's access to it.",
    ),
    (
        "Unsupported Terraform Core version",
        "The module asks for another version than the building block definition names.",
    ),
    (
        "Unsupported OpenTofu Core version",
        "The module asks for another version than the building block definition names. Above 1.5.5 the version is \
         OpenTofu's.",
    ),
    (
        "workspaces not supported",
        "The module's backend keeps one state only, but each building block needs its own. Use another backend, or \
         none together with the state that meshStack keeps.",
    ),
    (
        "HTTP remote state endpoint requires auth",
        "The permission of this run to read its state may have ended. Start the run again.",
    ),
    ("No valid credential sources found", CREDENTIALS),
    ("could not find default credentials", CREDENTIALS),
    ("unable to build authorizer", CREDENTIALS),
    ("Please run 'az login'", CREDENTIALS),
    (
        "x509: certificate signed by unknown authority",
        "The runner does not know who signed a certificate. The platform team can add the authority with \
         CUSTOM_CA_CERTS_PATH.",
    ),
];

/// The failure of a Terraform command: `sentence`, Terraform's own first error, and a hint if there
/// is one. `command` is for the operator.
pub(crate) fn failed(sentence: &str, command: &str, finished: &Finished) -> Failure {
    let own = finished.first_error.clone().unwrap_or_else(|| last_lines(&finished.last_lines).to_owned());
    let mut message = sentence.to_owned();
    if !own.is_empty() {
        message.push_str("\n\n");
        message.push_str(&own);
    }
    let known = finished.hint.as_deref();
    if let Some(hint) = known.or_else(|| HINTS.iter().find(|(words, _)| own.contains(words)).map(|(_, hint)| *hint)) {
        message.push_str("\n\nHint: ");
        message.push_str(hint);
    }
    Failure::because(message, format!("{command} ended with {}", finished.how_it_ended()))
}

/// The end of the output, from a whole line on.
pub(crate) fn last_lines(text: &str) -> &str {
    let text = text.trim();
    let Some(mut from) = text.len().checked_sub(MOST_OF_LAST_LINES) else { return text };
    while !text.is_char_boundary(from) {
        from += 1;
    }
    let tail = &text[from..];
    tail.split_once('\n').map_or(tail, |(_, whole)| whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terraforms_own_error_comes_before_the_hint() {
        let error = "Error: No value for required variable\n\n  on main.tf line 1:".to_owned();
        let finished = Finished { code: Some(1), first_error: Some(error.clone()), ..Finished::default() };
        let failure = failed("It failed.", "terraform apply", &finished);
        let message = failure.user_message();
        assert!(message.starts_with(&format!("It failed.\n\n{error}\n\nHint: The module has a variable")), "{message}");
        assert_eq!(failure.causes(), "terraform apply ended with exit code 1");
    }

    #[test]
    fn without_an_error_the_end_of_the_output_is_shown_and_bounded() {
        let finished = Finished { signal: Some(9), last_lines: "ü line\n".repeat(1000), ..Finished::default() };
        let failure = failed("It failed.", "terraform apply", &finished);
        assert!(failure.user_message().len() < 2100);
        assert!(failure.user_message().ends_with("ü line"));
        assert_eq!(failure.causes(), "terraform apply ended with signal 9");
    }
}
