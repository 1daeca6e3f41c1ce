//! Exactly this run's workflow, and nobody else's.

use std::collections::HashSet;
use std::time::Duration;

use meshstack_local::RunView;
use serde_json::{Value, json};

use crate::fake::{Details, Fault, Reply, Script, Workflow};
use crate::world::{World, brief, log, message, step};

/// By the run's number in its inputs: the even ones fail.
fn by_number(inputs: &Value) -> Script {
    let number = inputs["MESHSTACK_API_TOKEN"].as_str().expect("a number").parse::<u32>().expect("a number");
    Script::ending(if number.is_multiple_of(2) { "failure" } else { "success" })
}

/// Fifty runs of one workflow at one moment; each must get its own end.
async fn fifty(world: &World) {
    let mut runs = Vec::new();
    for number in 0..50 {
        let order = world.order_with(&json!({ "omitRunObjectInput": true }));
        let order = order.input("MESHSTACK_API_TOKEN", number.to_string(), "STRING");
        runs.push(world.mesh.order(&world.runner, order).await);
    }
    let running = world.start();
    let mut taken = HashSet::new();
    for (number, run) in runs.iter().enumerate() {
        let view = world.end_of(run).await;
        let expected = if number % 2 == 0 { "FAILED" } else { "SUCCEEDED" };
        assert_eq!(view.status, expected, "{number}: {:?}", view.summary);
        let ours = world
            .github
            .runs()
            .into_iter()
            .find(|ours| ours.inputs["MESHSTACK_API_TOKEN"].as_str() == Some(&number.to_string()));
        let id = ours.expect("a workflow run").id;
        assert!(message(&view, "gh-trigger").contains(&id.to_string()), "{}", message(&view, "gh-trigger"));
        assert!(taken.insert(id));
    }
    running.drain().await;
    assert_eq!(world.github.runs().len(), 50, "one workflow for each");
}

#[tokio::test]
async fn fifty_runs_at_once_each_get_their_own_workflow() {
    let world = World::new().await;
    world.github.workflow("apply.yml", Workflow::new(by_number));
    fifty(&world).await;
    assert_eq!(world.github.seen("dispatch").len(), 50);
    assert_eq!(world.github.seen("list_workflow_runs").len(), 0, "nothing has to be looked up");
    assert_eq!((world.github.seen("create_token").len(), world.github.seen("repo_installation").len()), (1, 1));
}

#[tokio::test]
async fn fifty_runs_at_once_each_get_their_own_workflow_where_github_does_not_name_it() {
    let world = World::new().await;
    world.github.state().details = Details::Refused(422);
    world.github.workflow("apply.yml", Workflow::new(by_number));
    fifty(&world).await;
    let asked =
        world.github.seen("dispatch").iter().filter(|seen| seen.body.get("return_run_details").is_some()).count();
    assert_eq!((asked, world.github.seen("dispatch").len()), (1, 51), "it is asked for the details once");
}

#[tokio::test]
async fn fifty_runs_whose_titles_name_them_are_found_although_they_show_up_late() {
    let world = World::new().await;
    {
        let mut state = world.github.state();
        state.details = Details::Refused(400);
        state.hide = 3;
    }
    world.github.workflow("apply.yml", Workflow::new(by_number).named());
    fifty(&world).await;
}

/// A run where GitHub does not name the workflow run, with things that happen beside it.
async fn looked_up(prepare: impl FnOnce(&World)) -> (World, RunView) {
    let mut world = World::new().await;
    world.settings.times.lookup_limit = Duration::from_millis(700);
    world.github.state().details = Details::Refused(422);
    prepare(&world);
    let view = world.carry_out(&json!({ "omitRunObjectInput": true })).await;
    (world, view)
}

#[tokio::test]
async fn a_workflow_that_shows_up_late_is_waited_for() {
    let (world, view) = looked_up(|world| world.github.state().hide = 5).await;
    assert_eq!(view.status, "SUCCEEDED", "{}", brief(&view));
    assert!(world.github.seen("list_workflow_runs").len() >= 6);
    let dispatches = world.github.seen("dispatch");
    assert_eq!(dispatches.iter().map(|seen| seen.status).collect::<Vec<_>>(), [Some(422), Some(204)]);
}

#[tokio::test]
async fn a_host_that_passes_over_the_question_is_looked_up_at_without_a_second_dispatch() {
    let (world, view) = looked_up(|world| world.github.state().details = Details::Ignored).await;
    assert_eq!(view.status, "SUCCEEDED", "{}", brief(&view));
    assert_eq!(world.github.seen("dispatch").len(), 1);
}

#[tokio::test]
async fn runs_of_before_of_much_later_on_other_branches_and_of_other_workflows_are_not_taken() {
    let (world, view) = looked_up(|world| {
        world.github.workflow("other.yml", Workflow::new(|_| Script::ending("failure")));
        let mut state = world.github.state();
        state.ahead = -60;
        state.start("apply.yml", "main", json!({}));
        state.ahead = 600;
        state.start("apply.yml", "main", json!({}));
        state.ahead = 0;
        state.start("apply.yml", "v1", json!({}));
        state.start("other.yml", "main", json!({}));
    })
    .await;
    assert_eq!(view.status, "SUCCEEDED", "{}", brief(&view));
    let ours = world.github.runs().pop().expect("a run");
    assert!(message(&view, "gh-trigger").contains(&ours.id.to_string()));
}

