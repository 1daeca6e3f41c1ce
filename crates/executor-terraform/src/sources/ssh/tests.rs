use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use runner_core::meshstack_client::Secret;

use super::{KnownHost, Trust, WELL_KNOWN_HOSTS, host_key_problem, prepare, shell_quoted};

fn known(host: &str, key_type: &str, key: &str) -> Result<Option<KnownHost>, String> {
    KnownHost::new(host.to_owned(), key_type.to_owned(), key).map_err(|e| e.to_string())
}

fn strict(files: &[&str]) -> Trust {
    Trust { files: files.iter().map(Into::into).collect(), insecure: false }
}

/// What the shell makes of a command.
fn words(command: &str) -> Vec<String> {
    let script = format!("for word in {command}; do printf '%s\\n' \"$word\"; done");
    let output = Command::new("sh").args(["-c", &script]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn the_key_is_a_file_of_the_runner_alone_with_a_line_end() {
    let dir = tempfile::tempdir().unwrap();
    for stored in ["-----BEGIN\r\nkey\r\n-----END", "\n-----BEGIN\nkey\n-----END\n\n"] {
        prepare(dir.path(), &Secret::new(stored), None, &strict(&[])).unwrap();
        let path = dir.path().join("ssh/key");
        assert_eq!(fs::read_to_string(&path).unwrap(), "-----BEGIN\nkey\n-----END\n");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(dir.path().join("ssh")).unwrap().permissions().mode() & 0o777, 0o700);
    }
}

#[test]
fn the_command_names_key_and_known_hosts_in_their_order_and_is_strict() {
    let dir = tempfile::tempdir().unwrap();
    let run_dir = dir.path().canonicalize().unwrap().join("it's a run");
    fs::create_dir(&run_dir).unwrap();
    let host = known("git.example.com:2222", "ssh-rsa", "AAAAB3").unwrap();
    let command =
        prepare(&run_dir, &Secret::new("key"), host.as_ref(), &strict(&["/etc/a b", "/home/x/.ssh/known_hosts"]));
    let command = command.unwrap();
    let ssh = run_dir.join("ssh");
    let path = |name: &str| ssh.join(name).display().to_string();
    assert_eq!(
        words(&command),
        [
            "ssh",
            "-i",
            &path("key"),
            "-o",
            "IdentitiesOnly=yes",
            "-o",
            "BatchMode=yes",
            "-o",
            "StrictHostKeyChecking=yes",
            "-o",
            &format!(
                "UserKnownHostsFile=\"{}\" \"/etc/a b\" \"/home/x/.ssh/known_hosts\" \"{}\"",
                path("known_hosts"),
                path("well_known_hosts")
            ),
            "-o",
            "HostKeyAlgorithms=rsa-sha2-512,rsa-sha2-256,ssh-rsa",
        ]
    );
    assert_eq!(fs::read_to_string(ssh.join("known_hosts")).unwrap(), "[git.example.com]:2222 ssh-rsa AAAAB3\n");
    assert_eq!(fs::read_to_string(ssh.join("well_known_hosts")).unwrap(), WELL_KNOWN_HOSTS);
}

#[test]
fn ssh_itself_understands_the_command() {
    let dir = tempfile::tempdir().unwrap();
    let host = known("git.example.com", "ssh-ed25519", "AAAAC3").unwrap();
    let command = prepare(dir.path(), &Secret::new("key"), host.as_ref(), &strict(&["/etc/a b"])).unwrap();
    // `-G` prints the configuration that counts, without connecting anywhere.
    let output = match Command::new("sh").args(["-c", &format!("{command} -G git@git.example.com")]).output() {
        Ok(output) if output.status.code() != Some(127) => output,
        _ => panic!("this test needs ssh"),
    };
    let settings = String::from_utf8(output.stdout).unwrap();
    let folder = dir.path().canonicalize().unwrap().join("ssh");
    for line in [
        "batchmode yes".to_owned(),
        "identitiesonly yes".to_owned(),
        "hostkeyalgorithms ssh-ed25519".to_owned(),
        format!("identityfile {}/key", folder.display()),
    ] {
        assert!(settings.lines().any(|found| found == line), "{line}: {settings}");
    }
    let files = settings.lines().find(|line| line.starts_with("userknownhostsfile")).unwrap();
    assert!(
        files.contains("/ssh/known_hosts") && files.contains("/etc/a b") && files.contains("/ssh/well_known_hosts"),
        "{files}"
    );
}

#[test]
fn any_host_is_believed_only_if_the_operator_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let command = prepare(dir.path(), &Secret::new("key"), None, &Trust { files: Vec::new(), insecure: true }).unwrap();
    assert!(
        command.contains("StrictHostKeyChecking=no") && command.contains("UserKnownHostsFile=/dev/null"),
        "{command}"
    );
    assert!(!prepare(dir.path(), &Secret::new("key"), None, &strict(&[])).unwrap().contains("Checking=no"));
}

