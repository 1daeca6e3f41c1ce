//! The real binary as the one runner of every implementation type, with the platforms that the executors' own tests run
//! against.

#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "shared with the other tests of the binary")]
mod support;

#[path = "../../../executor-azdo/tests/it/fake/mod.rs"]
#[expect(dead_code, reason = "shared with the executor's own tests")]
mod fake_azure;
#[path = "../../../executor-github/tests/it/fake/mod.rs"]
#[expect(dead_code, unused_imports, reason = "shared with the executor's own tests")]
mod fake_github;
#[path = "../../../executor-gitlab/tests/it/fake/mod.rs"]
#[expect(dead_code, unused_imports, reason = "shared with the executor's own tests")]
mod fake_gitlab;

/// Nothing here takes this long, unless something is wrong.
async fn patiently<T>(what: impl Future<Output = T>) -> T {
    let Ok(done) = tokio::time::timeout(support::PATIENCE * 4, what).await else { panic!("waited in vain") };
    done
}

mod every_type;
mod killed;
mod runs;
mod without_a_key;
