//! Refusals: each is told once, with what to do, and nothing is tried blindly.

use std::time::Duration;

use executor_gitlab::GitlabSettings;
use meshstack_local::Order;
use serde_json::json;

use crate::fake::{Fake, Fault};
use crate::world::{World, log, message, settings, told, within};

/// What GitLab, or something in between, says; what of it the person is told; what the log has.
fn refusals() -> Vec<(Fault, &'static str, &'static str)> {
    let page = "<!DOCTYPE html><html><head><title>Sign in · GitLab</title></head><body>x</body></html>";
    vec![
        (
            Fault::json(400, r#"{"message":{"base":["Reference not found"]}}"#),
            "neither a branch nor a tag `main`",
            "400",
        ),
        (
            Fault::json(400, r#"{"message":{"variables.value":["is invalid"]}}"#),
            "variables.value: is invalid. Ask the platform team",
            "variables.value: is invalid",
        ),
        (Fault::json(400, r#"{"message":"something odd"}"#), "something odd. Ask", "something odd"),
        (Fault::json(400, r#"{"error":"ref is missing, token is missing"}"#), "ref is missing", "400"),
        (
            Fault::json(403, r#"{"message":{"base":["Identity verification is required in order to run CI jobs"]}}"#),
            "Verify my account",
            "Identity verification",
        ),
        (
            Fault::json(400, r#"{"message":{"base":["Insufficient permissions to set pipeline variables"]}}"#),
            "Minimum role to use pipeline variables",
            "400",
        ),
        (
            Fault::json(400, r#"{"message":{"base":["Pipeline filtered out by workflow rules."]}}"#),
            "`workflow: rules`",
            "filtered out",
        ),
        (Fault::json(401, r#"{"message":"401 Unauthorized"}"#), "renew `pipelineTriggerToken`", "401 Unauthorized"),
        (Fault::json(403, r#"{"message":"403 Forbidden"}"#), "owner of the trigger token", "403"),
        (Fault::json(404, r#"{"message":"404 Not Found"}"#), "does not know the project `4711`", "404 Not Found"),
        (Fault::html(404, page), "a web page answered (404, \"Sign in · GitLab\")", "Sign in"),
        (Fault::html(403, page), "a web page answered", "403"),
        (Fault::html(422, "<html>no title</html>"), "a web page answered", "422"),
        (Fault::json(422, r#"{"message":{"detail":["what","is"]}}"#), "detail: what; detail: is.", "422"),
        (Fault::text(422, "The change you requested was rejected."), "was rejected. Ask", "rejected"),
        (Fault::text(413, ""), "did not start the pipeline and answered 413 Payload Too Large. The largest", "413"),
        (
            Fault::html(413, "<html><title>413 Too Large</title></html>"),
            "413 Too Large. The largest variable is",
            "413",
        ),
        (Fault::text(409, "\u{1}\u{2}"), "and answered 409 Conflict. Ask the platform team", "409"),
        (Fault::json(400, "{\"message\":"), "Ask the platform team", "400"),
    ]
}

#[tokio::test]
async fn every_refusal_ends_the_run_with_what_to_do_after_a_single_request() {
    let world = World::new().await;
    for (number, (fault, told_to_people, in_the_log)) in refusals().into_iter().enumerate() {
        world.fake.fault("trigger", fault.clone());
        let view = world.fails(world.order()).await;
        assert!(message(&view).contains(told_to_people), "{fault:?}: {}", told(&view));
        assert!(log(&view).contains(in_the_log), "{fault:?}: {}", log(&view));
        assert_eq!(world.fake.requests().len(), number + 1, "{fault:?}");
        assert!(view.sources[0].external_run_url.is_none());
    }
    assert!(world.fake.pipelines().is_empty());
}

#[tokio::test]
async fn what_gitlab_itself_refuses_is_explained() {
    let world = World::new().await;
    let with = |field: &str, value: &str| {
        let mut implementation = world.implementation();
        implementation[field] = json!(value);
        Order::new(implementation)
    };
    let view = world.fails(with("projectId", "no/such")).await;
    assert!(message(&view).contains("does not know the project `no/such`"), "{}", told(&view));
    let view = world.fails(with("pipelineTriggerToken", "another-token")).await;
    assert!(message(&view).contains("the trigger token is not one of this project"), "{}", told(&view));
    assert!(!told(&view).contains("another-token"));
    let view = world.fails(with("refName", "no&such")).await;
    assert!(message(&view).contains("neither a branch nor a tag `no&such`"), "{}", told(&view));
    world.fake.with(|gitlab| gitlab.project().variables_allowed = false);
    let view = world.fails(world.order()).await;
    assert!(message(&view).contains("Minimum role"), "{}", told(&view));
    world.fake.with(|gitlab| {
        gitlab.project().variables_allowed = true;
        gitlab.project().longest_variable = 120 * 1024;
    });
    let view = world.fails(world.order().input("much", "x".repeat(200_000), "CODE")).await;
    assert!(message(&view).contains("`MESHSTACK_RUN` with 198 KiB"), "{}", told(&view));
    world.fake.with(|gitlab| {
        let declared = (0..30).map(|number| (format!("i{number}"), "string".to_owned()));
        gitlab.project().inputs = Some(declared.collect());
    });
    let many = (0..21)
        .fold(Order::new(world.implementation()), |order, number| order.input(&format!("i{number}"), "x", "STRING"));
    let view = world.fails(many).await;
    assert!(message(&view).contains("the building block has 21"), "{}", told(&view));
    assert!(world.fake.pipelines().is_empty());
}

#[tokio::test]
async fn an_echo_of_the_trigger_token_is_masked() {
    let world = World::new().await;
    for fault in [
        Fault::json(400, r#"{"message":"the token glptt-secret is odd"}"#),
        Fault::text(422, "token=glptt-secret"),
        Fault::html(403, "<title>glptt-secret</title>"),
    ] {
        world.fake.fault("trigger", fault);
        let view = world.fails(world.order()).await;
        assert!(message(&view).contains("***") && log(&view).contains("***"), "{}", told(&view));
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_says_what_to_correct() {
    let world = World::new().await;
    let place = world.fake.place();
    for (status, to, says) in [
        (301, format!("https://{place}/api/v4/projects/4711/trigger/pipeline"), "begin `gitlabBaseUrl`"),
        (302, "/users/sign_in".to_owned(), "/users/sign_in, so no pipeline"),
        (307, "https://elsewhere.example.com/x?state=1".to_owned(), "to https://elsewhere.example.com/x,"),
    ] {
        let fault = Fault::Answer { status, headers: vec![("location", to)], body: "<html>moved</html>".to_owned() };
        world.fake.fault("trigger", fault);
        let view = world.fails(world.order()).await;
        assert!(message(&view).contains(says), "{}", told(&view));
    }
    assert_eq!(world.fake.requests().len(), 3);
}

#[tokio::test]
async fn a_limit_is_waited_out_because_nothing_was_accepted() {
    let world = World::new().await;
    let too_many = r#"{"message":{"base":["Too many pipelines created in the last minute. Try again later."]}}"#;
    let retry = vec![("retry-after", "0.02".to_owned()), ("content-type", "text/plain".to_owned())];
    world.fake.fault("trigger", Fault::Answer { status: 429, headers: retry, body: "Retry later\n".to_owned() });
    world.fake.fault(
        "trigger",
        Fault::json(429, r#"{"message":{"error":"This endpoint has been requested too many times."}}"#),
    );
    world.fake.fault("trigger", Fault::json(400, too_many));
    let view = world.hand_over(world.order()).await;
    assert_eq!((world.fake.requests().len(), world.fake.pipelines().len()), (4, 1));
    assert_eq!(log(&view).matches("Not accepted: GitLab wants fewer requests").count(), 3, "{}", log(&view));
    assert!(message(&view).contains("GitLab has started the pipeline"), "{}", message(&view));
}

#[tokio::test]
async fn a_limit_that_does_not_end_ends_the_run_and_says_that_nothing_was_started() {
    let mut world = World::without_runner(Fake::start().await).await;
    world.start(GitlabSettings { trigger_patience: Duration::from_millis(50), ..settings() });
    // Longer than the patience: not even waited for.
    let retry = vec![("retry-after", "3600".to_owned())];
    world.fake.fault("trigger", Fault::Answer { status: 429, headers: retry, body: String::new() });
    let view = world.fails(world.order()).await;
    assert!(message(&view).contains("so no pipeline was started"), "{}", told(&view));
    assert_eq!(world.fake.requests().len(), 1);
}

#[tokio::test]
async fn an_abort_is_heard_while_a_limit_is_waited_out() {
    let world = World::new().await;
    let retry = vec![("retry-after", "300".to_owned())];
    world.fake.fault("trigger", Fault::Answer { status: 429, headers: retry, body: String::new() });
    let run = world.place(world.order()).await;
    let waits = |view: &meshstack_local::RunView| {
        view.step("gl-trigger").is_some_and(|step| {
            step.user_message.as_deref().unwrap_or_default().contains("not started the pipeline yet")
        })
    };
    within("the wait is told", world.meshstack.wait_until(&run, waits)).await;
    world.meshstack.abort(&run).await;
    world.idle().await;
    assert_eq!((world.fake.requests().len(), world.fake.pipelines().len()), (1, 0));
}
