use meshstack_client::{DecryptRunError, Decrypted, KeyRing, RunObject};
use serde_json::{Value, json};

use crate::crypto::{certificate, ring};
use crate::support::{read, run_fixture};

const PASSWORD: &str = "pa$$w0rd\"'\\ü";

fn decrypted(name: &str) -> Decrypted {
    run_fixture(name).decrypted(&ring(&["current.key.pem"])).unwrap()
}

fn input(run: &RunObject, key: &str) -> Value {
    run.inputs().into_iter().find(|input| input.key == key).unwrap().value
}

fn sealed(text: &str) -> String {
    certificate("current.cert.pem").encrypt(text).unwrap()
}

/// A run with these inputs and this implementation.
fn run(inputs: &Value, implementation: &Value) -> RunObject {
    RunObject::from_value(json!({
        "metadata": { "uuid": "r" },
        "spec": { "buildingBlock": { "spec": { "inputs": inputs } },
            "buildingBlockDefinition": { "spec": { "implementation": implementation } } },
    }))
    .unwrap()
}

#[test]
fn inputs_and_the_secret_of_each_implementation_are_decrypted() {
    let pem = read("crypto/github-app.key.pem");
    for (name, field, secret) in [
        ("github-sync", "appPem", pem.as_str()),
        ("gitlab", "pipelineTriggerToken", "glptt-secret"),
        ("azure-devops-sync", "personalAccessToken", "pat-secret"),
    ] {
        let Decrypted { run, secrets, warnings } = decrypted(name);
        assert_eq!(run.implementation_text(field).map(str::trim), Some(secret.trim()), "{name}");
        assert_eq!((input(&run, "password"), input(&run, "DD_API_KEY")), (json!(PASSWORD), json!("dd-secret")));
        let secrets: Vec<_> = secrets.iter().map(|secret| secret.expose().trim().to_owned()).collect();
        assert_eq!(secrets, [PASSWORD, "dd-secret", secret.trim()]);
        assert_eq!(warnings, Vec::<String>::new());
    }
    let terraform = decrypted("terraform-ssh");
    let ssh_key = terraform.run.implementation_text("sshPrivateKey").unwrap();
    assert_eq!(terraform.secrets.last().unwrap().expose(), ssh_key);
    assert_ne!(Some(ssh_key), run_fixture("terraform-ssh").implementation_text("sshPrivateKey"));
}

#[test]
fn only_the_secrets_change() {
    for name in ["github-sync", "gitlab", "azure-devops-sync", "terraform-ssh", "manual-corners", "custom-type"] {
        let before = run_fixture(name);
        let mut after = decrypted(name).run.raw().clone();
        // Put the ciphertexts back where something was decrypted: the rest has to be what it was.
        let pointers: Vec<String> = (0..before.inputs().len())
            .filter(|index| before.inputs()[*index].sensitive)
            .map(|index| format!("/spec/buildingBlock/spec/inputs/{index}/value"))
            .chain(
                ["sshPrivateKey", "appPem", "pipelineTriggerToken", "personalAccessToken"]
                    .map(|field| format!("/spec/buildingBlockDefinition/spec/implementation/{field}")),
            )
            .collect();
        for pointer in pointers {
            if let Some(old) = before.raw().pointer(&pointer) {
                *after.pointer_mut(&pointer).unwrap() = old.clone();
            }
        }
        assert_eq!(after.to_string(), before.raw().to_string(), "{name}");
    }
}

#[test]
fn corners_of_inputs_come_out_as_the_specification_says() {
    let Decrypted { run, warnings, .. } = decrypted("manual-corners");
    assert_eq!(input(&run, "nothing_secret"), Value::Null);
    assert_eq!(input(&run, "empty_secret"), json!(""));
    assert_eq!(input(&run, "tier_secret"), json!("plain-select"));
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("`tier_secret` (SINGLE_SELECT)") && !warnings[0].contains("plain-select"));
}

#[test]
fn a_run_from_before_the_rotation_needs_the_old_key_in_the_ring() {
    let run = run_fixture("rotated-key");
    let both = run.decrypted(&ring(&["current.key.pem", "previous.key.pem"])).unwrap();
    assert_eq!(both.run.implementation_text("pipelineTriggerToken"), Some("old-token"));
    let error = run.decrypted(&ring(&["current.key.pem"])).unwrap_err();
    let place = "`pipelineTriggerToken` of the implementation".to_owned();
    assert_eq!(error, DecryptRunError::NoneFits { place });
}

#[test]
fn a_value_that_cannot_be_decrypted_names_its_key_and_what_to_do() {
    for kind in ["STRING", "CODE", "FILE", "LIST"] {
        let run = run(
            &json!([{ "key": "api_key", "value": "not-encrypted-hunter2", "type": kind, "isSensitive": true }]),
            &json!({ "type": "MANUAL" }),
        );
        let error = run.decrypted(&ring(&["current.key.pem"])).unwrap_err().to_string();
        assert!(error.starts_with("the input `api_key` cannot be decrypted"), "{error}");
        assert!(error.contains("enter the inputs again") && !error.contains("hunter2"), "{error}");
        let error = run.decrypted(&KeyRing::empty()).unwrap_err().to_string();
        assert!(error.starts_with("the input `api_key` is encrypted, but the runner has no private key"), "{error}");
    }
}

