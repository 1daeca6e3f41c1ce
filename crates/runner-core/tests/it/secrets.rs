//! Secrets are readable for the executor, and for nobody else.

use std::sync::{Arc, Mutex, OnceLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use runner_core::meshstack_client::{
    Certificate, KeyRing, PrivateKey, RunObject, RunStatus, Secret, generate_key_pair,
};
use runner_core::{Failure, Outcome, RunContext, RunOnce, SecretsWanted, Shutdown};
use serde_json::{Value, json};

use crate::fake::Fake;
use crate::scene::{Scripted, executor, instant, order_with, seconds, start};

/// One key pair for all tests: it takes seconds to make.
fn keys() -> &'static (KeyRing, Certificate) {
    static KEYS: OnceLock<(KeyRing, Certificate)> = OnceLock::new();
    KEYS.get_or_init(|| {
        let pair = generate_key_pair("a runner").expect("a key pair");
        let key = PrivateKey::from_pem(pair.private_key_pem.expose()).expect("a key");
        (KeyRing::new(vec![key]), Certificate::from_pem(&pair.certificate_pem).expect("a certificate"))
    })
}

fn encrypted(text: &str) -> Value {
    json!(keys().1.encrypt(text).expect("an encrypted text"))
}

fn input(key: &str, kind: &str, value: &Value) -> Value {
    json!({ "key": key, "type": kind, "value": value, "isSensitive": true, "isEnvironment": false })
}

const TOKEN: &str = "canary-of-the-run-token";
const OF_THE_PROCESS: &str = "canary-of-the-api-key";
const CANARIES: [&str; 11] = [
    TOKEN,
    OF_THE_PROCESS,
    "canary-text",
    "canary \"with\" quotes",
    "canary-in-code",
    "canary-in-a-list",
    "canary-in-a-file",
    "canary-line-one",
    "canary-line-two",
    "canary-ssh-key",
    "8675309",
];

