//! The runner and meshStack as two processes that know each other by HTTP alone.

use serde_json::Value;

use crate::support::{MeshStackProcess, Setup, run_fixture};

#[test]
fn every_fixture_that_needs_no_terraform_comes_to_its_end() {
    let meshstack = MeshStackProcess::start();
    let fixtures = ["manual", "manual-corners", "unknown-behavior", "custom-type"];
    let runs = fixtures.map(|name| meshstack.order(&run_fixture(name)));
    let daemon = Setup::new(&meshstack.url, &meshstack.api_key).start();
    let [manual, corners, unknown, custom] = runs.map(|run| meshstack.wait_for_end(&run));

    assert_eq!(manual["status"], "SUCCEEDED", "{manual}");
    assert_eq!((&manual["claims"], &manual["registers"], &manual["patches"]), (&1.into(), &1.into(), &1.into()));
    let outputs = &manual["outputs"];
    assert_eq!(outputs["size"], output(&3.into(), "INTEGER", false));
    assert_eq!(outputs["zones"]["type"], "CODE");
    let password = &run_fixture("manual")["spec"]["buildingBlock"]["spec"]["inputs"][6]["value"];
    assert_eq!(outputs["password"], output(password, "STRING", true), "a secret goes back as it came");

    assert_eq!(corners["status"], "SUCCEEDED", "{corners}");
    assert_eq!(corners["outputs"]["twice"]["value"], "last");
    assert_eq!(corners["outputs"]["big"]["value"].to_string(), "12345678901234567890");
    assert!(corners["outputs"].get("nothing").is_none(), "null is left out: {corners}");

    assert_eq!(unknown["status"], "FAILED", "{unknown}");
    assert!(unknown["summary"].as_str().unwrap().contains("REFRESH"), "{unknown}");
    assert_eq!(custom["status"], "FAILED", "{custom}");
    assert!(custom["summary"].as_str().unwrap().contains("SERVICENOW"), "{custom}");

    assert_eq!(meshstack.violations(), "[]");
    let log = daemon.log();
    for secret in [&meshstack.api_key.1, "pa$$w0rd", "dd-secret", password.as_str().unwrap()] {
        assert!(!log.contains(secret), "a secret is in the log:\n{log}");
    }
}

fn output(value: &Value, kind: &str, sensitive: bool) -> Value {
    serde_json::json!({ "value": value, "type": kind, "isSensitive": sensitive })
}
