//! Fetching from repositories on this machine, in a run of the real core.

mod world;

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use self::world::{Repository, World, commit, file_server, forbidding_server, git, repository};

#[tokio::test]
async fn a_ref_is_a_branch_then_a_tag_then_a_commit() {
    let world = World::new();
    let Repository { path, first, hidden } = repository(&world);
    // A branch may look like a commit.
    git(&path, &["branch", "deadbeef", &first]);
    for (reference, main) in [
        ("", "latest"),
        ("HEAD", "latest"),
        ("main", "latest"),
        (" main ", "latest"),
        ("both", "the branch"),
        ("feature/x", "feature"),
        ("origin/feature/x", "feature"),
        ("v1", "first"),
        ("tags/both", "first"),
        ("refs/tags/both", "first"),
        ("refs/heads/both", "the branch"),
        ("refs/pull/1/head", "hidden"),
        ("deadbeef", "first"),
        (&first, "first"),
        (&first[..7], "first"),
        (&first[..10].to_uppercase(), "first"),
        (&hidden, "hidden"),
    ] {
        assert_eq!(world.main_at(&path, reference).await.as_deref(), Ok(main), "{reference}");
    }
    for missing in ["nope", "refs/heads/nope", "origin/nope", "0123456789abcdef0123456789abcdef01234567", "0123abc"] {
        let message = world.main_at(&path, missing).await.unwrap_err();
        let expected = format!("There is no branch, tag or commit `{missing}` in file:///");
        assert!(message.starts_with(&expected), "{message}");
    }
}

#[tokio::test]
async fn only_the_wanted_commit_is_fetched_and_the_whole_checkout_stays() {
    let world = World::new();
    let Repository { path, .. } = repository(&world);
    let url = format!("file://{}", path.display());
    for folder in ["modules/demo", "/modules/demo", "modules/../modules/demo/"] {
        let implementation = json!({"repositoryUrl": url, "refName": "feature/x", "repositoryPath": folder});
        let seen = world.fetch(implementation).await.result.unwrap();
        assert_eq!((seen.folder.as_str(), seen.main.as_str(), seen.commits), ("modules/demo", "demo", 1));
        assert_eq!(seen.git_ssh_command, None);
    }
    for folder in [Value::Null, json!(""), json!("."), json!("/")] {
        let implementation = json!({"repositoryUrl": path, "repositoryPath": folder, "refName": null});
        let seen = world.fetch(implementation).await.result.unwrap();
        assert_eq!((seen.folder.as_str(), seen.main.as_str(), seen.commits), ("", "latest", 1));
    }
    let outside = world.fetch(json!({"repositoryUrl": url, "repositoryPath": "no/such"})).await;
    let message = outside.result.unwrap_err();
    assert!(
        message.starts_with("There is no folder `no/such` in file:///") && message.contains("at its default branch"),
        "{message}"
    );
}

#[tokio::test]
async fn a_link_out_of_the_repository_is_refused() {
    let world = World::new();
    let Repository { path, .. } = repository(&world);
    symlink(world.dir.path(), path.join("out")).unwrap();
    commit(&path, "with a link");
    let message = world.fetch(json!({"repositoryUrl": path, "repositoryPath": "out/home"})).await.result.unwrap_err();
    assert!(message.contains("leads out of the repository"), "{message}");
}

#[tokio::test]
async fn hostile_values_run_nothing() {
    let world = World::new();
    let Repository { path, .. } = repository(&world);
    let marker = world.dir.path().join("hacked");
    let touch = format!("touch {}", marker.display());
    let plain = path.display().to_string();
    for (url, reference, folder) in [
        (format!("ext::sh -c {}", touch.replace(' ', "%20")), "main", ""),
        (format!("--upload-pack={touch}"), "main", ""),
        (format!("ssh://-oProxyCommand={touch}/x"), "main", ""),
        (format!("git@-oProxyCommand={touch}:x"), "main", ""),
        (format!("file://{plain};{touch}"), "main", ""),
        (plain.clone(), &format!("--upload-pack={touch}"), ""),
        (plain.clone(), &format!("main;{touch}"), ""),
        (plain.clone(), "main:refs/heads/x", ""),
        (plain.clone(), "main", "../../home"),
        (plain.clone(), "main", "/../x"),
    ] {
        let implementation =
            json!({"repositoryUrl": url, "refName": reference, "repositoryPath": folder, "sshPrivateKey": "key"});
        let outside = world.fetch(implementation).await;
        assert!(outside.result.is_err(), "{url} {reference} {folder}");
        assert!(!marker.exists(), "{url} {reference} {folder}");
    }
}

