use std::fs;
use std::path::Path;
use std::time::Duration;

use meshstack_client::Credentials;
use tempfile::TempDir;

use super::{Config, ConfigError, Environment, Mode, Sources};

mod jvm;
mod secrets;

const UUID: &str = "7f3c9b1e-0d52-4c5a-9a64-3f1f0c1f7a10";
const KEY: &str = include_str!("../../tests/fixtures/crypto/current.key.pem");
const ONE_LINE_KEY: &str = include_str!("../../tests/fixtures/crypto/current.key.oneline.pem");
const EC_KEY: &str = include_str!("../../tests/fixtures/crypto/ec.key.pem");

/// A folder with a configuration file in it.
fn folder(config: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("runner-config.yml"), config).unwrap();
    folder
}

fn read(folder: &TempDir, environment: &Environment) -> Result<Config, ConfigError> {
    Sources { file: None, environment, directory: folder.path() }.read(&Mode::Daemon)
}

fn mistakes(config: &str) -> String {
    read(&folder(config), &Environment::default()).unwrap_err().to_string()
}

fn warnings(config: &str) -> Vec<String> {
    let config = read(&folder(config), &Environment::default()).unwrap();
    config.warnings.iter().map(ToString::to_string).collect()
}

/// The least that a daemon needs, and more lines.
fn least(more: &str) -> String {
    format!("runnerUuid: {UUID}\napi:\n  url: http://localhost:1\n  clientId: id\n  clientSecret: hush-hush\n{more}")
}

#[test]
fn the_file_that_the_public_runner_ships_is_read_whole() {
    let text = format!(
        "runnerUuid: {UUID}\napi:\n  url: https://mesh.example.com/\n  user: joe\n  password: 'pass word '\n\
         privateKey: \"{}\"\ntimeoutMins: 90\nwsTimeoutMins: 6\ninitTimeoutMins: 0\nworkingDir: ~/wd\n\
         tfInstallDir: /opt/tf\ninsecureHostKeys: true\n",
        ONE_LINE_KEY.trim()
    );
    let config = read(&folder(&text), &[("HOME", "/home/joe")].into()).unwrap();
    assert_eq!(config.warnings, []);
    assert_eq!(config.runner_uuid, UUID);
    assert_eq!(config.api_url.as_deref(), Some("https://mesh.example.com/"));
    let Some(Credentials::Basic { username, password }) = &config.credentials else { panic!("no basic credentials") };
    assert_eq!((username.as_str(), password.expose()), ("joe", "pass word "));
    assert_eq!(config.keys.len(), 1);
    assert_eq!(config.working_dir, Path::new("/home/joe/wd"));
    let terraform = &config.terraform;
    assert_eq!(terraform.timeout, Duration::from_secs(90 * 60));
    assert_eq!(terraform.workspace_timeout, Duration::from_secs(6 * 60));
    assert_eq!(terraform.init_timeout, Duration::from_secs(3 * 60), "0 is the default");
    assert_eq!(terraform.install_dir, Path::new("/opt/tf"));
    assert!(terraform.insecure_host_keys);
}

#[test]
fn defaults_are_those_of_the_book() {
    let config = read(&folder(&least("")), &Environment::default()).unwrap();
    insta::assert_debug_snapshot!(config);
}

