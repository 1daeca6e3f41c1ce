//! Sources over ssh, from a real `sshd`.

use libtest_mimic::Trial;
use meshstack_local::{Order, RunView};
use serde_json::{Value, json};

use crate::sshd::Sshd;
use crate::world::{World, everything, log, message};

pub(crate) fn tests() -> Vec<Trial> {
    let mut tests = trials![ssh:
        a_key_without_a_line_end_opens_a_repository_whose_host_the_run_knows,
        a_known_rsa_host_is_taken_with_todays_signatures,
        the_runners_file_of_known_hosts_counts_too,
        a_host_that_shows_another_key_is_refused_and_named,
        an_unknown_host_is_refused_and_named,
        any_host_is_taken_if_the_operator_says_so,
        a_key_that_the_host_refuses_is_said,
        a_commit_over_ssh_is_fetched_alone,
    ];
    tests.extend(trials![real_ssh: terraform_fetches_a_private_module_with_the_key_of_the_run]);
    tests
}

/// The module says how much history there is.
const COUNTING: (&str, &str) = ("fake.sh", "apply() { echo commits: $(git rev-list --count HEAD); }\n");

/// A world with a repository behind an `sshd`.
fn sshd(world: &World, files: &[(&str, &str)]) -> Sshd {
    let url = world.repository(files);
    Sshd::start(url.strip_prefix("file://").expect("a file URL").as_ref())
}

fn order(sshd: &Sshd, key: &str, known_host: &Value) -> Order {
    Order::terraform(json!({
        "terraformVersion": crate::world::VERSION,
        "repositoryUrl": sshd.url(),
        "sshPrivateKey": key,
        "knownHost": known_host,
    }))
}

fn known(sshd: &Sshd, (key_type, key): (String, String)) -> Value {
    json!({ "host": sshd.host(), "keyType": key_type, "keyValue": key })
}

