//! Previews, and the apply of what they saved.

use libtest_mimic::Trial;
use meshstack_local::{Effect, Fault, Operation};
use serde_json::json;

use crate::world::{World, log, message, statuses};

pub(crate) fn tests() -> Vec<Trial> {
    trials![real:
        a_preview_hands_in_its_plan_and_says_what_would_change,
        a_preview_without_changes_says_so,
        a_saved_plan_is_applied_as_it_is,
        a_stale_plan_fails_the_run_and_asks_for_a_new_preview,
        a_plan_that_cannot_be_fetched_fails_the_run_and_asks_for_a_new_preview,
        an_async_preview_is_handed_over_with_its_plan,
    ]
}

const MODULE: &str = "variable \"v\" { default = \"1\" }\nresource \"terraform_data\" \"x\" { input = var.v }\noutput \"v\" { value = terraform_data.x.output }\n";
const BLOCK: &str = "2a3a3a39-5d32-4a3c-8d8a-6f3a5a1f0002";

async fn a_preview_hands_in_its_plan_and_says_what_would_change() {
    let world = World::new().await;
    let view = world.carry_out(world.order(&[("main.tf", MODULE)]).behavior("DETECT").building_block(BLOCK)).await;
    assert_eq!(view.status, "SUCCEEDED", "{view:#?}");
    assert_eq!(view.changes_detected, Some(true));
    assert!(view.artifact.as_ref().is_some_and(|plan| plan.starts_with(b"PK")), "a saved plan is a zip file");
    assert_eq!(view.summary.as_deref(), Some("1 to add, 0 to change, 0 to destroy"));
    let ids: Vec<&str> = statuses(&view).iter().map(|(id, _)| *id).collect();
    assert_eq!(ids, ["sources", "input", "init_tf", "pre_run_script", "execute_tf"]);
    assert_eq!(view.step("execute_tf").unwrap().display_name, "Run Terraform Plan");
    assert_eq!(world.mesh.state("example-workspace", BLOCK).await, None, "nothing was changed");
}

async fn a_preview_without_changes_says_so() {
    let world = World::new().await;
    let order = world.order(&[("main.tf", MODULE)]).building_block(BLOCK);
    assert_eq!(world.carry_out(order.clone()).await.status, "SUCCEEDED");
    let view = world.carry_out(order.behavior("DETECT")).await;
    assert_eq!(view.status, "SUCCEEDED", "{view:#?}");
    assert_eq!((view.changes_detected, view.summary.as_deref()), (Some(false), Some("No changes")));
}

async fn a_saved_plan_is_applied_as_it_is() {
    let world = World::new().await;
    let order = world.order(&[("main.tf", MODULE)]).building_block(BLOCK).input("v", "planned", "STRING");
    let preview = world.carry_out(order.clone().behavior("DETECT")).await;
    assert_eq!(preview.status, "SUCCEEDED", "{preview:#?}");

    let view = world.carry_out(order.plan_of(&preview.uuid)).await;

    assert_eq!(view.status, "SUCCEEDED", "{view:#?}");
    let log = log(&view, "execute_tf");
    assert!(log.contains("apply -no-color -input=false plan.tfplan") && !log.contains("-auto-approve"), "{log}");
    assert_eq!(view.outputs["v"].value, json!("planned"));
}

async fn a_stale_plan_fails_the_run_and_asks_for_a_new_preview() {
    let world = World::new().await;
    let order = world.order(&[("main.tf", MODULE)]).building_block(BLOCK);
    let preview = world.carry_out(order.clone().behavior("DETECT")).await;
    assert_eq!(world.carry_out(order.clone().input("v", "other", "STRING")).await.status, "SUCCEEDED");

    let view = world.carry_out(order.plan_of(&preview.uuid)).await;

    assert_eq!(view.status, "FAILED");
    let told = message(&view, "execute_tf");
    assert!(told.starts_with("The saved plan no longer fits") && told.contains("Run the preview again"), "{told}");
    assert!(told.contains("Error: Saved plan is stale"), "{told}");
}

async fn a_plan_that_cannot_be_fetched_fails_the_run_and_asks_for_a_new_preview() {
    let world = World::new().await;
    let order = world.order(&[("main.tf", MODULE)]).building_block(BLOCK);
    let preview = world.carry_out(order.clone().behavior("DETECT")).await;
    world.mesh.fault(Fault::on(Operation::Artifact, Effect::status(404)).always());

    let view = world.carry_out(order.plan_of(&preview.uuid)).await;

    assert_eq!(view.status, "FAILED");
    assert!(message(&view, "execute_tf").contains("Run the preview again"), "{view:#?}");
}

async fn an_async_preview_is_handed_over_with_its_plan() {
    let world = World::new().await;
    let order = world.order_with(&[("main.tf", MODULE)], &json!({ "async": true })).behavior("DETECT");
    let view = world.hand_over(order).await;
    assert_eq!(view.status, "IN_PROGRESS");
    assert_eq!(view.changes_detected, Some(true));
    assert!(view.artifact.is_some());
}