#[test]
fn our_own_keys_are_read_from_the_file_and_from_variables() {
    let file = least(
        "maxConcurrentRuns: 7\nlimits:\n  terraform: 2\n  manual: 3\nshutdownGraceSeconds: 5\npassEnvironment: [AWS_PROFILE, X]\n\
         terraform:\n  stopGraceSeconds: 9\n  stateLocking: yes\n  logDir: /logs\n  mirrors:\n    opentofu: http://mirror\n",
    );
    let folder = folder(&file);
    let from_file = read(&folder, &Environment::default()).unwrap();
    assert_eq!(
        (from_file.max_concurrent_runs, from_file.terraform_limit, from_file.manual_limit, from_file.shutdown_grace),
        (7, 2, Some(3), Duration::from_secs(5))
    );
    assert_eq!(from_file.terraform.pass_environment, ["AWS_PROFILE", "X"]);
    assert_eq!(from_file.terraform.stop_grace, Duration::from_secs(9));
    assert!(from_file.terraform.state_locking);
    assert_eq!(from_file.terraform.log_dir.as_deref(), Some(Path::new("/logs")));
    assert_eq!(from_file.terraform.opentofu_mirror.as_deref(), Some("http://mirror"));

    let environment = [
        ("BB_MAX_CONCURRENT_RUNS", "8"),
        ("BB_LIMITS_TERRAFORM", "1"),
        ("BB_PASS_ENVIRONMENT", "A, B"),
        ("BB_TERRAFORM_STOP_GRACE_SECONDS", "4"),
        ("BB_TERRAFORM_STATE_LOCKING", "false"),
        ("BB_API_STRICT_ORIGINS", "true"),
    ];
    let both = read(&folder, &environment.into()).unwrap();
    assert_eq!((both.max_concurrent_runs, both.terraform_limit, both.manual_limit), (8, 1, Some(3)));
    assert_eq!(both.terraform.pass_environment, ["A", "B"]);
    assert_eq!(both.terraform.stop_grace, Duration::from_secs(4));
    assert!(!both.terraform.state_locking);
    assert!(both.strict_origins);
}

#[test]
fn environment_beats_file_and_an_empty_variable_counts_as_unset() {
    let folder = folder(&least(""));
    let environment = [("RUNNER_API_URL", "http://elsewhere"), ("RUNNER_UUID", ""), ("RUNNER_API_CLIENT_ID", "  ")];
    let config = read(&folder, &environment.into()).unwrap();
    assert_eq!(config.api_url.as_deref(), Some("http://elsewhere"));
    assert_eq!(config.runner_uuid, UUID);
    let Some(Credentials::ApiKey { client_id, .. }) = &config.credentials else { panic!("no API key") };
    assert_eq!(client_id, "id");
}

#[test]
fn a_blank_api_key_pair_is_no_api_key() {
    let text = format!(
        "runnerUuid: {UUID}\napi: {{url: 'http://a', clientId: '', clientSecret: ' ', user: u, password: p}}\n"
    );
    let config = read(&folder(&text), &Environment::default()).unwrap();
    assert_eq!(config.warnings, []);
    assert!(matches!(config.credentials, Some(Credentials::Basic { .. })), "{:?}", config.credentials);
}

#[test]
fn half_an_api_key_is_a_warning() {
    let text = format!("runnerUuid: {UUID}\napi: {{url: 'http://a', clientSecret: hush-hush, user: u, password: p}}\n");
    insta::assert_snapshot!(warnings(&text).join("\n"));
    let nothing_else = format!("runnerUuid: {UUID}\napi: {{url: 'http://a', clientId: x}}\n");
    insta::assert_snapshot!(mistakes(&nothing_else));
}

#[test]
fn the_api_key_wins_over_basic_credentials() {
    let config = read(&folder(&least("  user: u\n  password: p\n")), &Environment::default()).unwrap();
    assert!(matches!(config.credentials, Some(Credentials::ApiKey { .. })), "{:?}", config.credentials);
}

#[test]
fn every_mistake_is_said_at_once_with_key_and_line() {
    insta::assert_snapshot!(mistakes(
        "runnerUUID: 7f3c9b1e-0d52-4c5a-9a64-3f1f0c1f7a10\n\
         api:\n  url: ftp://mesh.example.com\n  clientId: id\n  clientSecret: hush-hush\n\
         timeoutMins: sixty\n\
         insecureHostKeys: perhaps\n\
         maxConcurrentRuns: 0\n\
         passEnvironment: ['A=b']\n\
         workingDir: {a: b}\n\
         privateKeyFile: /nowhere/key.pem\n\
         colour: blue\n"
    ));
}

#[test]
fn a_mistake_in_a_variable_names_the_variable() {
    let folder = folder(&least("workingDir: ~/wd\n"));
    let environment =
        [("PORT", "eighty"), ("BB_LIMITS_MANUAL", "-1"), ("RUNNER_UUID", "runner-1"), ("BB_API_STRICT_ORIGINS", "2")];
    insta::assert_snapshot!(read(&folder, &environment.into()).unwrap_err());
}

