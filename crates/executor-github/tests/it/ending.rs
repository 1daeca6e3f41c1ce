//! A workflow is started and followed to its end: what meshStack and GitHub see of it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::fake::{Fake, Script, Workflow, job};
use crate::world::{World, brief, log, message, step};

const CONCLUSIONS: [(&str, bool); 9] = [
    ("success", true),
    ("skipped", true),
    ("neutral", true),
    ("failure", false),
    ("cancelled", false),
    ("timed_out", false),
    ("action_required", false),
    ("startup_failure", false),
    ("melted", false),
];

#[tokio::test]
async fn a_workflow_that_ends_well_is_a_run_that_ends_well() {
    let world = World::new().await;
    let view = world.carry_out(&json!({})).await;
    let run = &world.github.runs()[0];
    assert_eq!(view.status, "SUCCEEDED", "{}", brief(&view));
    assert!(!view.has_warning(), "{:#?}", view.steps);
    let steps: Vec<_> = view.steps.iter().map(|step| (step.id.clone(), step.display_name.clone())).collect();
    let job_step = format!("gh-workflow-job-{}001", run.id);
    let trigger = ("gh-trigger".to_owned(), "Trigger GitHub Action".to_owned());
    assert_eq!(steps, [trigger, (job_step.clone(), "GitHub Job: build".to_owned())]);
    let page = world.github.state().page(run.id);
    assert_eq!(message(&view, "gh-trigger"), format!("The workflow ended with success: {page}"));
    let expected =
        "Began 2020-01-20 17:42:40 UTC on runner-7.\nEnded 2020-01-20 17:44:39 UTC after 1 min 59 s: success.";
    assert!(log(&view, &job_step).contains(expected), "{}", log(&view, &job_step));
    assert!(log(&view, &job_step).contains(&format!("{page}/job/{}001", run.id)), "{}", log(&view, &job_step));
    assert_eq!(view.sources[0].external_run_id, Some(json!(run.id.to_string())));
    assert_eq!(view.sources[0].external_run_url, Some(page));
    assert_eq!(world.github.seen("dispatch").len(), 1);
}

#[tokio::test]
async fn every_conclusion_ends_a_synchronous_run_as_it_should() {
    let world = World::new().await;
    world.github.state().described = false;
    for (conclusion, good) in CONCLUSIONS {
        world.script(Script::ending(conclusion));
        let view = world.carry_out(&json!({})).await;
        let run = world.github.runs().pop().expect("a run");
        let expected = if good { "SUCCEEDED" } else { "FAILED" };
        assert_eq!((view.status.word(), view.ended_count), (expected, 1), "{conclusion}");
        assert_eq!(step(&view, "gh-trigger").status.word(), expected, "{conclusion}");
        let page = world.github.state().page(run.id);
        assert!(message(&view, "gh-trigger").contains(&page), "{conclusion}: {}", message(&view, "gh-trigger"));
        assert_eq!(step(&view, &format!("gh-workflow-job-{}001", run.id)).status.word(), expected, "{conclusion}");
        assert!(log(&view, "gh-trigger").contains(conclusion), "{}", log(&view, "gh-trigger"));
    }
}

#[tokio::test]
async fn an_asynchronous_run_is_handed_over_whatever_becomes_of_the_workflow() {
    let world = World::new().await;
    let running = world.start();
    for (conclusion, _) in CONCLUSIONS {
        world.script(Script::ending(conclusion));
        let run = world.order(&json!({ "async": true })).await;
        let view = world.started(&run).await;
        assert_eq!(view.status, "IN_PROGRESS", "{conclusion}: {}", brief(&view));
        assert!(view.sources[0].external_run_url.is_some());
    }
    running.drain().await;
    assert_eq!(world.github.seen("get_run").len(), 0, "nobody watches");
    assert_eq!(world.github.seen("dispatch").len(), CONCLUSIONS.len());
}

#[tokio::test]
async fn words_that_are_not_known_yet_are_in_progress() {
    let world = World::new().await;
    world.github.state().described = false;
    world.script(
        Script::new()
            .then(1, "requested", vec![])
            .then(1, "waiting", vec![job(1, "deploy").status("waiting")])
            .then(1, "on_hold", vec![job(1, "deploy").status("thinking")])
            .then(1, "pending", vec![job(1, "deploy").status("pending")])
            .end("success", vec![job(1, "deploy").ended("success")]),
    );
    let view = world.carry_out(&json!({})).await;
    assert_eq!(view.status, "SUCCEEDED", "{}", brief(&view));
    assert!(log(&view, "gh-trigger").contains("waits, for an approval perhaps"), "{}", log(&view, "gh-trigger"));
}

