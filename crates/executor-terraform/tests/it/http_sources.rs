//! Sources over http, from a real `git http-backend`.

use std::path::{Path, PathBuf};

use libtest_mimic::Trial;
use meshstack_local::Order;
use serde_json::json;

use crate::git_server::{Behaviour, GitServer};
use crate::world::{VERSION, World, commit, everything, git, log, message};

pub(crate) fn tests() -> Vec<Trial> {
    trials![plain:
        a_public_repository_is_fetched_without_its_history,
        a_private_repository_fails_at_once_and_is_not_asked_again,
        credentials_in_the_address_open_a_private_repository,
        a_commit_that_the_server_hands_out_is_fetched_alone,
        a_commit_that_the_server_keeps_back_is_found_in_the_whole_repository,
        an_abbreviated_commit_is_found_without_fetching_old_files,
        a_repository_that_is_not_there_is_said,
    ]
}

/// The module says how much of the repository is there.
const COUNTING: (&str, &str) = (
    "fake.sh",
    "apply() {\n  echo commits: $(git rev-list --count HEAD)\n  \
     echo objects missing: $(git rev-list --objects --all --missing=print | grep -c '^?')\n}\n",
);

/// A repository of three commits, and the first of them. `big` is in it until the second.
struct Repository {
    folder: PathBuf,
    first: String,
}

impl Repository {
    fn new(world: &World) -> Self {
        let url = world.repository(&[COUNTING, ("big", "an old file")]);
        let folder = PathBuf::from(url.strip_prefix("file://").expect("a file URL"));
        let first = git(&folder, &["rev-parse", "HEAD"]).trim().to_owned();
        std::fs::remove_file(folder.join("big")).expect("the file is there");
        commit(&folder, "second");
        commit(&folder, "third");
        Self { folder, first }
    }

    fn serve(&self, behaviour: Behaviour) -> (GitServer, String) {
        let name = self.folder.file_name().expect("a name").to_string_lossy().into_owned();
        (GitServer::start(self.folder.parent().unwrap_or(Path::new("/")), behaviour), name)
    }
}

fn order(url: &str, reference: &str) -> Order {
    Order::terraform(json!({ "terraformVersion": VERSION, "repositoryUrl": url, "refName": reference }))
}

async fn a_public_repository_is_fetched_without_its_history() {
    let world = World::with_fake().await;
    let (server, name) = Repository::new(&world).serve(Behaviour::default());
    for reference in ["", "main"] {
        let view = world.carry_out(order(&server.url("", &name), reference)).await;
        assert_eq!(view.status, "SUCCEEDED", "{view:#?}");
        assert!(log(&view, "execute_tf").contains("commits: 1\n"), "{view:#?}");
    }
    let uploads = server.requests().iter().filter(|request| request.target.ends_with("/git-upload-pack")).count();
    assert!(uploads > 0, "git spoke its own protocol");
}

async fn a_private_repository_fails_at_once_and_is_not_asked_again() {
    let world = World::with_fake().await;
    let behaviour = Behaviour { authorization: Some("Basic nobody-knows".into()), ..Behaviour::default() };
    let (server, name) = Repository::new(&world).serve(behaviour);
    let view = world.carry_out(order(&server.url("", &name), "main")).await;
    assert_eq!(view.status, "FAILED");
    let told = message(&view, "sources");
    assert!(told.contains(&server.url("", &name)) && told.contains("whether the runner may read it"), "{told}");
    assert!(told.contains("terminal prompts disabled"), "{told}");
    assert_eq!(server.requests().len(), 1, "{:#?}", server.requests());
}

async fn credentials_in_the_address_open_a_private_repository() {
    let world = World::with_fake().await;
    // "jo:s3cret-token"
    let authorization = "Basic am86czNjcmV0LXRva2Vu";
    let behaviour = Behaviour { authorization: Some(authorization.into()), ..Behaviour::default() };
    let (server, name) = Repository::new(&world).serve(behaviour);
    let view = world.carry_out(order(&server.url("jo:s3cret-token@", &name), "main")).await;
    assert_eq!(view.status, "SUCCEEDED", "{view:#?}");
    assert!(!everything(&view).contains("s3cret-token"));
    let view = world.carry_out(order(&server.url("jo:wr0ng-token@", &name), "main")).await;
    assert_eq!(view.status, "FAILED");
    assert!(message(&view, "sources").contains("Authentication failed"), "{view:#?}");
    assert!(!everything(&view).contains("wr0ng-token"));
}

async fn a_commit_that_the_server_hands_out_is_fetched_alone() {
    let world = World::with_fake().await;
    let repository = Repository::new(&world);
    let (server, name) = repository.serve(Behaviour::default());
    let view = world.carry_out(order(&server.url("", &name), &repository.first)).await;
    assert_eq!(view.status, "SUCCEEDED", "{view:#?}");
    assert!(log(&view, "sources").contains(&format!("Checked out commit {}.", repository.first)), "{view:#?}");
    assert!(log(&view, "execute_tf").contains("commits: 1\n"), "{view:#?}");
}

async fn a_commit_that_the_server_keeps_back_is_found_in_the_whole_repository() {
    let world = World::with_fake().await;
    let repository = Repository::new(&world);
    git(&repository.folder, &["config", "uploadpack.allowReachableSHA1InWant", "false"]);
    let second = git(&repository.folder, &["rev-parse", "HEAD~1"]).trim().to_owned();
    let (server, name) = repository.serve(Behaviour { old_protocol: true, ..Behaviour::default() });
    let view = world.carry_out(order(&server.url("", &name), &second)).await;
    assert_eq!(view.status, "SUCCEEDED", "{view:#?}");
    assert!(log(&view, "sources").contains(&format!("Checked out commit {second}.")), "{view:#?}");
    assert!(log(&view, "execute_tf").contains("commits: 2\n"), "the history is there: {view:#?}");
}

async fn an_abbreviated_commit_is_found_without_fetching_old_files() {
    let world = World::with_fake().await;
    let repository = Repository::new(&world);
    let short = &git(&repository.folder, &["rev-parse", "HEAD~1"]).trim()[..9].to_owned();
    for (filters, missing) in [("true", 1), ("false", 0)] {
        git(&repository.folder, &["config", "uploadpack.allowFilter", filters]);
        let (server, name) = repository.serve(Behaviour::default());
        let view = world.carry_out(order(&server.url("", &name), short)).await;
        assert_eq!(view.status, "SUCCEEDED", "{view:#?}");
        let said = log(&view, "execute_tf");
        assert!(said.contains("commits: 2\n"), "{said}");
        // Of the files, `big` and the third commit's text are not needed.
        let counted = said.lines().find_map(|line| line.strip_prefix("objects missing: ")).expect("a count");
        assert_eq!(counted.parse::<u32>().expect("a number").min(1), missing, "{said}");
    }
}

async fn a_repository_that_is_not_there_is_said() {
    let world = World::with_fake().await;
    let (server, _) = Repository::new(&world).serve(Behaviour::default());
    let view = world.carry_out(order(&server.url("", "no-such"), "main")).await;
    assert_eq!(view.status, "FAILED");
    let told = message(&view, "sources");
    assert!(told.contains("Check the address") && told.contains("not found"), "{told}");
}
