//! What programs write.

use std::fs;

use libtest_mimic::Trial;

use crate::world::{World, log, mode};

pub(crate) fn tests() -> Vec<Trial> {
    trials![plain:
        both_streams_come_in_the_order_of_writing,
        a_hundred_megabytes_are_passed_on_in_bounded_space,
        the_whole_log_stays_in_the_log_folder_without_secrets,
    ]
}

async fn both_streams_come_in_the_order_of_writing() {
    let world = World::with_fake().await;
    let fake = "apply() { for i in $(seq 1 200); do echo out$i; echo err$i >&2; done; }\n";
    let view = world.carry_out(world.order(&[("fake.sh", fake)])).await;
    let log = log(&view, "execute_tf");
    let lines: Vec<&str> = log.lines().filter(|line| line.starts_with("out") || line.starts_with("err")).collect();
    let expected: Vec<String> = (1..=200).flat_map(|i| [format!("out{i}"), format!("err{i}")]).collect();
    assert_eq!(lines, expected);
}

async fn a_hundred_megabytes_are_passed_on_in_bounded_space() {
    let world = World::with_fake().await;
    let fake = "apply() { echo begin; yes 'a line of sixty-four bytes, which is as long as this one is now.' | \
                head -c 100000000; echo; echo end; }\n";
    let view = world.carry_out(world.order(&[("fake.sh", fake)])).await;
    assert_eq!(view.status, "SUCCEEDED");
    let log = log(&view, "execute_tf");
    assert!(log.len() <= 1100 * 1024, "{} bytes", log.len());
    assert!(log.contains("begin\na line of sixty-four") && log.trim_end().ends_with("end"));
}

async fn the_whole_log_stays_in_the_log_folder_without_secrets() {
    let mut world = World::with_fake().await;
    let logs = world.dir.path().join("logs");
    world.settings.log_dir = Some(logs.clone());
    let fake = "apply() { echo \"key is $KEY\"; yes filler | head -c 3000000; echo; echo the end; }\n";
    let order = world.order(&[("fake.sh", fake)]).with(meshstack_local::OrderInput {
        key: "KEY".into(),
        value: serde_json::json!("s3cr3t-value"),
        kind: "STRING".into(),
        sensitive: true,
        environment: true,
    });

    let view = world.carry_out(order).await;

    let file = logs.join(&view.uuid).join("execute_tf.log");
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains("key is ***") && text.trim_end().ends_with("the end"), "{}", text.len());
    assert!(text.len() > 3_000_000, "{}", text.len());
    assert_eq!(mode(&file), 0o600);
    assert!(logs.join(&view.uuid).join("init_tf.log").exists());
}
