//! Servers that misbehave below HTTP.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use meshstack_client::{Problem, RunStatus, StatusPatch};
use tokio::io::AsyncWriteExt;
use tokio::sync::Notify;

use crate::support::{NOBODY, RawServer, access, client};

/// Sends a head and then zeros until the other side has had enough, and counts what was taken.
async fn endless(head: &'static str, chunk: &'static [u8]) -> (RawServer, Arc<AtomicU64>, Arc<Notify>) {
    let taken = Arc::new(AtomicU64::new(0));
    let ended = Arc::new(Notify::new());
    let (count, end) = (Arc::clone(&taken), Arc::clone(&ended));
    let server = RawServer::serving(move |mut stream| {
        let (count, end) = (Arc::clone(&count), Arc::clone(&end));
        async move {
            stream.write_all(head.as_bytes()).await.ok();
            // 1 GiB, and no more, so that a client that takes everything fails the test and not the machine.
            while count.load(Ordering::SeqCst) < 1 << 30 && stream.write_all(chunk).await.is_ok() {
                count.fetch_add(chunk.len() as u64, Ordering::SeqCst);
            }
            end.notify_one();
        }
    })
    .await;
    (server, taken, ended)
}

static ZEROS: [u8; 64 << 10] = [b'0'; 64 << 10];

/// A chunk of 64 KiB in chunked encoding.
fn chunked() -> &'static [u8] {
    static CHUNK: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    CHUNK.get_or_init(|| [b"10000\r\n".as_slice(), &ZEROS, b"\r\n"].concat())
}

const MIB: u64 = 1 << 20;

#[tokio::test]
async fn of_a_body_of_one_gib_no_more_than_the_limit_is_taken() {
    let announced = "HTTP/1.1 200 OK\r\ncontent-length: 1073741824\r\n\r\n";
    let (server, taken, ended) = endless(announced, &ZEROS).await;
    let error = client(&server.url).claim().await.unwrap_err();
    assert!(error.to_string().ends_with("HTTP 200, its body is longer than 8 MiB"), "{error}");
    ended.notified().await;
    // What the sockets hold on both sides was taken as well, as far as the server can see.
    assert!(taken.load(Ordering::SeqCst) < 64 * MIB, "{taken:?}");
}

#[tokio::test]
async fn of_an_endless_chunked_body_no_more_than_the_limit_is_taken() {
    let (server, taken, ended) = endless("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", chunked()).await;
    let patch = StatusPatch::new(RunStatus::InProgress);
    let error = client(&server.url).patch(&access(), &patch).await.unwrap_err();
    assert!(matches!(error.problem, Problem::BrokenAnswer { status: 200, .. }), "{error}");
    ended.notified().await;
    assert!(taken.load(Ordering::SeqCst) < 64 * MIB, "{taken:?}");
}

#[tokio::test]
async fn an_endless_error_page_is_an_error_with_its_status() {
    let (server, taken, ended) =
        endless("HTTP/1.1 502 Bad Gateway\r\ntransfer-encoding: chunked\r\n\r\n", chunked()).await;
    let error = client(&server.url).claim().await.unwrap_err();
    let Problem::TryAgain { status: 502, excerpt, .. } = &error.problem else { panic!("{error}") };
    assert_eq!(*excerpt, "0".repeat(300));
    ended.notified().await;
    assert!(taken.load(Ordering::SeqCst) < 64 * MIB, "{taken:?}");
}

#[tokio::test]
async fn a_connection_that_is_cut_is_no_answer_whether_before_or_within_it() {
    for answer in [
        "",
        "HTTP/1.1 200 OK\r\ncontent-le",
        "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"metadata\"",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{\"met",
    ] {
        let server = RawServer::answering(answer).await;
        let error = client(&server.url).claim().await.unwrap_err();
        assert_eq!(error.problem, Problem::NoAnswer { connect: false }, "{answer}");
        assert!(error.problem.is_transient());
        assert!(std::error::Error::source(&error).is_some(), "{error}");
    }
}

#[tokio::test]
async fn something_that_does_not_speak_http_is_no_answer() {
    let server = RawServer::answering("SSH-2.0-OpenSSH_9.6\r\n").await;
    let error = client(&server.url).claim().await.unwrap_err();
    assert_eq!(error.problem, Problem::NoAnswer { connect: false });
}

#[tokio::test]
async fn a_closed_port_is_no_connection() {
    let error = client(NOBODY).claim().await.unwrap_err();
    assert_eq!(error.problem, Problem::NoAnswer { connect: true });
    assert_eq!(error.to_string(), "POST /api/meshobjects/meshbuildingblockruns/create: no connection");
}
