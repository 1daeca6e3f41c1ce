//! kill -9 at any moment: every claimed run still gets exactly one truthful end, nothing is applied twice.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use meshstack_local::{LocalMeshStack, Order, OrderInput, RunView};
use serde_json::json;

use crate::support::{Daemon, Setup, UUID, local};

/// Stands in for Terraform, so that a kill hits more than its start: what it applies is counted.
const TERRAFORM: &str = r#"#!/bin/sh
case "$1" in
  apply) echo started >> "$COUNTERS/$BLOCK"; sleep "0.0$((RANDOM_PART % 10))"; echo done >> "$COUNTERS/$BLOCK" ;;
  output) printf '{"block":{"sensitive":false,"type":"string","value":"%s"}}' "$BLOCK" ;;
esac
"#;

struct World {
    meshstack: LocalMeshStack,
    folder: tempfile::TempDir,
    command: Command,
    orders: Vec<Ordered>,
}

struct Ordered {
    run: String,
    /// The Terraform building block, if it is one.
    block: Option<String>,
}

impl World {
    async fn new() -> Self {
        let meshstack = local().await;
        let setup = Setup::of(&meshstack);
        let at = setup.folder.path();
        let binary = at.join("tfbin/1.5.5/terraform");
        fs::create_dir_all(binary.parent().unwrap()).unwrap();
        fs::write(&binary, TERRAFORM).unwrap();
        fs::set_permissions(&binary, fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir_all(at.join("counters")).unwrap();
        repository(&at.join("module"));
        Self { meshstack, folder: setup.folder, command: setup.command, orders: Vec::new() }
    }

    fn counters(&self) -> PathBuf {
        self.folder.path().join("counters")
    }

    async fn order(&mut self) {
        let number = self.orders.len();
        let (order, block) = if number.is_multiple_of(2) {
            (Order::manual().input("number", json!(number), "INTEGER"), None)
        } else {
            let block = format!("block-{number}");
            let repository = format!("file://{}", self.folder.path().join("module").display());
            let implementation = json!({
                "terraformVersion": "1.5.5", "repositoryUrl": repository, "useMeshHttpBackendFallback": true,
            });
            let environment = [
                ("BLOCK", block.clone()),
                ("COUNTERS", self.counters().display().to_string()),
                ("RANDOM_PART", number.to_string()),
            ];
            let order = environment.into_iter().fold(Order::terraform(implementation), |order, (key, value)| {
                order.environment_input(key, value, "STRING")
            });
            let secret = OrderInput {
                key: "secret".to_owned(),
                value: json!(format!("canary-{number}")),
                kind: "STRING".to_owned(),
                sensitive: true,
                environment: false,
            };
            (order.with(secret), Some(block))
        };
        let run = self.meshstack.order(UUID, order).await;
        self.orders.push(Ordered { run, block });
    }

    fn start(&mut self) -> Daemon {
        Daemon::start(&mut self.command, None)
    }

    async fn open(&self) -> Vec<String> {
        let mut open = Vec::new();
        for order in &self.orders {
            if !self.meshstack.run(&order.run).await.unwrap().status.is_final() {
                open.push(order.run.clone());
            }
        }
        open
    }

    /// Lines that the stand-in wrote for a building block.
    fn applied(&self, block: &str) -> Vec<String> {
        let text = fs::read_to_string(self.counters().join(block)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    fn assert_truthful(&self, order: &Ordered, view: &RunView) {
        let summary = view.summary.clone().unwrap_or_default();
        assert_eq!(view.ended_count, 1, "{}: {summary}", order.run);
        let Some(block) = &order.block else {
            assert_eq!(view.status, "SUCCEEDED", "a manual run: {summary}");
            return;
        };
        let applied = self.applied(block);
        let starts = applied.iter().filter(|line| *line == "started").count();
        assert!(starts <= 1, "{block} was applied {starts} times");
        match view.status.word() {
            "SUCCEEDED" => {
                assert_eq!(applied, ["started", "done"], "{block}");
                assert_eq!(view.outputs["block"].value, json!(block));
            }
            "FAILED" => assert!(summary.contains("interrupted"), "{block}: {summary}"),
            other => panic!("{block} is {other}"),
        }
    }
}

pub(crate) fn repository(at: &Path) {
    fs::create_dir_all(at).unwrap();
    fs::write(at.join("main.tf"), "variable \"secret\" { type = string }\n").unwrap();
    for arguments in [&["init", "-q", "-b", "main"][..], &["add", "."], &["commit", "-q", "-m", "module"]] {
        let status = Command::new("git")
            .args(["-c", "user.name=test", "-c", "user.email=test@example.com"])
            .args(arguments)
            .current_dir(at)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .status()
            .unwrap();
        assert!(status.success());
    }
}

/// A number that looks random and is the same every time.
fn scattered(number: u64) -> u64 {
    number.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(23) % 1000
}

/// `BB_SOAK_KILLS` kills as often; `just soak` makes it 1,000.
#[tokio::test(flavor = "multi_thread")]
async fn every_run_has_one_truthful_end_however_often_the_runner_is_killed() {
    let kills = std::env::var("BB_SOAK_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(8);
    let mut world = World::new().await;
    for kill in 0..kills {
        if world.open().await.len() < 12 {
            for _ in 0..4 {
                world.order().await;
            }
        }
        // Claimed by a life that was killed before it could note it: it comes again, as after three hours.
        if kill % 25 == 24 {
            for run in world.open().await {
                world.meshstack.redeliver(&run).await;
            }
        }
        let daemon = world.start();
        tokio::time::sleep(Duration::from_millis(5 + scattered(kill) * 3 / 5)).await;
        drop(daemon);
    }
    for last in 0.. {
        let open = world.open().await;
        if open.is_empty() {
            break;
        }
        assert!(last < 10, "{} runs have no end: {open:?}", open.len());
        for run in &open {
            world.meshstack.redeliver(run).await;
        }
        let daemon = world.start();
        for run in &open {
            let ended = tokio::time::timeout(Duration::from_secs(20), world.meshstack.wait_for_end(run)).await;
            assert!(ended.is_ok(), "{run} has no end\n{}", daemon.log());
        }
    }
    let mut interrupted = 0;
    for order in &world.orders {
        let view = world.meshstack.run(&order.run).await.unwrap();
        world.assert_truthful(order, &view);
        interrupted += usize::from(view.status == "FAILED");
    }
    assert_eq!(world.meshstack.violations(), Vec::<String>::new());
    let runs = world.orders.len();
    println!("{kills} kills, {runs} runs, of which {interrupted} were told as interrupted: 0 lost, 0 twice");
}
