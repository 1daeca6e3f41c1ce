//! Secrets are encrypted for the runner, in the documented form.

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::rsa::{OAEP_SHA1_MGF1SHA1, OaepPrivateDecryptingKey, PrivateDecryptingKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use meshstack_local::Order;
use serde_json::{Value, json};

use crate::client::Scene;

/// Takes an envelope apart as `protocol/encryption.md` has it.
fn open(envelope: &Value) -> String {
    let bytes = STANDARD.decode(envelope.as_str().unwrap()).unwrap();
    let der = pem::parse(include_str!("../fixtures/current.key.pem")).unwrap();
    let key = OaepPrivateDecryptingKey::new(PrivateDecryptingKey::from_pkcs8(der.contents()).unwrap()).unwrap();
    let (wrapped, rest) = bytes.split_at(512);
    let mut aes_key = vec![0; 512];
    let aes_key = key.decrypt(&OAEP_SHA1_MGF1SHA1, wrapped, &mut aes_key, None).unwrap();
    assert_eq!(aes_key.len(), 16);
    let (length, rest) = rest.split_at(4);
    assert_eq!(length, [0, 0, 0, 12]);
    let (iv, sealed) = rest.split_at(12);
    let cipher = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, aes_key).unwrap());
    let mut text = sealed.to_vec();
    let nonce = Nonce::try_assume_unique_for_key(iv).unwrap();
    let text = cipher.open_in_place(nonce, Aad::empty(), &mut text).unwrap();
    String::from_utf8(text.to_vec()).unwrap()
}

#[tokio::test]
async fn sensitive_text_is_encrypted_for_the_registered_certificate_and_nothing_else_is() {
    let scene = Scene::new().await;
    let order = Order::manual()
        .sensitive_input("text", "pä$$ \"word\"", "STRING")
        .sensitive_input("again", "pä$$ \"word\"", "STRING")
        .sensitive_input("empty", "", "STRING")
        .sensitive_input("number", 7, "INTEGER")
        .input("plain", "open", "STRING");
    let run = scene.started(order).await;
    let inputs = &run.object["spec"]["buildingBlock"]["spec"]["inputs"];
    assert_eq!(open(&inputs[0]["value"]), "pä$$ \"word\"");
    assert_eq!(open(&inputs[1]["value"]), "pä$$ \"word\"");
    assert_ne!(inputs[0]["value"], inputs[1]["value"], "every envelope has a key of its own");
    assert_eq!(inputs[0]["isSensitive"], true);
    assert_eq!(inputs[2]["value"], "");
    assert_eq!(inputs[3]["value"], 7);
    assert_eq!(inputs[4]["value"], "open");
}

#[tokio::test]
async fn the_secret_of_every_implementation_type_is_encrypted() {
    for field in ["sshPrivateKey", "appPem", "pipelineTriggerToken", "personalAccessToken"] {
        let scene = Scene::new().await;
        let run = scene.started(Order::new(json!({ "type": "T", field: "a secret\n", "other": "open" }))).await;
        let implementation = &run.object["spec"]["buildingBlockDefinition"]["spec"]["implementation"];
        assert_eq!(open(&implementation[field]), "a secret\n");
        assert_eq!(implementation["other"], "open");
    }
}

#[tokio::test]
async fn an_implementation_without_its_secret_stays_without() {
    let scene = Scene::new().await;
    let run = scene.started(Order::terraform(json!({ "sshPrivateKey": null }))).await;
    let implementation = run.object["spec"]["buildingBlockDefinition"]["spec"]["implementation"].as_object().unwrap();
    assert_eq!(implementation["sshPrivateKey"], Value::Null);
    assert!(!implementation.contains_key("appPem"));
}
