//! `bb-runner config`, and a runner that starts with a file of each public program.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use meshstack_local::Order;
use serde_json::Value;

use crate::support::{Daemon, UUID, bb_runner, fixture, fixture_path, local};

/// Every secret in the fixtures holds this.
const SECRET: &str = "hush";

/// What the containers of the public JVM runners are given.
const VARIABLES: [(&str, &str); 3] =
    [("RUNNER_UUID", UUID), ("RUNNER_API_CLIENT_ID", "id"), ("RUNNER_API_CLIENT_SECRET", "hush+hush/4711=")];

/// `bb-runner` in the folder of the fixtures, so that keys are found.
fn config(arguments: &[&str]) -> Command {
    let mut command = bb_runner(&fixture_path(""));
    command.env_remove("PORT").env("HOME", "/home/runner").arg("config").args(arguments);
    command
}

/// Exit code, standard output, standard error; no secret is in either.
fn output(command: &mut Command) -> (Option<i32>, String, String) {
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let (out, err) = (text(output.stdout), text(output.stderr));
    for secret in [SECRET, "MIIJQ", "BEGIN PRIVATE"] {
        assert!(!out.contains(secret) && !err.contains(secret), "{secret} is in\n{out}\n{err}");
    }
    (output.status.code(), out, err)
}

/// The fixtures of a kind: their paths as they are given to the program, and their names.
fn fixtures(kind: &str) -> Vec<(String, String)> {
    let mut files: Vec<PathBuf> =
        fs::read_dir(fixture_path("config").join(kind)).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let named = |file: &PathBuf| {
        let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
        (format!("config/{kind}/{name}.yml"), name)
    };
    files.iter().map(named).collect()
}

/// What `config check` says of these lines and variables.
fn checked(lines: &str, variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().unwrap();
    let least = format!("runnerUuid: {UUID}\napi: {{url: 'http://localhost:1', clientId: i, clientSecret: s}}\n");
    fs::write(folder.path().join("runner-config.yml"), least + lines).unwrap();
    let mut command = bb_runner(folder.path());
    let (code, _, err) = output(command.args(["config", "check"]).envs(variables.iter().copied()));
    (code, err)
}

#[test]
fn check_finds_what_would_end_the_start() {
    assert_eq!(checked("", &[]), (Some(0), String::new()));
    for (lines, variables, words) in [
        ("", &[("BB_LOG_LEVEL", "loud")][..], &["BB_LOG_LEVEL", "error, warn, info"][..]),
        ("", &[("BB_LOG_FORMAT", "xml")], &["BB_LOG_FORMAT", "text, json, auto"]),
        ("", &[("VERSION", "1\u{7}2")], &["VERSION", "printable ASCII"]),
        ("terraform: {mirrors: {terraform: mirror}}\n", &[], &["terraform.mirrors.terraform", "no address"]),
        ("terraform: {mirrors: {terraform: 'ftp://mirror/a'}}\n", &[], &["https://"]),
        (
            "terraform: {mirrors: {opentofu: 'https://mirror/a?sig=hush'}}\n",
            &[],
            &["terraform.mirrors.opentofu", "`?`"],
        ),
        ("workingDir: \"/tmp/a\\0b\"\n", &[], &["workingDir", "NUL"]),
        ("privateKeyFile: \"a\\0b\"\n", &[], &["privateKeyFile", "NUL"]),
    ] {
        let (code, err) = checked(lines, variables);
        assert_eq!(code, Some(2), "{lines}{variables:?}: {err}");
        for word in words {
            assert!(err.contains(word), "{word:?} is not in {err}");
        }
    }
}

#[test]
fn check_warns_of_files_that_are_named_and_missing() {
    let (code, err) =
        checked("", &[("CUSTOM_CA_CERTS_PATH", "/etc:/nowhere/ca"), ("SSH_KNOWN_HOSTS", "/nowhere/hosts")]);
    assert_eq!(code, Some(0), "{err}");
    assert_eq!(err.matches("warning: ").count(), 2, "{err}");
    assert!(err.contains("/nowhere/ca") && err.contains("/nowhere/hosts"), "{err}");
}

