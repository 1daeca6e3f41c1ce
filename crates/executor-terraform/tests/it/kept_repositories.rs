//! Repositories kept from run to run.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use libtest_mimic::Trial;
use meshstack_local::{Order, RunView};
use serde_json::json;

use crate::git_server::{Behaviour, GitServer};
use crate::world::{VERSION, World, commit, git, log, patiently};

pub(crate) fn tests() -> Vec<Trial> {
    trials![plain:
        a_commit_is_fetched_once_and_a_new_one_is_seen_at_once,
        branches_tags_and_commits_are_kept,
        a_run_without_access_gets_nothing_of_what_another_run_fetched,
        a_damaged_copy_is_thrown_away_and_the_run_goes_on,
        runs_at_the_same_time_share_the_copy,
        the_copies_stay_within_their_size,
        a_folder_that_cannot_be_used_is_done_without,
    ]
}

const MODULE: (&str, &str) = ("fake.sh", "apply() { echo text: $(cat text); git rev-parse HEAD; }\n");

struct Shelf {
    world: World,
    /// The one repository of the server.
    repository: PathBuf,
    server: GitServer,
    url: String,
    cache: PathBuf,
}

impl Shelf {
    async fn new(authorization: Option<&str>) -> Self {
        let mut world = World::with_fake().await;
        let cache = world.dir.path().join("repositories");
        world.settings.repository_cache_dir = Some(cache.clone());
        let url = world.repository(&[MODULE, ("text", "first")]);
        let repository = PathBuf::from(url.strip_prefix("file://").expect("a file URL"));
        let behaviour = Behaviour { authorization: authorization.map(str::to_owned), ..Behaviour::default() };
        let server = GitServer::start(repository.parent().unwrap_or(Path::new("/")), behaviour);
        let name = repository.file_name().expect("a name").to_string_lossy().into_owned();
        let url = server.url("", &name);
        Self { world, repository, server, url, cache }
    }

    async fn run(&self, reference: &str) -> RunView {
        self.world.carry_out(order(&self.url, reference)).await
    }

    /// The text that the module found.
    async fn text(&self, reference: &str) -> String {
        let view = self.run(reference).await;
        assert_eq!(view.status, "SUCCEEDED", "{view:#?}");
        let log = log(&view, "execute_tf");
        log.lines().find_map(|line| line.strip_prefix("text: ")).expect("a text").to_owned()
    }

    /// How often a pack was asked for. Refs are listed with a request of the same kind, but a small one.
    fn packs(&self) -> usize {
        let wants = |request: &&crate::git_server::Request| request.body_contains("want ");
        self.server.requests().iter().filter(wants).count()
    }

    fn copies(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.cache).expect("a folder").map(|entry| entry.expect("an entry").path());
        entries.filter(|path| path.extension().is_some_and(|extension| extension == "git")).collect()
    }
}

fn order(url: &str, reference: &str) -> Order {
    Order::terraform(json!({ "terraformVersion": VERSION, "repositoryUrl": url, "refName": reference }))
}

async fn a_commit_is_fetched_once_and_a_new_one_is_seen_at_once() {
    let shelf = Shelf::new(None).await;
    for _ in 0..3 {
        assert_eq!(shelf.text("main").await, "first");
    }
    assert_eq!(shelf.packs(), 1);
    commit(&shelf.repository, "second");
    for _ in 0..2 {
        assert_eq!(shelf.text("").await, "second");
    }
    assert_eq!(shelf.packs(), 2);
    assert_eq!(shelf.copies().len(), 1);
}

