//! The runner dies at every request that it makes of GitLab: before it took effect, after, and with the answer. Every run
//! has one truthful end, and no pipeline is started twice.

use std::time::{Duration, Instant};

use executor_gitlab::GitlabSettings;
use meshstack_local::RunView;
use runner_core::Shutdown;

use crate::fake::{Fake, Fault, Scope, job};
use crate::log::OperatorLog;
use crate::world::{READ_TOKEN, World, message, settings, told, within};

/// One life of a runner: in a runtime of its own, torn down when GitLab says so, or when `done` is.
fn live(world: &World, settings: GitlabSettings, outside: &tokio::runtime::Runtime, done: impl Future<Output = ()>) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let runner = world.build(settings);
    runtime.spawn(async move {
        runner.run(&Shutdown::new()).await;
    });
    outside.block_on(async {
        tokio::select! {
            biased;
            () = world.fake.killed() => {}
            () = done => {}
        }
    });
    runtime.shutdown_background();
}

/// How a run whose pipeline fails comes out when the runner dies at a request. `false`: there is no such request.
fn survives(number: usize, how: &Fault, with_token: bool, deaths: usize) -> bool {
    let outside =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let world = outside.block_on(async {
        let world = World::without_runner(Fake::start().await).await;
        world.fake.with(|gitlab| {
            gitlab.allow_reading(READ_TOKEN, Scope::ReadApi, true);
            gitlab.course = vec!["created", "running", "failed"];
            // Of somebody else, on the same branch.
            gitlab.foreign("trigger", &[("MESHSTACK_RUN", "{}")]);
        });
        world
    });
    let run = outside.block_on(world.place(world.order()));
    let settings = || GitlabSettings {
        look_up: Duration::from_millis(100),
        ..if with_token { world.with_read_token() } else { settings() }
    };
    // Without a token the hand-over is the end; with one, the pipeline's failure is.
    let over = async || {
        let is_over = |view: &RunView| {
            view.status.is_final()
                || (!with_token && view.step("gl-trigger").is_some_and(|step| step.status == "SUCCEEDED"))
        };
        within("an end", world.meshstack.wait_until(&run, is_over)).await;
    };
    let mut died = false;
    for death in 0..=deaths {
        if death < deaths {
            world.fake.kill_at(number, how.clone());
        }
        live(&world, settings(), &outside, over());
        died |= !world.fake.kill_is_planned() && death == 0;
        world.fake.forget_kill();
    }
    let view = outside.block_on(world.meshstack.run(&run)).expect("the run");
    let pipelines: Vec<_> =
        world.fake.pipelines().into_iter().filter(|known| known.variable("MESHSTACK_SELF_URL").is_some()).collect();
    let case = format!("request {number}, {how:?}, token: {with_token}: {}", told(&view));
    assert!(pipelines.len() <= 1 && world.fake.seen("trigger").len() <= 1, "started twice: {case}");
    assert!(view.ended_count <= 1, "{case}");
    match (view.status.word(), pipelines.len()) {
        ("IN_PROGRESS", 1) => assert!(!with_token, "nobody watches: {case}"),
        ("FAILED", 1) if with_token => assert!(message(&view).contains("The GitLab pipeline failed"), "{case}"),
        ("FAILED", 0) if with_token => {
            assert!(message(&view).contains("GitLab shows no pipeline"), "{case}");
            assert!(message(&view).contains("may have been started"), "{case}");
            assert!(message(&view).contains("start the run again only if there is none"), "{case}");
        }
        ("FAILED", _) => assert!(message(&view).contains("may have been started"), "{case}"),
        _ => panic!("{case}"),
    }
    world.no_secret_is_out();
    died
}

#[test]
fn every_run_has_one_truthful_end_at_whatever_request_the_runner_dies() {
    let mut requests = 0;
    for how in [Fault::KillBefore, Fault::KillAfter, Fault::KillAnswered] {
        assert!(survives(1, &how, false, 1), "there is a trigger");
        let mut number = 1;
        while survives(number, &how, true, 1) {
            number += 1;
        }
        requests = requests.max(number - 1);
    }
    // The trigger, two looks or more, the failed jobs and those of other pipelines.
    assert!(requests >= 5, "there were only {requests} requests to die at");
}

#[test]
fn a_runner_that_dies_again_while_it_takes_a_run_up_starts_nothing_twice() {
    for how in [Fault::KillBefore, Fault::KillAfter, Fault::KillAnswered] {
        for number in 1..=3 {
            survives(number, &how, true, 3);
        }
    }
}

