//! The Terraform fixtures, through two processes.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::{MeshStackProcess, Setup, run_fixture};

/// The module for `terraform-apply`: every input comes back.
const APPLY: &str = r#"
variable "name" { type = string }
variable "size" { type = number }
variable "enabled" { type = bool }
variable "zones" { type = list(string) }
variable "tier" { type = string }
variable "config" { type = any }
variable "password" {
  type      = string
  sensitive = true
}
resource "terraform_data" "shell" {
  provisioner "local-exec" {
    command = "test \"$REGION\" = eu-1 && test \"$DD_API_KEY\" = dd-secret && test \"$(cat motd.txt)\" = hi && test -z \"$RUNNER_API_CLIENT_SECRET\""
  }
}
output "name" { value = var.name }
output "size" { value = var.size }
output "enabled" { value = var.enabled }
output "zones" { value = var.zones }
output "tier" { value = var.tier }
output "config" { value = var.config }
output "password" {
  value     = var.password
  sensitive = true
}
"#;

/// The module for `terraform-corners`.
const CORNERS: &str = r#"
variable "list" { type = list(string) }
variable "hcl" { type = any }
variable "not_hcl" { type = string }
variable "nothing" { type = string }
variable "nothing_secret" { type = string }
variable "empty" { type = string }
variable "empty_secret" { type = string }
variable "big" { type = number }
variable "negative" { type = number }
variable "none" { type = list(string) }
variable "tier_secret" { type = string }
variable "from_env" { type = string }
variable "twice" { type = string }
output "list" { value = var.list }
output "hcl" { value = var.hcl }
output "not_hcl" { value = var.not_hcl }
output "nothing" { value = var.nothing }
output "empty" { value = var.empty }
output "big" { value = var.big }
output "negative" { value = var.negative }
output "none" { value = var.none }
output "from_env" { value = var.from_env }
output "twice" { value = var.twice }
"#;

/// A repository with these files.
pub(crate) fn committed(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let git = |arguments: &[&str]| {
        let done = Command::new("git")
            .current_dir(&folder)
            .args(["-c", "user.name=test", "-c", "user.email=test@localhost"])
            .args(arguments)
            .envs([("GIT_CONFIG_GLOBAL", "/dev/null"), ("GIT_CONFIG_NOSYSTEM", "1")])
            .output()
            .unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    };
    git(&["init", "--quiet", "--initial-branch=main"]);
    git(&["add", "."]);
    git(&["commit", "--quiet", "-m", "modules"]);
    folder
}

fn run(name: &str, repository: &Path) -> Value {
    let mut run = run_fixture(name);
    let url = format!("file://{}", repository.display());
    run["spec"]["buildingBlockDefinition"]["spec"]["implementation"]["repositoryUrl"] = url.into();
    run
}

pub(crate) fn the_terraform_fixtures_come_to_their_end() {
    let repository = committed(&[("main.tf", CORNERS), ("modules/demo/main.tf", APPLY)]);
    let meshstack = MeshStackProcess::start();
    let apply = meshstack.order(&run("terraform-apply", repository.path()));
    let corners = meshstack.order(&run("terraform-corners", repository.path()));
    let setup = Setup::new(&meshstack.url, &meshstack.api_key);
    let installed = setup.folder.path().join("tfbin/1.9.0");
    fs::create_dir_all(&installed).unwrap();
    symlink(crate::terraform().unwrap(), installed.join("terraform")).unwrap();
    let daemon = setup.start();

    let apply = meshstack.wait_for_end(&apply);
    assert_eq!(apply["status"], "SUCCEEDED", "{apply}");
    let value = |run: &Value, key: &str| run["outputs"][key]["value"].clone();
    assert_eq!(
        (value(&apply, "name"), value(&apply, "size"), value(&apply, "enabled")),
        (json!("demo"), json!(3), json!(true))
    );
    assert_eq!(as_json(&value(&apply, "zones")), json!(["a", "b"]));
    assert_eq!(as_json(&value(&apply, "config")), json!({ "a": { "b": [1, 2.5, null] }, "c": "${x}" }));
    assert_eq!(
        apply["outputs"]["password"],
        json!({ "value": "pa$$w0rd\"'\\ü", "type": "STRING", "isSensitive": true })
    );
    let script = apply["steps"].as_array().unwrap().iter().find(|step| step["id"] == "pre_run_script").unwrap();
    assert_eq!(script["userMessage"], "hello");

    let corners = meshstack.wait_for_end(&corners);
    assert_eq!(corners["status"], "SUCCEEDED", "{corners}");
    assert_eq!(as_json(&value(&corners, "hcl")), json!({ "a": 1, "b": ["x"] }));
    assert_eq!(value(&corners, "not_hcl"), "hello, world {");
    assert_eq!(value(&corners, "big").to_string(), "12345678901234567890");
    assert_eq!((value(&corners, "from_env"), value(&corners, "twice")), (json!("from-env"), json!("last")));
    assert!(corners["outputs"].get("nothing").is_none(), "null is left out: {corners}");

    assert_eq!(meshstack.violations(), "[]");
    let everything = format!("{}{}{}", daemon.log(), without_outputs(apply), without_outputs(corners));
    for secret in ["pa$$w0rd", "dd-secret", &meshstack.api_key.1] {
        assert!(!everything.contains(secret), "{secret:?} is shown in\n{everything}");
    }
}

/// What people see of a run, but for the outputs, which hold secrets on purpose.
fn without_outputs(mut run: Value) -> String {
    run["outputs"] = Value::Null;
    for step in run["steps"].as_array_mut().unwrap() {
        step["outputs"] = Value::Null;
    }
    run.to_string()
}

fn as_json(value: &Value) -> Value {
    serde_json::from_str(value.as_str().unwrap()).unwrap()
}
