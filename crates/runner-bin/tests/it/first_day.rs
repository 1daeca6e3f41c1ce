//! From nothing to a runner at work, and through its first rotation: `keys generate`, `register`, `run`, `keys rotate`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use meshstack_local::{LocalMeshStack, Order, RunnerState};
use rustix::process::Signal;
use serde_json::json;

use crate::keys::{Said, bb};
use crate::support::{Daemon, bb_runner};

/// In place of Terraform: on `apply`, notes what the run was given.
const TERRAFORM: &str = r#"#!/bin/sh
case "$1" in
  apply) cat ./*.tfvars ./*.tfvars.json >> SEEN 2>/dev/null ;;
  workspace) echo "* default" ;;
  output) echo "{}" ;;
esac
exit 0
"#;

/// A folder, the API key of a meshStack, and nothing else.
struct Place<'m> {
    mesh: &'m LocalMeshStack,
    folder: &'m Path,
}

impl Place<'_> {
    fn variables(&self) -> Vec<(&'static str, String)> {
        let (id, secret) = self.mesh.api_key();
        vec![("RUNNER_API_URL", self.mesh.url()), ("RUNNER_API_CLIENT_ID", id), ("RUNNER_API_CLIENT_SECRET", secret)]
    }

    fn bb(&self, arguments: &[&str]) -> Said {
        let variables = self.variables();
        let variables: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let said = bb(self.folder, arguments, &variables);
        assert_eq!(said.code, 0, "{arguments:?}: {}{}", said.out, said.err);
        said
    }

    fn start(&self) -> Daemon {
        Daemon::start(bb_runner(self.folder).envs(self.variables()), None)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.folder.join(name)).unwrap_or_default()
    }

    /// A module without anything in it but a variable, in a repository.
    fn module(&self) -> String {
        let module = self.folder.join("module");
        fs::create_dir(&module).unwrap();
        fs::write(module.join("main.tf"), "variable \"password\" { type = string }\n").unwrap();
        for arguments in
            [&["init", "--quiet", "--initial-branch=main"][..], &["add", "."], &["commit", "--quiet", "-m", "x"]]
        {
            let mut git = Command::new("git");
            git.current_dir(&module).args(["-c", "user.name=test", "-c", "user.email=test@localhost"]).args(arguments);
            git.envs([("GIT_CONFIG_GLOBAL", "/dev/null"), ("GIT_CONFIG_NOSYSTEM", "1")]);
            let done = git.output().unwrap();
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        }
        format!("file://{}", module.display())
    }

    fn install_terraform(&self) {
        let version = self.folder.join("tfbin/1.5.5");
        fs::create_dir_all(&version).unwrap();
        let program = version.join("terraform");
        let seen = self.folder.join("seen");
        fs::write(&program, TERRAFORM.replace("SEEN", &seen.display().to_string())).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    }
}

/// The UUID in the configuration file.
fn uuid(place: &Place<'_>) -> String {
    let config = place.read("runner-config.yml");
    config.lines().find_map(|line| line.strip_prefix("runnerUuid: ")).unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn from_a_new_key_pair_to_a_runner_that_reads_old_and_new_secrets_after_a_rotation() {
    let mesh = LocalMeshStack::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let place = Place { mesh: &mesh, folder: &folder.path().canonicalize().unwrap() };
    let at = place.folder.display();
    let config = format!("# ours\nworkingDir: {at}/wd\ntfInstallDir: {at}/tfbin # binaries\n");
    fs::write(place.folder.join("runner-config.yml"), &config).unwrap();
    place.install_terraform();
    let repository = place.module();
    let order = |password: &str| {
        let implementation = json!({ "terraformVersion": "1.5.5", "repositoryUrl": repository });
        Order::terraform(implementation).sensitive_input("password", password, "STRING")
    };

    place.bb(&["keys", "generate"]);
    place.bb(&["register", "--display-name", "Ours", "--workspace", "platform-team", "--wait", "--write-config"]);
    let uuid = uuid(&place);
    assert_eq!(mesh.runner(&uuid).await.unwrap().state, RunnerState::Pending);

    let mut daemon = place.start();
    place.bb(&["register", "--wait=active"]);
    assert_eq!(mesh.runner(&uuid).await.unwrap().state, RunnerState::Active);
    let first = mesh.order(&uuid, order("first-secret-word")).await;
    let ended = mesh.wait_for_end(&first).await;
    assert_eq!(ended.status, "SUCCEEDED", "{ended:?}\n{}", daemon.log());
    assert!(place.read("seen").contains("first-secret-word"));
    daemon.signal(Signal::TERM);
    assert!(daemon.wait().success());

    // Encrypted for the old key, and still in the queue when the new one comes.
    let old = mesh.order(&uuid, order("old-secret-word")).await;
    let rotated = place.bb(&["keys", "rotate", "--write"]);
    assert!(rotated.out.contains("runner-config.yml was changed"), "{}", rotated.out);
    assert!(place.read("runner-config.yml").starts_with(&config), "{}", place.read("runner-config.yml"));
    let before = mesh.runner(&uuid).await.unwrap().object;
    place.bb(&["register", "--wait"]);
    let after = mesh.runner(&uuid).await.unwrap().object;
    assert_ne!(before["spec"]["publicKey"], after["spec"]["publicKey"]);
    assert_eq!(before["spec"]["displayName"], after["spec"]["displayName"]);
    let new = mesh.order(&uuid, order("new-secret-word")).await;

    let daemon = place.start();
    for run in [&old, &new] {
        let ended = mesh.wait_for_end(run).await;
        assert_eq!(ended.status, "SUCCEEDED", "{ended:?}\n{}", daemon.log());
    }
    let seen = place.read("seen");
    assert!(seen.contains("old-secret-word") && seen.contains("new-secret-word"));
    assert!(place.bb(&["keys", "check"]).out.contains("belongs to key 2"));
    assert_eq!(mesh.violations(), [""; 0]);
}
