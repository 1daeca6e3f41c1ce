//! The file with the values of the module's variables.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use hcl_edit::Ident;
use runner_core::meshstack_client::{Input, InputType};
use serde_json::Value;

use super::{Module, VARIABLE_PREFIX, hcl, value};

/// The name sorts before others, so that a module's own `*.auto.tfvars` win.
pub(super) const FILE_NAME: &str = "aaaaaa_meshstack-e48f8924-a6c0-4ff0-9528-ff3c1f6f94d8.auto.tfvars";

/// The variables of a run, by name.
///
/// An environment input `TF_VAR_x` is the variable `x`, unless there is an input `x`, of whatever
/// kind. What the runner says of the run goes over an input of the same name.
pub(super) fn collect(
    inputs: &[Input],
    module: &Module,
    run_context: Vec<(&'static str, Value)>,
    note: &mut dyn FnMut(String),
) -> BTreeMap<String, Value> {
    let mut variables = BTreeMap::new();
    for input in inputs.iter().filter(|input| input.kind != InputType::File) {
        let name = match (input.environment, input.key.strip_prefix(VARIABLE_PREFIX)) {
            (false, _) => input.key.as_str(),
            (true, Some(name)) if !inputs.iter().any(|other| other.key == name) => name,
            (true, _) => continue,
        };
        if Ident::try_new(name).is_err() {
            note(format!(
                "Warning: the input `{}` is left out, its name cannot be that of a Terraform variable.",
                input.key.escape_debug()
            ));
            continue;
        }
        let found = value::for_variable(input, module.wants_text(name));
        if found.unread_code {
            note(format!(
                "Warning: the input `{name}` is neither JSON nor a constant HCL expression, it is passed as text."
            ));
        }
        variables.insert(name.to_owned(), found.value);
    }
    variables.extend(run_context.into_iter().map(|(name, value)| (name.to_owned(), value)));
    variables
}

/// The file's text.
pub(super) fn text(variables: &BTreeMap<String, Value>) -> String {
    let mut text = String::new();
    for (name, value) in variables {
        let _ = writeln!(text, "{name} = {}", hcl::encode(value));
    }
    text
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use runner_core::meshstack_client::{Input, InputType};
    use serde_json::{Value, json};

    use super::{Module, collect, text};

    fn input(key: &str, kind: &str, value: Value) -> Input {
        Input { key: key.to_owned(), value, kind: InputType::from(kind), sensitive: true, environment: false }
    }

    fn write(inputs: &[Input], dir: &Path) -> (String, Vec<String>) {
        let mut notes = Vec::new();
        let run_context = vec![("meshstack_building_block_id", json!("block"))];
        let variables = collect(inputs, &Module::scan(dir), run_context, &mut |note| notes.push(note));
        (text(&variables), notes)
    }

    #[test]
    fn variables_are_written_in_the_order_of_their_names() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a.tf"), "variable \"list\" { type = string }").unwrap();
        let env = |input| Input { environment: true, ..input };
        let (text, notes) = write(
            &[
                input("zones", "MULTI_SELECT", json!(["a", "b"])),
                input("list", "MULTI_SELECT", json!(["a", "b"])),
                input("name", "STRING", json!("x")),
                input("größe", "INTEGER", json!(5)),
                input("motd", "FILE", json!("data:;base64,aGkK")),
                input("meshstack_building_block_id", "STRING", json!("forged")),
                env(input("REGION", "STRING", json!("eu"))),
                env(input("TF_VAR_name", "STRING", json!("from env"))),
                env(input("TF_VAR_REGION", "STRING", json!("from env"))),
                env(input("TF_VAR_extra", "CODE", json!("[1]"))),
            ],
            dir.path(),
        );
        let expected = "extra = [1]\ngröße = 5\nlist = \"[\\\"a\\\",\\\"b\\\"]\"\n\
                        meshstack_building_block_id = \"block\"\nname = \"x\"\nzones = [\"a\", \"b\"]\n";
        assert_eq!((text.as_str(), notes), (expected, Vec::new()));
    }

    #[test]
    fn a_key_that_is_no_identifier_is_left_out_with_a_warning_that_names_it() {
        let keys = ["ümlaut key", "", "1a", "a.b", "a\nb = 1\nc", "-a", "a=b", "${x}"];
        let mut inputs = keys.map(|key| input(key, "STRING", json!("s3cret"))).to_vec();
        inputs.push(Input { environment: true, ..input("TF_VAR_b c", "STRING", json!("s3cret")) });
        let (text, notes) = write(&inputs, Path::new("/nonexistent"));
        assert_eq!(text, "meshstack_building_block_id = \"block\"\n");
        assert_eq!(notes.len(), inputs.len());
        assert!(notes[0].contains("`ümlaut key`") && notes[8].contains("`TF_VAR_b c`"), "{notes:?}");
        assert!(!notes.concat().contains("s3cret") && !notes.concat().contains('\n'));
    }

    #[test]
    fn code_that_is_no_code_is_passed_as_text_with_a_warning_that_does_not_show_it() {
        let (text, notes) = write(&[input("code", "CODE", json!("s3cret {"))], Path::new("/nonexistent"));
        assert!(text.starts_with("code = \"s3cret {\"\n"), "{text}");
        assert_eq!(notes.len(), 1);
        assert!(notes[0].contains("`code`") && !notes[0].contains("s3cret"), "{notes:?}");
    }
}
