//! Links to pipelines, secrets that come up on the way, and the step that carries a failure.

use runner_core::meshstack_client::{RunStatus, Secret, StepStatus};
use runner_core::{Failure, Outcome, StepSpec};

use crate::fake::{Call, Fake, On};
use crate::journal::Notes;
use crate::scene::{Scripted, executor, order, seconds, start};

const URL: &str = "https://ci.example/runs/7";

/// Names its pipeline after this time, and ends after as long again.
fn naming(after: u64) -> Scripted {
    executor("GITHUB_WORKFLOW", &["trigger"], move |ctx| {
        Box::pin(async move {
            ctx.step("trigger").start();
            tokio::time::sleep(seconds(after)).await;
            ctx.external_run(Some("7"), Some(URL));
            ctx.step("trigger").succeed();
            tokio::time::sleep(seconds(after)).await;
            Ok(Outcome::Succeeded)
        })
    })
    .naming_external_runs()
}

fn registration(fake: &Fake) -> Call {
    let calls = fake.calls("r");
    let registrations: Vec<_> = calls.iter().filter(|call| call.on == On::Register).collect();
    assert_eq!(registrations.len(), 1, "{:?}", fake.transcript("r"));
    registrations[0].clone()
}

#[tokio::test(start_paused = true)]
async fn the_registration_waits_for_the_link_to_the_pipeline() {
    for after in [0, 2, 4] {
        let fake = Fake::new();
        fake.queue(&order("r", "GITHUB_WORKFLOW"));
        let daemon = start(&fake, fake.runner().executor(naming(after)));
        fake.until_over("r").await;
        let source = registration(&fake).registration.expect("a body").source;
        assert_eq!((source.external_run_id.as_deref(), source.external_run_url.as_deref()), (Some("7"), Some(URL)));
        assert_eq!(fake.run("r").status, Some(RunStatus::Succeeded));
        daemon.drain().await;
    }
}

#[tokio::test(start_paused = true)]
async fn it_does_not_wait_for_ever() {
    let fake = Fake::new();
    fake.queue(&order("r", "GITHUB_WORKFLOW"));
    let daemon = start(&fake, fake.runner().executor(naming(60)));
    fake.until_claimed("r").await;
    let claimed = tokio::time::Instant::now();
    fake.until_over("r").await;
    let call = registration(&fake);
    assert!((call.at - claimed).as_secs() <= 5, "{:?}", call.at - claimed);
    assert_eq!(call.registration.expect("a body").source.external_run_url, None);
    assert_eq!(fake.run("r").status, Some(RunStatus::Succeeded));
    daemon.drain().await;
}

#[tokio::test(start_paused = true)]
async fn a_run_that_fails_before_it_names_its_pipeline_is_registered_and_reported() {
    let fake = Fake::new();
    fake.queue(&order("r", "GITHUB_WORKFLOW"));
    let failing =
        executor("GITHUB_WORKFLOW", &["trigger"], |_| Box::pin(async { Err(Failure::new("No such workflow.")) }));
    let daemon = start(&fake, fake.runner().executor(failing.naming_external_runs()));
    fake.until_over("r").await;
    registration(&fake);
    assert_eq!(fake.run("r").user_message("trigger"), "No such workflow.");
    daemon.drain().await;
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_comes_up_on_the_way_is_masked_from_then_on() {
    let fake = Fake::new();
    fake.queue(&order("r", "GITHUB_WORKFLOW"));
    let fetching = executor("GITHUB_WORKFLOW", &["trigger"], |ctx| {
        Box::pin(async move {
            let step = ctx.step("trigger");
            step.log_line("before");
            ctx.hide(&Secret::new("ghs_installation"));
            ctx.hide(&Secret::new("ghs_second"));
            step.log_line("the token is ghs_installation, then ghs_second");
            step.user_message("ghs_installation");
            Err(Failure::because("Refused ghs_second.", "ghs_installation; token of r"))
        })
    });
    let daemon = start(&fake, fake.runner().executor(fetching));
    fake.until_over("r").await;
    let run = fake.run("r");
    assert_eq!(run.user_message("trigger"), "Refused ***.");
    assert_eq!(run.system_message("trigger"), "before\nthe token is ***, then ***\n***; ***\n");
    daemon.drain().await;
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_told_on_the_step_that_it_names_and_open_steps_after_it_fail_too() {
    let fake = Fake::new();
    fake.queue(&order("r", "GITHUB_WORKFLOW"));
    let following = executor("GITHUB_WORKFLOW", &["trigger"], |ctx| {
        Box::pin(async move {
            ctx.step("trigger").succeed();
            for (id, done) in [("job-1", true), ("job-2", false)] {
                let step = ctx.add_step(&StepSpec::new(id, id));
                step.start();
                if done {
                    step.succeed();
                }
            }
            Err(Failure::new("The workflow took too long.").on_step("trigger"))
        })
    });
    let daemon = start(&fake, fake.runner().executor(following));
    fake.until_over("r").await;
    let run = fake.run("r");
    assert_eq!(
        (run.step("trigger").status, run.user_message("trigger")),
        (StepStatus::Failed, "The workflow took too long.")
    );
    assert_eq!(run.step("job-1").status, StepStatus::Succeeded);
    assert_eq!(run.step("job-2").status, StepStatus::Failed);
    assert_eq!(run.system_message("job-2"), "Not followed to its end: the run failed.\n");
    daemon.drain().await;
}

#[tokio::test(start_paused = true)]
async fn a_link_that_was_noted_with_a_checkpoint_is_told_by_the_next_process() {
    let (fake, notes) = (Fake::new(), Notes::default());
    let run = order("r", "GITHUB_WORKFLOW");
    fake.queue(&run);
    let triggering = executor("GITHUB_WORKFLOW", &["trigger"], |ctx| {
        Box::pin(async move {
            ctx.external_run(Some("7"), Some(URL));
            ctx.checkpoint(&7).await?;
            std::future::pending().await
        })
    });
    fake.outage(On::Register, crate::scene::no_answer());
    let daemon = start(&fake, fake.runner().executor(triggering.naming_external_runs()).journal(notes.clone()));
    fake.until("a try", |state| state.calls.iter().any(|call| call.on == On::Register)).await;
    // Between this try and the next: what dies within a request leaves the fake in doubt about it.
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    drop(daemon);
    fake.repair();

    let resuming = executor("GITHUB_WORKFLOW", &["trigger"], |_| Box::pin(async { Ok(Outcome::Succeeded) }))
        .resuming(|_| Box::pin(async { Ok(Outcome::Succeeded) }));
    let daemon = start(&fake, fake.runner().executor(resuming).journal(notes));
    fake.until_over("r").await;
    let taken = fake.calls("r").into_iter().find(|call| call.on == On::Register && call.taken).expect("a registration");
    assert_eq!(taken.registration.expect("a body").source.external_run_url.as_deref(), Some(URL));
    daemon.drain().await;
}
