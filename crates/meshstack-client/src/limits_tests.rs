//! Time and size limits, shortened: nobody waits 30 s for a test.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::http::Limits;
use crate::{Client, ClientConfig, Problem, RunAccess, RunObject, Secret};

/// A server that says the beginning of an answer, once somebody connects, and then nothing, for ever.
async fn silent_after(beginning: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = Vec::new();
            while !request.windows(4).any(|end| end == b"\r\n\r\n") {
                if !stream.read_buf(&mut request).await.is_ok_and(|length| length > 0) {
                    break;
                }
            }
            stream.write_all(beginning).await.ok();
            open.push(stream);
        }
    });
    url
}

fn client(url: &str, limits: Limits) -> Client {
    let mut config = ClientConfig::new("runner-1");
    config.api_url = Some(url.to_owned());
    Client::with_limits(config, limits).unwrap()
}

fn short() -> Limits {
    let little = Duration::from_millis(200);
    Limits { total: little, idle: little, artifact: 1000, ..Limits::default() }
}

fn access() -> RunAccess {
    let raw = serde_json::json!({ "metadata": { "uuid": "run-1" } });
    let mut access = RunAccess::of(&RunObject::from_value(raw).unwrap());
    access.token = Secret::new("token");
    access
}

#[tokio::test]
async fn a_call_that_is_not_answered_or_not_to_the_end_is_given_up() {
    for beginning in [b"".as_slice(), b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{"] {
        let error = client(&silent_after(beginning).await, short()).read_run(&access()).await.unwrap_err();
        assert_eq!(error.problem, Problem::NoAnswer { connect: false });
    }
}

#[tokio::test]
async fn a_transfer_that_falls_silent_is_given_up_and_leaves_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let (there, not_there) = (folder.path().join("there"), folder.path().join("not-there"));
    std::fs::write(&there, "plan").unwrap();
    for beginning in [b"".as_slice(), b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{"] {
        let url = silent_after(beginning).await;
        let client = client(&url, short());
        let error = client.download_plan(&access(), &url, &not_there).await.unwrap_err();
        assert_eq!(error.problem, Problem::NoAnswer { connect: false });
        assert!(!not_there.exists());
        let error = client.upload_plan(&access(), &url, &there).await.unwrap_err();
        assert_eq!(error.problem, Problem::NoAnswer { connect: false });
    }
}

#[tokio::test]
async fn a_plan_of_unknown_length_is_cut_off_at_the_limit_and_leaves_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("plan");
    let limits = Limits { artifact: 4, ..Limits::default() };
    let url = silent_after(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nplan\r\n0\r\n\r\n").await;
    assert_eq!(client(&url, limits).download_plan(&access(), &url, &file).await.unwrap(), 4);

    let url = silent_after(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nplan!\r\n").await;
    let error = client(&url, limits).download_plan(&access(), &url, &file).await.unwrap_err();
    assert!(matches!(error.problem, Problem::BrokenAnswer { status: 200, .. }), "{error}");
    assert!(!file.exists());
}
