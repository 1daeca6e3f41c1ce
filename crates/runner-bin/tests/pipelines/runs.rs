//! The run objects of the executors' fixtures, pointed to the fakes.

use serde_json::Value;

pub(crate) const GITHUB_SYNC: &str = include_str!("../../../executor-github/tests/fixtures/github-sync.json");
pub(crate) const GITHUB_ASYNC: &str = include_str!("../../../executor-github/tests/fixtures/github-async-url.json");
pub(crate) const GITHUB_RUN_TOKEN: &str = include_str!("../../../executor-github/tests/fixtures/github-run-token.json");
pub(crate) const GITHUB_NO_DESTROY: &str =
    include_str!("../../../executor-github/tests/fixtures/github-no-destroy.json");
pub(crate) const GITLAB: &str = include_str!("../../../executor-gitlab/tests/fixtures/gitlab.json");
pub(crate) const AZURE_SYNC: &str = include_str!("../../../executor-azdo/tests/fixtures/azure-devops-sync.json");
pub(crate) const AZURE_ASYNC: &str = include_str!("../../../executor-azdo/tests/fixtures/azure-devops-async.json");

/// The run of a fixture whose platform is at `url`.
pub(crate) fn run(fixture: &str, url: &str) -> Value {
    let text =
        ["GITHUB_URL", "GITLAB_URL", "ADO_URL"].iter().fold(fixture.to_owned(), |text, word| text.replace(word, url));
    serde_json::from_str(&text).expect("a run object")
}
