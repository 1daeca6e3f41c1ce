//! Values that want out of the working directory, or to be run. Each ends in a sentence, and nothing else has
//! happened.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use libtest_mimic::Trial;
use meshstack_local::{Order, RunView};
use serde_json::{Value, json};

use crate::world::{VERSION, World, commit, everything, log};

pub(crate) fn tests() -> Vec<Trial> {
    trials![plain:
        hostile_fields_of_the_definition_are_refused,
        hostile_names_of_inputs_are_refused_or_left_out,
        links_in_the_repository_lead_nowhere,
        a_repository_that_brings_the_runners_own_files_does_not_steer_it,
        texts_that_burst_a_parser_are_passed_over,
        a_hundred_megabytes_of_values_are_carried,
    ]
}

/// A world with a repository, and a folder beside it in which nothing may change.
struct Guarded {
    world: World,
    url: String,
    victim: PathBuf,
}

impl Guarded {
    async fn new(files: &[(&str, &str)]) -> Self {
        let world = World::with_fake().await;
        let url = world.repository(files);
        let victim = world.dir.path().join("victim");
        fs::create_dir(&victim).expect("a folder");
        fs::write(victim.join("file"), "untouched").expect("a file");
        Self { world, url, victim }
    }

    /// A command that would leave a trace.
    fn touch(&self) -> String {
        format!("touch {}/trace", self.victim.display())
    }

    fn order(&self, fields: &Value) -> Order {
        let mut implementation = json!({ "terraformVersion": VERSION, "repositoryUrl": self.url });
        for (name, value) in fields.as_object().expect("fields") {
            implementation[name] = value.clone();
        }
        Order::terraform(implementation)
    }

    async fn run(&self, order: Order) -> RunView {
        let view = self.world.carry_out(order).await;
        let there: BTreeSet<_> =
            fs::read_dir(&self.victim).expect("a folder").map(|entry| entry.expect("an entry").file_name()).collect();
        assert_eq!(there, BTreeSet::from(["file".into()]), "{view:#?}");
        assert_eq!(fs::read_to_string(self.victim.join("file")).expect("a file"), "untouched");
        view
    }

    /// FAILED, with what happened and what to do.
    async fn is_refused(&self, what: &str, order: Order) {
        let view = self.run(order).await;
        assert_eq!(view.status, "FAILED", "{what}: {view:#?}");
        let told = view.steps.iter().find_map(|step| step.user_message.clone()).unwrap_or_default();
        assert!(told.matches(". ").count() + usize::from(told.ends_with('.')) >= 2, "{what}: {told}");
        assert!(!told.chars().any(|c| c.is_control() && c != '\n'), "{what}: {told:?}");
    }
}

async fn hostile_fields_of_the_definition_are_refused() {
    let guarded = Guarded::new(&[("main.tf", "")]).await;
    let touch = guarded.touch();
    let path = guarded.url.trim_start_matches("file://");
    for (field, value) in [
        ("repositoryUrl", format!("ext::sh -c {}", touch.replace(' ', "% "))),
        ("repositoryUrl", format!("--upload-pack={touch}")),
        ("repositoryUrl", format!("-u{touch}")),
        ("repositoryUrl", format!("ssh://-oProxyCommand={touch}/x")),
        ("repositoryUrl", format!("{path};{touch}")),
        ("repositoryUrl", format!("file://{path}/../$({touch})")),
        ("repositoryUrl", format!("https://h`{touch}`/x")),
        ("repositoryUrl", "file:///etc/passwd".to_owned()),
        ("repositoryUrl", String::new()),
        ("refName", format!("--upload-pack={touch}")),
        ("refName", format!("main;{touch}")),
        ("refName", "main:refs/heads/other".to_owned()),
        ("refName", "../../config".to_owned()),
        ("refName", "a\u{1b}[2Jb".to_owned()),
        ("repositoryPath", "../../../victim".to_owned()),
        ("repositoryPath", "/../victim".to_owned()),
        ("repositoryPath", "a\0b".to_owned()),
        ("repositoryPath", ".git/../../victim".to_owned()),
        ("terraformVersion", "../../victim".to_owned()),
        ("terraformVersion", format!("1.5.5;{touch}")),
        ("terraformVersion", "latest".to_owned()),
        ("terraformVersion", "-1.5.5".to_owned()),
        ("terraformVersion", "9".repeat(100_000)),
    ] {
        let shown: String = value.chars().take(80).collect();
        guarded.is_refused(&format!("{field} {shown}"), guarded.order(&json!({ field: value }))).await;
    }
    for known in [
        json!({ "host": "h\n* ", "keyType": "ssh-rsa", "keyValue": "AAAA" }),
        json!({ "host": "h", "keyType": format!("ssh-rsa;{touch}"), "keyValue": "AAAA" }),
        json!({ "host": "h", "keyType": "ssh-rsa", "keyValue": format!("$({touch})") }),
    ] {
        let fields = json!({ "repositoryUrl": "git@git.invalid:r", "sshPrivateKey": "k", "knownHost": known });
        guarded.is_refused(&known.to_string(), guarded.order(&fields)).await;
    }
}