#[test]
fn without_anything_the_message_says_what_is_needed() {
    let folder = tempfile::tempdir().unwrap();
    insta::assert_snapshot!(read(&folder, &Environment::default()).unwrap_err());
}

#[test]
fn unknown_keys_are_warnings_with_the_nearest_known_one() {
    insta::assert_snapshot!(
        warnings(&least("  clientid: x\ntimeoutMinutes: 3\nzebra: 1\nextra:\n  deep: [1]\n")).join("\n")
    );
}

#[test]
fn a_value_where_keys_should_be_is_a_mistake() {
    let said = mistakes(&least("limits: 3\nterraform:\n"));
    assert!(said.contains("`limits` must have keys under it"), "{said}");
    assert!(!said.contains("`terraform`"), "{said}");
}

#[test]
fn a_missing_default_file_is_fine_and_a_missing_named_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let environment = [
        ("RUNNER_UUID", UUID),
        ("RUNNER_API_URL", "http://a"),
        ("RUNNER_API_USERNAME", "u"),
        ("RUNNER_API_PASSWORD", "p"),
    ];
    read(&folder, &environment.into()).unwrap();
    let mut named = environment.to_vec();
    named.push(("RUNNER_CONFIG_FILE", "other.yml"));
    let named: [(&str, &str); 5] = named.try_into().unwrap();
    insta::assert_snapshot!(read(&folder, &named.into()).unwrap_err());
}

#[test]
fn files_that_are_no_configuration_are_refused_with_a_reason() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("runner-config.yml");
    let refusal = || read(&folder, &Environment::default()).unwrap_err().to_string();
    fs::write(&file, vec![b'#'; 10 << 20]).unwrap();
    insta::assert_snapshot!(refusal());
    fs::write(&file, b"a: 1\nb: \xff\xfe\n").unwrap();
    insta::assert_snapshot!(refusal());
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    insta::assert_snapshot!(refusal());
}

#[test]
fn a_byte_order_mark_and_windows_line_ends_are_no_mistakes() {
    let text = format!("\u{feff}{}", least("").replace('\n', "\r\n"));
    let config = read(&folder(&text), &Environment::default()).unwrap();
    assert_eq!(config.runner_uuid, UUID);
}

#[test]
fn a_key_file_beats_an_inline_key_and_the_default_file_is_found() {
    let folder = folder(&least("privateKey: garbage\n"));
    fs::write(folder.path().join("runner-private.pem"), KEY).unwrap();
    let config = read(&folder, &Environment::default()).unwrap();
    assert_eq!(config.keys.len(), 1);
}

#[test]
fn a_configured_key_file_that_is_missing_is_a_warning_beside_an_inline_key() {
    let text = least(&format!("privateKeyFile: gone.pem\nprivateKey: '{}'\n", ONE_LINE_KEY.trim()));
    insta::assert_snapshot!(warnings(&text).join("\n"));
}

#[test]
fn keys_that_cannot_be_used_are_named_with_the_reason() {
    let folder = folder(&least(
        "privateKeyFile: ec.pem\nprivateKeyFiles: [gone.pem, garbage.pem, good.pem]\nprivateKeys: [hush-hush-garbage]\n",
    ));
    fs::write(folder.path().join("ec.pem"), EC_KEY).unwrap();
    fs::write(folder.path().join("garbage.pem"), "hush-hush").unwrap();
    fs::write(folder.path().join("good.pem"), KEY).unwrap();
    insta::assert_snapshot!(read(&folder, &Environment::default()).unwrap_err());
}

#[test]
fn keys_come_newest_first() {
    let folder = folder(&least("privateKeyFile: new.pem\nprivateKeyFiles: [old.pem]\n"));
    fs::write(folder.path().join("new.pem"), KEY).unwrap();
    fs::write(folder.path().join("old.pem"), include_str!("../../tests/fixtures/crypto/previous.key.pem")).unwrap();
    let config = read(&folder, &Environment::default()).unwrap();
    let current = meshstack_client::PrivateKey::from_pem(KEY).unwrap();
    assert_eq!(config.keys.len(), 2);
    assert_eq!(config.keys[0].fingerprint(), current.fingerprint());
}

