//! The executor in a runner, against a meshStack on this machine.
//!
//! Tests that need the real Terraform (or `OpenTofu`) take it from `PATH`. Where there is none they are
//! reported as ignored; with `BB_TEST_REQUIRE_TERRAFORM=1` they fail.

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

/// The tests of a module, by name.
macro_rules! trials {
    ($kind:ident: $($name:ident),+ $(,)?) => {
        vec![$($crate::$kind(concat!(module_path!(), "::", stringify!($name)), $name)),+]
    };
}

mod apply;
mod failing;
#[path = "../../src/inputs/real_test.rs"]
mod inputs;
mod log;
mod pre_run;
mod preview;
mod removal;
mod second_process;
mod state;
mod stop;
mod supervision;
mod world;

fn main() -> ExitCode {
    executor_terraform::supervisor::run_if_asked();
    second_process::run_if_asked();
    let tests = [
        apply::tests(),
        failing::tests(),
        inputs::tests(),
        log::tests(),
        pre_run::tests(),
        preview::tests(),
        removal::tests(),
        state::tests(),
        stop::tests(),
        supervision::tests(),
    ];
    libtest_mimic::run(&Arguments::from_args(), tests.into_iter().flatten().collect()).exit_code()
}

/// A test that needs nothing but git and bash.
fn plain<F: Future<Output = ()> + 'static>(name: &str, test: fn() -> F) -> Trial {
    Trial::test(short(name), move || {
        run(test());
        Ok(())
    })
}

/// A test that needs the real Terraform.
fn real<F: Future<Output = ()> + 'static>(name: &str, test: fn() -> F) -> Trial {
    let there = world::real_terraform().is_some();
    let required = std::env::var("BB_TEST_REQUIRE_TERRAFORM").is_ok_and(|value| value == "1");
    let name = short(name);
    if there {
        return Trial::test(name, move || {
            run(test());
            Ok(())
        });
    }
    let reason = "there is no terraform or tofu in PATH";
    let kind = if required { "" } else { reason };
    Trial::test(name, move || Err(reason.into())).with_kind(kind).with_ignored_flag(!required)
}

fn short(name: &str) -> String {
    name.strip_prefix("it::").unwrap_or(name).to_owned()
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(test);
}