async fn hostile_names_of_inputs_are_refused_or_left_out() {
    let guarded = Guarded::new(&[("sub/keep", ""), ("main.tf", "")]).await;
    let victim = guarded.victim.display().to_string();
    let content = "data:text/plain;base64,aGkK";
    for key in ["../victim/x", &format!("{victim}/x"), "sub/../../x", ".", "..", "", "a\0b", "a\nb", "sub/", "no/such"]
    {
        guarded.is_refused(&format!("file {key:?}"), guarded.order(&json!({})).input(key, content, "FILE")).await;
    }
    for key in ["TF_CLI_ARGS", "TF_CLI_ARGS_init", "TF_LOG\u{1b}[2J", "TF_REATTACH_PROVIDERS"] {
        let order = guarded.order(&json!({})).environment_input(key, "x", "STRING");
        guarded.is_refused(&format!("environment {key:?}"), order).await;
    }
    // A variable that cannot be one is left out, and the run goes on.
    for key in ["a = 1\nb", "x\" = 1 #", "${x}", "-x", "x y"] {
        let view = guarded.run(guarded.order(&json!({})).input(key, "v", "STRING")).await;
        assert_eq!(view.status, "SUCCEEDED", "{key:?}: {view:#?}");
        assert!(log(&view, "input").contains("is left out"), "{key:?}: {view:#?}");
    }
    for key in ["PATH\0", "A=B", ""] {
        let view = guarded.run(guarded.order(&json!({})).environment_input(key, "x", "STRING")).await;
        assert_eq!(view.status, "SUCCEEDED", "{key:?}: {view:#?}");
        assert!(log(&view, "input").contains("is left out"), "{key:?}: {view:#?}");
    }
}

async fn links_in_the_repository_lead_nowhere() {
    let guarded = Guarded::new(&[("main.tf", "")]).await;
    let repository = Path::new(guarded.url.trim_start_matches("file://"));
    symlink(&guarded.victim, repository.join("out")).expect("a link");
    symlink(guarded.victim.join("file"), repository.join("link.txt")).expect("a link");
    symlink(guarded.victim.join("new"), repository.join("dangling.txt")).expect("a link");
    symlink("/proc/self/environ", repository.join("environ.tf")).expect("a link");
    commit(repository, "links");
    guarded.is_refused("folder", guarded.order(&json!({ "repositoryPath": "out" }))).await;
    for key in ["out/x", "link.txt", "dangling.txt"] {
        let order = guarded.order(&json!({})).input(key, "data:text/plain;base64,aGkK", "FILE");
        guarded.is_refused(key, order).await;
    }
    // Links of the names that the runner writes are replaced, not followed.
    let own = "aaaaaa_meshstack-e48f8924-a6c0-4ff0-9528-ff3c1f6f94d8.auto.tfvars";
    for name in [own, "meshstack-pre-run.sh"] {
        symlink(guarded.victim.join("file"), repository.join(name)).expect("a link");
    }
    commit(repository, "more links");
    let view = guarded.run(guarded.order(&json!({ "preRunScript": "exit 0" }))).await;
    assert_eq!(view.status, "SUCCEEDED", "{view:#?}");
    assert!(!everything(&view).contains("CARGO_MANIFEST_DIR"), "nothing of the runner's environment is shown");
}

