//! What a module may know about its run: three variables.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use runner_core::Run;
use serde_json::Value;

use super::Module;

/// File with the `variable` blocks of the run context.
pub(super) const FILE_NAME: &str = "meshStack_run_vars.tf";

const BLOCK_ID: &str = "meshstack_building_block_id";
const RUN_ID: &str = "meshstack_building_block_run_id";
const RUN_BASE64: &str = "meshstack_building_block_run_b64";

/// The values. Those that differ from run to run only on a `fresh` one: a saved plan must see the
/// values that it was made with.
pub(super) fn values(run: &Run, fresh: bool) -> Vec<(&'static str, Value)> {
    let mut values = vec![(BLOCK_ID, Value::from(run.building_block_uuid().unwrap_or_default()))];
    if fresh {
        values.push((RUN_ID, Value::from(run.uuid())));
        values.push((RUN_BASE64, Value::from(STANDARD.encode(encrypted_run(run).to_string()))));
    }
    values
}

/// The run object as it came over the wire: it ends in the state, so its secrets stay encrypted
/// where they were. Where they were not (under a controller), at least the key to the repository is
/// taken out.
fn encrypted_run(run: &Run) -> Value {
    const IMPLEMENTATION: &str = "/spec/buildingBlockDefinition/spec/implementation";
    let mut object = run.as_received().raw().clone();
    let plain = run.plain().implementation_text("sshPrivateKey");
    if plain.is_some()
        && plain == run.as_received().implementation_text("sshPrivateKey")
        && let Some(implementation) = object.pointer_mut(IMPLEMENTATION).and_then(Value::as_object_mut)
    {
        implementation.shift_remove("sshPrivateKey");
    }
    object
}

/// The `variable` blocks that the module does not have itself; empty if it has them all.
pub(super) fn declarations(module: &Module) -> String {
    let mut text = String::new();
    for (name, may_be_null) in [(BLOCK_ID, false), (RUN_BASE64, true), (RUN_ID, true)] {
        if module.declares(name) {
            continue;
        }
        let rest = if may_be_null { "  nullable = true\n  default  = null\n" } else { "  nullable = false\n" };
        let _ = writeln!(text, "variable \"{name}\" {{\n  type     = string\n{rest}}}");
    }
    text
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use runner_core::Run;
    use runner_core::meshstack_client::RunObject;
    use serde_json::{Value, json};

    use super::{Module, declarations, values};

    fn object(key: &Value) -> RunObject {
        let value = json!({
            "metadata": {"uuid": "run-1"},
            "spec": {
                "buildingBlock": {"uuid": "block-1", "spec": {"inputs": [{"key": "a", "value": 1.50}]}},
                "buildingBlockDefinition": {"spec": {"implementation": {"a": 1, "sshPrivateKey": key, "b": 2}}}
            },
            "somethingNew": {"kept": true}
        });
        RunObject::from_value(value).unwrap()
    }

    fn run_object(run: &Run) -> Value {
        let values = values(run, true);
        assert_eq!(values[2].0, "meshstack_building_block_run_b64");
        serde_json::from_slice(&STANDARD.decode(values[2].1.as_str().unwrap()).unwrap()).unwrap()
    }

    #[test]
    fn a_module_that_is_not_run_afresh_knows_its_building_block_only() {
        let run = Run::undecrypted(object(&json!(null)));
        assert_eq!(values(&run, false), [("meshstack_building_block_id", json!("block-1"))]);
        assert_eq!(values(&run, true)[1], ("meshstack_building_block_run_id", json!("run-1")));
    }

    #[test]
    fn the_run_object_is_the_encrypted_one() {
        let run = Run::new(object(&json!("plain key")), object(&json!("encrypted key")));
        assert_eq!(&run_object(&run), object(&json!("encrypted key")).raw());
    }

    #[test]
    fn an_unencrypted_run_object_comes_without_the_key_to_the_repository() {
        let text = run_object(&Run::undecrypted(object(&json!("plain key")))).to_string();
        assert!(
            !text.contains("plain key") && text.contains("\"a\":1,\"b\":2") && text.contains("somethingNew"),
            "{text}"
        );
    }

    #[test]
    fn variables_that_the_module_has_are_not_declared_twice() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(
            declarations(&Module::scan(dir.path())),
            "variable \"meshstack_building_block_id\" {\n  type     = string\n  nullable = false\n}\n\
             variable \"meshstack_building_block_run_b64\" {\n  type     = string\n  nullable = true\n  default  = null\n}\n\
             variable \"meshstack_building_block_run_id\" {\n  type     = string\n  nullable = true\n  default  = null\n}\n"
        );
        std::fs::write(
            dir.path().join("a.tf"),
            "variable \"meshstack_building_block_id\" {}\nvariable \"meshstack_building_block_run_b64\" {}",
        )
        .unwrap();
        let rest = declarations(&Module::scan(dir.path()));
        assert!(
            rest.starts_with("variable \"meshstack_building_block_run_id\"") && rest.matches("variable").count() == 1,
            "{rest}"
        );
        std::fs::write(dir.path().join("b.tf"), "variable \"meshstack_building_block_run_id\" {}").unwrap();
        assert_eq!(declarations(&Module::scan(dir.path())), "");
    }
}