#[tokio::test]
async fn jobs_that_appear_late_are_run_again_or_share_a_name_are_steps_of_their_own() {
    let world = World::new().await;
    let first = || vec![job(1, "test (a)"), job(2, "test (a)")];
    world.script(
        Script::new()
            .then(1, "queued", vec![])
            .then(2, "in_progress", first())
            .then(1, "queued", vec![job(3, "test (a)").status("queued"), job(4, "test (a)").ended("success")])
            .attempt(2)
            .then(1, "in_progress", vec![job(3, "test (a)"), job(4, "test (a)").ended("success")])
            .attempt(2)
            .end(
                "success",
                vec![
                    job(3, "test (a)").ended("success"),
                    job(4, "test (a)").ended("success"),
                    job(5, "late").ended("skipped"),
                ],
            )
            .attempt(2),
    );
    let view = world.carry_out(&json!({})).await;
    let id = world.github.runs()[0].id;
    assert_eq!(view.status, "SUCCEEDED", "{}", brief(&view));
    assert!(!view.has_warning(), "{:#?}", view.steps);
    let numbers: Vec<String> = view.steps[1..].iter().map(|step| step.id.clone()).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5].map(|number| format!("gh-workflow-job-{id}00{number}")));
    assert!(log(&view, &numbers[0]).contains("run again"), "{}", log(&view, &numbers[0]));
    assert!(log(&view, "gh-trigger").contains("this is attempt 2"), "{}", log(&view, "gh-trigger"));
    assert_eq!(message(&view, &numbers[4]), "The job did nothing: GitHub calls it skipped.");
    assert!(log(&view, &numbers[2]).contains("Waits for a runner with the labels self-hosted, gpu."));
}

#[tokio::test]
async fn more_jobs_than_a_page_holds_are_all_shown() {
    let world = World::new().await;
    let jobs = |ended: bool| {
        let jobs = (1..=250).map(|number| job(number, &format!("job {number}")));
        jobs.map(|job| if ended { job.ended("success") } else { job }).collect::<Vec<_>>()
    };
    world.script(Script::new().then(2, "in_progress", jobs(false)).end("success", jobs(true)));
    let view = world.carry_out(&json!({})).await;
    assert_eq!((view.status.word(), view.steps.len()), ("SUCCEEDED", 251));
    assert!(!view.has_warning(), "a job has not ended");
}

#[tokio::test]
async fn a_failed_job_shows_where_it_failed_and_the_end_of_its_log() {
    let world = World::new().await;
    let lines: Vec<String> = (0..4000).map(|line| format!("2020-01-20T17:42:40.0Z line {line} of the log")).collect();
    let lines = lines.join("\n");
    let failed = job(1, "build").ended("failure").step("Set up", Some("success")).step("Run Tests", Some("failure"));
    world.script(Script::new().then(1, "in_progress", vec![job(1, "build"), job(2, "lint")]).end(
        "failure",
        vec![failed.log(&format!("{lines}\nthe password is pa$$w0rd-canary\n")), job(2, "lint").ended("success")],
    ));
    let order = world.order_with(&json!({})).sensitive_input("password", "pa$$w0rd-canary", "STRING");
    let view = world.carry_out_order(order).await;
    let id = format!("gh-workflow-job-{}001", world.github.runs()[0].id);
    assert_eq!(view.status, "FAILED");
    let job = message(&view, &id);
    assert_eq!(
        job,
        "The job `build` failed in its step `Run Tests`. Look at its log, and ask the platform team if it does not help."
    );
    let shown = log(&view, &id);
    assert!(shown.contains("The end of its log:\n2020-01-20T17:42:40.0Z line 3"), "{shown}");
    assert!(shown.contains("line 3999 of the log\nthe password is ***\n"), "{shown}");
    assert!(shown.len() < 18 * 1024 && !shown.contains("line 3000 "), "{} bytes", shown.len());
    let end = message(&view, "gh-trigger");
    assert!(
        end.starts_with("The workflow failed. Not well ended: `build` in its step `Run Tests`. Look there"),
        "{end}"
    );
    assert_eq!(step(&view, "gh-trigger").status, "FAILED");
    assert_eq!(view.summary.as_deref(), Some(end));
}

