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
const ROUNDS: usize = 9;
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

/// By hand and by the runner in turns, so that all see the same machine.
async fn sources() {
    let mut world = World::with_fake().await;
    let repository = world.dir.path().join("large.git");
    large_repository(&repository);
    let url = format!("file://{}", repository.display());
    let target = world.dir.path().join("clone");
    let cache = world.dir.path().join("cache");
    let order = || Order::terraform(json!({ "terraformVersion": VERSION, "repositoryUrl": url, "refName": "main" }));
    let (mut full, mut shallow, mut without, mut kept) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let by_hand = [by_hand(&[], &url, &target), by_hand(&["--depth=1", "--branch=main"], &url, &target)];
        world.settings.repository_cache_dir = None;
        let plain = run(&world, "sources", order()).await;
        world.settings.repository_cache_dir = Some(cache.clone());
        let from_kept = run(&world, "sources", order()).await;
        // The first round fills the caches, the system's and the runner's.
        if round > 0 {
            full.push(by_hand[0]);
            shallow.push(by_hand[1]);
            without.push(plain);
            kept.push(from_kept);
        }
    }
    println!("\nStep `sources`, {COMMITS} MiB of history, over file://");
    line("git clone, by hand", &full, &shallow);
    line("git clone --depth=1, by hand", &shallow, &shallow);
    line("the runner", &without, &shallow);
    line("the runner, repository kept", &kept, &shallow);
}

fn by_hand(args: &[&str], url: &str, target: &Path) -> Duration {
    let began = Instant::now();
    let cloned = Command::new("git").args(["clone", "--quiet"]).args(args).arg(url).arg(target).status();
    assert!(cloned.expect("git").success());
    let took = began.elapsed();
    fs::remove_dir_all(target).expect("a folder");
    took
}

async fn providers() {
    let mut registry = Registry::new().await;
    let cache = registry.world.settings.plugin_cache_dir.take();
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        for (cache, times) in [(None, &mut without), (cache.clone(), &mut with)] {
            registry.world.settings.plugin_cache_dir = cache;
            let order = registry.world.order(&[("main.tf", MODULE)]);
            let took = run(&registry.world, "init_tf", order).await;
            if round > 0 {
                times.push(took);
            }
        }
    }
    println!("\nStep `init_tf`, the provider hashicorp/time from an archive on the disk (18 MB, no network)");
    line("without the cache", &without, &without);
    line("with the cache", &with, &without);
}

/// The middle time, and the middle of its ratios to the reference of the same round.
fn line(what: &str, times: &[Duration], reference: &[Duration]) {
    let seconds = |times: &[Duration]| times.iter().map(Duration::as_secs_f64).collect::<Vec<_>>();
    let (times, reference) = (seconds(times), seconds(reference));
    let ratios = times.iter().zip(reference).map(|(time, reference)| time / reference).collect();
    println!("  {what:<32} {:>7.0} ms   × {:.2}", median(times) * 1000.0, median(ratios));
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// How long a step takes, as meshStack sees it.
async fn run(world: &World, step: &str, order: Order) -> Duration {
    let view = world.carry_out(order).await;
    assert_eq!(view.status, "SUCCEEDED", "{:#?}", view.steps);
    duration(&view, step)
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
