//! Signals, exit codes, `/healthz`.

use std::net::TcpListener;
use std::time::Instant;

use meshstack_local::{Effect, Event, Fault, Operation, Order};
use rustix::process::Signal;

use crate::support::{PATIENCE, Setup, UUID, http, local};

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_runner_ends_at_once_and_well_on_either_signal() {
    for signal in [Signal::TERM, Signal::INT] {
        let local = local().await;
        let mut events = local.events();
        let mut daemon = Setup::of(&local).start();
        while !matches!(events.recv().await.unwrap(), Event::IdleClaim { .. }) {}
        daemon.signal(signal);
        assert_eq!(daemon.wait().code(), Some(0), "{}", daemon.log());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn healthz_says_ok_then_draining_and_a_second_signal_ends_at_once() {
    let local = local().await;
    // The end of the run is never taken, so the runner has something to wait for.
    local.fault(Fault::on(Operation::Patch, Effect::status(503)).always());
    let run = local.order(UUID, Order::manual()).await;
    let mut daemon = Setup::of(&local).start();
    let address = daemon.health_address();
    assert_eq!(http(&address, "GET", "/healthz", ""), (200, "OK".to_owned()));
    assert_eq!(http(&address, "GET", "/secrets", "").0, 404);

    local.wait_until(&run, |run| run.registers == 1).await;
    daemon.signal(Signal::TERM);
    daemon.wait_for_log("claiming no more runs");
    // The switch is turned right after the line is written.
    let deadline = Instant::now() + PATIENCE;
    while http(&address, "GET", "/healthz", "").0 == 200 {
        assert!(Instant::now() < deadline, "{}", daemon.log());
    }
    assert_eq!(http(&address, "GET", "/healthz", ""), (503, "draining".to_owned()));
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.wait().code(), Some(1), "{}", daemon.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_can_end_in_the_grace_period_ends_well() {
    let local = local().await;
    local.fault(Fault::on(Operation::Patch, Effect::status(503)));
    let run = local.order(UUID, Order::manual()).await;
    let mut daemon = Setup::of(&local).start();
    local.wait_until(&run, |run| run.registers == 1).await;
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.wait().code(), Some(0), "{}", daemon.log());
    assert_eq!(local.run(&run).await.unwrap().status, "SUCCEEDED");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_was_asked_for_and_is_taken_is_an_error() {
    let local = local().await;
    let taken = TcpListener::bind("[::]:0").or_else(|_| TcpListener::bind("0.0.0.0:0")).unwrap();
    let port = taken.local_addr().unwrap().port();
    let mut setup = Setup::of(&local);
    setup.command.env("PORT", port.to_string());
    let mut daemon = setup.start();
    assert_eq!(daemon.wait().code(), Some(2));
    assert!(daemon.wait_for_log("PORT").contains(&port.to_string()));
    assert!(local.requests().is_empty(), "nothing was claimed");
}
