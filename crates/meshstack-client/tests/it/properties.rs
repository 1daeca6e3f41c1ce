//! Random run objects.

use std::sync::OnceLock;

use meshstack_client::{Certificate, KeyRing, RunObject};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::crypto::{certificate, ring};

fn keys() -> &'static (Certificate, KeyRing) {
    static KEYS: OnceLock<(Certificate, KeyRing)> = OnceLock::new();
    KEYS.get_or_init(|| (certificate("current.cert.pem"), ring(&["current.key.pem"])))
}

/// Any JSON, numbers that no machine type holds among it.
fn anything() -> impl Strategy<Value = Value> {
    let number = prop_oneof!["-?[1-9][0-9]{0,40}", "-?[1-9]\\.[0-9]{1,30}", "[1-9]e[1-9][0-9]{0,2}"];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        number.prop_map(|digits| serde_json::from_str(&digits).unwrap()),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((any::<String>(), inner), 0..4)
                .prop_map(|list| Value::Object(list.into_iter().collect())),
        ]
    })
}

/// An input as it should come out, and whether its value travels encrypted.
fn an_input() -> impl Strategy<Value = (Value, bool)> {
    let kind =
        prop::sample::select(vec!["STRING", "CODE", "FILE", "LIST", "INTEGER", "BOOLEAN", "MULTI_SELECT", "NEW"]);
    let secret = ("\\PC{1,40}", kind.clone(), anything()).prop_map(|(text, kind, extra)| {
        (json!({ "extra": extra, "key": "k", "value": text, "type": kind, "isSensitive": true }), true)
    });
    let open = (anything(), kind, anything()).prop_map(|(value, kind, extra)| {
        (json!({ "key": "k", "value": value, "type": kind, "isSensitive": false, "extra": extra }), false)
    });
    prop_oneof![secret, open]
}

fn a_run(inputs: &[Value], implementation: &Value, extra: &Value) -> RunObject {
    let mut object = Map::new();
    object.insert("unknown".to_owned(), extra.clone());
    object.insert("metadata".to_owned(), json!({ "labels": extra, "uuid": "r" }));
    let spec = json!({ "more": extra, "buildingBlock": { "spec": { "inputs": inputs, "x": extra } },
        "buildingBlockDefinition": { "y": extra, "spec": { "implementation": implementation } } });
    object.insert("spec".to_owned(), spec);
    RunObject::from_value(Value::Object(object)).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_run_comes_out_with_its_secrets_readable_and_all_else_unchanged(
        inputs in prop::collection::vec(an_input(), 0..4),
        token in "\\PC{0,20}",
        extra in anything(),
    ) {
        let (certificate, ring) = keys();
        let seal = |text: &Value| Value::from(certificate.encrypt(text.as_str().unwrap()).unwrap());
        let implementation = |token: Value| json!({ "z": extra, "type": "GITLAB_CICD", "pipelineTriggerToken": token });

        let expected_inputs: Vec<Value> = inputs.iter().map(|(input, _)| input.clone()).collect();
        let expected = a_run(&expected_inputs, &implementation(token.clone().into()), &extra);
        let sealed_inputs: Vec<Value> = inputs.iter().map(|(input, encrypted)| {
            let mut input = input.clone();
            if *encrypted {
                input["value"] = seal(&input["value"]);
            }
            input
        }).collect();
        let sent = a_run(&sealed_inputs, &implementation(seal(&token.clone().into())), &extra);

        let bytes = serde_json::to_vec(sent.raw()).unwrap();
        let decrypted = RunObject::parse(&bytes).unwrap().decrypted(ring).unwrap();
        prop_assert_eq!(decrypted.run.raw().to_string(), expected.raw().to_string());
        let secrets = inputs.iter().filter(|(_, encrypted)| *encrypted).count() + usize::from(!token.is_empty());
        prop_assert_eq!(decrypted.secrets.len(), secrets);
    }

    #[test]
    fn any_text_in_place_of_a_run_or_a_key_or_a_ciphertext_is_an_error_and_no_panic(text in "\\PC{0,200}") {
        let no_base64 = format!("{text}!");
        prop_assert!(keys().1.decrypt(&no_base64).is_err());
        prop_assert!(meshstack_client::PrivateKey::from_pem(&text).is_err());
        prop_assert!(Certificate::from_pem(&text).is_err());
        if let Ok(run) = RunObject::parse(text.as_bytes()) {
            prop_assert!(!run.uuid().is_empty());
        }
    }
}