#[test]
fn a_run_that_waits_for_a_limit_is_started_by_the_next_runner_and_not_before() {
    let log = OperatorLog::read();
    let asked = Duration::from_secs(8);
    let outside =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let world = outside.block_on(async { World::without_runner(Fake::start().await).await });
    let run = outside.block_on(world.place(world.order()));
    let retry = vec![("retry-after", asked.as_secs().to_string())];
    world.fake.fault("trigger", Fault::Answer { status: 429, headers: retry, body: String::new() });
    let waits = async || {
        log.until(&run, "trying again after a wait").await;
    };
    let before = Instant::now();
    live(&world, settings(), &outside, waits());
    assert_eq!(world.fake.pipelines().len(), 0);
    let handed_over = async || {
        world.handed_over(&run).await;
    };
    live(&world, settings(), &outside, handed_over());
    assert_eq!((world.fake.pipelines().len(), world.fake.seen("trigger").len()), (1, 2));
    assert!(before.elapsed() >= asked, "GitLab wanted no request for {asked:?}: {:?}", before.elapsed());
}

/// A run whose runner died at the trigger, and that was aborted before the next one came. `then` is what the next one is
/// waited for with.
fn aborted_in_between(how: Fault, look_up: Duration, then: impl AsyncFnOnce(&World, &str)) {
    let outside =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let world = outside.block_on(async {
        let world = World::without_runner(Fake::start().await).await;
        world.fake.with(|gitlab| {
            gitlab.allow_reading(READ_TOKEN, Scope::Api, true);
            gitlab.hidden_for = 2;
        });
        world
    });
    let run = outside.block_on(world.place(world.order()));
    world.fake.kill_at(1, how);
    live(&world, world.with_read_token(), &outside, std::future::pending());
    outside.block_on(world.meshstack.abort(&run));
    let settings = GitlabSettings { look_up, ..world.with_read_token() };
    live(&world, settings, &outside, then(&world, &run));
    let view = outside.block_on(world.meshstack.run(&run)).expect("the run");
    assert_eq!((view.status.word(), view.ended_count), ("ABORTED", 0), "{}", told(&view));
    assert_eq!(world.fake.seen("trigger").len(), 1);
}

#[test]
fn a_pipeline_whose_run_was_aborted_before_the_restart_is_found_and_canceled() {
    let canceled = async |world: &World, _: &str| {
        world.fake.until("the cancel", |fake| fake.pipelines()[0].cancels == 1).await;
    };
    aborted_in_between(Fault::KillAfter, Duration::from_secs(60), canceled);
}

#[test]
fn what_cannot_be_found_of_a_run_that_was_aborted_before_the_restart_is_said_in_the_log() {
    let log = OperatorLog::read();
    let warned = async |world: &World, run: &str| {
        log.until(run, "may go on").await;
        let (said, place) = (log.of(run), format!("the project `4711` at {}", world.fake.url()));
        assert!(said.contains("WARN") && said.contains(&place), "{said}");
    };
    aborted_in_between(Fault::KillBefore, Duration::from_millis(300), warned);
}

#[test]
fn a_pipeline_is_watched_on_after_a_restart() {
    let outside =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let world = outside.block_on(async {
        let world = World::without_runner(Fake::start().await).await;
        world.fake.with(|gitlab| gitlab.allow_reading(READ_TOKEN, Scope::ReadApi, true));
        world
    });
    let run = outside.block_on(world.place(world.order()));
    let looked = async || {
        world.fake.until("a look", |fake| fake.pipelines().first().is_some_and(|known| known.looks > 3)).await;
    };
    live(&world, world.with_read_token(), &outside, looked());
    world.fake.with(|gitlab| {
        let failed = job(&world.fake.url(), 1, "deploy", "failed", false);
        gitlab.pipelines[0].jobs.push(failed);
        gitlab.pipelines[0].course = ["failed"].into();
    });
    let ended = async || {
        within("an end", world.meshstack.wait_for_end(&run)).await;
    };
    live(&world, world.with_read_token(), &outside, ended());
    let view = outside.block_on(world.failed(&run));
    assert!(message(&view).contains("Failed job: `deploy`"), "{}", told(&view));
    assert_eq!(world.fake.seen("trigger").len(), 1);
}
