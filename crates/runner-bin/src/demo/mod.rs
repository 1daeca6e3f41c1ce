//! `bb-runner demo`: a meshStack, a runner and two orders in one process.
//!
//! Everything goes the way it goes in production: the runner is registered with its certificate and claims over HTTP,
//! secrets are encrypted for it, modules are cloned with git. Only meshStack is a local one.

mod board;
mod inputs;
mod module;
mod screen;
mod text;

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use executor_manual::ManualExecutor;
use executor_terraform::{Settings, Supervisor, TerraformExecutor};
use meshstack_client::{
    Client, ClientConfig, Credentials, KeyPair, KeyRing, PrivateKey, RunnerObject, RunnerType, Secret,
    generate_key_pair,
};
use meshstack_local::{LocalMeshStack, Order, OrderInput, OutputView, RunStatus, RunView, StepStatus, StepView};
use runner_core::{Runner, Shutdown};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::Exit;
use crate::cli::DemoArgs;
use crate::logging;
use crate::signals::Signals;
use crate::wiring;
use board::Board;
use module::Module;
use screen::Screen;

/// How often the board is drawn again.
const BEAT: Duration = Duration::from_millis(100);

/// How many lines of the log of a step that failed are shown.
const LOG_LINES: usize = 20;

const NO_TERRAFORM: &str = "There is no `terraform` and no `tofu` in PATH, so Terraform building blocks cannot be shown.\n\
     Get OpenTofu from https://opentofu.org/docs/intro/install/ or Terraform from https://developer.hashicorp.com/terraform/install.";

/// Why the demo ends without a result.
enum Stopped {
    /// A sentence for the person in front of it.
    Refused(String, Exit),
    /// Ctrl-C.
    Interrupted,
}

/// Runs the demo. `logged`: the log is on, so its lines come in between.
pub(crate) fn run(args: &DemoArgs, logged: bool) -> Exit {
    let runtime = match wiring::runtime() {
        Ok(runtime) => runtime,
        Err(error) => {
            logging::complain(&format!("The demo cannot start ({error})."));
            return Exit::Failure;
        }
    };
    let mut screen = Screen::standard_output(logged);
    let result = runtime.block_on(show(args, &mut screen));
    runtime.shutdown_background();
    match result {
        Ok(exit) => exit,
        Err(Stopped::Interrupted) => {
            screen.line("Interrupted.");
            Exit::Interrupted
        }
        Err(Stopped::Refused(message, exit)) => {
            logging::complain(&message);
            exit
        }
    }
}

async fn show(args: &DemoArgs, screen: &mut Screen) -> Result<Exit, Stopped> {
    let wrong = |message: String| Stopped::Refused(message, Exit::BadConfiguration);
    let failed = |message: String| Stopped::Refused(message, Exit::Failure);
    let mut signals = Signals::catch().map_err(|error| failed(format!("Signals cannot be caught ({error}).")))?;
    let own_inputs = own_inputs(args).map_err(wrong)?;
    let terraform = find_terraform();
    if terraform.is_none() {
        screen.line(NO_TERRAFORM);
        if args.module.is_some() {
            return Ok(Exit::Failure);
        }
        screen.line("");
    }
    let module = match (&args.module, &terraform) {
        (Some(named), _) => Some(module::users(named, args.reference.as_deref(), args.path.as_deref()).map_err(wrong)?),
        (None, Some(_)) => Some(module::shipped().map_err(failed)?),
        (None, None) => None,
    };
    let keys = generate_keys(screen, &mut signals).await?;
    let stage = Stage::set(&keys, terraform).await.map_err(failed)?;
    screen.line(&format!(
        "A local meshStack listens on {}; the runner {} is registered.",
        stage.local.url(),
        stage.runner_uuid
    ));
    screen.line("");

    let mut board = Board::new(screen.paint);
    if args.module.is_none() {
        stage.order(&mut board, manual_order(), "manual").await;
    }
    if let Some(module) = &module {
        let inputs = if args.module.is_some() { own_inputs } else { shipped_inputs() };
        stage.order(&mut board, terraform_order(module, inputs), "Terraform").await;
    }
    let shutdown = Shutdown::new();
    let runner = tokio::spawn({
        let (runner, shutdown) = (stage.runner.clone(), shutdown.clone());
        async move { runner.run(&shutdown).await }
    });
    let watched = watch(&stage.local, &mut board, screen, &mut signals).await;
    // After Ctrl-C Terraform is stopped in order; a second one ends at once.
    shutdown.drain();
    tokio::select! {
        _ = runner => {}
        _ = signals.next() => shutdown.now(),
    }
    watched?;
    for view in board.views() {
        report(view, screen);
    }
    let all = board.views().all(|view| view.status == RunStatus::Succeeded) && module.is_some();
    if all && args.module.is_none() {
        screen.line("");
        screen.line("Try your own module: bb-runner demo --module ./my-module --input name=value");
    }
    Ok(if all { Exit::Success } else { Exit::Failure })
}

