//! The cache as `init` and other runs meet it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::Barrier;

use tempfile::TempDir;

use super::{Kept, Providers, RUNS, shares_providers};

const TIME: &str = "registry.terraform.io/hashicorp/time/0.14.2/linux_amd64";
const LOCAL: &str = "registry.terraform.io/hashicorp/local/2.5.0/linux_amd64";
const PLENTY: u64 = 1 << 30;

/// What `init` does: takes a provider from its cache, or downloads it into it, and links to it. Whether it downloaded.
fn init(cache: &Path, module: &Path, provider: &str, content: &str) -> bool {
    let there = cache.join(provider);
    let missing = !there.exists();
    if missing {
        fs::create_dir_all(there.join("docs")).unwrap();
        fs::write(there.join("docs/LICENSE"), "free").unwrap();
        fs::write(there.join("provider"), content).unwrap();
    }
    assert_eq!(fs::read_to_string(there.join("provider")).unwrap(), content);
    let link = module.join(provider);
    fs::create_dir_all(link.parent().unwrap()).unwrap();
    symlink(there, link).unwrap();
    missing
}

struct World {
    dir: TempDir,
}

impl World {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn cache(&self) -> PathBuf {
        self.dir.path().join("cache")
    }

    /// A run with one provider: whether it was downloaded, and what was kept.
    fn run(&self, provider: &str, limit: u64) -> (bool, Kept) {
        let module = tempfile::tempdir_in(self.dir.path()).unwrap();
        let own = Providers::open(&self.cache(), module.path()).unwrap();
        let downloaded = init(own.dir(), module.path(), provider, provider);
        (downloaded, own.keep(module.path(), limit).unwrap())
    }

    fn has(&self, provider: &str) -> bool {
        self.cache().join(provider).join("provider").exists()
    }

    fn runs(&self) -> usize {
        fs::read_dir(self.cache().join(RUNS)).unwrap().count()
    }
}

#[test]
fn a_provider_is_downloaded_by_the_first_run_only() {
    let world = World::new();
    assert_eq!(world.run(TIME, PLENTY), (true, Kept { taken: 0, added: 1 }));
    assert_eq!(world.run(TIME, PLENTY), (false, Kept { taken: 1, added: 0 }));
    assert_eq!(world.run(LOCAL, PLENTY), (true, Kept { taken: 0, added: 1 }));
    assert_eq!(world.runs(), 0, "nothing of the runs is left");
    let mode = fs::metadata(world.cache().join(TIME).join("provider")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o555, "the file is shared");
}

#[test]
fn runs_at_the_same_time_see_whole_providers_only() {
    let world = World::new();
    let start = Barrier::new(8);
    let added = std::thread::scope(|scope| {
        let run = || {
            start.wait();
            let kept = [TIME, LOCAL].map(|provider| world.run(provider, PLENTY).1.added);
            kept.iter().sum::<usize>()
        };
        let runs: Vec<_> = (0..8).map(|_| scope.spawn(run)).collect();
        runs.into_iter().map(|run| run.join().unwrap()).sum::<usize>()
    });
    assert_eq!(added, 2, "each was added once");
    assert!(world.has(TIME) && world.has(LOCAL));
    assert_eq!(world.runs(), 0);
}

#[test]
fn the_provider_that_was_not_used_for_longest_leaves_and_never_from_under_a_run() {
    let world = World::new();
    world.run(TIME, PLENTY);
    let module = world.dir.path().join("module");
    let busy = Providers::open(&world.cache(), world.dir.path()).unwrap();
    assert!(!init(busy.dir(), &module, TIME, TIME));

    let small = 100;
    world.run(LOCAL, small);

    assert!(!world.has(TIME) && world.has(LOCAL));
    assert_eq!(fs::read_to_string(module.join(TIME).join("provider")).unwrap(), TIME);
    // It comes back with the next run that wants it.
    drop(busy);
    assert_eq!(world.run(TIME, PLENTY), (true, Kept { taken: 0, added: 1 }));
}

#[test]
fn what_a_killed_runner_has_left_is_removed_by_the_next_run_and_living_ones_are_not() {
    let world = World::new();
    world.run(TIME, PLENTY);
    let alive = Providers::open(&world.cache(), world.dir.path()).unwrap();
    let dead = world.cache().join(RUNS).join("run-dead");
    fs::create_dir_all(dead.join(TIME)).unwrap();
    fs::write(world.cache().join(RUNS).join("run-dead.lock"), "").unwrap();
    fs::create_dir(world.cache().join(RUNS).join("run-half-made")).unwrap();

    let next = Providers::open(&world.cache(), world.dir.path()).unwrap();

    assert!(!dead.exists() && alive.dir().exists() && next.dir().exists());
    assert_eq!(world.runs(), 4, "two runs and their locks");
}

#[test]
fn a_provider_that_lies_elsewhere_is_not_copied() {
    let world = World::new();
    let mirror = world.dir.path().join("mirror");
    fs::create_dir(&mirror).unwrap();
    let own = Providers::open(&world.cache(), world.dir.path()).unwrap();
    let link = own.dir().join(TIME);
    fs::create_dir_all(link.parent().unwrap()).unwrap();
    symlink(&mirror, link).unwrap();
    assert_eq!(own.keep(Path::new("/nonexistent"), PLENTY).unwrap(), Kept { taken: 0, added: 0 });
    assert!(!world.has(TIME));
}

#[test]
fn a_run_that_brings_its_own_providers_keeps_away_from_those_of_the_others() {
    let module = tempfile::tempdir().unwrap();
    let inputs = |name: &str| BTreeMap::from([(name.to_owned(), String::new())]);
    assert!(shares_providers(&inputs("AWS_REGION"), module.path()));
    for name in ["HOME", "TF_CLI_CONFIG_FILE", "TF_PLUGIN_CACHE_DIR"] {
        assert!(!shares_providers(&inputs(name), module.path()), "{name}");
    }
    symlink("/nonexistent", module.path().join("terraform.d")).unwrap();
    assert!(!shares_providers(&inputs("AWS_REGION"), module.path()));
}
