//! How many requests a second a local meshStack answers on one core: claim, register and final patch of 1,000 manual runs.

use std::sync::Arc;
use std::time::Instant;

use meshstack_local::{LocalMeshStack, Options, Order, RunnerSpec};
use serde_json::{Value, json};

const RUNS: usize = 1000;
const CLIENTS: usize = 8;
const MEDIA_TYPE: &str = "application/vnd.meshcloud.api.meshbuildingblockrun.v1.hal+json";

fn main() {
    // A runtime with one thread for the server, and another for its clients.
    let server = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let options = Options { require_auth: false, ..Options::default() };
    let mesh = Arc::new(server.block_on(LocalMeshStack::start_with(options)).unwrap());
    let runner = server.block_on(mesh.register_runner(RunnerSpec::new("MANUAL")));
    let before = Instant::now();
    for number in 0..RUNS {
        let order = Order::manual().input("name", format!("run {number}"), "STRING").input("size", number, "INTEGER");
        server.block_on(mesh.order(&runner, order));
    }
    println!("ordering {RUNS} runs: {:?}", before.elapsed());

    let clients = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let before = Instant::now();
    clients.block_on(async {
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..CLIENTS {
            tasks.spawn(work(mesh.url(), runner.clone()));
        }
        tasks.join_all().await;
    });
    let time = before.elapsed();
    let requests = mesh.requests().len();
    let runs = server.block_on(mesh.runs());
    assert!(runs.iter().all(|run| run.status == "SUCCEEDED"));
    assert_eq!(mesh.violations(), Vec::<String>::new());
    let per_second = requests as u128 * 1_000_000 / time.as_micros();
    println!("{requests} requests in {time:?}: {per_second} requests/s");
}

/// Claims, registers and ends runs until there are none.
async fn work(url: String, runner: String) {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let runs = format!("{url}/api/meshobjects/meshbuildingblockruns");
    loop {
        let claim = http.post(format!("{runs}/create?forRunnerUuid={runner}")).header("Accept", MEDIA_TYPE);
        let answer = claim.send().await.unwrap();
        if answer.status() == 404 {
            return;
        }
        let run: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
        let token = run["spec"]["runToken"].as_str().unwrap();
        let source = format!("{runs}/{}/status/source", run["metadata"]["uuid"].as_str().unwrap());
        let registration =
            json!({ "source": { "id": runner }, "steps": [{ "id": "manual", "displayName": "Manual Block Run" }] });
        let outputs = json!({ "name": { "value": "run", "type": "STRING", "isSensitive": false } });
        let patch = json!({
            "status": "SUCCEEDED", "steps": [{ "id": "manual", "status": "SUCCEEDED", "outputs": outputs }],
        });
        for request in [
            http.post(&source).body(registration.to_string()),
            http.patch(format!("{source}/{runner}")).body(patch.to_string()),
        ] {
            let request = request.header("Accept", MEDIA_TYPE).header("Content-Type", MEDIA_TYPE);
            let answer = request.bearer_auth(token).send().await.unwrap();
            assert_eq!(answer.status(), 200);
            answer.bytes().await.unwrap();
        }
    }
}