#[tokio::test]
async fn hooks_and_templates_of_the_user_do_not_run_but_rules_for_addresses_hold() {
    let world = World::new();
    let Repository { path, .. } = repository(&world);
    let home = world.dir.path().join("home");
    let hooks = home.join("templates/hooks");
    fs::create_dir_all(&hooks).unwrap();
    let marker = home.join("hook-ran");
    let hook = hooks.join("post-checkout");
    fs::write(&hook, format!("#!/bin/sh\ntouch {}\n", marker.display())).unwrap();
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
    let config = format!(
        "[init]\n  templateDir = {home}/templates\n[core]\n  hooksPath = {home}/templates/hooks\n\
         [url \"file://{path}\"]\n  insteadOf = https://git.invalid/r\n",
        home = home.display(),
        path = path.display()
    );
    fs::write(home.join(".gitconfig"), config).unwrap();
    let seen = world.fetch(json!({"repositoryUrl": "https://git.invalid/r"})).await.result.unwrap();
    assert_eq!(seen.main, "latest");
    assert!(!marker.exists());
}

#[tokio::test]
async fn a_checkout_does_not_wait_for_the_disk() {
    let mut world = World::new();
    let Repository { path, .. } = repository(&world);
    let url = format!("file://{}", path.display());
    // At its end a git that synced something says so in its trace.
    let syncs = |trace: &Path| fs::read_to_string(trace).unwrap().matches(r#""key":"fsync/"#).count();
    let (by_hand, by_runner) = (world.dir.path().join("by-hand.trace"), world.dir.path().join("by-runner.trace"));
    let target = world.dir.path().join("by-hand");
    let mut clone = Command::new("git");
    clone.args(["clone", "--quiet", "--depth=1", &url]).arg(target).env("GIT_TRACE2_EVENT", &by_hand);
    assert!(clone.status().unwrap().success());
    assert_ne!(syncs(&by_hand), 0, "this git does not say it");

    world.environment.insert("GIT_TRACE2_EVENT".into(), by_runner.clone().into());
    let seen = world.fetch(json!({"repositoryUrl": url, "refName": "main"})).await.result.unwrap();
    assert_eq!((seen.main.as_str(), syncs(&by_runner)), ("latest", 0));
}

#[tokio::test]
async fn submodules_are_not_fetched() {
    let world = World::new();
    let Repository { path, .. } = repository(&world);
    let other = world.dir.path().join("other");
    fs::create_dir(&other).unwrap();
    git(&other, &["init", "--quiet", "--initial-branch=main"]);
    commit(&other, "other");
    git(
        &path,
        &["-c", "protocol.file.allow=always", "submodule", "--quiet", "add", &other.display().to_string(), "sub"],
    );
    commit(&path, "with a submodule");
    fs::write(world.dir.path().join("home/.gitconfig"), "[submodule]\n  recurse = true\n").unwrap();
    let outside = world.fetch(json!({"repositoryUrl": path, "repositoryPath": "sub"})).await;
    assert_eq!(outside.result.unwrap().main, "");
}

#[tokio::test]
async fn an_empty_repository_is_a_sentence() {
    let world = World::new();
    let path = world.dir.path().join("empty");
    fs::create_dir(&path).unwrap();
    git(&path, &["init", "--quiet", "--initial-branch=main"]);
    let message = world.fetch(json!({"repositoryUrl": path})).await.result.unwrap_err();
    assert!(message.starts_with("There is nothing to check out in file:///"), "{message}");
    let message = world.fetch(json!({"repositoryUrl": path, "refName": "main"})).await.result.unwrap_err();
    assert!(message.starts_with("There is no branch, tag or commit `main`"), "{message}");
}

#[tokio::test]
async fn a_missing_repository_says_what_git_said() {
    let world = World::new();
    let message = world.fetch(json!({"repositoryUrl": "file:///nonexistent/repository"})).await.result.unwrap_err();
    assert!(
        message.starts_with("The sources could not be downloaded from file:///nonexistent/repository. Check"),
        "{message}"
    );
    assert!(message.contains("\nfatal: "), "{message}");
}

#[tokio::test]
async fn a_missing_git_is_one_clear_sentence() {
    let mut world = World::new();
    world.environment.insert("PATH".into(), world.dir.path().join("nothing").into());
    let message = world.fetch(json!({"repositoryUrl": "https://git.invalid/r"})).await.result.unwrap_err();
    assert!(message.starts_with("There is no `git` on the runner"), "{message}");
}

#[tokio::test]
async fn an_ssh_address_without_a_key_is_an_error_at_once() {
    let mut world = World::new();
    world.environment.insert("PATH".into(), "/nonexistent".into());
    for url in ["git@git.example.com:org/r.git", "ssh://git.example.com/r", "git.example.com:r"] {
        let message = world.fetch(json!({"repositoryUrl": url, "sshPrivateKey": null})).await.result.unwrap_err();
        assert!(message.contains("is reached over SSH, which needs a private key"), "{message}");
    }
}

#[tokio::test]
async fn an_ssh_repository_is_read_with_the_key_of_the_run() {
    let mut world = World::new();
    let Repository { path, .. } = repository(&world);
    // A stand-in for ssh: notes how it is called, shows the key, and runs the command that is meant for the host.
    let bin = world.dir.path().join("bin");
    let calls = world.dir.path().join("calls");
    fs::create_dir(&bin).unwrap();
    let script = format!(
        "#!/bin/sh\nprintf '%s\\n' \"$*\" >> {calls}\ncat \"$2\" >> {calls}\nstat -c %a \"$2\" >> {calls}\n\
         for last; do :; done\nexec sh -c \"$last\"\n",
        calls = calls.display()
    );
    fs::write(bin.join("ssh"), script).unwrap();
    fs::set_permissions(bin.join("ssh"), fs::Permissions::from_mode(0o755)).unwrap();
    let path_variable = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    world.environment.insert("PATH".into(), path_variable.into());
    world.environment.insert("SSH_KNOWN_HOSTS".into(), "/etc/known".into());

    let seen = world
        .fetch(json!({
            "repositoryUrl": format!("ssh://jo@git.example.com:2222{}", path.display()),
            "sshPrivateKey": "-----BEGIN KEY-----\nabc\n-----END KEY-----",
            "knownHost": {"host": "git.example.com", "keyType": "ssh-ed25519", "keyValue": "AAAAC3"},
        }))
        .await
        .result
        .unwrap();

    assert_eq!(seen.main, "latest");
    let calls = fs::read_to_string(calls).unwrap();
    for part in [
        "-o IdentitiesOnly=yes",
        "-o StrictHostKeyChecking=yes",
        "-o HostKeyAlgorithms=ssh-ed25519",
        "-p 2222 git@git.example.com",
        "/ssh/known_hosts\" \"/etc/known\" \"",
        "/home/.ssh/known_hosts\" \"",
        "-----BEGIN KEY-----\nabc\n-----END KEY-----\n600\n",
    ] {
        assert!(calls.contains(part), "{part}: {calls}");
    }
    let command = seen.git_ssh_command.unwrap();
    assert!(command.starts_with("ssh -i '/"), "{command}");
    assert!(!seen.git_config.contains("jo@"), "{}", seen.git_config);
}

#[tokio::test]
async fn credentials_of_an_address_reach_the_server_and_nobody_else() {
    let world = World::new();
    let (port, heads) = forbidding_server();
    let url = format!("http://jo:s3cr%65t-token@127.0.0.1:{port}/r.git");
    let outside = world.fetch(json!({"repositoryUrl": url})).await;
    let message = outside.result.unwrap_err();
    // "jo:s3cret-token"
    assert!(heads.lock().unwrap().contains("Basic am86czNjcmV0LXRva2Vu"), "{}", heads.lock().unwrap());
    assert!(message.contains(&format!("http://127.0.0.1:{port}/r.git")), "{message}");
    for told in [&message, &outside.reported] {
        assert!(!told.contains("s3cret-token") && !told.contains("s3cr%65t"), "{told}");
    }
    assert!(outside.reported.contains("fatal: "), "{}", outside.reported);
}

#[tokio::test]
async fn a_private_repository_fails_and_does_not_wait_for_a_password() {
    let world = World::new();
    let (port, _) = forbidding_server();
    let message =
        world.fetch(json!({"repositoryUrl": format!("http://127.0.0.1:{port}/r.git")})).await.result.unwrap_err();
    assert!(message.contains("terminal prompts disabled"), "{message}");
}

#[tokio::test]
async fn a_server_of_plain_files_is_read_with_all_its_history() {
    let world = World::new();
    let Repository { path, first, .. } = repository(&world);
    git(&path, &["update-server-info"]);
    let port = file_server(path.join(".git"));
    let url = format!("http://127.0.0.1:{port}");
    for (reference, main, commits) in [("main", "latest", 2), ("v1", "first", 1), (&first, "first", 1)] {
        let seen = world.fetch(json!({"repositoryUrl": url, "refName": reference})).await.result.unwrap();
        assert_eq!((seen.main.as_str(), seen.commits), (main, commits), "{reference}");
    }
}
