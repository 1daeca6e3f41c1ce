//! A runner that has no private key.

use meshstack_local::Order;

use crate::patiently;
use crate::runs::{GITLAB, run};
use crate::support::{Setup, UUID, local};

#[tokio::test(flavor = "multi_thread")]
async fn a_runner_without_a_key_serves_manual_runs_and_refuses_what_carries_secrets_with_the_reason() {
    let local = local().await;
    let gitlab = crate::fake_gitlab::Fake::start().await;
    let manual = local.order(UUID, Order::manual().sensitive_input("password", "s3cret", "STRING")).await;
    let secret = local.order_raw(UUID, run(GITLAB, &gitlab.url())).await;
    let mut setup = Setup::of(&local);
    setup.command.env_remove("RUNNER_PRIVATE_KEY_FILE");
    let daemon = setup.start();
    assert_eq!(patiently(local.wait_for_end(&manual)).await.status, "SUCCEEDED");
    let view = patiently(local.wait_for_end(&secret)).await;
    assert_eq!(view.status, "FAILED");
    let message = view.step("gl-trigger").and_then(|step| step.user_message.clone()).unwrap_or_default();
    assert!(message.contains("private key"), "{message}");
    assert_eq!(gitlab.requests().len(), 0, "nothing was started");
    daemon.wait_for_log("no private key is configured");
}