#[test]
fn a_run_without_secrets_needs_no_key() {
    let run = run(
        &json!([
            { "key": "plain", "value": "text", "type": "STRING", "isSensitive": false },
            { "key": "unsaid", "value": "text", "type": "STRING" },
            { "key": "null", "value": null, "type": "STRING", "isSensitive": true },
            { "key": "empty", "value": "", "type": "CODE", "isSensitive": true },
            { "key": "absent", "type": "CODE", "isSensitive": true },
            { "value": "no key" }, "no object", 7,
        ]),
        &json!({ "type": "TERRAFORM", "sshPrivateKey": null }),
    );
    let decrypted = run.decrypted(&KeyRing::empty()).unwrap();
    assert_eq!(decrypted.run.raw(), run.raw());
    assert!(decrypted.secrets.is_empty() && decrypted.warnings.is_empty(), "{:?}", decrypted.warnings);
}

#[test]
fn an_input_without_a_key_is_decrypted_too_and_named_by_its_place() {
    let with = |value: &str| {
        run(&json!([{}, { "value": value, "type": "STRING", "isSensitive": true }]), &json!({ "type": "MANUAL" }))
    };
    let run = with(&sealed("text")).decrypted(&ring(&["current.key.pem"])).unwrap().run;
    assert_eq!(run.raw()["spec"]["buildingBlock"]["spec"]["inputs"][1]["value"], "text");
    let error = with("damaged").decrypted(&ring(&["current.key.pem"])).unwrap_err().to_string();
    assert!(error.starts_with("the input number 2 (it has no key)"), "{error}");
}

#[test]
fn other_types_are_decrypted_where_they_are_encrypted_and_kept_where_not() {
    let inputs = json!([
        { "key": "number", "value": sealed("42"), "type": "INTEGER", "isSensitive": true },
        { "key": "plain", "value": "eu-1", "type": "SINGLE_SELECT", "isSensitive": true },
        { "key": "list", "value": ["a", 1.5], "type": "MULTI_SELECT", "isSensitive": true },
        { "key": "flag", "value": true, "type": "BOOLEAN", "isSensitive": true },
        { "key": "future", "value": sealed("x"), "type": "NEW_TYPE", "isSensitive": true },
    ]);
    let run = run(&inputs, &json!({ "type": "MANUAL" }));
    let Decrypted { run, secrets, warnings } = run.decrypted(&ring(&["current.key.pem"])).unwrap();
    let values: Vec<_> = run.inputs().into_iter().map(|input| input.value.to_string()).collect();
    assert_eq!(values, ["\"42\"", "\"eu-1\"", "[\"a\",1.5]", "true", "\"x\""]);
    // What came in clear is still to be masked.
    assert_eq!(secrets.iter().map(|secret| secret.expose().to_owned()).collect::<Vec<_>>(), ["42", "eu-1", "x"]);
    assert_eq!(warnings.len(), 1, "{warnings:?}");
}

#[test]
fn an_envelope_that_no_key_opens_is_not_used_as_if_it_were_the_value() {
    let inputs = json!([{ "key": "size", "value": sealed("42"), "type": "INTEGER", "isSensitive": true }]);
    let run = run(&inputs, &json!({ "type": "MANUAL" }));
    assert!(matches!(run.decrypted(&ring(&["previous.key.pem"])), Err(DecryptRunError::NoneFits { .. })));
    assert!(matches!(run.decrypted(&KeyRing::empty()), Err(DecryptRunError::NoKey { .. })));
}

#[test]
fn fields_of_another_implementation_and_of_an_unknown_one_are_left_alone() {
    let all = ["sshPrivateKey", "appPem", "pipelineTriggerToken", "personalAccessToken"];
    for kind in ["MANUAL", "SERVICENOW"] {
        let mut implementation = json!({ "type": kind });
        for field in all {
            implementation[field] = "as it is".into();
        }
        let run = run(&json!([]), &implementation);
        assert_eq!(run.decrypted(&KeyRing::empty()).unwrap().run.raw(), run.raw());
    }
    let run = run(&json!([]), &json!({ "type": "GITLAB_CICD", "appPem": "as it is", "pipelineTriggerToken": "" }));
    assert_eq!(run.decrypted(&KeyRing::empty()).unwrap().run.raw(), run.raw());
}

#[test]
fn pipelines_get_the_object_with_the_type_of_the_implementation_only() {
    let before = decrypted("github-sync").run;
    let after = before.without_implementation_secrets();
    let implementation = "/spec/buildingBlockDefinition/spec/implementation";
    assert_eq!(after.raw().pointer(implementation), Some(&json!({ "type": "GITHUB_WORKFLOW" })));
    let mut put_back = after.raw().clone();
    *put_back.pointer_mut(implementation).unwrap() = before.raw().pointer(implementation).unwrap().clone();
    assert_eq!(put_back.to_string(), before.raw().to_string());
}
