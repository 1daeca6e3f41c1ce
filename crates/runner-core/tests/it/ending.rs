//! Every run that was claimed ends, and says why.

use runner_core::meshstack_client::{Problem, RunStatus, StepStatus};
use runner_core::{Failure, Outcome};
use serde_json::json;

use crate::fake::{Fake, Fault, On};
use crate::scene::{
    HOUR, MINUTE, Scripted, conflict, executor, gone, instant, no_answer, order, order_with, refused, seconds, start,
    unavailable,
};

/// Fails in the second of three steps.
fn failing() -> Scripted {
    executor("MANUAL", &["one", "two", "three"], |ctx| {
        Box::pin(async move {
            ctx.step("one").succeed();
            ctx.step("two").start();
            ctx.step("two").log_line("about to fail");
            tokio::time::sleep(seconds(1)).await;
            let cause = std::io::Error::other("the disk is on fire");
            Err(Failure::because("The bucket could not be made. Choose another name.", cause))
        })
    })
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_told_in_the_step_under_way_and_the_steps_after_it_fail_because_of_it() {
    let fake = Fake::new();
    fake.queue(&order("r", "MANUAL"));
    let daemon = start(&fake, fake.runner().executor(failing()));
    fake.until_over("r").await;
    let run = fake.run("r");
    assert_eq!(run.status, Some(RunStatus::Failed));
    assert_eq!(run.summary.as_deref(), Some("The bucket could not be made. Choose another name."));
    assert_eq!(run.step("one").status, StepStatus::Succeeded);
    assert_eq!(run.step("two").status, StepStatus::Failed);
    assert_eq!(run.user_message("two"), "The bucket could not be made. Choose another name.");
    assert_eq!(run.system_message("two"), "about to fail\nthe disk is on fire\n");
    assert_eq!(run.step("three").status, StepStatus::Failed);
    assert_eq!(run.step("three").user_message, None);
    assert_eq!(run.system_message("three"), "Not carried out: an earlier step failed.\n");
    daemon.drain().await;
}

#[tokio::test(start_paused = true)]
async fn a_failure_leaves_steps_alone_that_succeeded_or_failed_for_a_reason_of_their_own() {
    let fake = Fake::new();
    fake.queue(&order("r", "MANUAL"));
    let odd = executor("MANUAL", &["optional", "main", "early", "late"], |ctx| {
        Box::pin(async move {
            ctx.step("optional").fail("It does not matter.");
            ctx.step("early").succeed();
            ctx.step("main").start();
            Err(Failure::new("It matters."))
        })
    });
    let _daemon = start(&fake, fake.runner().executor(odd));
    fake.until_over("r").await;
    let run = fake.run("r");
    assert_eq!(run.user_message("optional"), "It does not matter.");
    assert_eq!((run.step("main").status, run.user_message("main")), (StepStatus::Failed, "It matters."));
    assert_eq!(run.step("early").status, StepStatus::Succeeded);
    assert_eq!(run.step("late").status, StepStatus::Failed);
}

#[tokio::test(start_paused = true)]
async fn a_panic_fails_its_run_and_nothing_else() {
    let fake = Fake::new();
    let panicking = executor("MANUAL", &["work"], |ctx| {
        Box::pin(async move {
            ctx.step("work").start();
            if ctx.run().uuid() == "good" {
                tokio::time::sleep(seconds(30)).await;
                return Ok(Outcome::Succeeded);
            }
            if ctx.run().uuid() == "late" {
                tokio::time::sleep(seconds(2)).await;
            }
            panic!("lost the token of {}", ctx.run().uuid());
        })
    });
    for uuid in ["good", "soon", "late", "next"] {
        fake.queue(&order(uuid, "MANUAL"));
    }
    let daemon = start(&fake, fake.runner().executor(panicking));
    for (uuid, status) in [("soon", RunStatus::Failed), ("late", RunStatus::Failed), ("good", RunStatus::Succeeded)] {
        fake.until_over(uuid).await;
        assert_eq!(fake.run(uuid).status, Some(status), "{uuid}");
    }
    for uuid in ["soon", "late"] {
        assert!(fake.run(uuid).user_message("work").contains("through a mistake of its own"), "{uuid}");
        assert_eq!(fake.run(uuid).system_message("work"), "panic: lost the ***\n", "masked: the text holds the token");
    }
    fake.queue(&order("after", "MANUAL"));
    fake.until_over("after").await;
    daemon.drain().await;
}

/// Panics where the core asks it, rather than in `execute`.
struct PanicsIn(&'static str);

#[async_trait::async_trait]
impl runner_core::Executor for PanicsIn {
    fn serves(&self) -> runner_core::Serves {
        runner_core::Serves::Any
    }

    fn steps(&self, _run: &runner_core::Run) -> Vec<runner_core::StepSpec> {
        assert_ne!(self.0, "steps");
        vec![runner_core::StepSpec::new("work", "Work")]
    }

    fn repeatable(&self) -> bool {
        assert_ne!(self.0, "repeatable");
        false
    }

    async fn execute(&self, _ctx: &runner_core::RunContext) -> Result<Outcome, Failure> {
        Ok(Outcome::Succeeded)
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_an_executor_outside_of_execute_fails_its_run_too() {
    for place in ["steps", "repeatable"] {
        let fake = Fake::new();
        fake.queue(&order("r", "MANUAL"));
        let daemon = start(&fake, fake.runner().executor(PanicsIn(place)));
        fake.until_over("r").await;
        let run = fake.run("r");
        assert_eq!(run.status, Some(RunStatus::Failed), "{place}");
        assert!(run.user_message("validation").contains("mistake of its own"), "{place}: {run:#?}");
        assert_eq!(fake.claims().len(), 2, "the daemon goes on");
        daemon.drain().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_of_a_type_that_nobody_serves_fails_and_names_the_types_that_are_served() {
    let fake = Fake::new();
    fake.queue(&order("r", "PULUMI"));
    let (one, two) = (instant("MANUAL"), instant("TERRAFORM"));
    let calls = (one.calls(), two.calls());
    let _daemon = start(&fake, fake.runner().executor(two).executor(one));
    fake.until_over("r").await;
    let run = fake.run("r");
    assert_eq!(run.status, Some(RunStatus::Failed));
    assert_eq!(
        run.user_message("validation"),
        "This runner does not carry out building blocks of type \"PULUMI\"; it knows MANUAL, TERRAFORM. \
         Ask the platform team to assign the definition to another runner."
    );
    assert_eq!((calls.0.count(), calls.1.count()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_run_of_an_unknown_behavior_fails_in_the_first_step_of_its_executor() {
    let fake = Fake::new();
    fake.queue(&order_with("r", "MANUAL", |run| run["spec"]["behavior"] = json!("MIGRATE")));
    let executor = instant("MANUAL");
    let calls = executor.calls();
    let _daemon = start(&fake, fake.runner().executor(executor));
    fake.until_over("r").await;
    assert_eq!(fake.run("r").status, Some(RunStatus::Failed));
    assert!(fake.run("r").user_message("work").contains("\"MIGRATE\""));
    assert_eq!(calls.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_cannot_be_registered_is_ended_failed_without_being_started() {
    let fake = Fake::new();
    fake.queue(&order("r", "MANUAL"));
    fake.faults(On::Register, [Fault::Error(refused())]);
    let executor = instant("MANUAL");
    let calls = executor.calls();
    let _daemon = start(&fake, fake.runner().executor(executor));
    fake.until_over("r").await;
    assert_eq!(fake.transcript("r"), ["claim", "!register work", "FAILED work:FAILED"]);
    assert_eq!(calls.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_end_is_delivered_after_a_day_without_meshstack() {
    let fake = Fake::new();
    fake.queue(&order("r", "MANUAL"));
    fake.outage(On::Patch, no_answer());
    let daemon = start(&fake, fake.runner().executor(instant("MANUAL")));
    tokio::time::sleep(24 * HOUR).await;
    assert!(fake.patches("r").len() <= 24 * 90, "{}", fake.patches("r").len());
    assert_eq!(daemon.runner.status().runs_in_hand, 1);
    fake.repair();
    fake.until_over("r").await;
    assert_eq!(fake.run("r").status, Some(RunStatus::Succeeded));
    daemon.drain().await;
}

#[tokio::test(start_paused = true)]
async fn runs_whose_ends_cannot_be_delivered_give_their_room_to_others() {
    let fake = Fake::new();
    for number in 0..12 {
        fake.queue(&order(&format!("r{number}"), "MANUAL"));
    }
    fake.outage(On::Patch, no_answer());
    let daemon = start(&fake, fake.runner().executor(instant("MANUAL")).max_concurrent_runs(4));
    tokio::time::sleep(4 * MINUTE + seconds(30)).await;
    assert_eq!(daemon.runner.status().runs_in_hand, 5, "four, and one to show life");
    tokio::time::sleep(MINUTE).await;
    assert_eq!(daemon.runner.status().runs_in_hand, 4 + 4);
}

#[tokio::test(start_paused = true)]
async fn an_end_is_dropped_when_meshstack_says_that_the_run_is_over_or_gone() {
    for answer in [gone(), conflict()] {
        let fake = Fake::new();
        fake.queue(&order("r", "MANUAL"));
        fake.outage(On::Patch, answer);
        let daemon = start(&fake, fake.runner().executor(instant("MANUAL")));
        tokio::time::sleep(MINUTE).await;
        assert_eq!(fake.patches("r").len(), 1);
        assert_eq!(daemon.runner.status().runs_in_hand, 0);
        daemon.drain().await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_end_whose_token_is_refused_is_kept_a_day_for_a_new_one_and_takes_up_no_room() {
    for status in [401, 403] {
        let fake = Fake::new();
        fake.queue(&order("r", "MANUAL"));
        fake.faults(On::Patch, [Fault::Error(Problem::Unauthorised { status, excerpt: String::new() })]);
        let daemon = start(&fake, fake.runner().executor(instant("MANUAL")).max_concurrent_runs(1));
        tokio::time::sleep(MINUTE).await;
        fake.queue(&order("s", "MANUAL"));
        tokio::time::sleep(seconds(11)).await;
        assert_eq!(fake.run("s").status, Some(RunStatus::Succeeded));
        tokio::time::sleep(23 * HOUR).await;
        assert_eq!((fake.patches("r").len(), daemon.runner.status().runs_in_hand), (1, 1));
        tokio::time::sleep(2 * HOUR).await;
        assert_eq!((fake.patches("r").len(), daemon.runner.status().runs_in_hand), (1, 0));
        daemon.drain().await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_end_that_is_refused_is_sent_again_without_logs() {
    let fake = Fake::new();
    fake.queue(&order("r", "MANUAL"));
    let logging = executor("MANUAL", &["work"], |ctx| {
        Box::pin(async move {
            ctx.step("work").log_line("poison");
            ctx.step("work").user_message("done");
            ctx.step("work").succeed();
            Ok(Outcome::Succeeded)
        })
    });
    fake.faults(On::Patch, [Fault::Error(refused())]);
    let _daemon = start(&fake, fake.runner().executor(logging));
    fake.until_over("r").await;
    let run = fake.run("r");
    assert_eq!((run.status, run.user_message("work")), (Some(RunStatus::Succeeded), "done"));
    assert_eq!(run.step("work").system_message, None);
    assert_eq!(fake.patches("r")[0].1.steps[0].system_message.as_deref(), Some("poison\n"));
}

#[tokio::test(start_paused = true)]
async fn a_run_whose_end_is_refused_whatever_is_left_out_ends_failed_with_the_reason() {
    let fake = Fake::new();
    fake.queue(&order("r", "MANUAL"));
    fake.faults(On::Patch, [Fault::Error(refused()), Fault::Error(refused())]);
    let daemon = start(&fake, fake.runner().executor(instant("MANUAL")));
    fake.until_over("r").await;
    assert_eq!(fake.run("r").status, Some(RunStatus::Failed));
    assert!(fake.run("r").summary.unwrap_or_default().contains("did not take its result"));
    assert_eq!(fake.patches("r").len(), 3);
    daemon.drain().await;
}

#[tokio::test(start_paused = true)]
async fn an_end_whose_answer_was_lost_is_sent_again_and_harms_nothing() {
    let fake = Fake::new();
    fake.queue(&order("r", "MANUAL"));
    fake.faults(On::Patch, [Fault::AnswerLost]);
    let daemon = start(&fake, fake.runner().executor(instant("MANUAL")));
    tokio::time::sleep(HOUR).await;
    assert_eq!(fake.transcript("r")[2..], ["SUCCEEDED work:SUCCEEDED", "!SUCCEEDED work:SUCCEEDED"]);
    assert_eq!(daemon.runner.status().runs_in_hand, 0);
}

#[tokio::test(start_paused = true)]
async fn what_the_executor_said_while_meshstack_was_away_is_in_the_end() {
    let fake = Fake::new();
    fake.queue(&order("r", "MANUAL"));
    fake.outage(On::Patch, unavailable());
    let _daemon = start(&fake, fake.runner().executor(failing()));
    tokio::time::sleep(HOUR).await;
    fake.repair();
    fake.until_over("r").await;
    assert_eq!(fake.run("r").system_message("two"), "about to fail\nthe disk is on fire\n");
    assert_eq!(fake.run("r").step("one").status, StepStatus::Succeeded);
}
