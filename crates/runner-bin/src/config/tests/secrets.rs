//! Secrets in files of their own, and tokens by host.

use std::fs;

use meshstack_client::Credentials;

use super::{UUID, folder, read};
use crate::config::{Config, Environment};

fn secret(config: &Config) -> &str {
    match config.credentials.as_ref().unwrap() {
        Credentials::ApiKey { client_secret, .. } => client_secret.expose(),
        Credentials::Basic { password, .. } => password.expose(),
    }
}

fn said(config: &Config) -> String {
    config.warnings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_secret_comes_from_the_first_place_that_has_one() {
    let folder = folder(&format!(
        "runnerUuid: {UUID}\napi:\n  url: http://a\n  clientId: id\n  clientSecret: written\n  clientSecretFile: named.txt\n"
    ));
    let at = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    at("named.txt", "\u{feff}in the file \r\n");
    at("by-variable.txt", "named by a variable");
    at("runner_api_client_secret", "handed over");
    let with = |variables: &[(&str, &str)]| {
        let environment = match *variables {
            [] => Environment::default(),
            [a] => [a].into(),
            [a, b, ..] => [a, b].into(),
        };
        read(&folder, &environment.with_secrets(folder.path())).unwrap()
    };
    let written = ("RUNNER_API_CLIENT_SECRET", "in a variable");
    let named = ("RUNNER_API_CLIENT_SECRET_FILE", "by-variable.txt");
    assert_eq!(secret(&with(&[named, written])), "named by a variable");
    assert_eq!(secret(&with(&[named])), "named by a variable");
    assert_eq!(secret(&with(&[written])), "in a variable");
    // A blank before the line end may be part of the secret.
    assert_eq!(secret(&with(&[])), "in the file ");
    insta::assert_snapshot!(said(&with(&[named, written])), @"variable RUNNER_API_CLIENT_SECRET_FILE: `RUNNER_API_CLIENT_SECRET_FILE` counts, and `RUNNER_API_CLIENT_SECRET` beside it has no effect. Remove one of the two.");
    insta::assert_snapshot!(said(&with(&[])), @"runner-config.yml:6: `api.clientSecretFile` counts, and `api.clientSecret` beside it has no effect. Remove one of the two.");
}

#[test]
fn what_the_platform_hands_over_counts_last_in_lower_or_upper_case() {
    let folder = folder(&format!("runnerUuid: {UUID}\napi: {{url: 'http://a'}}\n"));
    for (id, password) in
        [("RUNNER_API_CLIENT_ID", "RUNNER_API_CLIENT_SECRET"), ("runner_api_client_id", "runner_api_client_secret")]
    {
        let secrets = tempfile::tempdir().unwrap();
        fs::write(secrets.path().join(id), "id\n").unwrap();
        fs::write(secrets.path().join(password), "hush\n").unwrap();
        let config = read(&folder, &Environment::default().with_secrets(secrets.path())).unwrap();
        assert_eq!(secret(&config), "hush");
        assert_eq!(said(&config), "");
    }
}

#[test]
fn a_secret_file_that_cannot_be_used_is_one_mistake() {
    let folder = folder(&format!(
        "runnerUuid: {UUID}\napi: {{url: 'http://a', clientId: id, clientSecretFile: s, user: u, passwordFile: big}}\n"
    ));
    let at = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).unwrap();
    at("big", &vec![b'x'; 70 << 10]);
    let mut said = Vec::new();
    for bytes in [&b"\n"[..], b"hush\xff"] {
        at("s", bytes);
        said.push(read(&folder, &Environment::default()).unwrap_err().to_string());
    }
    fs::remove_file(folder.path().join("s")).unwrap();
    said.push(read(&folder, &[("RUNNER_API_CLIENT_SECRET_FILE", "~/s")].into()).unwrap_err().to_string());
    insta::assert_snapshot!(said.join("\n"));
}