#[test]
fn files_of_every_public_program_are_in_order_without_a_warning() {
    for (file, name) in fixtures("good") {
        let (code, out, err) = output(config(&["check", &file]).envs(VARIABLES));
        assert_eq!((code, err.as_str()), (Some(0), ""), "{name}");
        let format = match name.split('-').next().unwrap() {
            "terraform" => "the Terraform runner's format",
            "jvm" => "the format of the manual, GitHub, GitLab and Azure DevOps runners",
            _ => "the run controller's format",
        };
        assert_eq!(out, format!("{file} is in order: it is in {format}.\n"));
    }
}

#[test]
fn what_is_wrong_is_said_at_once_with_key_line_and_what_to_do() {
    for kind in ["wrong", "broken"] {
        for (file, name) in fixtures(kind) {
            let (code, out, err) = output(&mut config(&["check", &file]));
            assert_eq!((code, out.as_str()), (Some(2), ""), "{name}: {err}");
            insta::assert_snapshot!(format!("{kind}-{name}"), err);
        }
    }
}

#[test]
fn what_only_looks_wrong_is_a_warning_and_the_exit_code_is_0() {
    for (file, name) in fixtures("odd") {
        let (code, out, err) = output(&mut config(&["check", &file]));
        assert_eq!(code, Some(0), "{name}: {err}");
        insta::assert_snapshot!(format!("odd-{name}"), format!("{out}{err}"));
    }
}

#[test]
fn every_setting_is_shown_with_where_it_comes_from() {
    for (file, name) in fixtures("good") {
        let (code, out, err) = output(config(&["show", &file]).envs(VARIABLES).env("BLOCKRUNNER_LIMITS_GITHUB", "7"));
        assert_eq!((code, err.as_str()), (Some(0), ""), "{name}");
        insta::assert_snapshot!(format!("show-{name}"), out);
    }
}

