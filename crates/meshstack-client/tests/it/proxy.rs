//! Proxies come from the environment, which belongs to the process: so the test runs itself again with another one.

use std::process::Command;

use meshstack_client::Client;

use crate::support::{RawServer, config};

const DIRECT: &str = "TEST_DIRECT_URL";

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_is_used_for_other_machines_and_not_for_this_one() {
    let answer = "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n";
    let (proxy, direct) = (RawServer::answering(answer).await, RawServer::answering(answer).await);
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--ignored", "--exact", "proxy::behind_a_proxy"]);
    for name in ["http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy"] {
        child.env_remove(name);
    }
    child.env("HTTP_PROXY", &proxy.url).env("NO_PROXY", "0.0.0.0").env(DIRECT, &direct.url);
    let output = tokio::task::spawn_blocking(move || child.output()).await.unwrap().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));

    let first_lines = |server: &RawServer| -> Vec<String> {
        server.requests().iter().map(|request| request.lines().next().unwrap_or_default().to_owned()).collect()
    };
    let path = "/api/meshobjects/meshbuildingblockruns/create?forRunnerUuid=runner-1";
    assert_eq!(first_lines(&proxy), [format!("POST http://meshstack.invalid{path} HTTP/1.1")]);
    assert_eq!(first_lines(&direct), [format!("POST {path} HTTP/1.1")]);
}

#[tokio::test]
#[ignore = "run by the test above, with proxy variables set"]
async fn behind_a_proxy() {
    let direct = std::env::var(DIRECT).unwrap();
    for url in ["http://meshstack.invalid", &direct] {
        assert!(Client::new(config(url)).unwrap().claim().await.unwrap().is_none());
    }
    // An exception: asked for directly, where nobody listens.
    Client::new(config("http://0.0.0.0:1")).unwrap().claim().await.unwrap_err();
}