#[tokio::test]
async fn a_log_that_cannot_be_had_costs_a_line_only() {
    let world = World::new().await;
    world.script(Script::new().end("failure", vec![job(1, "build").ended("failure")]));
    let view = world.carry_out(&json!({})).await;
    let id = format!("gh-workflow-job-{}001", world.github.runs()[0].id);
    assert_eq!(view.status, "FAILED");
    assert!(
        log(&view, &id).contains("Its log could not be fetched: GitHub answered 404 Not Found"),
        "{}",
        log(&view, &id)
    );
}

#[tokio::test]
async fn of_many_failed_jobs_a_few_logs_are_fetched() {
    let world = World::new().await;
    let jobs = (1..=20).map(|number| job(number, "m").ended("failure").log("oh no")).collect();
    world.script(Script::new().end("failure", jobs));
    let view = world.carry_out(&json!({})).await;
    assert_eq!(view.status, "FAILED");
    assert_eq!(world.github.seen("job_logs").len(), 5);
    assert!(
        message(&view, "gh-trigger").contains("`m`, `m`, `m`, `m`, `m`, 15 more"),
        "{}",
        message(&view, "gh-trigger")
    );
}

#[tokio::test]
async fn a_job_list_that_lags_behind_is_looked_at_again() {
    let world = World::new().await;
    world.script(Script::ending("success"));
    // The run has ended, its job has not: once.
    let body = {
        let state = world.github.state();
        let run = crate::fake::FakeRun::example(&Script::endless());
        json!({ "total_count": 1, "jobs": [state.job_json(&run, &job(1, "build"))] })
    };
    let stale = crate::fake::Reply::json(200, &body);
    world.github.faults("list_jobs", 0, 2, crate::fake::Fault::Answer(stale));
    let view = world.carry_out(&json!({})).await;
    assert_eq!(view.status, "SUCCEEDED", "{}", brief(&view));
    assert!(!view.has_warning(), "{:#?}", view.steps);
}

#[tokio::test]
async fn a_workflow_that_takes_too_long_fails_the_run_and_is_left_alone() {
    let mut world = World::new().await;
    world.settings.pipeline_timeout = std::time::Duration::from_secs(8);
    world.script(Script::endless());
    let view = world.carry_out(&json!({})).await;
    let run = &world.github.runs()[0];
    assert_eq!(view.status, "FAILED");
    let end = message(&view, "gh-trigger");
    assert!(end.contains("did not end within 8 s") && end.ends_with(&world.github.state().page(run.id)), "{end}");
    assert!(run.cancels.is_empty());
    let job = step(&view, &format!("gh-workflow-job-{}001", run.id));
    assert_eq!(job.status, "FAILED", "no step is left open");
    assert!(log(&view, "gh-trigger").contains("the last status of the workflow run was `in_progress`"));
}

/// A fixture, for this world.
fn fixture(world: &World, text: &str) -> Value {
    let text = text.replace("GITHUB_URL", &world.github.url());
    serde_json::from_str(&text).expect("a run")
}

#[tokio::test]
async fn the_fixture_of_a_synchronous_run_ends_well_and_hands_the_run_object_on() {
    let world = World::with(Fake::start_below("/api/v3").await, meshstack_local::Options::default()).await;
    world
        .github
        .workflow("apply.yml", Workflow::new(|_| Script::ending("success")).declaring(&[("buildingBlockRun", true)]));
    let run = fixture(&world, include_str!("../fixtures/github-sync.json"));
    let uuid = world.mesh.order_raw(&world.runner, run.clone()).await;
    let running = world.start();
    let view = world.end_of(&uuid).await;
    running.drain().await;
    assert_eq!(view.status, "SUCCEEDED", "{}", brief(&view));

    let sent = world.github.runs()[0].inputs.clone();
    let sent = STANDARD.decode(sent["buildingBlockRun"].as_str().expect("the run object")).expect("base64");
    let sent: Value = serde_json::from_slice(&sent).expect("JSON");
    let implementation = &sent["spec"]["buildingBlockDefinition"]["spec"]["implementation"];
    assert_eq!(*implementation, json!({ "type": "GITHUB_WORKFLOW" }));
    assert_eq!(sent["somethingNew"], json!({ "kept": true }));
    assert_eq!(sent["spec"]["runToken"], run["spec"]["runToken"]);
    let input = |key: &str| {
        let inputs = sent["spec"]["buildingBlock"]["spec"]["inputs"].as_array().expect("inputs");
        inputs.iter().find(|input| input["key"] == key).cloned().expect("the input")
    };
    assert_eq!(
        (&input("password")["value"], &input("password")["isSensitive"]),
        (&json!("pa$$w0rd\"'\\ü"), &json!(true))
    );
    assert_eq!(input("DD_API_KEY")["value"], "dd-secret");
    assert!(sent["_links"]["updateSource"]["href"].as_str().expect("a link").contains("{sourceId}"));
}