#[test]
fn no_message_repeats_a_secret_wherever_it_was_put() {
    // Looks like what API secrets and keys look like; a word would pass for the name of a key.
    let secret = "hush+hush/4711=";
    for place in [
        "runnerUuid: S",
        "timeoutMins: S",
        "insecureHostKeys: S",
        "S: 1",
        "api: S",
        "api:\n  url: S",
        "api:\n  url: http://u:S@host",
        "api:\n  S: x",
        "privateKey: S",
        "privateKeys: [S]",
        "passEnvironment: ['A=S']",
        "api:\n  clientSecret: S\n  clientSecret: S",
        "api: [S]",
        "- S",
        "S",
        "api:\n  clientSecret:S",
        "api:\n  clientSecret: 'S\n",
        "api:\n\tclientSecret: S",
        "? [S]\n: x",
        "limits:\n  terraform: S",
        "blockrunner:\n  uuid: ${S}",
        "blockrunner:\n  S: x",
        "S:\n  blockrunner: x\nblockrunner: S",
        "implementations: {S: x}",
        "implementations: {TERRAFORM: {image: [S]}}",
        "implementations: S",
        "crypto: {privateKey: S, publicKey: S}",
        "tolerations: [{operator: S, tolerationSeconds: S}]\nnamespace: S",
        "gitlab: {readTokens: {S: x, 'https://x': S}}",
        "gitlab: {readTokens: S}",
        "api: {clientSecretFile: S}",
        "privateKeyFiles: {S: S}",
    ] {
        let folder = folder(&place.replace('S', secret));
        let environment = Environment::default();
        let sources = Sources { file: None, environment: &environment, directory: folder.path() };
        let seen = sources.inspect();
        let text = format!("{} {seen:?}", sources.read(&Mode::Daemon).unwrap_err());
        let text = if place.contains("File") { text.replace(&format!("the file {secret}"), "") } else { text };
        assert!(!text.contains(secret), "{place:?} is answered by {text}");
    }
}

#[test]
fn single_run_mode_is_asked_for_in_three_ways() {
    let mode =
        |environment: Environment| Sources { file: None, environment: &environment, directory: Path::new("/") }.mode();
    let single = Mode::SingleRun("/run.json".into());
    assert_eq!(mode(Environment::default()).unwrap(), Mode::Daemon);
    assert_eq!(mode([("RUN_JSON_FILE_PATH", "/run.json")].into()).unwrap(), single);
    assert_eq!(mode([("EXECUTION_MODE", "single-run"), ("RUN_JSON_FILE_PATH", "/run.json")].into()).unwrap(), single);
    let profiles = [("SPRING_PROFILES_ACTIVE", "prod, kubernetes"), ("RUN_JSON_FILE_PATH", "/run.json")];
    assert_eq!(mode(profiles.into()).unwrap(), single);
    assert_eq!(mode([("SPRING_PROFILES_ACTIVE", "prod")].into()).unwrap(), Mode::Daemon);
    insta::assert_snapshot!(mode([("EXECUTION_MODE", "single-run")].into()).unwrap_err());
    insta::assert_snapshot!(mode([("SPRING_PROFILES_ACTIVE", "kubernetes")].into()).unwrap_err());
    insta::assert_snapshot!(mode([("EXECUTION_MODE", "batch")].into()).unwrap_err());
}

#[test]
fn in_single_run_mode_only_the_uuid_is_needed() {
    let folder = tempfile::tempdir().unwrap();
    let mode = Mode::SingleRun("/run.json".into());
    let read = |environment: Environment| {
        Sources { file: None, environment: &environment, directory: folder.path() }.read(&mode)
    };
    let config = read([("RUNNER_UUID", UUID), ("RUNNER_PRIVATE_KEY_FILE", "/nowhere.pem")].into()).unwrap();
    assert!(config.api_url.is_none() && config.credentials.is_none() && config.keys.is_empty());
    insta::assert_snapshot!(read(Environment::default()).unwrap_err());
}
