//! The files of the JVM runners, as Spring reads them.

use std::fs;
use std::path::Path;

use meshstack_client::Credentials;

use super::{UUID, folder, read};
use crate::config::{Config, Dialect, Environment, Mode, Sources};

fn said(config: &Config) -> Vec<String> {
    config.warnings.iter().map(ToString::to_string).collect()
}

/// The least that a daemon needs, and more lines under `blockrunner:`.
fn least(more: &str) -> String {
    format!(
        "blockrunner:\n  uuid: {UUID}\n  api:\n    url: http://localhost:1\n  auth:\n    api-key:\n      client-id: id\n      \
         client-secret: hush-hush\n{more}"
    )
}

fn api_key(config: &Config) -> (&str, &str) {
    let Some(Credentials::ApiKey { client_id, client_secret }) = &config.credentials else { panic!("no API key") };
    (client_id, client_secret.expose())
}

#[test]
fn a_file_is_read_whole_with_placeholders_from_variables_and_from_itself() {
    let file = "\
blockrunner:
  uuid: ${RUNNER_ID:${RUNNER_UUID:none}}
  version: '1.${MINOR:0}'
  api:
    url: ${MESH_URL:http://localhost:${mesh.port}}
  auth:
    username: ${RUNNER_API_USERNAME:}
    password: ${RUNNER_API_PASSWORD:}
    apiKey:
      clientId: ${client.id}
      client_secret: 'a\\${b}${HALF:}'
  debugMode: ${DEBUG:true}
mesh.port: 8080
client:
  id: ${FIRST}-${blockrunner.version}
";
    let variables = [("RUNNER_ID", " "), ("RUNNER_UUID", UUID), ("FIRST", "one"), ("HALF", "${FIRST}"), ("MINOR", "7")];
    let config = read(&folder(file), &variables.into()).unwrap();
    assert_eq!(config.dialect, Dialect::Jvm);
    assert_eq!(config.runner_uuid, UUID);
    assert_eq!(config.version.as_deref(), Some("1.7"));
    assert_eq!(config.api_url.as_deref(), Some("http://localhost:8080"));
    assert_eq!(api_key(&config), ("one-1.7", "a${b}one"));
    assert!(config.manual_debug);
    let unknown = said(&config);
    assert!(unknown.iter().all(|text| text.contains("`mesh.port`") || text.contains("`client.id`")), "{unknown:?}");
}

#[test]
fn springs_variables_beat_the_file_in_both_spellings() {
    let variables = [
        ("BLOCKRUNNER_UUID", "00000000-0000-0000-0000-000000000001"),
        ("BLOCKRUNNER_API_URL", "http://${HOST:elsewhere}"),
        ("BLOCKRUNNER_AUTH_APIKEY_CLIENTID", "other"),
        ("BLOCKRUNNER_AUTH_API_KEY_CLIENT_SECRET", "hush"),
        ("BLOCKRUNNER_DEBUGMODE", "on"),
        ("BLOCKRUNNER_LIMITS_AZUREDEVOPS", "3"),
        ("BLOCKRUNNER_PASSENVIRONMENT_0", "A"),
        ("BLOCKRUNNER_PASSENVIRONMENT_1", "B"),
        ("BLOCKRUNNER_TIMEOUT_MINS", "7"),
        ("SERVER_PORT", "1234"),
        ("PORT", "8080"),
    ];
    for file in [least(""), format!("runnerUuid: {UUID}\n"), String::new()] {
        let config = read(&folder(&file), &variables.into()).unwrap();
        assert_eq!(config.runner_uuid, "00000000-0000-0000-0000-000000000001");
        assert_eq!(config.api_url.as_deref(), Some("http://elsewhere"));
        assert_eq!(api_key(&config), ("other", "hush"));
        assert!(config.manual_debug);
        assert_eq!(config.azure_devops_limit, Some(3));
        assert_eq!(config.terraform.pass_environment, ["A", "B"]);
        assert_eq!(config.terraform.timeout.as_secs(), 7 * 60);
        assert_eq!(config.port, Some(1234));
        let warnings = said(&config);
        assert!(warnings.iter().all(|text| text.contains("another UUID")), "{warnings:?}");
        assert_eq!(warnings.len(), usize::from(!file.is_empty()), "{warnings:?}");
    }
}

#[test]
fn two_uuids_are_told_once_and_one_in_two_places_is_not() {
    let folder = folder(&least(""));
    let other = "00000000-0000-0000-0000-00000000000A";
    let config = read(&folder, &[("RUNNER_UUID", other)].into()).unwrap();
    assert_eq!(config.runner_uuid, other);
    insta::assert_snapshot!(said(&config).join("\n"), @"variable RUNNER_UUID: It says another UUID than `blockrunner.uuid` in line 2 of runner-config.yml, and counts. Remove one of the two.");
    for same in [UUID.to_owned(), UUID.to_uppercase()] {
        assert_eq!(said(&read(&folder, &[("RUNNER_UUID", same.as_str())].into()).unwrap()), [""; 0]);
    }
    let both = [("BLOCKRUNNER_UUID", UUID), ("RUNNER_UUID", other)];
    let config = read(&folder, &both.into()).unwrap();
    assert_eq!(config.runner_uuid, UUID, "in the public containers it counts, too");
    insta::assert_snapshot!(said(&config).join("\n"), @"variable BLOCKRUNNER_UUID: It says another UUID than the variable RUNNER_UUID, and counts. Remove one of the two.");
}

#[test]
fn unknown_variables_and_more_configuration_of_spring_are_warnings() {
    let variables = [
        ("BLOCKRUNNER_AUTH_APIKEY_CLIENTIDS", "x"),
        ("BLOCKRUNNER_COLOUR", "x"),
        ("BB_LIMIT_GITHUB", "3"),
        ("RUNNER_API_CLIENT_SECRETS", "hush"),
        ("SPRING_APPLICATION_JSON", "{}"),
        ("RUNNER_OS", "Linux"),
        ("BB_TEST_LONG", "1"),
        ("BLOCKRUNNER_EMPTY", ""),
    ];
    insta::assert_snapshot!(said(&read(&folder(&least("")), &variables.into()).unwrap()).join("\n"));
}

#[test]
fn application_yml_is_springs_whatever_is_in_it() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("application.yml"), "spring:\n  a: b\n  c: d\n").unwrap();
    let environment = Environment::default();
    let sources = Sources { file: None, environment: &environment, directory: folder.path() };
    assert_eq!(sources.file().as_deref(), Some(Path::new("application.yml")));
    let error = sources.read(&Mode::Daemon).unwrap_err().to_string();
    assert!(error.contains("`blockrunner.uuid` in application.yml"), "{error}");
    assert_eq!(error.matches("`spring` is for Spring").count(), 1, "{error}");
}

#[test]
fn in_single_run_mode_a_file_of_blanks_needs_only_a_uuid() {
    let file = "blockrunner: {uuid: '${RUNNER_UUID}', api: {url: '${RUNNER_API_URL:}'}, auth: {username: '${U:}'}}\n";
    let environment: Environment = [("RUNNER_UUID", UUID)].into();
    let folder = folder(file);
    let sources = Sources { file: None, environment: &environment, directory: folder.path() };
    let config = sources.read(&Mode::SingleRun("/run.json".into())).unwrap();
    assert!(config.credentials.is_none() && config.api_url.is_none());
    assert_eq!(said(&config), [""; 0]);
}

#[test]
fn capitals_and_dotted_keys_are_taken_as_spring_takes_them() {
    let file = format!(
        "blockRunner:\n  UUID: {UUID}\n  api.url: http://a\nBLOCKRUNNER.auth:\n  API-KEY.client-id: id\n  API_KEY: {{CLIENTSECRET: s}}\n"
    );
    let config = read(&folder(&file), &Environment::default()).unwrap();
    assert_eq!((config.runner_uuid.as_str(), api_key(&config)), (UUID, ("id", "s")));
    assert_eq!(said(&config), [""; 0]);
}
