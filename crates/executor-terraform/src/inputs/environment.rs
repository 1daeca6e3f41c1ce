//! Inputs that are handed over as environment variables.
//!
//! Source: `protocol/terraform.md`, "Environment".

use std::collections::BTreeMap;

use runner_core::Failure;
use runner_core::meshstack_client::{Input, InputType};
use serde_json::Value;

use super::{VARIABLE_PREFIX, go_json, value};

/// Names that would take Terraform out of the runner's hands.
const FORBIDDEN: [&str; 7] = [
    "TF_INPUT",
    "TF_IN_AUTOMATION",
    "TF_WORKSPACE",
    "TF_REATTACH_PROVIDERS",
    "TF_APPEND_USER_AGENT",
    "TF_DISABLE_PLUGIN_TLS",
    "TF_SKIP_PROVIDER_VERIFY",
];
const FORBIDDEN_PREFIXES: [&str; 2] = ["TF_LOG", "TF_CLI_ARGS"];

/// Linux takes no longer `NAME=value` than this, the NUL at its end included. Bytes.
const MAX_BYTES: usize = 128 << 10;

/// The environment variables of a run, without those that name Terraform variables.
///
/// Names are the platform team's, who write the code that runs as well: `PATH` or `LD_PRELOAD` give
/// them nothing that they do not have, so those pass. An input without a value is not set; empty
/// text is.
pub(super) fn collect(inputs: &[Input], note: &mut dyn FnMut(String)) -> Result<BTreeMap<String, String>, Failure> {
    let mut variables = BTreeMap::new();
    for input in inputs.iter().filter(|input| input.environment && input.kind != InputType::File) {
        let key = &input.key;
        if FORBIDDEN.contains(&key.as_str()) || FORBIDDEN_PREFIXES.iter().any(|prefix| key.starts_with(prefix)) {
            return Err(Failure::new(format!(
                "The input `{}` cannot be an environment variable, because the runner sets it itself. \
                 Ask the platform team to remove it from the building block definition.",
                key.escape_debug()
            )));
        }
        if key.starts_with(VARIABLE_PREFIX) {
            continue;
        }
        if key.is_empty() || key.contains(['=', '\0']) {
            note(format!(
                "Warning: the input `{}` is left out, its name cannot be that of an environment variable.",
                key.escape_debug()
            ));
            continue;
        }
        if let Some(text) = text_of(input) {
            check(key, &text)?;
            variables.insert(key.clone(), text);
        }
    }
    Ok(variables)
}

fn text_of(input: &Input) -> Option<String> {
    match (&input.kind, &input.value) {
        (_, Value::Null) => None,
        (InputType::MultiSelect, Value::Array(_)) => Some(go_json::encode(&input.value)),
        (_, other) => value::text_of(other).as_str().map(str::to_owned),
    }
}

fn check(key: &str, text: &str) -> Result<(), Failure> {
    let what = if text.contains('\0') {
        "it holds a NUL character"
    } else if key.len() + text.len() + 2 > MAX_BYTES {
        "it is larger than 128 KiB"
    } else {
        return Ok(());
    };
    Err(Failure::new(format!(
        "The value of the input `{}` cannot be an environment variable: {what}. \
         Change the value, or ask the platform team to pass it as a file.",
        key.escape_debug()
    )))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use runner_core::meshstack_client::{Input, InputType};
    use serde_json::{Value, json};

    use super::collect;

    fn input(key: &str, kind: &str, value: Value) -> Input {
        Input { key: key.to_owned(), value, kind: InputType::from(kind), sensitive: false, environment: true }
    }

    #[test]
    fn values_are_plain_text_and_lists_are_json() {
        let inputs = [
            input("NAME", "STRING", json!("a \"b\" $c")),
            input("EMPTY", "STRING", json!("")),
            input("UNSET", "STRING", json!(null)),
            input("COUNT", "INTEGER", json!(1_000_000)),
            input("ON", "BOOLEAN", json!(true)),
            input("ZONES", "MULTI_SELECT", json!(["a", "b"])),
            input("CODE", "CODE", json!("{ \"a\":  1 }")),
            input("OBJECT", "CODE", json!({"b": 1, "a": 2})),
            input("LD_PRELOAD", "STRING", json!("/x.so")),
            input("TF_VAR_x", "STRING", json!("x")),
            input("TF_DATA_DIR", "STRING", json!(".t")),
            Input { environment: false, ..input("other", "STRING", json!("x")) },
        ];
        let mut notes = Vec::new();
        let variables = collect(&inputs, &mut |note| notes.push(note)).unwrap();
        let expected = [
            ("NAME", "a \"b\" $c"),
            ("EMPTY", ""),
            ("COUNT", "1000000"),
            ("ON", "true"),
            ("ZONES", "[\"a\",\"b\"]"),
            ("CODE", "{ \"a\":  1 }"),
            ("OBJECT", "{\"a\":2,\"b\":1}"),
            ("LD_PRELOAD", "/x.so"),
            ("TF_DATA_DIR", ".t"),
        ];
        assert_eq!(
            variables,
            expected.map(|(k, v)| (k.to_owned(), v.to_owned())).into_iter().collect::<BTreeMap<_, _>>()
        );
        assert_eq!(notes, [] as [String; 0]);
    }

    #[test]
    fn names_that_the_runner_sets_itself_end_the_run_with_the_name() {
        for name in [
            "TF_LOG",
            "TF_LOG_PATH",
            "TF_LOG_PROVIDER",
            "TF_INPUT",
            "TF_IN_AUTOMATION",
            "TF_CLI_ARGS",
            "TF_CLI_ARGS_plan",
            "TF_WORKSPACE",
            "TF_REATTACH_PROVIDERS",
            "TF_APPEND_USER_AGENT",
            "TF_DISABLE_PLUGIN_TLS",
            "TF_SKIP_PROVIDER_VERIFY",
        ] {
            let failure = collect(&[input(name, "STRING", json!(null))], &mut |_| {}).unwrap_err();
            assert!(failure.user_message().contains(&format!("`{name}`")), "{}", failure.user_message());
        }
    }

    #[test]
    fn a_key_that_is_no_name_is_left_out_with_a_warning() {
        let mut notes = Vec::new();
        let inputs = ["", "A=B", "A\0"].map(|key| input(key, "STRING", json!("s3cret")));
        assert_eq!(collect(&inputs, &mut |note| notes.push(note)).unwrap(), BTreeMap::new());
        assert_eq!(notes.len(), 3);
        assert!(notes[1].contains("`A=B`") && notes[2].contains("`A\\0`"), "{notes:?}");
        assert!(!notes.concat().contains("s3cret"));
    }

    #[test]
    fn a_value_that_no_program_can_get_fails_the_run_with_the_name() {
        for value in ["a\0b".to_owned(), "x".repeat(128 << 10)] {
            let failure = collect(&[input("A", "STRING", json!(value))], &mut |_| {}).unwrap_err();
            assert!(failure.user_message().contains("`A`"), "{}", failure.user_message());
        }
    }
}