async fn a_repository_that_brings_the_runners_own_files_does_not_steer_it() {
    let guarded = Guarded::new(&[
        ("main.tf", ""),
        ("meshstack-pre-run.sh", "exit 7\n"),
        ("meshStack_run_vars.tf", "variable \"meshstack_building_block_id\" {}\n"),
        (".gitattributes", "* filter=evil\n"),
        ("hooks/post-checkout", "#!/bin/sh\nexit 1\n"),
    ])
    .await;
    let view = guarded.run(guarded.order(&json!({}))).await;
    assert_eq!(view.status, "SUCCEEDED", "{view:#?}");
}

async fn texts_that_burst_a_parser_are_passed_over() {
    const DEEP: usize = 100_000;
    let deep = format!("output \"x\" {{ value = {}{} }}\n", "[".repeat(DEEP), "]".repeat(DEEP));
    let blocks = format!("{}{}", "a {\n".repeat(DEEP), "}\n".repeat(DEEP));
    let json = format!("{{\"variable\": {}{}}}", "[".repeat(DEEP), "]".repeat(DEEP));
    let templates = format!("locals {{ x = \"{}{}\" }}\n", "${\"".repeat(DEEP), "\"}".repeat(DEEP));
    let guarded = Guarded::new(&[
        ("deep.tf", &deep),
        ("blocks.tf", &blocks),
        ("deep.tf.json", &json),
        ("templates.tf", &templates),
        ("minus.tf", &format!("locals {{ x = {}1 }}\n", "-".repeat(DEEP))),
        ("parens.tf", &format!("locals {{ x = {}1{} }}\n", "(".repeat(DEEP), ")".repeat(DEEP))),
    ])
    .await;
    let mut order = guarded.order(&json!({}));
    for (index, (open, close)) in
        [("[", "]"), ("{a=", "}"), ("(", ")"), ("-", ""), ("\"${", "}\""), ("[", "")].iter().enumerate()
    {
        let code = format!("{}1{}", open.repeat(DEEP), close.repeat(DEEP));
        order = order.input(&format!("bomb{index}"), code, "CODE");
    }
    let view = guarded.run(order).await;
    assert_eq!(view.status, "SUCCEEDED", "{view:#?}");
    let said = log(&view, "input");
    for name in ["deep.tf ", "blocks.tf ", "deep.tf.json ", "templates.tf "] {
        assert!(said.contains(&format!("Warning: {name}could not be read")), "{name}: {said}");
    }
    assert!(said.contains("the input `bomb0` is neither JSON nor a constant HCL expression"), "{said}");
}

async fn a_hundred_megabytes_of_values_are_carried() {
    let fake = "apply() { stat -c 'size %s' own.auto.tfvars aaaaaa_*.auto.tfvars; }\n";
    let guarded = Guarded::new(&[("fake.sh", fake)]).await;
    let repository = Path::new(guarded.url.trim_start_matches("file://"));
    fs::write(repository.join("own.auto.tfvars"), format!("x = \"{}\"\n", "a".repeat(100_000_000))).expect("a file");
    fs::write(repository.join("large.tf"), format!("# {}\n", "a".repeat(20_000_000))).expect("a file");
    commit(repository, "large files");
    let order = guarded.order(&json!({})).input("large", "b".repeat(5_000_000), "STRING");
    let view = guarded.run(order).await;
    assert_eq!(view.status, "SUCCEEDED", "{:#?}", view.steps);
    let said = log(&view, "execute_tf");
    let sizes: Vec<u64> =
        said.lines().filter_map(|line| line.strip_prefix("size ")).map(|size| size.parse().expect("a size")).collect();
    assert!(sizes.len() == 2 && sizes.iter().all(|size| *size >= 5_000_000), "{said}");
    assert!(log(&view, "input").contains("Warning: large.tf could not be read"), "{}", log(&view, "input"));
}