/// A run with a secret in every place; `seal` makes of a text what stands in the run object.
fn order_of_canaries(seal: impl Fn(&str) -> Value) -> RunObject {
    let file = format!("data:text/plain;base64,{}", STANDARD.encode("canary-in-a-file"));
    order_with("r", "TERRAFORM", |run| {
        run["spec"]["runToken"] = json!(TOKEN);
        run["spec"]["buildingBlock"]["spec"]["inputs"] = json!([
            input("text", "STRING", &seal("canary-text")),
            input("quotes", "STRING", &seal("canary \"with\" quotes")),
            input("code", "CODE", &seal(r#"{"password":"canary-in-code","port":5432}"#)),
            input("file", "FILE", &seal(&file)),
            input("lines", "STRING", &seal("canary-line-one\ncanary-line-two\n")),
            input("number", "INTEGER", &json!(8_675_309)),
            input("list", "MULTI_SELECT", &json!(["canary-in-a-list", "eu"])),
        ]);
        run["spec"]["buildingBlockDefinition"]["spec"]["implementation"]["sshPrivateKey"] = seal("canary-ssh-key");
    })
}

/// Says every secret in every way it can.
fn tell(ctx: &RunContext) {
    let step = ctx.step("work");
    step.start();
    for canary in CANARIES {
        for byte in format!("log: {canary}\n").as_bytes() {
            step.log(&[*byte]);
        }
        step.log_line(format!("line: {canary}, {}", json!(canary)));
        step.log_line(format!("base64: {}", STANDARD.encode(canary)));
        step.user_message(format!("user: {canary}"));
        ctx.summary(format!("summary: {canary}"));
    }
}

fn telling(end: fn() -> Result<Outcome, Failure>) -> Scripted {
    executor("TERRAFORM", &["work"], move |ctx| {
        Box::pin(async move {
            tell(ctx);
            tokio::time::sleep(seconds(3)).await;
            end()
        })
    })
}

fn all_at_once() -> String {
    CANARIES.join(" and ")
}

/// Fails if a secret can be read in anything that meshStack was told.
fn assert_nothing_secret(fake: &Fake) {
    let state = fake.state();
    let bodies = state.calls.iter().flat_map(|call| {
        let registration = call.registration.as_ref().and_then(|body| serde_json::to_string(body).ok());
        let patch = call.patch.as_ref().and_then(|body| serde_json::to_string(body).ok());
        registration.into_iter().chain(patch)
    });
    let all: String = bodies.collect();
    assert!(all.contains("log: ***"), "the test says something: {all}");
    for canary in CANARIES {
        let encoded = STANDARD.encode(canary);
        assert!(!all.contains(canary) && !all.contains(&encoded), "{canary} can be read in {all}");
        assert!(!all.contains(canary.split('"').next().unwrap_or_default()), "{canary} can be read in {all}");
    }
}

#[tokio::test(start_paused = true)]
async fn no_secret_is_in_anything_that_is_reported() {
    let ends: [fn() -> Result<Outcome, Failure>; 3] = [
        || Ok(Outcome::Succeeded),
        || Err(Failure::because(all_at_once(), std::io::Error::other(all_at_once()))),
        || panic!("{}", all_at_once()),
    ];
    for end in ends {
        let fake = Fake::new();
        fake.queue(&order_of_canaries(encrypted));
        let runner = fake.runner().keys(keys().0.clone()).mask(&Secret::new(OF_THE_PROCESS)).executor(telling(end));
        let _daemon = start(&fake, runner);
        fake.until_over("r").await;
        assert_nothing_secret(&fake);
    }
}

#[tokio::test(start_paused = true)]
async fn no_secret_of_a_single_run_is_in_anything_that_is_reported() {
    let ends: [fn() -> Result<Outcome, Failure>; 2] = [|| Ok(Outcome::Succeeded), || panic!("{}", all_at_once())];
    for end in ends {
        let fake = Fake::new();
        let run = order_of_canaries(|text| json!(text));
        fake.know(&run);
        let runner = fake.runner().mask(&Secret::new(OF_THE_PROCESS)).executor(telling(end)).build().expect("a runner");
        let ended = runner.run_once(run, &Shutdown::new()).await;
        assert!(matches!(ended, RunOnce::Ended { .. }), "{ended:?}");
        assert_nothing_secret(&fake);
    }
}

/// Panics with what it was given before anything was decrypted.
struct PanicsWithTheRun;

#[async_trait::async_trait]
impl runner_core::Executor for PanicsWithTheRun {
    fn serves(&self) -> runner_core::Serves {
        runner_core::Serves::Any
    }

    fn steps(&self, run: &runner_core::Run) -> Vec<runner_core::StepSpec> {
        panic!("log: {TOKEN} {OF_THE_PROCESS} {}", run.raw());
    }

    async fn execute(&self, _ctx: &RunContext) -> Result<Outcome, Failure> {
        Ok(Outcome::Succeeded)
    }
}

#[tokio::test(start_paused = true)]
async fn no_secret_is_told_by_a_panic_before_the_start() {
    let fake = Fake::new();
    let run = order_of_canaries(|text| json!(text));
    fake.know(&run);
    let runner = fake.runner().mask(&Secret::new(OF_THE_PROCESS)).executor(PanicsWithTheRun).build().expect("a runner");
    assert_eq!(runner.run_once(run, &Shutdown::new()).await, RunOnce::Ended { succeeded: false });
    assert_nothing_secret(&fake);
}

#[tokio::test(start_paused = true)]
async fn an_executor_reads_secrets_in_plain_text_and_beside_it_what_came() {
    let fake = Fake::new();
    fake.queue(&order_of_canaries(encrypted));
    let seen = Arc::<Mutex<Vec<String>>>::default();
    let reader = Arc::clone(&seen);
    let reading = executor("TERRAFORM", &["work"], move |ctx| {
        let text = |run: &RunObject| run.inputs()[0].value.as_str().unwrap_or_default().to_owned();
        reader.lock().expect("no panic").extend([text(ctx.run().plain()), text(ctx.run().as_received())]);
        Box::pin(async { Ok(Outcome::Succeeded) })
    });
    let _daemon = start(&fake, fake.runner().keys(keys().0.clone()).executor(reading));
    fake.until_over("r").await;
    let seen = seen.lock().expect("no panic");
    assert_eq!(seen[0], "canary-text");
    assert_eq!(keys().0.decrypt(&seen[1]).expect("still encrypted").expose(), "canary-text");
}

/// The run ends without a start, and says this to the person who ordered.
async fn assert_unreadable(runner: impl FnOnce(runner_core::RunnerBuilder) -> runner_core::RunnerBuilder, why: &str) {
    let fake = Fake::new();
    fake.queue(&order_of_canaries(encrypted));
    let executor = instant("TERRAFORM");
    let calls = executor.calls();
    let _daemon = start(&fake, runner(fake.runner()).executor(executor));
    fake.until_over("r").await;
    let run = fake.run("r");
    assert_eq!((run.status, calls.count()), (Some(RunStatus::Failed), 0));
    assert!(run.user_message("work").contains("The input `text`"), "{run:#?}");
    assert!(run.user_message("work").contains(why), "{run:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_run_with_secrets_fails_without_a_key_and_says_which_input_needs_it() {
    assert_unreadable(|runner| runner, "the runner has no private key").await;
}

#[tokio::test(start_paused = true)]
async fn a_run_with_secrets_for_another_key_fails_and_says_which_input_it_is() {
    let other = generate_key_pair("another runner").expect("a key pair");
    let ring = KeyRing::new(vec![PrivateKey::from_pem(other.private_key_pem.expose()).expect("a key")]);
    assert_unreadable(|runner| runner.keys(ring), "cannot be decrypted with any of the runner's private keys").await;
}

#[tokio::test(start_paused = true)]
async fn an_executor_that_takes_secrets_as_they_came_needs_no_key() {
    let fake = Fake::new();
    fake.queue(&order_of_canaries(encrypted));
    let mut executor = instant("TERRAFORM");
    executor.secrets = SecretsWanted::AsTheyCame;
    let _daemon = start(&fake, fake.runner().executor(executor));
    fake.until_over("r").await;
    assert_eq!(fake.run("r").status, Some(RunStatus::Succeeded));
}
