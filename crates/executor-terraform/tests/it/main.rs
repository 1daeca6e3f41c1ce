//! The executor in a runner, against a meshStack on this machine.
//!
//! Tests that need more than git and bash look for it: the real Terraform (or `OpenTofu`) in `PATH`, a real
//! `sshd`, a real provider in the folder `BB_TEST_PROVIDER_MIRROR`. Where it is missing they are reported as
//! ignored, with the reason; with `BB_TEST_REQUIRE_TERRAFORM=1`, `BB_TEST_REQUIRE_SSHD=1` and
//! `BB_TEST_REQUIRE_PROVIDER=1` they fail.

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

/// The tests of a module, by name.
macro_rules! trials {
    ($kind:ident: $($name:ident),+ $(,)?) => {
        vec![$($crate::$kind(concat!(module_path!(), "::", stringify!($name)), $name)),+]
    };
}

mod abort;
mod apply;
mod binary;
mod failing;
mod git_server;
mod hostile;
mod http_sources;
mod input_table;
#[path = "../../src/inputs/real_test.rs"]
mod inputs;
mod kept_repositories;
mod log;
mod pre_run;
mod preview;
mod providers;
mod registry;
mod removal;
mod second_process;
mod ssh;
mod sshd;
mod stale_lock;
mod state;
mod stop;
mod supervision;
mod world;

fn main() -> ExitCode {
    executor_terraform::supervisor::run_if_asked();
    second_process::run_if_asked();
    binary::run_if_asked();
    let tests = [
        abort::tests(),
        apply::tests(),
        binary::tests(),
        failing::tests(),
        hostile::tests(),
        http_sources::tests(),
        input_table::tests(),
        inputs::tests(),
        kept_repositories::tests(),
        log::tests(),
        pre_run::tests(),
        preview::tests(),
        providers::tests(),
        removal::tests(),
        ssh::tests(),
        stale_lock::tests(),
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
    needing(name, test, &[terraform()])
}

/// A test that needs a real `sshd`.
fn ssh<F: Future<Output = ()> + 'static>(name: &str, test: fn() -> F) -> Trial {
    needing(name, test, &[sshd_there()])
}

/// A test that needs both.
fn real_ssh<F: Future<Output = ()> + 'static>(name: &str, test: fn() -> F) -> Trial {
    needing(name, test, &[terraform(), sshd_there()])
}

/// A test that needs the real Terraform and a real provider.
fn provider<F: Future<Output = ()> + 'static>(name: &str, test: fn() -> F) -> Trial {
    needing(name, test, &[terraform(), provider_there()])
}

/// Something that may not be on a laptop.
struct Need {
    /// What is missing, if it is.
    missing: Option<&'static str>,
    /// The variable that forbids it to be missing.
    required_by: &'static str,
}

fn terraform() -> Need {
    let missing = world::real_terraform().is_none().then_some("there is no terraform or tofu in PATH");
    Need { missing, required_by: "BB_TEST_REQUIRE_TERRAFORM" }
}

fn sshd_there() -> Need {
    Need { missing: sshd::missing(), required_by: "BB_TEST_REQUIRE_SSHD" }
}

fn provider_there() -> Need {
    let missing = registry::mirror().is_none().then_some("there is no provider in BB_TEST_PROVIDER_MIRROR");
    Need { missing, required_by: "BB_TEST_REQUIRE_PROVIDER" }
}

/// Ignored with the reason where something is missing, unless it must be there: then it fails.
fn needing<F: Future<Output = ()> + 'static>(name: &str, test: fn() -> F, needs: &[Need]) -> Trial {
    let Some((need, reason)) = needs.iter().find_map(|need| Some((need, need.missing?))) else {
        return plain(name, test);
    };
    let required = std::env::var(need.required_by).is_ok_and(|value| value == "1");
    let kind = if required { "" } else { reason };
    Trial::test(short(name), move || Err(reason.into())).with_kind(kind).with_ignored_flag(!required)
}

fn short(name: &str) -> String {
    name.strip_prefix("it::").unwrap_or(name).to_owned()
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(test);
}