/// The sentence, and what to do about it; nothing was fetched.
fn assert_refused(view: &RunView, parts: &[&str]) {
    assert_eq!(view.status, "FAILED", "{view:#?}");
    let told = message(view, "sources");
    for part in parts {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert!(!everything(view).contains("PRIVATE KEY"));
}

async fn a_key_without_a_line_end_opens_a_repository_whose_host_the_run_knows() {
    let world = World::with_fake().await;
    let sshd = sshd(&world, &[COUNTING]);
    let known = known(&sshd, sshd.host_key("ed25519"));
    for key in [sshd.user_key().trim_end().to_owned(), sshd.user_key().replace('\n', "\r\n")] {
        let view = world.carry_out(order(&sshd, &key, &known)).await;
        assert_eq!(view.status, "SUCCEEDED", "{view:#?}\n{}", sshd.log());
        assert!(log(&view, "execute_tf").contains("commits: 1\n"), "{view:#?}");
        assert!(!everything(&view).contains(key.lines().nth(2).expect("a line of the key")));
    }
}

async fn a_known_rsa_host_is_taken_with_todays_signatures() {
    let world = World::with_fake().await;
    // The host would rather show its other key, and SHA-1 is refused by both sides.
    let sshd = sshd(&world, &[COUNTING]);
    let (key_type, key) = sshd.host_key("rsa");
    assert_eq!(key_type, "ssh-rsa");
    let view = world.carry_out(order(&sshd, &sshd.user_key(), &known(&sshd, (key_type, key)))).await;
    assert_eq!(view.status, "SUCCEEDED", "{view:#?}\n{}", sshd.log());
}

async fn the_runners_file_of_known_hosts_counts_too() {
    let mut world = World::with_fake().await;
    let sshd = sshd(&world, &[COUNTING]);
    let file = world.dir.path().join("known hosts");
    let (key_type, key) = sshd.host_key("ed25519");
    std::fs::write(&file, format!("{} {key_type} {key}\n", sshd.host())).expect("a file");
    world.settings.known_hosts = Some(file);
    let view = world.carry_out(order(&sshd, &sshd.user_key(), &Value::Null)).await;
    assert_eq!(view.status, "SUCCEEDED", "{view:#?}\n{}", sshd.log());
}

async fn a_host_that_shows_another_key_is_refused_and_named() {
    let world = World::with_fake().await;
    let sshd = sshd(&world, &[COUNTING]);
    let wrong = known(&sshd, sshd.another_key());
    let view = world.carry_out(order(&sshd, &sshd.user_key(), &wrong)).await;
    let host = format!("The host {} showed another key", sshd.host());
    assert_refused(&view, &[&host, "ED25519 (ssh-ed25519)", "known host", "SSH_KNOWN_HOSTS"]);
}

async fn an_unknown_host_is_refused_and_named() {
    let world = World::with_fake().await;
    let sshd = sshd(&world, &[COUNTING]);
    let view = world.carry_out(order(&sshd, &sshd.user_key(), &Value::Null)).await;
    let host = format!("The host {} is not known", sshd.host());
    assert_refused(&view, &[&host, "ED25519 (ssh-ed25519)", "known host", "SSH_KNOWN_HOSTS"]);
    // One that the run knows by another name is unknown as well.
    let (key_type, key) = sshd.host_key("ed25519");
    let elsewhere = json!({ "host": "git.example.com", "keyType": key_type, "keyValue": key });
    let view = world.carry_out(order(&sshd, &sshd.user_key(), &elsewhere)).await;
    assert_refused(&view, &[&host, "SSH_KNOWN_HOSTS"]);
}

async fn any_host_is_taken_if_the_operator_says_so() {
    let mut world = World::with_fake().await;
    world.settings.insecure_host_keys = true;
    let sshd = sshd(&world, &[COUNTING]);
    let view = world.carry_out(order(&sshd, &sshd.user_key(), &Value::Null)).await;
    assert_eq!(view.status, "SUCCEEDED", "{view:#?}\n{}", sshd.log());
}

async fn a_key_that_the_host_refuses_is_said() {
    let world = World::with_fake().await;
    let sshd = sshd(&world, &[COUNTING]);
    let known = known(&sshd, sshd.host_key("ed25519"));
    let view = world.carry_out(order(&sshd, &sshd.strangers_key(), &known)).await;
    assert_refused(&view, &["Permission denied (publickey)", "SSH key in the building block definition"]);
    let view = world.carry_out(order(&sshd, "this is no key", &known)).await;
    assert_refused(&view, &["SSH key in the building block definition"]);
}

async fn a_commit_over_ssh_is_fetched_alone() {
    let world = World::with_fake().await;
    let url = world.repository(&[COUNTING]);
    let folder = url.strip_prefix("file://").expect("a file URL");
    let commit = crate::world::commit(folder.as_ref(), "second");
    crate::world::commit(folder.as_ref(), "third");
    let sshd = Sshd::start(folder.as_ref());
    let mut order = order(&sshd, &sshd.user_key(), &known(&sshd, sshd.host_key("ed25519")));
    order.implementation["refName"] = json!(commit);
    let view = world.carry_out(order).await;
    assert_eq!(view.status, "SUCCEEDED", "{view:#?}\n{}", sshd.log());
    assert!(log(&view, "sources").contains(&format!("Checked out commit {commit}.")), "{view:#?}");
    assert!(log(&view, "execute_tf").contains("commits: 1\n"), "{view:#?}");
}

async fn terraform_fetches_a_private_module_with_the_key_of_the_run() {
    let world = World::new().await;
    let shared = sshd(&world, &[("shared/main.tf", "output \"x\" { value = \"from the private module\" }\n")]);
    let source = format!("git::{}//shared", shared.url());
    let module = format!("module \"m\" {{ source = \"{source}\" }}\noutput \"x\" {{ value = module.m.x }}\n");
    // The run's own repository needs no key; the run has one for what its module uses.
    let own = world.repository(&[("main.tf", &module)]);
    let mut order = order(&shared, shared.user_key().trim_end(), &known(&shared, shared.host_key("ed25519")));
    order.implementation["repositoryUrl"] = json!(own);
    let view = world.carry_out(order).await;
    assert_eq!(view.status, "SUCCEEDED", "{view:#?}\n{}", shared.log());
    assert_eq!(view.outputs["x"].value, json!("from the private module"));
    assert!(shared.log().contains("Accepted publickey for git"), "{}", shared.log());
}