#[tokio::test]
async fn the_fixture_of_an_asynchronous_run_hands_over_the_address_and_the_api_token() {
    let world = World::new().await;
    let inputs = [("buildingBlockRunUrl", true), ("MESHSTACK_API_TOKEN", true), ("MESHSTACK_ENDPOINT", false)];
    world.github.workflow("apply.yml", Workflow::new(|_| Script::ending("success")).declaring(&inputs));
    let uuid =
        world.mesh.order_raw(&world.runner, fixture(&world, include_str!("../fixtures/github-async-url.json"))).await;
    let running = world.start();
    let view = world.started(&uuid).await;
    running.drain().await;
    assert_eq!(view.status, "IN_PROGRESS", "{}", brief(&view));
    let sent = world.github.runs()[0].inputs.clone();
    let address = format!("{}/api/meshobjects/meshbuildingblockruns/{uuid}", world.mesh.url());
    assert_eq!(
        sent,
        json!({ "buildingBlockRunUrl": address, "MESHSTACK_API_TOKEN": "api-token",
            "MESHSTACK_ENDPOINT": "https://api.example.com" })
    );
}

#[tokio::test]
async fn the_fixture_with_a_numeric_app_id_and_a_run_token_ends_well() {
    let world = World::new().await;
    let run = fixture(&world, include_str!("../fixtures/github-run-token.json"));
    let uuid = world.mesh.order_raw(&world.runner, run).await;
    let running = world.start();
    let view = world.end_of(&uuid).await;
    running.drain().await;
    assert_eq!(view.status, "SUCCEEDED", "{}", brief(&view));
    let sent = world.github.runs()[0].inputs.clone();
    let keys: Vec<&String> = sent.as_object().expect("inputs").keys().collect();
    assert_eq!(keys, ["buildingBlockRunUrl", "MESHSTACK_API_TOKEN", "MESHSTACK_RUN_TOKEN", "MESHSTACK_ENDPOINT"]);
}

#[tokio::test]
async fn the_fixture_without_a_workflow_for_destroy_fails_and_says_so() {
    let world = World::new().await;
    let run = fixture(&world, include_str!("../fixtures/github-no-destroy.json"));
    let uuid = world.mesh.order_raw(&world.runner, run).await;
    let running = world.start();
    let view = world.end_of(&uuid).await;
    running.drain().await;
    assert_eq!(view.status, "FAILED");
    let end = message(&view, "gh-trigger");
    assert!(end.contains("names no workflow for DESTROY (`destroyWorkflow`)"), "{end}");
    assert!(world.github.state().seen.is_empty(), "GitHub is not asked");
}

#[tokio::test]
async fn each_behavior_starts_its_workflow_on_its_branch() {
    let world = World::new().await;
    world.github.workflow("destroy.yml", Workflow::new(|_| Script::ending("success")));
    for (behavior, file) in [("APPLY", "apply.yml"), ("DETECT", "apply.yml"), ("DESTROY", "destroy.yml")] {
        let order = world.order_with(&json!({ "branch": "refs/tags/v1" })).behavior(behavior);
        let view = world.carry_out_order(order).await;
        assert_eq!(view.status, "SUCCEEDED", "{}", brief(&view));
        let run = world.github.runs().pop().expect("a run");
        assert_eq!((run.file.as_str(), run.branch.as_str()), (file, "v1"));
    }
}