#[test]
fn a_known_host_is_taken_as_people_enter_it() {
    let line = |host, key_type, key| known(host, key_type, key).unwrap().map(|k| (k.line(), k.algorithms().to_owned()));
    let expected = |line: &str, algorithms: &str| Some((line.to_owned(), algorithms.to_owned()));
    assert_eq!(line("h", "ssh-ed25519", "AAAAC3 comment"), expected("h ssh-ed25519 AAAAC3\n", "ssh-ed25519"));
    assert_eq!(line("h", "", "h ssh-ed25519 AAAAC3"), expected("h ssh-ed25519 AAAAC3\n", "ssh-ed25519"));
    assert_eq!(line("[h]:22", "rsa-sha2-512", "AAAAB3"), expected("[h]:22 ssh-rsa AAAAB3\n", "rsa-sha2-512"));
    assert_eq!(line("::1", "ssh-ed25519", "AAAAC3"), expected("::1 ssh-ed25519 AAAAC3\n", "ssh-ed25519"));
    assert_eq!(line("", "", ""), None);
}

#[test]
fn a_known_host_that_could_say_more_than_one_line_is_refused() {
    for (host, key_type, key) in [
        ("h\n* ssh-rsa AAAA", "ssh-rsa", "AAAA"),
        ("*", "ssh-rsa", "AAAA"),
        ("@cert-authority *", "ssh-rsa", "AAAA"),
        ("h", "ssh-rsa; touch x", "AAAA"),
        ("h", "ssh-rsa", "AAAA$(x)"),
        ("h", "ssh-rsa", ""),
        ("h", "", "AAAA"),
        ("", "ssh-rsa", "AAAA"),
        ("-h", "ssh-rsa", "'AAAA"),
    ] {
        let message = known(host, key_type, key).unwrap_err();
        assert!(message.contains("ssh-keyscan"), "{message}");
    }
}

#[test]
fn what_ssh_says_of_a_host_key_becomes_a_sentence_with_advice() {
    let unknown = "No ED25519 host key is known for [127.0.0.1]:2222 and you have requested strict checking.\r\n\
                   Host key verification failed.\r\nfatal: Could not read from remote repository.\n";
    let changed = "@@@\nThe fingerprint for the RSA key sent by the remote host is\nSHA256:x.\nPlease contact your system \
                   administrator.\nHost key for git.example.com has changed and you have requested strict checking.\n";
    let other =
        "Unable to negotiate with 127.0.0.1 port 2222: no matching host key type found. Their offer: ssh-ed25519\n";
    for (output, parts) in [
        (unknown, ["[127.0.0.1]:2222 is not known", "ED25519 (ssh-ed25519)"]),
        (changed, ["git.example.com showed another key", "RSA (ssh-rsa)"]),
        (other, ["127.0.0.1 port 2222", "offers ssh-ed25519"]),
    ] {
        let sentence = host_key_problem(output).unwrap();
        for part in parts.into_iter().chain(["SSH_KNOWN_HOSTS"]) {
            assert!(sentence.contains(part), "{part}: {sentence}");
        }
    }
    assert_eq!(host_key_problem("fatal: Authentication failed"), None);
}

#[test]
fn a_quote_in_a_path_does_not_end_the_word() {
    assert_eq!(words(&shell_quoted("a'b \"c\" $d")), ["a'b \"c\" $d"]);
}
