//! The pre-run script.

use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::world::{World, log, message};

pub(crate) fn tests() -> Vec<Trial> {
    trials![plain:
        the_script_gets_the_run_with_its_secrets_in_plain_text_and_the_behavior,
        a_script_that_does_not_read_its_input_neither_hangs_nor_fails,
        the_scripts_message_is_the_steps_and_is_in_the_log,
        a_failing_script_fails_the_step_with_its_message_and_exit_code,
        a_failing_script_without_a_message_shows_its_last_lines,
        a_script_with_windows_line_ends_runs,
        the_script_finds_the_runs_terraform_and_its_environment,
        a_binary_of_another_name_is_found_as_terraform_too,
        what_the_script_leaves_running_is_there_for_terraform_and_gone_after_the_run,
    ]
}

fn with_script(script: &str) -> Value {
    json!({ "preRunScript": script })
}

async fn the_script_gets_the_run_with_its_secrets_in_plain_text_and_the_behavior() {
    let world = World::with_fake().await;
    let script =
        "input=$(cat)\ncase \"$input\" in *'\"value\":\"s3cr3t-value\"'*) echo plain text; esac\necho mode $1\n";
    let order = world.order_with(&[], &with_script(script)).sensitive_input("x", "s3cr3t-value", "STRING");
    let view = world.carry_out(order).await;
    assert_eq!(view.status, "SUCCEEDED", "{view:#?}");
    let log = log(&view, "pre_run_script");
    assert!(log.contains("plain text\nmode APPLY\n"), "{log}");
    assert!(log.contains("The pre-run script ended with exit code 0."), "{log}");
}

async fn a_script_that_does_not_read_its_input_neither_hangs_nor_fails() {
    let world = World::with_fake().await;
    // More than a pipe holds.
    let order = world.order_with(&[], &with_script("true\n")).input("large", "x".repeat(300_000), "STRING");
    let view = world.carry_out(order).await;
    assert_eq!(view.status, "SUCCEEDED", "{:#?}", view.steps);
}

async fn the_scripts_message_is_the_steps_and_is_in_the_log() {
    let world = World::with_fake().await;
    let view =
        world.carry_out(world.order_with(&[], &with_script("echo ' hello ' > \"$MESHSTACK_USER_MESSAGE\"\n"))).await;
    assert_eq!(message(&view, "pre_run_script"), "hello");
    assert!(log(&view, "pre_run_script").contains("Message of the pre-run script: hello"));
}

async fn a_failing_script_fails_the_step_with_its_message_and_exit_code() {
    let world = World::with_fake().await;
    let script = "echo 'ask Jo' > \"$MESHSTACK_USER_MESSAGE\"\nfalse | true\necho not reached\n";
    let view = world.carry_out(world.order_with(&[], &with_script(script))).await;
    assert_eq!(view.status, "FAILED");
    assert_eq!(message(&view, "pre_run_script"), "ask Jo");
    let log = log(&view, "pre_run_script");
    assert!(log.contains("ended with exit code 1") && log.contains("ask Jo") && !log.contains("not reached"), "{log}");
}

async fn a_failing_script_without_a_message_shows_its_last_lines() {
    let world = World::with_fake().await;
    let view = world.carry_out(world.order_with(&[], &with_script("echo no quota left >&2\nexit 7\n"))).await;
    assert_eq!(view.status, "FAILED");
    let told = message(&view, "pre_run_script");
    assert!(told.contains("exit code 7") && told.ends_with("no quota left"), "{told}");
}

async fn a_script_with_windows_line_ends_runs() {
    let world = World::with_fake().await;
    let view = world.carry_out(world.order_with(&[], &with_script("if true; then\r\n  echo \"[ok]\"\r\nfi\r\n"))).await;
    assert_eq!(view.status, "SUCCEEDED", "{view:#?}");
    assert!(log(&view, "pre_run_script").contains("[ok]\n"));
}

async fn the_script_finds_the_runs_terraform_and_its_environment() {
    let world = World::with_fake().await;
    let script = "command -v terraform\necho region=$REGION user=$TF_HTTP_USERNAME\n";
    let order = world.order_with(&[], &with_script(script)).environment_input("REGION", "eu-1", "STRING");
    let view = world.carry_out(order).await;
    let log = log(&view, "pre_run_script");
    assert!(log.contains("fake/1.5.5/terraform\nregion=eu-1 user=x\n"), "{log}");
}

async fn a_binary_of_another_name_is_found_as_terraform_too() {
    let mut world = World::with_fake().await;
    let tofu = world.dir.path().join("tofu");
    std::os::unix::fs::symlink(crate::world::fixture("fake/1.5.5/terraform"), &tofu).unwrap();
    world.settings.binary = Some(tofu);
    let script = "terraform version && tofu version && echo both\n";
    let view = world.carry_out(world.order_with(&[("fake.sh", "version() { true; }\n")], &with_script(script))).await;
    assert!(log(&view, "pre_run_script").contains("both\n"), "{view:#?}");
}

async fn what_the_script_leaves_running_is_there_for_terraform_and_gone_after_the_run() {
    for supervised in [true, false] {
        let mut world = World::with_fake().await;
        if !supervised {
            world.settings.supervisor = None;
        }
        let pid = world.dir.path().join("pid");
        let script = format!("sleep 1000 & echo $! > {}\n", pid.display());
        let fake = format!("apply() {{ kill -0 $(cat {}) && echo the tunnel is open; }}\n", pid.display());

        let view = world.carry_out(world.order_with(&[("fake.sh", &fake)], &with_script(&script))).await;

        assert_eq!(view.status, "SUCCEEDED", "{view:#?}");
        assert!(log(&view, "execute_tf").contains("the tunnel is open"), "{view:#?}");
        let pid = crate::world::pids(&pid, 1).await[0];
        assert!(!crate::world::is_alive(pid), "supervised: {supervised}");
    }
}
