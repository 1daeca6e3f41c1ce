//! `bb-runner keys`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use assert_cmd::Command;
use meshstack_client::{Certificate, PrivateKey};
use tempfile::TempDir;

use crate::support::{UUID, bb_runner, fixture, fixture_path};

/// What a command printed, and how it ended.
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Runs `bb-runner` in a folder.
pub(crate) fn bb(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Said {
    let mut command = bb_runner(folder);
    command.args(arguments).envs(variables.iter().copied());
    let output = Command::from_std(command).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Said { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn read(folder: &TempDir, name: &str) -> String {
    fs::read_to_string(folder.path().join(name)).unwrap()
}

/// A folder with the key and certificate `current` of the fixtures, and a configuration.
fn with_current(config: &str) -> TempDir {
    let folder = folder();
    fs::write(folder.path().join("runner-config.yml"), config).unwrap();
    fs::copy(fixture_path("crypto/current.key.pem"), folder.path().join("current.key.pem")).unwrap();
    fs::copy(fixture_path("crypto/current.cert.pem"), folder.path().join("current.cert.pem")).unwrap();
    fs::set_permissions(folder.path().join("current.key.pem"), fs::Permissions::from_mode(0o600)).unwrap();
    folder
}

#[test]
fn a_generated_key_is_for_its_owner_alone_and_its_certificate_is_told_where_to_paste() {
    let folder = folder();
    let said = bb(folder.path(), &["keys", "generate", "--dir", "keys"], &[("RUNNER_UUID", UUID)]);
    assert_eq!(said.code, 0, "{}", said.err);
    let (key, certificate) = (read(&folder, "keys/runner-private.pem"), read(&folder, "keys/runner-certificate.pem"));
    let mode = fs::metadata(folder.path().join("keys/runner-private.pem")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(key.starts_with("-----BEGIN PRIVATE KEY-----\n"), "PKCS#8");
    let (private, public) = (PrivateKey::from_pem(&key).unwrap(), Certificate::from_pem(&certificate).unwrap());
    assert!(private.matches(&public));
    assert_eq!(private.modulus_bits(), 4096);
    assert!(said.out.contains(certificate.trim()), "{}", said.out);
    assert!(said.out.contains("privateKeyFile: ") && said.out.contains("bb-runner register"), "{}", said.out);
    assert!(!said.out.contains(key.lines().nth(3).unwrap()), "the private key is shown");
    assert_eq!(fs::read_dir(folder.path().join("keys")).unwrap().count(), 2, "nothing else is left there");
}

#[test]
fn nothing_is_ever_overwritten() {
    let folder = with_current("");
    let before = read(&folder, "current.key.pem");
    for (key, certificate) in [("current.key.pem", "new.cert.pem"), ("new.key.pem", "current.cert.pem")] {
        let said = bb(folder.path(), &["keys", "generate", "--key", key, "--cert", certificate], &[]);
        assert_eq!(said.code, 1, "{}", said.err);
        assert!(said.err.contains("exists and is not overwritten") && said.err.contains("--key"), "{}", said.err);
    }
    assert_eq!(read(&folder, "current.key.pem"), before);
    assert!(!folder.path().join("new.key.pem").exists() && !folder.path().join("new.cert.pem").exists());
}

#[test]
fn name_and_days_end_up_in_the_certificate() {
    let folder = folder();
    let said = bb(folder.path(), &["keys", "generate", "--name", "Runner of ours", "--days", "10"], &[]);
    assert_eq!(said.code, 0, "{}", said.err);
    let pem = read(&folder, "runner-certificate.pem");
    let certificate = Certificate::from_pem(&pem).unwrap();
    let days = certificate.not_after().duration_since(certificate.not_before()).unwrap().as_secs() / 86_400;
    assert_eq!(days, 11, "ten from now on, and one for clocks that are behind");
    assert!(PrivateKey::from_pem(&read(&folder, "runner-private.pem")).unwrap().matches(&certificate));
    let parsed = <x509_cert::Certificate as x509_cert::der::DecodePem>::from_pem(&pem).unwrap();
    assert_eq!(parsed.tbs_certificate().subject().to_string(), "CN=Runner of ours");
    let checked = bb(folder.path(), &["keys", "check"], &[]);
    assert_eq!(checked.code, 0, "{}", checked.out);
    assert!(checked.out.contains("warning: It runs out soon"), "{}", checked.out);
}

#[test]
fn wrong_arguments_end_with_2_and_a_folder_that_cannot_be_made_with_1() {
    let folder = folder();
    let long = "x".repeat(65);
    for arguments in [&["--name", long.as_str()][..], &["--name", " "], &["--days", "0"], &["--key", "only"]] {
        let said = bb(folder.path(), &[&["keys", "generate"], arguments].concat(), &[]);
        assert_eq!(said.code, 2, "{arguments:?}: {}", said.err);
    }
    let said = bb(folder.path(), &["keys", "generate", "--dir", "/proc/nowhere"], &[]);
    assert_eq!(said.code, 1, "{}", said.err);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn check_says_which_certificate_belongs_to_which_key() {
    let folder = with_current("privateKeyFile: current.key.pem\nprivateKeyFiles: [previous.key.pem]\n");
    fs::copy(fixture_path("crypto/previous.key.pem"), folder.path().join("previous.key.pem")).unwrap();
    let certificate = fixture_path("crypto/previous.cert.pem");
    let arguments = ["keys", "check", "--cert", "current.cert.pem", "--cert", certificate.to_str().unwrap()];
    let said = bb(folder.path(), &arguments, &[]);
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    assert!(said.out.contains("belongs to key 1 (current.key.pem (privateKeyFile))"), "{}", said.out);
    assert!(said.out.contains("belongs to key 2 (previous.key.pem (privateKeyFiles))"), "{}", said.out);
    let fingerprint = PrivateKey::from_pem(&fixture("crypto/current.key.pem")).unwrap().fingerprint();
    let start = format!("{}:{}", &fingerprint[..2], &fingerprint[2..4]).to_uppercase();
    assert_eq!(
        said.out.matches(&format!("public key SHA-256 {start}")).count(),
        2,
        "of key and certificate: {}",
        said.out
    );
}

#[test]
fn check_takes_a_controllers_certificate_from_its_file() {
    let file = |certificate: &str| {
        format!(
            "namespace: n\ncrypto:\n  privateKeyFile: elsewhere/key.pem\n  publicKey: |\n    {}\n",
            fixture(certificate).trim().replace('\n', "\n    ")
        )
    };
    let folder = with_current(&file("crypto/current.cert.pem"));
    fs::create_dir(folder.path().join("elsewhere")).unwrap();
    fs::rename(folder.path().join("current.key.pem"), folder.path().join("elsewhere/key.pem")).unwrap();
    let said = bb(folder.path(), &["keys", "check"], &[]);
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    assert!(said.out.contains("- `crypto.publicKey`") && said.out.contains("belongs to key 1"), "{}", said.out);
    fs::write(folder.path().join("runner-config.yml"), file("crypto/previous.cert.pem")).unwrap();
    assert_eq!(bb(folder.path(), &["keys", "check"], &[]).code, 1);
}

#[test]
fn a_certificate_of_no_key_ends_with_1() {
    let folder = with_current("privateKeyFile: current.key.pem\n");
    let certificate = fixture_path("crypto/previous.cert.pem");
    let said = bb(folder.path(), &["keys", "check", "--cert", certificate.to_str().unwrap()], &[]);
    assert_eq!(said.code, 1);
    assert!(said.out.contains("problem: It belongs to none of these keys."), "{}", said.out);
}

#[test]
fn keys_that_cannot_be_used_get_a_sentence_each() {
    let folder = folder();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("encrypted.pem", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n");
    write("garbage.pem", "this is no key\n");
    fs::write(folder.path().join("binary.pem"), [0xff, 0xfe, 0x00]).unwrap();
    let (ec, weak) = (fixture_path("crypto/ec.key.pem"), fixture_path("crypto/weak-1024.key.pem"));
    for (file, sentence) in [
        (ec.to_str().unwrap(), "the key is no RSA key (EC)"),
        (weak.to_str().unwrap(), "shorter than 2048 bits"),
        ("encrypted.pem", "encrypted with a passphrase"),
        ("garbage.pem", "there is no PEM block"),
        ("binary.pem", "cannot be read as text"),
        ("missing.pem", "does not exist"),
    ] {
        let said = bb(folder.path(), &["keys", "check", "--key", file], &[]);
        assert_eq!(said.code, 1, "{file}");
        assert!(said.out.contains("problem: ") && said.out.contains(sentence), "{file}: {}", said.out);
    }
    let said = bb(folder.path(), &["keys", "check"], &[]);
    assert_eq!(said.code, 2, "{}", said.out);
    assert!(said.err.contains("There is no key to check"), "{}", said.err);
}

#[test]
fn weak_open_and_expired_ones_are_warnings() {
    let folder = with_current("privateKeyFile: current.key.pem\n");
    fs::set_permissions(folder.path().join("current.key.pem"), fs::Permissions::from_mode(0o644)).unwrap();
    let key = rcgen::KeyPair::from_pem(&fixture("crypto/current.key.pem")).unwrap();
    let mut params = rcgen::CertificateParams::default();
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2021, 1, 1);
    fs::write(folder.path().join("old.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
    let said = bb(folder.path(), &["keys", "check", "--cert", "old.pem"], &[]);
    assert_eq!(said.code, 0, "{}", said.out);
    assert!(said.out.contains("warning: It has run out on 2021-01-01."), "{}", said.out);
    assert!(said.out.contains("warning: Others can read it (mode 0644)."), "{}", said.out);
    let short = fixture_path("crypto/unrelated-2048.key.pem");
    let said = bb(folder.path(), &["keys", "check", "--key", short.to_str().unwrap()], &[]);
    assert_eq!(said.code, 0, "{}", said.out);
    assert!(said.out.contains("warning: It has 2048 bits"), "{}", said.out);
}

/// The name of the new private key in a folder.
fn new_key(folder: &TempDir) -> String {
    let names = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with("runner-private-2")).max().unwrap()
}

#[test]
fn rotate_writes_the_new_key_before_the_old_one_and_keeps_the_rest_of_the_file() {
    let before = format!(
        "# our runner\nrunnerUuid: {UUID}\n\nprivateKeyFile: current.key.pem  # since spring\nprivateKeyFiles:\n  - previous.key.pem # old\ntimeoutMins: 7\n"
    );
    let folder = with_current(&before);
    fs::copy(fixture_path("crypto/previous.key.pem"), folder.path().join("previous.key.pem")).unwrap();
    let said = bb(folder.path(), &["keys", "rotate", "--write"], &[]);
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    let expected = before
        .replace("privateKeyFile: current.key.pem", &format!("privateKeyFile: {}", new_key(&folder)))
        .replace("  - previous", "  - current.key.pem\n  - previous");
    assert_eq!(read(&folder, "runner-config.yml"), expected);
    for step in ["Restart every process", "Upload the new certificate", "Keep the old key", "enter each of those"] {
        assert!(said.out.contains(step), "{step} is not in {}", said.out);
    }
    let checked = bb(folder.path(), &["keys", "check"], &[]);
    assert_eq!(checked.code, 0, "{}", checked.out);
    assert!(checked.out.contains("1. ") && checked.out.contains("3. previous.key.pem"), "{}", checked.out);

    // Once more, on the same day.
    let said = bb(folder.path(), &["keys", "rotate", "--write"], &[]);
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    assert!(bb(folder.path(), &["keys", "check"], &[]).out.contains("4. previous.key.pem"));
}

#[test]
fn rotate_without_write_changes_nothing_and_says_what_to_change() {
    let folder = with_current("blockrunner:\n  private-key-file: current.key.pem\n");
    let said = bb(folder.path(), &["keys", "rotate", "--key", "new.pem", "--cert", "new.cert.pem"], &[]);
    assert_eq!(said.code, 0, "{}", said.err);
    assert_eq!(read(&folder, "runner-config.yml"), "blockrunner:\n  private-key-file: current.key.pem\n");
    for line in ["blockrunner.privateKeyFile: ", "blockrunner.privateKeyFiles:\n    - current.key.pem"] {
        assert!(said.out.contains(line), "{line} is not in {}", said.out);
    }
}

#[test]
fn rotate_finds_the_current_key_wherever_it_is() {
    // Under `blockrunner:`, in Spring's spelling.
    let folder = with_current("blockrunner:\n  private-key-file: current.key.pem\n");
    let said = bb(folder.path(), &["keys", "rotate", "--write"], &[]);
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    let config = read(&folder, "runner-config.yml");
    assert!(config.contains("  privateKeyFiles:\n    - current.key.pem\n"), "{config}");
    assert!(config.contains("  private-key-file: runner-private-2"), "{config}");

    // In the default place.
    let folder = with_current("timeoutMins: 3\n");
    fs::rename(folder.path().join("current.key.pem"), folder.path().join("runner-private.pem")).unwrap();
    let said = bb(folder.path(), &["keys", "rotate", "--write"], &[]);
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    let config = read(&folder, "runner-config.yml");
    let at = folder.path().canonicalize().unwrap();
    let expected =
        format!("timeoutMins: 3\nprivateKeyFiles:\n  - {0}/runner-private.pem\nprivateKeyFile: {0}/", at.display());
    assert!(config.starts_with(&expected), "{config}");

    // In the file itself: a key file would put it out of use under its old name.
    let one_line = fixture("crypto/current.key.oneline.pem");
    let folder = with_current(&format!("# a\nprivateKey: \"{}\" # b\n", one_line.trim()));
    let said = bb(folder.path(), &["keys", "rotate", "--write"], &[]);
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    let config = read(&folder, "runner-config.yml");
    assert!(
        config.starts_with("# a\nprivateKeys: \"-----BEGIN") && config.contains("\" # b\nprivateKeyFile: /"),
        "{config}"
    );
    let checked = bb(folder.path(), &["keys", "check"], &[]);
    assert!(checked.code == 0 && checked.out.contains("2. `privateKeys`"), "{}", checked.out);
}

#[test]
fn rotate_names_key_and_certificate_of_a_controller_anew() {
    let file =
        "# ours\nnamespace: n\ncrypto:\n  privateKeyFile: current.key.pem # key\n  publicKeyFile: current.cert.pem\n";
    let folder = with_current(file);
    let said = bb(folder.path(), &["keys", "rotate", "--write", "--key", "n.key", "--cert", "n.cert"], &[]);
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    let expected = "# ours\nnamespace: n\ncrypto:\n  privateKeyFile: n.key # key\n  publicKeyFile: n.cert\nprivateKeyFiles:\n  - current.key.pem\n";
    assert_eq!(read(&folder, "runner-config.yml"), expected);

    let inline =
        format!("namespace: n\ncrypto: {{privateKey: '{}'}}\n", fixture("crypto/current.key.oneline.pem").trim());
    let folder = with_current(&inline);
    let said = bb(folder.path(), &["keys", "rotate", "--write"], &[]);
    assert_eq!(said.code, 1);
    assert_eq!(read(&folder, "runner-config.yml"), inline);
    assert!(said.out.contains("publicKeyFile: /") && said.out.contains("privateKeys:"), "{}", said.out);
}

#[test]
fn rotate_cannot_write_what_a_variable_says_and_shows_it() {
    let folder = with_current("timeoutMins: 3\n");
    let said = bb(folder.path(), &["keys", "rotate", "--write"], &[("RUNNER_PRIVATE_KEY_FILE", "current.key.pem")]);
    assert_eq!(said.code, 1);
    assert_eq!(read(&folder, "runner-config.yml"), "timeoutMins: 3\n");
    assert!(said.err.contains("set by variables"), "{}", said.err);
    assert!(said.out.contains("BB_PRIVATE_KEY_FILES=current.key.pem"), "{}", said.out);
    assert!(said.out.contains(&format!("RUNNER_PRIVATE_KEY_FILE={}", folder.path().canonicalize().unwrap().display())));
}

#[test]
fn rotate_lists_no_key_twice_and_keeps_the_named_file_in_what_is_to_be_typed() {
    let folder = with_current("");
    let before = "privateKeyFile: current.key.pem\nprivateKeyFiles: \n  - current.key.pem\n";
    fs::write(folder.path().join("my runner.yml"), before).unwrap();
    let said = bb(folder.path(), &["keys", "rotate", "--config", "my runner.yml"], &[]);
    assert_eq!(said.code, 0, "{}", said.err);
    assert_eq!(said.out.matches("- current.key.pem").count(), 1, "{}", said.out);
    assert!(said.out.contains("register --cert /") && said.out.contains(" --config 'my runner.yml'`"), "{}", said.out);
    let write = ["--write", "--config", "my runner.yml", "--key", "new.pem", "--cert", "new.cert.pem"];
    let said = bb(folder.path(), &[&["keys", "rotate"], &write[..]].concat(), &[]);
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    assert_eq!(read(&folder, "my runner.yml"), before.replacen("current.key.pem", "new.pem", 1));
}

#[test]
fn a_configuration_that_is_missing_or_broken_is_said_before_its_keys_are() {
    let folder = with_current("privateKeyFile: 'current\n");
    for command in ["check", "rotate"] {
        let said = bb(folder.path(), &["keys", command, "--config", "nope.yml"], &[]);
        assert_eq!(said.code, 2, "{}", said.out);
        assert!(said.err.contains("nope.yml") && !said.err.contains("There is no"), "{}", said.err);
        let said = bb(folder.path(), &["keys", command], &[]);
        assert_eq!(said.code, 2, "{}", said.out);
        assert!(said.err.contains("runner-config.yml") && !said.err.contains("There is no"), "{}", said.err);
    }
    let said = bb(folder.path(), &["keys", "check", "--key", "current.key.pem"], &[]);
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
}

#[test]
fn rotate_needs_a_current_key_that_works() {
    let folder = folder();
    let said = bb(folder.path(), &["keys", "rotate"], &[]);
    assert_eq!(said.code, 2, "{}", said.err);
    assert!(said.err.contains("keys generate"), "{}", said.err);
    let ec = fixture_path("crypto/ec.key.pem");
    let said = bb(folder.path(), &["keys", "rotate"], &[("RUNNER_PRIVATE_KEY_FILE", ec.to_str().unwrap())]);
    assert_eq!(said.code, 2, "{}", said.err);
    assert!(said.err.contains("no RSA key (EC)"), "{}", said.err);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing was made");
}
