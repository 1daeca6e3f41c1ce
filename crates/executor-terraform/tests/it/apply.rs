//! A module from order to outputs.

use libtest_mimic::Trial;
use serde_json::json;

use crate::world::{World, everything, log, statuses};

pub(crate) fn tests() -> Vec<Trial> {
    trials![real:
        a_module_gets_inputs_of_every_type_and_gives_outputs_with_their_types,
        the_module_in_a_folder_of_the_repository_reaches_its_siblings,
        an_async_apply_has_one_step_and_is_handed_over,
        programs_see_nothing_of_the_runners_own_environment,
    ]
}

const EVERY_TYPE: &str = r#"
variable "name" { type = string }
variable "size" { type = number }
variable "enabled" { type = bool }
variable "zones" { type = list(string) }
variable "tier" { type = string }
variable "config" { type = any }
variable "as_text" { type = string }
variable "password" {
  type      = string
  sensitive = true
}

resource "terraform_data" "all" {
  input = var.name
  provisioner "local-exec" {
    command = "echo key=$DD_API_KEY region=$REGION; cat motd.txt"
  }
}

output "name" { value = terraform_data.all.output }
output "size" { value = var.size }
output "enabled" { value = var.enabled }
output "zones" { value = var.zones }
output "tier" { value = var.tier }
output "config" { value = var.config }
output "as_text" { value = var.as_text }
output "nothing" { value = null }
output "block" { value = var.meshstack_building_block_id }
output "fresh" { value = var.meshstack_building_block_run_id }
output "password" {
  value     = var.password
  sensitive = true
}
"#;

async fn a_module_gets_inputs_of_every_type_and_gives_outputs_with_their_types() {
    let world = World::new().await;
    let order = world
        .order(&[("main.tf", EVERY_TYPE)])
        .building_block("1f3a3a39-5d32-4a3c-8d8a-6f3a5a1f0001")
        .input("name", "de\"mo ${x}\n", "STRING")
        .input("size", 3, "INTEGER")
        .input("enabled", true, "BOOLEAN")
        .input("zones", json!(["a", "b"]), "MULTI_SELECT")
        .input("tier", "gold", "SINGLE_SELECT")
        .input("config", "{\"a\": {\"b\": [1, 2.5, null]}, \"c\": \"${x}\"}", "CODE")
        .input("as_text", json!(["x", "y"]), "MULTI_SELECT")
        .input("motd.txt", "data:text/plain;base64,aGkgdGhlcmUK", "FILE")
        .sensitive_input("password", "pa$$w0rd\"'\\ü", "STRING")
        .environment_input("REGION", "eu-1", "STRING");
    let order = order.with(meshstack_local::OrderInput {
        key: "DD_API_KEY".into(),
        value: json!("dd-secret"),
        kind: "STRING".into(),
        sensitive: true,
        environment: true,
    });

    let view = world.carry_out(order).await;

    assert_eq!(view.status, "SUCCEEDED", "{view:#?}");
    let all = ["sources", "input", "init_tf", "pre_run_script", "execute_tf", "output"];
    assert_eq!(statuses(&view), all.map(|id| (id, "SUCCEEDED")));
    let outputs: Vec<_> =
        view.outputs.iter().map(|(key, o)| (key.as_str(), o.kind.as_str(), o.value.clone(), o.sensitive)).collect();
    let config = "{\n  \"a\": {\n    \"b\": [\n      1,\n      2.5,\n      null\n    ]\n  },\n  \"c\": \"${x}\"\n}";
    assert_eq!(
        outputs,
        [
            ("as_text", "STRING", json!("[\"x\",\"y\"]"), false),
            ("block", "STRING", json!("1f3a3a39-5d32-4a3c-8d8a-6f3a5a1f0001"), false),
            ("config", "CODE", json!(config), false),
            ("enabled", "BOOLEAN", json!(true), false),
            ("fresh", "STRING", json!(view.uuid), false),
            ("name", "STRING", json!("de\"mo ${x}\n"), false),
            ("password", "STRING", json!("pa$$w0rd\"'\\ü"), true),
            ("size", "INTEGER", json!(3), false),
            ("tier", "STRING", json!("gold"), false),
            ("zones", "CODE", json!("[\n  \"a\",\n  \"b\"\n]"), false),
        ]
    );
    let applied = log(&view, "execute_tf");
    assert!(applied.contains("key=*** region=eu-1"), "{applied}");
    assert!(applied.contains("hi there"), "{applied}");
    assert!(applied.contains("$ terraform apply -no-color -auto-approve -input=false"), "{applied}");
    let said = everything(&view);
    assert!(!said.contains("dd-secret"), "the secret is masked everywhere");
    assert!(log(&view, "pre_run_script").contains("no pre-run script"), "{}", log(&view, "pre_run_script"));
}

async fn the_module_in_a_folder_of_the_repository_reaches_its_siblings() {
    let world = World::new().await;
    let files = [
        (
            "modules/demo/main.tf",
            "module \"shared\" { source = \"../shared\" }\noutput \"x\" { value = module.shared.x }\n",
        ),
        ("modules/shared/main.tf", "output \"x\" { value = \"shared\" }\n"),
    ];
    let view = world
        .carry_out(world.order_with(&files, &json!({ "repositoryPath": "/modules/demo", "refName": "main" })))
        .await;
    assert_eq!(view.status, "SUCCEEDED", "{view:#?}");
    assert_eq!(view.outputs["x"].value, json!("shared"));
}

async fn an_async_apply_has_one_step_and_is_handed_over() {
    let world = World::new().await;
    let script = "echo \"from the script\" > \"$MESHSTACK_USER_MESSAGE\"\n";
    let order = world.order_with(
        &[("main.tf", "resource \"terraform_data\" \"x\" {}\noutput \"x\" { value = \"y\" }\n")],
        &json!({ "async": true, "preRunScript": script }),
    );

    let view = world.hand_over(order).await;

    assert_eq!(view.status, "IN_PROGRESS");
    assert_eq!(statuses(&view), [("trigger", "SUCCEEDED")]);
    let step = view.step("trigger").unwrap();
    assert_eq!(step.display_name, "Prepare Run");
    assert_eq!(step.user_message.as_deref(), Some("from the script"));
    assert_eq!(step.outputs["x"].value, json!("y"));
    let log = log(&view, "trigger");
    assert!(log.contains("terraform init") && log.contains("Apply complete!"), "{log}");
    assert_eq!(view.ended_count, 0, "the pipeline reports the end");
}

async fn programs_see_nothing_of_the_runners_own_environment() {
    let world = World::new().await;
    let module = "resource \"terraform_data\" \"x\" {\n  provisioner \"local-exec\" {\n    command = \"env | cut -d= -f1 | sort\"\n  }\n}\n";
    // Cargo sets it for every test.
    assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some());

    let view = world.carry_out(world.order(&[("main.tf", module)])).await;

    let seen = log(&view, "execute_tf");
    let names: Vec<&str> =
        seen.lines().filter_map(|line| line.strip_prefix("terraform_data.x (local-exec): ")).collect();
    assert!(names.contains(&"PATH") && names.contains(&"TF_IN_AUTOMATION"), "{seen}");
    assert!(!names.iter().any(|name| name.starts_with("CARGO") || *name == "TF_WORKSPACE"), "{seen}");
}
