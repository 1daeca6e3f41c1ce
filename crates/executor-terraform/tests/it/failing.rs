//! Runs that end FAILED, and what people are told.

use libtest_mimic::Trial;
use serde_json::json;

use crate::world::{World, everything, log, message, statuses};

pub(crate) fn tests() -> Vec<Trial> {
    let mut tests = trials![real:
        a_module_with_a_syntax_error_shows_terraforms_message,
        a_failing_apply_shows_the_first_error_and_the_log_the_rest,
        a_variable_without_a_value_comes_with_a_hint,
    ];
    tests.extend(trials![plain:
        a_version_that_is_none_touches_no_path,
        init_is_tried_once_more,
        init_that_fails_twice_fails_the_run,
        init_that_takes_too_long_is_stopped,
        an_environment_input_that_would_steer_terraform_fails_the_run,
        a_program_that_cannot_be_started_is_a_failure_with_a_sentence,
    ]);
    tests
}

async fn a_module_with_a_syntax_error_shows_terraforms_message() {
    let world = World::new().await;
    let view = world.carry_out(world.order(&[("main.tf", "output \"x\" {\n  value = [1, \n}\n")])).await;
    assert_eq!(view.status, "FAILED");
    let statuses = statuses(&view);
    assert_eq!(statuses[1..3], [("input", "SUCCEEDED"), ("init_tf", "FAILED")]);
    let told = message(&view, "init_tf");
    assert!(told.starts_with("Terraform could not initialise the module."), "{told}");
    assert!(told.contains("Error: ") && told.contains("main.tf line 3"), "{told}");
    // What was not carried out has no message for the person who ordered.
    assert!(view.steps[3..].iter().all(|step| step.status == "FAILED" && step.user_message.is_none()), "{view:#?}");
    assert!(log(&view, "execute_tf").contains("an earlier step failed"));
}

async fn a_failing_apply_shows_the_first_error_and_the_log_the_rest() {
    let world = World::new().await;
    let module = "resource \"terraform_data\" \"x\" {\n  provisioner \"local-exec\" {\n    command = \"echo s3cr3t-value; exit 3\"\n  }\n}\n";
    let order = world.order(&[("main.tf", module)]).sensitive_input("unused", "s3cr3t-value", "STRING");
    let view = world.carry_out(order).await;
    assert_eq!(view.status, "FAILED");
    let told = message(&view, "execute_tf");
    assert!(told.starts_with("Terraform could not apply the module."), "{told}");
    assert!(told.contains("Error: local-exec provisioner error"), "{told}");
    assert!(log(&view, "execute_tf").contains("terraform apply ended with exit code 1"));
    assert!(!everything(&view).contains("s3cr3t-value"));
}

async fn a_variable_without_a_value_comes_with_a_hint() {
    let world = World::new().await;
    let view = world.carry_out(world.order(&[("main.tf", "variable \"missing\" { type = string }\n")])).await;
    let told = message(&view, "execute_tf");
    assert!(told.contains("Error: No value for required variable"), "{told}");
    assert!(told.contains("Hint: The module has a variable"), "{told}");
}

async fn a_version_that_is_none_touches_no_path() {
    let world = World::with_fake().await;
    let view = world.carry_out(world.order_with(&[], &json!({ "terraformVersion": "../fake/1.5.5" }))).await;
    assert_eq!(view.status, "FAILED");
    assert!(message(&view, "sources").contains("is no Terraform version"), "{view:#?}");
}

async fn init_is_tried_once_more() {
    let world = World::with_fake().await;
    let fake = "init() { if [ -f tried ]; then echo second; else touch tried; echo first; return 1; fi; }\n";
    let view = world.carry_out(world.order(&[("fake.sh", fake)])).await;
    assert_eq!(view.status, "SUCCEEDED", "{view:#?}");
    let log = log(&view, "init_tf");
    let first = log.find("first").expect("the first attempt is in the log");
    assert!(log[first..].contains("trying once more") && log[first..].contains("second"), "{log}");
}

async fn init_that_fails_twice_fails_the_run() {
    let world = World::with_fake().await;
    let fake = "init() { echo tried; printf '\\nError: no provider\\n\\n  it is not there\\n' >&2; return 1; }\n";
    let view = world.carry_out(world.order(&[("fake.sh", fake)])).await;
    assert_eq!(view.status, "FAILED");
    assert!(message(&view, "init_tf").ends_with("Error: no provider\n\n  it is not there"), "{view:#?}");
    assert_eq!(log(&view, "init_tf").matches("tried\n").count(), 2);
}

async fn init_that_takes_too_long_is_stopped() {
    let mut world = World::with_fake().await;
    world.settings.init_timeout = std::time::Duration::from_millis(300);
    let view = world.carry_out(world.order(&[("fake.sh", "init() { sleep 1000; }\n")])).await;
    assert_eq!(view.status, "FAILED");
    assert!(message(&view, "init_tf").contains("initTimeoutMins"), "{view:#?}");
}

async fn an_environment_input_that_would_steer_terraform_fails_the_run() {
    let world = World::with_fake().await;
    let order = world.order(&[]).environment_input("TF_CLI_ARGS_apply", "-destroy", "STRING");
    let view = world.carry_out(order).await;
    assert_eq!(view.status, "FAILED");
    assert!(message(&view, "input").contains("TF_CLI_ARGS_apply"), "{view:#?}");
}

async fn a_program_that_cannot_be_started_is_a_failure_with_a_sentence() {
    for supervised in [true, false] {
        let mut world = World::with_fake().await;
        let broken = world.dir.path().join("terraform");
        let write = "printf '#!/no/such/interpreter\\n' > \"$0\" && chmod 755 \"$0\"";
        let written = std::process::Command::new("sh").arg("-c").arg(write).arg(&broken).status().unwrap();
        assert!(written.success());
        world.settings.binary = Some(broken);
        if !supervised {
            world.settings.supervisor = None;
        }
        let view = world.carry_out(world.order(&[])).await;
        assert_eq!(view.status, "FAILED");
        assert!(message(&view, "init_tf").starts_with("Terraform could not be run."), "{view:#?}");
    }
}
