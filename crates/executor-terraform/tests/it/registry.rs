//! A registry of one real provider, as a folder of archives.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use crate::world::{World, real_terraform};

/// Needs a provider, and uses it.
pub(crate) const MODULE: &str = "terraform {\n  required_providers {\n    time = { source = \"hashicorp/time\" }\n  }\n}\n\
                      resource \"time_static\" \"x\" { rfc3339 = \"2020-01-01T00:00:00Z\" }\n\
                      output \"year\" { value = time_static.x.year }\n";
pub(crate) const HOSTS: [&str; 2] = ["registry.terraform.io", "registry.opentofu.org"];

/// Where `.ci/provider-time` has put it.
pub(crate) fn mirror() -> Option<PathBuf> {
    let mirror = PathBuf::from(std::env::var_os("BB_TEST_PROVIDER_MIRROR")?);
    HOSTS.iter().all(|host| mirror.join(host).is_dir()).then_some(mirror)
}

/// A world whose Terraform gets its providers as archives, from a folder in place of the registry.
pub(crate) struct Registry {
    pub(crate) world: World,
    archives: Vec<PathBuf>,
}

impl Registry {
    pub(crate) async fn new() -> Self {
        let mut world = World::new().await;
        let dir = world.dir.path().to_owned();
        let mut archives = Vec::new();
        for host in HOSTS {
            let versions = mirror().expect("a mirror").join(host).join("hashicorp/time");
            let version = only_entry(&versions);
            let platform = only_entry(&version);
            let archive = dir.join("archives").join(host).join("hashicorp/time").join(format!(
                "terraform-provider-time_{}_{}.zip",
                version.file_name().expect("a version").display(),
                platform.file_name().expect("a platform").display()
            ));
            pack(&only_entry(&platform), &archive);
            archives.push(archive);
        }
        let config = dir.join("terraformrc");
        let mirror = dir.join("archives");
        fs::write(&config, format!(
            "disable_checkpoint = true\nprovider_installation {{\n  filesystem_mirror {{\n    path = \"{}\"\n  }}\n}}\n",
            mirror.display()
        )).expect("a file");
        // As an operator would configure it: not by an input, those are the run's own.
        let wrapper = dir.join("with-configuration/terraform");
        fs::create_dir(dir.join("with-configuration")).expect("a folder");
        let real = real_terraform().expect("terraform");
        let script =
            format!("#!/bin/sh\nexport TF_CLI_CONFIG_FILE='{}'\nexec '{}' \"$@\"\n", config.display(), real.display());
        fs::write(&wrapper, script).expect("a file");
        fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).expect("a program");
        world.settings.binary = Some(wrapper);
        world.settings.plugin_cache_dir = Some(dir.join("cache"));
        Self { world, archives }
    }

    /// From now on nothing can be installed from the archives.
    pub(crate) fn break_archives(&self) {
        for archive in &self.archives {
            fs::write(archive, "no archive").expect("a file");
        }
    }

    pub(crate) fn cached(&self) -> usize {
        let cache = self.world.settings.plugin_cache_dir.as_ref().expect("a cache");
        HOSTS.iter().filter(|host| cache.join(host).join("hashicorp/time").is_dir()).count()
    }
}

pub(crate) fn only_entry(folder: &Path) -> PathBuf {
    fs::read_dir(folder).expect("a folder").next().expect("an entry").expect("an entry").path()
}

fn pack(program: &Path, archive: &Path) {
    fs::create_dir_all(archive.parent().expect("a parent")).expect("a folder");
    let mut zip = ZipWriter::new(fs::File::create(archive).expect("a file"));
    let options =
        SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored).unix_permissions(0o755);
    zip.start_file(program.file_name().expect("a name").to_string_lossy(), options).expect("an archive");
    zip.write_all(&fs::read(program).expect("the provider")).expect("an archive");
    zip.finish().expect("an archive");
}