#[test]
fn read_tokens_stand_under_their_hosts() {
    let file = format!(
        "runnerUuid: {UUID}\napi: {{url: 'http://a', user: u, password: p}}\ngitlab:\n  readTokens:\n    GitLab.example.com: one\n    \
         'gitlab.example.com:8443': two\n    '[git-lab.internal]': three\n    git.example.com/gitlab/File: token.txt\n    \
         both.example.com: written\n    both.example.comFile: token.txt\n    blank.example.com: ''\n"
    );
    let folder = folder(&file);
    fs::write(folder.path().join("token.txt"), "four\n").unwrap();
    let tokens = |environment: Environment| {
        let config = read(&folder, &environment).unwrap();
        let pair = |(host, token): (&String, &meshstack_client::Secret)| format!("{host}={}", token.expose());
        config.gitlab_read_tokens.iter().map(pair).collect::<Vec<_>>()
    };
    let of_file = [
        "both.example.com=four",
        "git-lab.internal=three",
        "git.example.com/gitlab=four",
        "gitlab.example.com=one",
        "gitlab.example.com:8443=two",
    ];
    assert_eq!(tokens(Environment::default()), of_file);
    let with_variable = tokens([("BB_GITLAB_READ_TOKENS", "gitlab.example.com = five, new.example.com=six=")].into());
    assert_eq!(with_variable[3], "gitlab.example.com=five");
    assert_eq!(with_variable[5], "new.example.com=six=");
    let jvm = format!(
        "blockrunner:\n  uuid: {UUID}\n  api: {{url: 'http://a'}}\n  auth: {{username: u, password: p}}\n  gitlab:\n    \
         read-tokens:\n      git-lab.example.com: ${{TOKEN:one}}\n"
    );
    let config = read(&super::folder(&jvm), &Environment::default()).unwrap();
    assert_eq!(config.gitlab_read_tokens["git-lab.example.com"].expose(), "one");
    let error = read(&folder, &[("BB_GITLAB_READ_TOKENS", "https://x.example.com=hush")].into()).unwrap_err();
    assert!(error.to_string().contains("begins with `http://`") && !error.to_string().contains("hush"), "{error}");
    let error = read(&folder, &[("BB_GITLAB_READ_TOKENS", "hush")].into()).unwrap_err().to_string();
    assert!(error.contains("`host=token,host=token`") && !error.contains("hush"), "{error}");
}

#[test]
fn the_read_token_of_a_server_without_https_stands_under_http() {
    let file = format!(
        "runnerUuid: {UUID}\napi: {{url: 'http://a', user: u, password: p}}\ngitlab:\n  readTokens:\n    \
         'http://GL.example.com:8080': one\n    '[http://git-lab.internal/git/]': two\n    \
         'http://file.example.comFile': token.txt\n"
    );
    let folder = folder(&file);
    fs::write(folder.path().join("token.txt"), "three\n").unwrap();
    let environment = [("BB_GITLAB_READ_TOKENS", "http://host=four, http://x.example.com:81/y = five")].into();
    let config = read(&folder, &environment).unwrap();
    let pair = |(host, token): (&String, &meshstack_client::Secret)| format!("{host}={}", token.expose());
    let expected = [
        "http://file.example.com=three",
        "http://git-lab.internal/git=two",
        "http://gl.example.com:8080=one",
        "http://host=four",
        "http://x.example.com:81/y=five",
    ];
    assert_eq!(config.gitlab_read_tokens.iter().map(pair).collect::<Vec<_>>(), expected);
    for wrong in ["http://", "http:///x", "http://http://h", "http://user@h", "http://h:port", "ftp://h"] {
        let variable = format!("{wrong}=six");
        let error = read(&folder, &[("BB_GITLAB_READ_TOKENS", variable.as_str())].into()).unwrap_err().to_string();
        assert!(error.contains("stands under the host"), "{wrong}: {error}");
    }
}
