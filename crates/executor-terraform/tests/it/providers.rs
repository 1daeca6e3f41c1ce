//! The cache of providers, with the real Terraform and a real provider.

use std::fs;

use libtest_mimic::Trial;

use crate::registry::{HOSTS, MODULE, Registry, mirror, only_entry};
use crate::world::log;

pub(crate) fn tests() -> Vec<Trial> {
    trials![provider:
        a_provider_is_installed_once_for_many_runs,
        a_modules_lock_file_is_still_checked,
        runs_at_the_same_time_share_the_cache,
        a_cache_that_cannot_be_used_is_done_without,
        a_run_that_chooses_its_own_configuration_does_not_touch_the_cache,
    ]
}

async fn a_provider_is_installed_once_for_many_runs() {
    let registry = Registry::new().await;
    let world = &registry.world;
    let view = world.carry_out(world.order(&[("main.tf", MODULE)])).await;
    assert_eq!(view.status, "SUCCEEDED", "{view:#?}");
    assert!(log(&view, "init_tf").contains("0 from the runner's cache, 1 added to it."), "{view:#?}");
    registry.break_archives();
    // Without a lock file, and with one that was made for another version: `init` always looks for the newest.
    let lock = lock_file("0.13.0", &format!("h1:{}=", "A".repeat(43)));
    for files in [&[("main.tf", MODULE)][..], &[("main.tf", MODULE), (".terraform.lock.hcl", &lock)]] {
        let view = world.carry_out(world.order(files)).await;
        assert_eq!(view.status, "SUCCEEDED", "{view:#?}");
        assert_eq!(view.outputs["year"].value, serde_json::json!(2020));
        assert!(log(&view, "init_tf").contains("1 from the runner's cache, 0 added to it."), "{view:#?}");
    }
}

fn lock_file(version: &str, hash: &str) -> String {
    let block = |host: &str| {
        format!("provider \"{host}/hashicorp/time\" {{\n  version = \"{version}\"\n  hashes = [\"{hash}\"]\n}}\n")
    };
    HOSTS.map(block).concat()
}

async fn a_modules_lock_file_is_still_checked() {
    let registry = Registry::new().await;
    let world = &registry.world;
    let keeps = format!(
        "{MODULE}resource \"terraform_data\" \"lock\" {{\n  provisioner \"local-exec\" {{\n    command = \"cat .terraform.lock.hcl\"\n  }}\n}}\n"
    );
    let view = world.carry_out(world.order(&[("main.tf", &keeps)])).await;
    assert_eq!(view.status, "SUCCEEDED", "{view:#?}");
    let applied = log(&view, "execute_tf");
    let at = applied.find("\"h1:").expect("a checksum") + 1;
    let hash = applied[at..].split('"').next().expect("its end").to_owned();

    registry.break_archives();
    let version = only_entry(&mirror().expect("a mirror").join(HOSTS[0]).join("hashicorp/time"));
    let version = version.file_name().expect("a version").to_string_lossy().into_owned();
    let good = lock_file(&version, &hash);
    let view = world.carry_out(world.order(&[("main.tf", MODULE), (".terraform.lock.hcl", &good)])).await;
    assert_eq!(view.status, "SUCCEEDED", "{good}\n{view:#?}");
    assert!(log(&view, "init_tf").contains("1 from the runner's cache"), "{good}\n{view:#?}");
    // Another checksum: the cache is no way around it, and Terraform goes to the archive, which is gone.
    let other = lock_file(&version, &format!("h1:{}=", "A".repeat(43)));
    let view = world.carry_out(world.order(&[("main.tf", MODULE), (".terraform.lock.hcl", &other)])).await;
    assert_eq!(view.status, "FAILED", "{view:#?}");
    assert!(!log(&view, "init_tf").contains("from the shared cache"), "{view:#?}");
}

async fn runs_at_the_same_time_share_the_cache() {
    let registry = Registry::new().await;
    let world = &registry.world;
    let mut runs = Vec::new();
    for _ in 0..4 {
        runs.push(world.mesh.order(&world.runner, world.order(&[("main.tf", MODULE)])).await);
    }
    let running = world.start();
    let mut added = 0;
    for run in &runs {
        let view = crate::world::patiently(world.mesh.wait_for_end(run)).await;
        assert_eq!(view.status, "SUCCEEDED", "{view:#?}");
        added += usize::from(log(&view, "init_tf").contains("1 added to it."));
    }
    running.drain().await;
    assert_eq!((added, registry.cached()), (1, 1));
}

async fn a_cache_that_cannot_be_used_is_done_without() {
    let mut registry = Registry::new().await;
    let file = registry.world.dir.path().join("file");
    fs::write(&file, "").expect("a file");
    registry.world.settings.plugin_cache_dir = Some(file);
    let view = registry.world.carry_out(registry.world.order(&[("main.tf", MODULE)])).await;
    assert_eq!(view.status, "SUCCEEDED", "{view:#?}");

    // One that holds what is no provider: the second attempt does without it.
    let cache = registry.world.dir.path().join("cache");
    registry.world.settings.plugin_cache_dir = Some(cache.clone());
    for host in HOSTS {
        let version = only_entry(&mirror().expect("a mirror").join(host).join("hashicorp/time"));
        let platform = only_entry(&version);
        let broken = cache.join(platform.strip_prefix(mirror().expect("a mirror")).expect("a part of it"));
        fs::create_dir_all(&broken).expect("a folder");
        fs::write(broken.join("README"), "where is the program?").expect("a file");
    }
    let view = registry.world.carry_out(registry.world.order(&[("main.tf", MODULE)])).await;
    assert_eq!(view.status, "SUCCEEDED", "{view:#?}");
}

async fn a_run_that_chooses_its_own_configuration_does_not_touch_the_cache() {
    let registry = Registry::new().await;
    let world = &registry.world;
    let order = world.order(&[("main.tf", MODULE)]).environment_input("TF_CLI_CONFIG_FILE", "/dev/null", "STRING");
    let view = world.carry_out(order).await;
    assert_eq!(view.status, "SUCCEEDED", "{view:#?}");
    assert!(log(&view, "init_tf").contains("cache of providers is not used"), "{view:#?}");
    assert_eq!(registry.cached(), 0);
}
