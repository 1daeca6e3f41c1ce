//! Resident memory of a runner, by how many runs it has under way. The runner is a process of its own: this program
//! once more, told so by its first argument.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use meshstack_local::{LocalMeshStack, Options, RunView, RunnerSpec};
use runner_core::journal::FileJournal;
use runner_core::meshstack_client::{KeyPair, KeyRing, PrivateKey, generate_key_pair};
use runner_core::{Outcome, Shutdown};
use tokio::runtime::Runtime;

use crate::scene::{Does, builder, count, order, step};

/// The first argument of the child.
pub(crate) const CHILD: &str = "be-the-runner";

/// The most of a log that is kept and sent. Bytes.
const LOG: usize = 1024 * 1024;
const SECRETS: usize = 10;

pub(crate) fn print(runtime: &Runtime) {
    let pair = generate_key_pair("figures").expect("a pair of keys");
    println!("resident memory, each run with a log of 1 MiB and {SECRETS} secrets");
    let mut idle = None;
    for runs in [0, 20, 200] {
        let (resident, peak) = runtime.block_on(with(runs, &pair));
        let idle = *idle.get_or_insert(resident);
        let per_run =
            if runs == 0 { String::new() } else { format!(", {:.2} MiB per run", (resident - idle) / count(runs)) };
        println!("  {runs:>4} runs {resident:>8.1} MiB{per_run}   (at most {peak:.1} MiB, while all begin at once)");
    }
}

/// MiB in use with so many runs under way, and at most until then.
async fn with(runs: usize, pair: &KeyPair) -> (f64, f64) {
    let meshstack = LocalMeshStack::start_with(Options { keep_body_bytes: 0, ..Options::default() }).await;
    let meshstack = meshstack.expect("a meshStack");
    let runner = meshstack.register_runner(RunnerSpec::new("ALL").certificate(&pair.certificate_pem)).await;
    let mut ordered = Vec::new();
    for _ in 0..runs {
        let mut order = order("LOGS");
        for number in 0..SECRETS {
            order = order.sensitive_input(
                &format!("secret-{number}"),
                format!("a secret value, number {number}"),
                "STRING",
            );
        }
        ordered.push(meshstack.order(&runner, order).await);
    }
    let mut process = Process::start(&meshstack, &runner, pair, runs);
    let mut events = meshstack.events();
    for run in &ordered {
        let logged = |view: &RunView| {
            let log = view.steps.first().and_then(|step| step.system_message.as_ref());
            log.is_some_and(|log| log.len() >= LOG * 9 / 10)
        };
        meshstack.wait_until(run, logged).await;
    }
    if runs == 0 {
        while !matches!(events.recv().await, Ok(meshstack_local::Event::IdleClaim { .. })) {}
    }
    // Buffers of the last reports are given back by then.
    tokio::time::sleep(Duration::from_secs(2)).await;
    process.memory()
}

struct Process {
    child: Child,
    ask: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Process {
    fn start(meshstack: &LocalMeshStack, runner: &str, pair: &KeyPair, runs: usize) -> Self {
        let (client_id, secret) = meshstack.api_key();
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .arg(CHILD)
            .env("FIGURES_URL", meshstack.url())
            .env("FIGURES_RUNNER", runner)
            .env("FIGURES_CLIENT_ID", client_id)
            .env("FIGURES_CLIENT_SECRET", secret)
            .env("FIGURES_KEY", pair.private_key_pem.expose())
            .env("FIGURES_RUNS", runs.max(1).to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program once more");
        let (ask, answers) = (child.stdin.take().expect("its input"), child.stdout.take().expect("its output"));
        Self { child, ask, answers: BufReader::new(answers) }
    }

    /// MiB in use now, and at most.
    fn memory(&mut self) -> (f64, f64) {
        self.ask.write_all(b"\n").expect("the runner lives");
        let mut answer = String::new();
        self.answers.read_line(&mut answer).expect("the runner lives");
        let mut mib = answer.split_whitespace().map(|kib| kib.parse::<f64>().expect("a number") / 1024.0);
        (mib.next().expect("memory in use"), mib.next().expect("the most"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The runner: carries runs out that log and then wait. Answers each line with its memory.
pub(crate) async fn child() {
    let given = |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set"));
    let key = PrivateKey::from_pem(&given("FIGURES_KEY")).expect("a key");
    let keys = KeyRing::new(vec![key]);
    let folder = tempfile::tempdir().expect("a folder");
    let journal = FileJournal::open(&folder.path().join("state"), &keys).expect("a journal");
    let executor = Does::new("LOGS", 3, |ctx| {
        Box::pin(async move {
            let step = ctx.step(&step(0));
            step.start();
            let mut written = 0;
            while written < LOG {
                let line =
                    format!("module.network.aws_subnet.private[{written}]: Refreshing state... [id={written:016x}]\n");
                step.log(line.as_bytes());
                written += line.len();
            }
            std::future::pending::<()>().await;
            Ok(Outcome::Succeeded)
        })
    });
    let api_key = (given("FIGURES_CLIENT_ID"), given("FIGURES_CLIENT_SECRET"));
    let runner = builder(given("FIGURES_URL"), api_key, &given("FIGURES_RUNNER"))
        .executor(executor)
        .keys(keys)
        .journal(journal)
        .working_dir(folder.path())
        .max_concurrent_runs(given("FIGURES_RUNS").parse().expect("a number"))
        .build()
        .expect("a runner");
    std::thread::spawn(|| {
        for _ in std::io::stdin().lines() {
            let status = std::fs::read_to_string("/proc/self/status").expect("the kernel's figures");
            let of = |name: &str| {
                let line = status.lines().find_map(|line| line.strip_prefix(name));
                line.and_then(|line| line.split_whitespace().next()).unwrap_or("0").to_owned()
            };
            println!("{} {}", of("VmRSS:"), of("VmHWM:"));
        }
        std::process::exit(0);
    });
    runner.run(&Shutdown::new()).await;
}
