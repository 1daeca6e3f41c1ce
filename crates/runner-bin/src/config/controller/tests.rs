use std::path::{Path, PathBuf};
use std::time::Duration;

use meshstack_client::{Credentials, ImplementationType};

use super::{ControllerConfig, Resources, Toleration, VolumeSource};
use crate::config::{ConfigError, Environment, Sources};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn read(file: Option<&str>, environment: &Environment) -> Result<ControllerConfig, ConfigError> {
    Sources { file: file.map(Path::new), environment, directory: &fixtures() }.read_controller()
}

#[test]
fn the_file_that_the_public_controller_ships_is_read_whole() {
    let config = read(Some("config/good/controller-shipped.yml"), &Environment::default()).unwrap();
    assert_eq!(config.warnings, []);
    assert_eq!((config.namespace.as_str(), config.owned_by_workspace.as_str()), ("building-blocks", "platform-team"));
    assert_eq!(config.display_name, "Building block runner");
    let Credentials::Basic { username, password } = &config.credentials else { panic!("no basic credentials") };
    assert_eq!((username.as_str(), password.expose()), ("joe", "hush+hush/4711="));
    assert_eq!(config.polling_interval, Duration::from_secs(10));
    assert_eq!(config.max_concurrent_jobs, Some(20));
    assert_eq!((config.metrics_port, config.port, config.leader_election), (2112, None, false));
    assert_eq!((config.start_deadline.as_secs(), config.unschedulable_deadline.as_secs()), (120, 600));
    assert!(config.keys[0].matches(&config.certificate));
    let kinds: Vec<_> = config.implementations.iter().map(|implementation| implementation.kind.clone()).collect();
    assert_eq!(kinds, [ImplementationType::Terraform, ImplementationType::Manual]);
    let terraform = &config.implementations[0];
    assert_eq!(terraform.image, "registry.example.com/tf-runner:1.2.3");
    assert_eq!(terraform.env[0].0, "EXECUTION_MODE");
    assert_eq!(terraform.env[0].1.expose(), "single-run");
    assert_eq!(terraform.resources, Resources::default());
}

#[test]
fn everything_that_can_be_said_of_pods_is_kept() {
    let config = read(Some("config/good/controller-full.yml"), &Environment::default()).unwrap();
    assert_eq!(config.warnings, []);
    assert_eq!(config.polling_interval, Duration::from_secs(10), "less than 1 is the default");
    assert_eq!(config.max_concurrent_jobs, None, "less than 0 is no limit");
    assert_eq!(config.keys.len(), 2);
    assert_eq!(config.image_pull_secrets, ["registry", "other.registry"]);
    let text = |text: &str| Some(text.to_owned());
    let tolerations = [
        Toleration {
            key: text("runners"),
            operator: text("Equal"),
            value: text("yes"),
            effect: text("NoExecute"),
            toleration_seconds: Some(60),
        },
        Toleration { operator: text("Exists"), ..Toleration::default() },
    ];
    assert_eq!(config.tolerations, tolerations);
    assert_eq!(config.node_selector["kubernetes.io/os"], "linux");
    assert_eq!(config.node_selector["pool"], "");
    let [terraform, gitlab, azure] = config.implementations.as_slice() else { panic!("{:?}", config.implementations) };
    assert_eq!(terraform.command, ["/app/tfrunner"]);
    assert_eq!(terraform.env[1].1.expose(), "hush+hush/4711=");
    assert_eq!(terraform.resources.cpu_limit.as_deref(), Some("2"));
    assert_eq!(terraform.resources.memory_request.as_deref(), Some("512Mi"));
    let sources: Vec<_> = terraform.extra_volumes.iter().map(|volume| volume.source.clone()).collect();
    let expected = [
        VolumeSource::ConfigMap("certificates".to_owned()),
        VolumeSource::Secret("netrc".to_owned()),
        VolumeSource::EmptyDir(text("1Gi")),
    ];
    assert_eq!(sources, expected);
    let read_only: Vec<_> = terraform.extra_volume_mounts.iter().map(|mount| mount.read_only).collect();
    assert_eq!(read_only, [true, false, false]);
    assert_eq!((gitlab.kind.clone(), gitlab.command.len()), (ImplementationType::GitlabCicd, 1));
    assert_eq!((azure.kind.clone(), azure.command[0].as_str()), (ImplementationType::AzureDevops, "/app/executable"));
    assert_eq!(azure.image, terraform.image, "merged");
    assert!(!format!("{config:?}").contains("hush"));
}

#[test]
fn variables_beat_the_file() {
    let variables = [
        ("RUNCONTROLLER_CONFIG_FILE", "config/good/controller-full.yml"),
        ("RUNNER_CONFIG_FILE", "config/good/terraform-shipped.yml"),
        ("RUNNER_API_URL", "https://other.example.com"),
        ("BB_METRICS_PORT", "9000"),
        ("BB_LEADER_ELECTION", "false"),
    ];
    let config = read(None, &variables.into()).unwrap();
    assert_eq!(
        (config.api_url.as_str(), config.metrics_port, config.leader_election),
        ("https://other.example.com", 9000, false)
    );
}

#[test]
fn a_missing_file_and_a_runners_file_are_mistakes() {
    insta::assert_snapshot!(read(None, &Environment::default()).unwrap_err(), @"
    The configuration has a mistake. Correct it and start again.
      runner-config.yml: The file cannot be read (No such file or directory (os error 2)). Check its name and its permissions.
    ");
    insta::assert_snapshot!(read(Some("config/good/jvm-shipped.yml"), &Environment::default()).unwrap_err(), @"
    The configuration has a mistake. Correct it and start again.
      config/good/jvm-shipped.yml: This is a file in the format of the manual, GitHub, GitLab and Azure DevOps runners, not in the run controller's format. Name the controller's file, with `implementations` and `crypto`.
    ");
}