#[tokio::test]
async fn two_that_could_be_it_fail_the_run_with_both_links() {
    let (world, view) = looked_up(|world| {
        world.github.start_from_outside("apply.yml", json!({}));
    })
    .await;
    let runs = world.github.runs();
    assert_eq!((view.status.word(), runs.len()), ("FAILED", 2));
    let end = message(&view, "gh-trigger");
    assert!(end.contains("2 workflow runs began at that moment"), "{end}");
    assert!(runs.iter().all(|run| end.contains(&world.github.state().page(run.id))), "{end}");
    assert!(runs.iter().all(|run| run.cancels.is_empty()));
}

#[tokio::test]
async fn of_two_that_could_be_it_the_title_tells() {
    let (world, view) = looked_up(|world| {
        world.github.workflow("apply.yml", Workflow::new(|_| Script::ending("success")).named());
        let address = "https://mesh/api/meshobjects/meshbuildingblockruns/somebody-elses";
        world.github.start_from_outside("apply.yml", json!({ "buildingBlockRunUrl": address }));
        world.github.start_from_outside("apply.yml", json!({}));
    })
    .await;
    assert_eq!(view.status, "SUCCEEDED", "{}", brief(&view));
    let ours = world.github.runs().pop().expect("a run");
    assert!(message(&view, "gh-trigger").contains(&ours.id.to_string()));
}

#[tokio::test]
async fn a_workflow_that_never_shows_up_fails_the_run() {
    let (world, view) = looked_up(|world| world.github.state().hide = u32::MAX).await;
    assert_eq!(view.status, "FAILED");
    let end = message(&view, "gh-trigger");
    assert!(end.contains("no workflow run of it showed up"), "{end}");
    assert_eq!(world.github.runs().len(), 1);
}

#[tokio::test]
async fn an_asynchronous_run_whose_workflow_is_not_found_is_handed_over_without_a_link() {
    let mut world = World::new().await;
    world.settings.times.lookup_limit = Duration::from_millis(100);
    world.github.state().details = Details::Refused(422);
    world.github.state().hide = u32::MAX;
    let run = world.order(&json!({ "async": true })).await;
    let running = world.start();
    let view = world.started(&run).await;
    running.drain().await;
    assert_eq!(view.status, "IN_PROGRESS", "{}", brief(&view));
    assert!(log(&view, "gh-trigger").contains("there is no link to it"), "{}", log(&view, "gh-trigger"));
}

#[tokio::test]
async fn while_one_workflow_is_looked_for_the_next_is_not_started() {
    let mut world = World::new().await;
    world.settings.times.lookup_limit = Duration::from_millis(400);
    world.github.state().details = Details::Refused(422);
    world.github.state().hide = u32::MAX;
    let running = world.start();
    let first = world.order(&json!({})).await;
    world.github.asked("list_workflow_runs", 1).await;
    world.github.state().hide = 0;
    let second = world.order(&json!({})).await;
    assert_eq!(world.end_of(&first).await.status, "FAILED");
    let view = world.end_of(&second).await;
    running.drain().await;
    assert_eq!(view.status, "SUCCEEDED", "{}", brief(&view));
    let dispatches = world.github.seen("dispatch");
    let between = dispatches[2].at - dispatches[1].at;
    assert!(between >= Duration::from_millis(400), "{between:?}");
}

#[tokio::test]
async fn a_lost_answer_never_leads_to_a_second_dispatch() {
    for (fault, arrived) in [
        (Fault::CutAfter, true),
        (Fault::CutBefore, false),
        (Fault::Answer(Reply::error(500, "Server Error")), false),
        (Fault::Answer(Reply::page(502)), false),
        (Fault::Answer(Reply::page(200)), false),
    ] {
        let mut world = World::new().await;
        world.settings.times.lookup_limit = Duration::from_millis(150);
        world.github.fault("dispatch", fault.clone());
        let view = world.carry_out(&json!({ "omitRunObjectInput": true })).await;
        assert_eq!(view.status, "FAILED", "{fault:?}");
        assert!(message(&view, "gh-trigger").contains("may have been started"), "{}", message(&view, "gh-trigger"));
        assert_eq!(step(&view, "gh-trigger").status, "FAILED");
        assert_eq!((world.github.seen("dispatch").len(), world.github.runs().len()), (1, usize::from(arrived)));
    }
}

#[tokio::test]
async fn after_a_lost_answer_a_workflow_whose_title_names_the_run_is_followed() {
    let world = World::new().await;
    world.github.workflow("apply.yml", Workflow::new(|_| Script::ending("success")).named());
    world.github.state().hide = 2;
    world.github.fault("dispatch", Fault::CutAfter);
    let view = world.carry_out(&json!({ "omitRunObjectInput": true })).await;
    assert_eq!(view.status, "SUCCEEDED", "{}", brief(&view));
    assert_eq!(world.github.runs().len(), 1);
    assert!(log(&view, "gh-trigger").contains("It is not known whether GitHub started the workflow"));
}

#[tokio::test]
async fn a_connection_that_was_refused_is_made_again() {
    let world = World::new().await;
    // Nobody listens there: the request certainly never arrived, and the runner goes on trying.
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let order = world.order_with(&json!({ "githubBaseUrl": format!("http://{free}") }));
    let mut world = world;
    world.settings.times.patience = Duration::from_millis(200);
    let view = world.carry_out_order(order).await;
    assert_eq!(view.status, "FAILED");
    let end = message(&view, "gh-trigger");
    assert!(end.contains("GitHub could not be reached, so nothing was started"), "{end}");
    assert!(log(&view, "gh-trigger").contains("The runner tries again"), "{}", log(&view, "gh-trigger"));
}