async fn branches_tags_and_commits_are_kept() {
    let shelf = Shelf::new(None).await;
    let first = git(&shelf.repository, &["rev-parse", "HEAD"]).trim().to_owned();
    git(&shelf.repository, &["tag", "--annotate", "--message=x", "v1"]);
    commit(&shelf.repository, "second");
    git(&shelf.repository, &["branch", "v2"]);
    git(&shelf.repository, &["tag", "v2", &first]);
    for (reference, text) in
        [("v1", "first"), ("v2", "second"), ("refs/tags/v2", "first"), (&first, "first"), (&first[..9], "first")]
    {
        assert_eq!(shelf.text(reference).await, text, "{reference}");
        let before = shelf.packs();
        assert_eq!(shelf.text(reference).await, text, "{reference}");
        // An abbreviated commit is looked for in the whole repository, each time.
        assert_eq!(shelf.packs() > before, reference.len() == 9, "{reference}");
    }
    let view = shelf.run("nope").await;
    assert!(crate::world::message(&view, "sources").contains("There is no branch, tag or commit `nope`"));
}

async fn a_run_without_access_gets_nothing_of_what_another_run_fetched() {
    // "jo:s3cret-token"
    let shelf = Shelf::new(Some("Basic am86czNjcmV0LXRva2Vu")).await;
    let with_access = shelf.url.replace("http://", "http://jo:s3cret-token@");
    let view = shelf.world.carry_out(order(&with_access, "main")).await;
    assert_eq!(view.status, "SUCCEEDED", "{view:#?}");
    assert_eq!(shelf.copies().len(), 1);
    let commit = git(&shelf.repository, &["rev-parse", "HEAD"]).trim().to_owned();
    for reference in ["main", "", &commit] {
        let view = shelf.run(reference).await;
        assert_eq!(view.status, "FAILED", "{view:#?}");
    }
    let config = fs::read_to_string(shelf.copies()[0].join("config")).expect("a file");
    assert!(!config.contains("s3cret-token"));
}

async fn a_damaged_copy_is_thrown_away_and_the_run_goes_on() {
    let shelf = Shelf::new(None).await;
    assert_eq!(shelf.text("main").await, "first");
    for damage in ["overwritten", "empty", "unknown format"] {
        match damage {
            "overwritten" => overwrite(&shelf.copies()[0].join("objects")),
            "empty" => fs::remove_dir_all(shelf.copies()[0].join("objects")).expect("a folder"),
            _ => fs::write(shelf.copies()[0].join("config"), "[core\n").expect("a file"),
        }
        let view = shelf.run("main").await;
        assert_eq!(view.status, "SUCCEEDED", "{damage}: {view:#?}");
        assert!(log(&view, "sources").contains("thrown away"), "{damage}: {view:#?}");
        // And begun anew.
        assert_eq!(shelf.copies().len(), 0, "{damage}");
        assert_eq!(shelf.text("main").await, "first");
        assert_eq!(shelf.copies().len(), 1);
    }
}

/// Writes something else into every file.
fn overwrite(folder: &Path) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            overwrite(&path);
        } else {
            fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("a file");
            fs::write(path, "something else").expect("a file");
        }
    }
}

async fn runs_at_the_same_time_share_the_copy() {
    let shelf = Shelf::new(None).await;
    let mut runs = Vec::new();
    for _ in 0..6 {
        runs.push(shelf.world.mesh.order(&shelf.world.runner, order(&shelf.url, "main")).await);
    }
    let running = shelf.world.start();
    for run in &runs {
        let view = patiently(shelf.world.mesh.wait_for_end(run)).await;
        assert_eq!(view.status, "SUCCEEDED", "{view:#?}");
    }
    running.drain().await;
    assert_eq!(shelf.packs(), 1);
}

async fn the_copies_stay_within_their_size() {
    let mut shelf = Shelf::new(None).await;
    shelf.world.settings.repository_cache_limit = 1;
    assert_eq!(shelf.text("main").await, "first");
    assert_eq!(shelf.copies(), Vec::<PathBuf>::new());
}

async fn a_folder_that_cannot_be_used_is_done_without() {
    let mut shelf = Shelf::new(None).await;
    let file = shelf.world.dir.path().join("file");
    fs::write(&file, "").expect("a file");
    shelf.world.settings.repository_cache_dir = Some(file);
    assert_eq!(shelf.text("main").await, "first");
}
