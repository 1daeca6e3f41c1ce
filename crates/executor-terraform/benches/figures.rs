//! How long it takes to get sources and providers, beside the same by hand. Figures and ratios, nothing is asserted.
//!
//! ```text
//! BB_TEST_PROVIDER_MIRROR=<folder of .ci/provider-time> cargo bench -p executor-terraform
//! ```

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use meshstack_local::{Order, RunView};
use serde_json::json;

use self::registry::{MODULE, Registry, mirror};
use self::world::{VERSION, World};

#[path = "../tests/it/registry.rs"]
#[expect(dead_code, reason = "shared with the tests, which use all of it")]
mod registry;
#[path = "../tests/it/world.rs"]
#[expect(dead_code, reason = "shared with the tests, which use all of it")]
mod world;

/// As often as each is measured; the middle one counts.
const ROUNDS: usize = 5;
const COMMITS: usize = 150;
const MIB: usize = 1 << 20;

fn main() {
    executor_terraform::supervisor::run_if_asked();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        sources().await;
        if world::real_terraform().is_some() && mirror().is_some() {
            providers().await;
        } else {
            println!("\nThe cache of providers is not measured: no terraform, or no BB_TEST_PROVIDER_MIRROR.");
        }
    });
}

async fn sources() {
    let mut world = World::with_fake().await;
    let repository = world.dir.path().join("large.git");
    large_repository(&repository);
    let url = format!("file://{}", repository.display());
    let by_hand = |args: &[&str]| {
        let target = world.dir.path().join("clone");
        median(|| {
            let began = Instant::now();
            let cloned = Command::new("git").args(["clone", "--quiet"]).args(args).arg(&url).arg(&target).status();
            assert!(cloned.expect("git").success());
            let took = began.elapsed();
            fs::remove_dir_all(&target).expect("a folder");
            took
        })
    };
    let (full, shallow) = (by_hand(&[]), by_hand(&["--depth=1"]));
    let order = || Order::terraform(json!({ "terraformVersion": VERSION, "repositoryUrl": url, "refName": "main" }));
    let without = runs(&world, "sources", order).await;
    world.settings.repository_cache_dir = Some(world.dir.path().join("cache"));
    world.carry_out(order()).await;
    let kept = runs(&world, "sources", order).await;

    println!("\nStep `sources`, {COMMITS} MiB of history, over file://");
    line("git clone, by hand", full, shallow);
    line("git clone --depth=1, by hand", shallow, shallow);
    line("the runner", without, shallow);
    line("the runner, repository kept", kept, shallow);
}

async fn providers() {
    let mut registry = Registry::new().await;
    let cache = registry.world.settings.plugin_cache_dir.take();
    let order = |world: &World| world.order(&[("main.tf", MODULE)]);
    let without = runs(&registry.world, "init_tf", || order(&registry.world)).await;
    registry.world.settings.plugin_cache_dir = cache;
    registry.world.carry_out(order(&registry.world)).await;
    let with = runs(&registry.world, "init_tf", || order(&registry.world)).await;

    println!("\nStep `init_tf`, the provider hashicorp/time from an archive on the disk (18 MB, no network)");
    line("without the cache", without, without);
    line("with the cache", with, without);
}

fn line(what: &str, time: Duration, reference: Duration) {
    let ratio = time.as_secs_f64() / reference.as_secs_f64();
    println!("  {what:<32} {:>7.0} ms   × {ratio:.2}", time.as_secs_f64() * 1000.0);
}

fn median(mut measure: impl FnMut() -> Duration) -> Duration {
    let mut times: Vec<Duration> = (0..ROUNDS).map(|_| measure()).collect();
    times.sort();
    times[ROUNDS / 2]
}

/// How long a step takes, as meshStack sees it.
async fn runs(world: &World, step: &str, order: impl Fn() -> Order) -> Duration {
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let view = world.carry_out(order()).await;
        assert_eq!(view.status, "SUCCEEDED", "{:#?}", view.steps);
        times.push(duration(&view, step));
    }
    times.sort();
    times[ROUNDS / 2]
}

fn duration(view: &RunView, step: &str) -> Duration {
    let first = |status: &str| {
        let reports = |request: &&meshstack_local::Recorded| {
            let body = request.json().unwrap_or_default();
            let steps = body["steps"].as_array().cloned().unwrap_or_default();
            steps.iter().any(|reported| reported["id"] == step && reported["status"] == status)
        };
        view.requests.iter().find(reports).map(|request| request.received)
    };
    let begun = first("IN_PROGRESS").or_else(|| first("PENDING")).expect("it began");
    first("SUCCEEDED").expect("it ended").duration_since(begun)
}

/// A repository of one small module and a file that every commit replaces.
fn large_repository(path: &Path) {
    run_git(&PathBuf::from("/"), &["init", "--quiet", "--bare", "--initial-branch=main", &path.display().to_string()]);
    let mut import = Command::new("git")
        .current_dir(path)
        .args(["fast-import", "--quiet"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("git fast-import");
    let mut input = import.stdin.take().expect("its input");
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for commit in 0..COMMITS {
        // What no packing makes smaller.
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        })
        .take(MIB / 8)
        .flatten()
        .collect();
        let head = format!(
            "commit refs/heads/main\ncommitter Test <test@example.com> {} +0000\ndata 1\nx\nM 100644 inline main.tf\n\
             data 0\n\nM 100644 inline blob\ndata {}\n",
            1_700_000_000 + commit,
            noise.len()
        );
        input.write_all(head.as_bytes()).and_then(|()| input.write_all(&noise)).expect("git reads");
        input.write_all(b"\n").expect("git reads");
    }
    drop(input);
    assert!(import.wait().expect("git fast-import").success());
}

fn run_git(dir: &Path, args: &[&str]) {
    assert!(Command::new("git").current_dir(dir).args(args).status().expect("git").success());
}