/// The first of the two programs that is in `PATH`.
fn find_terraform() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let found = |name: &str| folders.iter().map(|folder| folder.join(name)).find(|file| is_executable(file));
    found("terraform").or_else(|| found("tofu"))
}

fn is_executable(file: &std::path::Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    file.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

async fn generate_keys(screen: &mut Screen, signals: &mut Signals) -> Result<KeyPair, Stopped> {
    let began = Instant::now();
    let mut making = tokio::task::spawn_blocking(|| generate_key_pair("bb-runner demo"));
    loop {
        screen.passing(&format!("Generating a key pair (RSA, 4096 bits) … {}", text::elapsed(began.elapsed())));
        tokio::select! {
            made = &mut making => {
                let keys = made.map_err(|error| error.to_string()).and_then(|made| made.map_err(|error| error.to_string()));
                let keys = keys.map_err(|error| Stopped::Refused(format!("No key pair can be made: {error}."), Exit::Failure))?;
                screen.line(&format!("A key pair (RSA, 4096 bits) was generated in {}.", text::elapsed(began.elapsed())));
                return Ok(keys);
            }
            () = tokio::time::sleep(BEAT) => {}
            _ = signals.next() => return Err(Stopped::Interrupted),
        }
    }
}

/// A meshStack and a runner that is registered there.
struct Stage {
    local: LocalMeshStack,
    runner: Runner,
    runner_uuid: String,
    _working_dir: TempDir,
}

impl Stage {
    async fn set(keys: &KeyPair, terraform: Option<PathBuf>) -> Result<Self, String> {
        let local =
            LocalMeshStack::start().await.map_err(|error| format!("No port can be opened on 127.0.0.1 ({error})."))?;
        let working_dir = private_folder().map_err(|error| format!("No temporary folder can be made ({error})."))?;
        let runner_uuid = register(&local, &keys.certificate_pem).await?;
        let client = client(&local, &runner_uuid)?;
        let key = PrivateKey::from_pem(keys.private_key_pem.expose()).map_err(|error| format!("{error}."))?;
        let settings = Settings {
            binary: terraform,
            stop_grace: Duration::from_secs(10),
            api_url: Some(local.url()),
            supervisor: Some(Supervisor::this_program()),
            ..Settings::default()
        };
        let runner = Runner::builder(client, &runner_uuid)
            .executor(ManualExecutor::new())
            .executor(TerraformExecutor::new(settings))
            .keys(KeyRing::new(vec![key]))
            .working_dir(working_dir.path())
            .shutdown_grace(Duration::ZERO)
            .build()
            .map_err(|error| format!("{error}."))?;
        Ok(Self { local, runner, runner_uuid, _working_dir: working_dir })
    }

    async fn order(&self, board: &mut Board, order: Order, kind: &'static str) {
        let run = self.local.order(&self.runner_uuid, order).await;
        if let Some(view) = self.local.run(&run).await {
            board.add(view, kind, Instant::now());
        }
    }
}

/// A temporary folder that nobody else can read.
fn private_folder() -> std::io::Result<TempDir> {
    tempfile::Builder::new().permissions(Permissions::from_mode(0o700)).tempdir()
}

/// Registers the runner as an operator does; meshStack assigns the UUID.
async fn register(local: &LocalMeshStack, certificate: &str) -> Result<String, String> {
    let object = RunnerObject {
        owned_by_workspace: "platform-team".to_owned(),
        display_name: "Demo runner".to_owned(),
        public_key: certificate.to_owned(),
        implementation_type: RunnerType::All,
        workload_identity_federation: None,
    };
    let operator = client(local, "00000000-0000-0000-0000-000000000000")?;
    operator.create_runner(&object).await.map_err(|error| format!("The runner cannot be registered: {error}."))
}

fn client(local: &LocalMeshStack, runner_uuid: &str) -> Result<Client, String> {
    let (client_id, client_secret) = local.api_key();
    let mut config = ClientConfig::new(runner_uuid);
    config.api_url = Some(local.url());
    config.credentials = Some(Credentials::ApiKey { client_id, client_secret: Secret::new(client_secret) });
    Client::new(config).map_err(|error| format!("{error}."))
}

fn own_inputs(args: &DemoArgs) -> Result<Vec<OrderInput>, String> {
    let plain = args.inputs.iter().map(|argument| inputs::parse(argument, false));
    let secret = args.sensitive.iter().map(|argument| inputs::parse(argument, true));
    plain.chain(secret).collect()
}

fn manual_order() -> Order {
    Order::manual()
        .display_name("Office badge")
        .input("location", "Building 7", "STRING")
        .input("floors", json!(["1", "2"]), "MULTI_SELECT")
        .input("night_access", true, "BOOLEAN")
}

fn shipped_inputs() -> Vec<OrderInput> {
    let input = |key: &str, value: Value, kind: &str, sensitive| OrderInput {
        key: key.to_owned(),
        value,
        kind: kind.to_owned(),
        sensitive,
        environment: false,
    };
    vec![
        input("name", json!("shop"), "STRING", false),
        input("replicas", json!(3), "INTEGER", false),
        input("zones", json!(["eu-1a", "eu-1b"]), "MULTI_SELECT", false),
        input("settings", json!("{\"theme\": \"dark\", \"features\": [\"search\"]}"), "CODE", false),
        input("admin_password", json!("correct horse battery staple"), "STRING", true),
    ]
}

fn terraform_order(module: &Module, inputs: Vec<OrderInput>) -> Order {
    let mut order = Order::terraform(json!({
        // Only a name here: the program from PATH is used, whatever its version.
        "terraformVersion": "1.9.0",
        "repositoryUrl": module.repository_url,
        "repositoryPath": module.repository_path,
        "refName": module.reference,
    }));
    order.inputs = inputs;
    order.display_name(&module.name)
}

/// Shows the runs until all have ended.
async fn watch(
    local: &LocalMeshStack,
    board: &mut Board,
    screen: &mut Screen,
    signals: &mut Signals,
) -> Result<(), Stopped> {
    let mut events = local.events();
    loop {
        for uuid in board.uuids() {
            if let Some(view) = local.run(&uuid).await {
                board.update(view, Instant::now());
            }
        }
        screen.board(board);
        if board.all_ended() {
            return Ok(());
        }
        tokio::select! {
            () = tokio::time::sleep(BEAT) => {}
            // What it was does not matter, nor whether some were missed: the runs are read as they are now.
            _ = events.recv() => while events.try_recv().is_ok() {},
            _ = signals.next() => return Err(Stopped::Interrupted),
        }
    }
}

/// The outputs of a run that succeeded; the message of one that did not.
fn report(view: &RunView, screen: &mut Screen) {
    screen.line("");
    if view.status != RunStatus::Succeeded {
        let title = format!("{} {}: {}", view.display_name, view.status, view.summary.as_deref().unwrap_or_default());
        screen.line(&screen.paint.red(title.trim_end_matches([' ', ':'])));
        if let Some(step) = view.steps.iter().find(|step| step.status == StepStatus::Failed) {
            show_log(step, screen);
        }
        return;
    }
    screen.line(&screen.paint.bold(&format!("Outputs of {}", view.display_name)));
    let mut rows = vec![vec!["key".to_owned(), "type".to_owned(), "value".to_owned()]];
    rows.extend(view.outputs.iter().map(|(key, output)| vec![key.clone(), output.kind.clone(), shown(output)]));
    if rows.len() == 1 {
        screen.line("  (none)");
        return;
    }
    let (width, _) = screen::size();
    for (i, line) in screen::table(&rows, width).into_iter().enumerate() {
        let line = if i == 0 { screen.paint.dim(&line) } else { line };
        screen.line(&line);
    }
}

/// The end of the log of a step that failed.
fn show_log(step: &StepView, screen: &mut Screen) {
    let log: Vec<&str> = step.system_message.as_deref().unwrap_or_default().lines().collect();
    let end = &log[log.len().saturating_sub(LOG_LINES)..];
    if end.is_empty() {
        return;
    }
    screen.line("");
    screen.line(&screen.paint.bold(&format!("The end of the log of {}", step.display_name)));
    for line in end {
        screen.line(&screen.paint.dim(&format!("  {}", text::fit(line, usize::MAX))));
    }
}

fn shown(output: &OutputView) -> String {
    match &output.value {
        _ if output.sensitive => "***".to_owned(),
        // Pretty JSON takes many lines; in a table one is better.
        Value::String(text) if output.kind == "CODE" => {
            serde_json::from_str::<Value>(text).map_or_else(|_| text.clone(), |value| value.to_string())
        }
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