#[test]
fn the_json_of_what_is_shown_names_file_line_and_variable() {
    let mut command = config(&["show", "--json", "config/good/terraform-ours.yml"]);
    command
        .env("BB_TERRAFORM_MIRRORS_OPENTOFU", "https://u:hush@mirror.example.com")
        .env("BB_LIMITS_MANUAL", "hush-hush-hush-hush");
    let (code, out, err) = output(&mut command);
    let shown: Value = serde_json::from_str(&out).unwrap();
    let setting = |key: &str| {
        let found = shown["settings"].as_array().unwrap().iter().find(|setting| setting["key"] == key);
        (found.unwrap()["value"].clone(), found.unwrap()["origin"].to_string())
    };
    assert_eq!(shown["format"], "terraform");
    assert_eq!(
        setting("limits.github"),
        (10.into(), r#"{"from":"file","file":"config/good/terraform-ours.yml","line":10}"#.to_owned())
    );
    let mirror = setting("terraform.mirrors.opentofu");
    assert_eq!(mirror.0, "https://u:***@mirror.example.com");
    assert_eq!(mirror.1, r#"{"from":"variable","variable":"BB_TERRAFORM_MIRRORS_OPENTOFU"}"#);
    assert_eq!(setting("timeoutMins"), (60.into(), r#"{"from":"default"}"#.to_owned()));
    assert_eq!(setting("api.user"), (Value::Null, r#"{"from":"nowhere"}"#.to_owned()));
    let (secret, origin) = setting("api.clientSecret");
    assert_eq!(secret, "***");
    assert!(origin.contains(r#""secretFile":"config/token.txt""#), "{origin}");
    assert_eq!(setting("passEnvironment").0, serde_json::json!(["HTTPS_PROXY"]));
    // A value that is refused may be a secret in the wrong place; the mistakes are part of the JSON.
    assert!(setting("limits.manual").0.as_str().unwrap().starts_with("(not shown"), "{shown}");
    assert_eq!((code, err.as_str()), (Some(2), ""));
    assert_eq!(shown["mistakes"][0]["variable"], "BB_LIMITS_MANUAL");
}

#[test]
fn a_wrong_configuration_is_shown_as_far_as_it_goes() {
    let (code, out, err) = output(&mut config(&["show", "config/wrong/terraform-types.yml"]));
    assert_eq!(code, Some(2));
    assert!(out.contains("runnerUuid") && out.contains(UUID), "{out}");
    assert!(err.contains("`timeoutMins` must be a whole number"), "{err}");
    let (code, out, _) = output(&mut config(&["show", "config/broken/tabs.yml"]));
    assert_eq!((code, out.lines().count()), (Some(2), 1), "{out}");
}

#[test]
fn hostile_files_are_refused_at_once_with_a_reason() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("runner-config.yml");
    let laughs = (1..20).fold(String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"), |text, i| {
        format!("{text}a{i}: &a{i} [{}]\n", vec![format!("*a{}", i - 1); 10].join(", "))
    });
    let key = |i: usize| format!("some-very-long-name-of-a-key-{i}: {i}\n");
    let keys = |count: usize| (0..count).map(key).collect::<Vec<_>>().concat();
    for (text, reason) in [
        ("# comment\n".repeat(1 << 20), "more than 1 MiB"),
        (laughs, "stand for too many values"),
        (format!("a: {}", "[".repeat(500_000)), "recursion limit"),
        (format!("{}x", "- ".repeat(200)).replacen("- ", "a:\n  - ", 1), "nested too deeply"),
        (keys(12_000), "holds too many values"),
        (keys(9_000), "more of this kind are not shown"),
        (format!("blockrunner:\n  uuid: {}x{}\n", "${N:".repeat(9000), "}".repeat(9000)), "lead to themselves"),
        ("blockrunner:\n  uuid: ${a}\na: ${b}${b}\nb: ${a}${a}\n".to_owned(), "lead to themselves"),
    ] {
        fs::write(&file, &text).unwrap();
        let (code, out, err) = output(bb_runner(folder.path()).args(["config", "check"]));
        assert_eq!((code, out.as_str()), (Some(2), ""), "{reason}: {err}");
        assert!(err.contains(reason), "{reason:?} is not in {err}");
        assert!(err.len() < 20_000, "{} bytes", err.len());
    }
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    let (code, _, err) = output(bb_runner(folder.path()).args(["config", "check"]));
    assert_eq!(code, Some(2));
    assert!(err.contains("cannot be read (Is a directory"), "{err}");
}

#[test]
fn the_file_is_the_argument_the_option_a_variable_or_a_default() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let terraform = format!("runnerUuid: {UUID}\napi: {{url: 'http://a', user: u, password: p}}\n");
    for name in ["argument.yml", "option.yml", "variable.yml", "controller.yml", "runner-config.yml"] {
        fs::write(at(name), &terraform).unwrap();
    }
    fs::write(at("application.yml"), format!("blockrunner: {{uuid: {UUID}}}\n")).unwrap();
    let read = |arguments: &[&str], variables: &[(&str, &str)]| {
        let mut command = bb_runner(folder.path());
        output(command.arg("config").args(arguments).envs(variables.iter().copied()))
            .1
            .split(' ')
            .next()
            .unwrap()
            .to_owned()
    };
    let both = [("RUNNER_CONFIG_FILE", "variable.yml"), ("RUNCONTROLLER_CONFIG_FILE", "controller.yml")];
    assert_eq!(read(&["--config", "option.yml", "check", "argument.yml"], &both), "argument.yml");
    assert_eq!(read(&["--config", "option.yml", "check"], &both), "option.yml");
    assert_eq!(read(&["check"], &both), "variable.yml");
    assert_eq!(read(&["check"], &both[1..]), "controller.yml");
    assert_eq!(read(&["check"], &[]), "runner-config.yml");
    let (_, _, err) = output(bb_runner(folder.path()).args(["config", "check"]));
    assert!(err.contains("application.yml: It has a `blockrunner:`, but is not read"), "{err}");
    fs::remove_file(at("runner-config.yml")).unwrap();
    let (code, _, err) = output(bb_runner(folder.path()).args(["config", "check"]));
    assert_eq!(code, Some(2));
    assert!(err.contains("`blockrunner.api.url` in application.yml"), "{err}");
    fs::remove_file(at("application.yml")).unwrap();
    assert_eq!(read(&["check", "gone.yml"], &[]), "");
    let variables = [
        ("RUNNER_UUID", UUID),
        ("RUNNER_API_URL", "http://a"),
        ("RUNNER_API_CLIENT_ID", "i"),
        ("RUNNER_API_CLIENT_SECRET", "s"),
    ];
    assert_eq!(read(&["check"], &variables), "The");
}

#[test]
fn secrets_that_the_platform_hands_over_as_files_count_where_nothing_else_is_set() {
    let folder = tempfile::tempdir().unwrap();
    let secrets = folder.path().join("secrets");
    fs::create_dir(&secrets).unwrap();
    fs::write(secrets.join("runner_api_client_secret"), "hush\n").unwrap();
    fs::write(secrets.join("RUNNER_PRIVATE_KEY"), fixture("crypto/current.key.pem")).unwrap();
    let shown = |secret: Option<&str>| {
        let mut command = bb_runner(folder.path());
        command.args(["config", "show"]).env("RUNNER_UUID", UUID).env("RUNNER_API_URL", "http://a");
        command.env("RUNNER_API_CLIENT_ID", "id").env("CREDENTIALS_DIRECTORY", "secrets");
        let (code, out, err) = output(command.envs(secret.map(|secret| ("RUNNER_API_CLIENT_SECRET", secret))));
        assert_eq!(code, Some(0), "{err}");
        let line = |key: &str| out.lines().find(|line| line.starts_with(key)).unwrap_or_default().to_owned();
        (line("api.clientSecret"), line("privateKeyFile"))
    };
    let (secret, key) = shown(None);
    assert!(secret.ends_with("secret file secrets/runner_api_client_secret"), "{secret}");
    assert!(key.contains("secrets/RUNNER_PRIVATE_KEY"), "{key}");
    assert!(shown(Some("other")).0.ends_with("variable RUNNER_API_CLIENT_SECRET"));
}

#[test]
fn no_runner_starts_with_the_controllers_file_and_says_what_to_do() {
    let mut command = bb_runner(&fixture_path(""));
    let output =
        command.args(["run", "--log-format", "text", "--config", "config/good/controller-shipped.yml"]).output();
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(2));
    insta::assert_snapshot!(String::from_utf8(output.stderr).unwrap());
}

#[test]
fn the_schema_is_the_one_in_the_book() {
    let (code, out, _) = output(&mut config(&["schema"]));
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/bb-runner.schema.json");
    assert_eq!(code, Some(0));
    assert!(
        out == fs::read_to_string(file).unwrap(),
        "cargo run -p runner-bin -- config schema > docs/bb-runner.schema.json"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runner_starts_with_an_application_yml_and_springs_variables() {
    let local = local().await;
    let folder = tempfile::tempdir().unwrap();
    let file = format!(
        "blockrunner:\n  uuid: ${{RUNNER_UUID}}\n  api:\n    url: ${{MESH:{}}}\n  working-dir: {}\n  privateKeyFile: {}\n",
        local.url(),
        folder.path().join("wd").display(),
        fixture_path("crypto/current.key.pem").display()
    );
    fs::write(folder.path().join("application.yml"), file).unwrap();
    let (client_id, client_secret) = local.api_key();
    let mut command = bb_runner(folder.path());
    command
        .env_remove("PORT")
        .env("SERVER_PORT", "0")
        .env("RUNNER_UUID", UUID)
        .env("BLOCKRUNNER_AUTH_APIKEY_CLIENTID", client_id)
        .env("BLOCKRUNNER_AUTH_API_KEY_CLIENT_SECRET", client_secret);
    let run = local.order(UUID, Order::manual().input("name", "demo", "STRING")).await;
    let daemon = Daemon::start(&mut command, None);
    assert_eq!(local.wait_for_end(&run).await.status, "SUCCEEDED");
    assert!(!daemon.log().contains("WARN"), "{}", daemon.log());
}
