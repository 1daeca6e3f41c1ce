use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::Arc;

use meshstack_client::{Client, Problem};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::support::{RawServer, access, answer, client, config, header, requests};

fn plan(bytes: &[u8]) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_bytes(bytes)
}

fn to(location: String) -> ResponseTemplate {
    ResponseTemplate::new(302).insert_header("location", location)
}

async fn download(client: &Client, href: &str, to: &Path) -> Result<u64, meshstack_client::ApiError> {
    client.download_plan(&access(), href, to).await
}

#[tokio::test]
async fn a_plan_is_downloaded_into_a_file_that_only_its_owner_can_read() {
    let server = MockServer::start().await;
    answer(&server, "GET", "/plan", plan(&[0, 159, 146, 150])).await;
    let folder = tempfile::tempdir().unwrap();
    // What lies at the place is replaced, not written through.
    let (file, other) = (folder.path().join("plan"), folder.path().join("other"));
    std::fs::write(&other, "untouched").unwrap();
    symlink(&other, &file).unwrap();

    let length = download(&client(&server.uri()), &format!("{}/plan?a=b", server.uri()), &file).await.unwrap();
    assert_eq!((length, std::fs::read(&file).unwrap().as_slice()), (4, [0, 159, 146, 150].as_slice()));
    assert_eq!(std::fs::symlink_metadata(&file).unwrap().permissions().mode() & 0o7777, 0o600);
    assert_eq!(std::fs::read_to_string(&other).unwrap(), "untouched");

    let request = &requests(&server).await[0];
    assert_eq!(request.url.query(), Some("a=b"));
    assert_eq!(header(request, "accept"), Some("application/octet-stream"));
    assert_eq!(header(request, "authorization"), Some("Bearer run-token"));
    assert_eq!(header(request, "user-agent"), Some("meshcloud-bb-runner/1.2.3"));
    assert_eq!(header(request, "content-type"), None);
}

#[tokio::test]
async fn a_plan_that_is_not_there_leaves_no_file() {
    let server = MockServer::start().await;
    let file = tempfile::tempdir().unwrap().path().join("plan");
    let error = download(&client(&server.uri()), &format!("{}/plan", server.uri()), &file).await.unwrap_err();
    assert!(matches!(error.problem, Problem::Gone { .. }), "{error}");
    assert!(!file.exists());
}

#[tokio::test]
async fn a_plan_that_is_announced_as_too_long_is_not_begun() {
    let server = RawServer::answering("HTTP/1.1 200 OK\r\ncontent-length: 134217729\r\n\r\nabc").await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("plan");
    let error = download(&client(&server.url), &format!("{}/plan", server.url), &file).await.unwrap_err();
    assert!(error.to_string().ends_with("the plan is longer than 128 MiB"), "{error}");
    assert!(!file.exists());
}

#[tokio::test]
async fn a_download_that_is_cut_leaves_no_file() {
    let server = RawServer::answering("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nabc").await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("plan");
    let error = download(&client(&server.url), &format!("{}/plan", server.url), &file).await.unwrap_err();
    assert_eq!(error.problem, Problem::NoAnswer { connect: false });
    assert!(!file.exists());
}

#[tokio::test]
async fn a_download_that_is_given_up_leaves_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("plan");
    let (begun, seen) = (Arc::new(Notify::new()), file.clone());
    let notify = Arc::clone(&begun);
    let server = RawServer::serving(move |mut stream| {
        let (notify, seen) = (Arc::clone(&notify), seen.clone());
        async move {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nabc").await.ok();
            while !seen.exists() {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
            notify.notify_one();
            stream.read_to_end(&mut Vec::new()).await.ok();
        }
    })
    .await;
    let client = client(&server.url);
    let (access, href) = (access(), format!("{}/plan", server.url));
    tokio::select! {
        ended = client.download_plan(&access, &href, &file) => panic!("{ended:?}"),
        () = begun.notified() => {}
    }
    assert!(!file.exists());
}

#[tokio::test]
async fn a_folder_that_does_not_exist_is_a_local_problem() {
    let server = MockServer::start().await;
    answer(&server, "GET", "/plan", plan(b"plan")).await;
    let href = format!("{}/plan", server.uri());
    let error = download(&client(&server.uri()), &href, Path::new("/nonexistent/plan")).await.unwrap_err();
    assert!(error.to_string().ends_with("the plan cannot be written to disk"), "{error}");
    assert!(std::error::Error::source(&error).is_some());
}

#[tokio::test]
async fn redirects_are_followed_and_the_token_stays_behind_for_good_when_the_host_changes() {
    let (ours, storage) = (MockServer::start().await, MockServer::start().await);
    answer(&ours, "GET", "/plan", to("/moved".to_owned())).await;
    answer(&ours, "GET", "/moved", to(format!("{}/signed?sig=1", storage.uri()))).await;
    answer(&storage, "GET", "/signed", to(format!("{}/back", ours.uri()))).await;
    answer(&ours, "GET", "/back", plan(b"the plan")).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("plan");
    assert_eq!(download(&client(&ours.uri()), &format!("{}/plan", ours.uri()), &file).await.unwrap(), 8);

    let tokens = |all: Vec<wiremock::Request>| -> Vec<_> {
        all.iter().map(|r| (r.url.path().to_owned(), header(r, "authorization").map(str::to_owned))).collect()
    };
    let token = Some("Bearer run-token".to_owned());
    assert_eq!(
        tokens(requests(&ours).await),
        [("/plan".to_owned(), token.clone()), ("/moved".to_owned(), token), ("/back".to_owned(), None)]
    );
    assert_eq!(tokens(requests(&storage).await), [("/signed".to_owned(), None)]);
}

#[tokio::test]
async fn ten_redirects_are_followed_and_not_one_more() {
    let server = MockServer::start().await;
    for number in 0..11 {
        answer(&server, "GET", &format!("/{number}"), to(format!("/{}", number + 1))).await;
    }
    answer(&server, "GET", "/11", plan(b"plan")).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("plan");
    assert_eq!(download(&client(&server.uri()), &format!("{}/1", server.uri()), &file).await.unwrap(), 4);

    let error = download(&client(&server.uri()), &format!("{}/0", server.uri()), &file).await.unwrap_err();
    assert!(error.to_string().contains("more than 10 redirects"), "{error}");
}

#[tokio::test]
async fn a_redirect_to_nowhere_or_to_a_file_is_an_error() {
    let server = MockServer::start().await;
    answer(&server, "GET", "/nowhere", ResponseTemplate::new(302)).await;
    answer(&server, "GET", "/file", to("file:///etc/passwd".to_owned())).await;
    let folder = tempfile::tempdir().unwrap();
    for path in ["nowhere", "file"] {
        let href = format!("{}/{path}", server.uri());
        let error = download(&client(&server.uri()), &href, &folder.path().join("plan")).await.unwrap_err();
        assert!(matches!(error.problem, Problem::BrokenAnswer { status: 302, .. }), "{error}");
    }
    for href in ["file:///etc/passwd", "no link", ""] {
        let error = download(&client(&server.uri()), href, &folder.path().join("plan")).await.unwrap_err();
        assert!(matches!(error.problem, Problem::Local { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_plan_at_another_address_is_followed_with_the_token_and_one_warning() {
    let (api, other) = (MockServer::start().await, MockServer::start().await);
    answer(&other, "GET", "/plan", plan(b"plan")).await;
    let folder = tempfile::tempdir().unwrap();
    let client = client(&api.uri());
    let log = crate::debug::Log::default();
    let guard = log.listen();
    for name in ["a", "b"] {
        download(&client, &format!("{}/plan", other.uri()), &folder.path().join(name)).await.unwrap();
    }
    drop(guard);
    let token = requests(&other).await.iter().all(|r| header(r, "authorization") == Some("Bearer run-token"));
    assert!(token, "proxies give plans another address, and it is the run's own link");
    assert_eq!(log.text().matches("api.strictOrigins").count(), 1, "{}", log.text());
}

#[tokio::test]
async fn strict_origins_refuse_a_plan_at_another_address_also_after_a_redirect() {
    let (api, other) = (MockServer::start().await, MockServer::start().await);
    Mock::given(any()).respond_with(plan(b"plan")).expect(0).mount(&other).await;
    answer(&api, "GET", "/plan", to(format!("{}/plan", other.uri()))).await;
    let mut config = config(&api.uri());
    config.strict_origins = true;
    let client = Client::new(config).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("plan");
    std::fs::write(&file, "plan").unwrap();
    let hrefs = [format!("{}/plan", other.uri()), format!("{}/plan", api.uri())];
    for href in &hrefs {
        let error = download(&client, href, &folder.path().join("new")).await.unwrap_err();
        assert!(matches!(&error.problem, Problem::Local { reason } if reason.contains("strictOrigins")), "{error}");
    }
    let error = client.upload_plan(&access(), &hrefs[0], &file).await.unwrap_err();
    assert!(matches!(error.problem, Problem::Local { .. }), "{error}");
}

#[tokio::test]
async fn a_plan_is_uploaded_as_it_is_with_its_length() {
    let server = MockServer::start().await;
    answer(&server, "PUT", "/plan", ResponseTemplate::new(201)).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("plan");
    let content: Vec<u8> = (0..200_000_u32).flat_map(u32::to_le_bytes).collect();
    std::fs::write(&file, &content).unwrap();
    client(&server.uri()).upload_plan(&access(), &format!("{}/plan", server.uri()), &file).await.unwrap();

    let request = &requests(&server).await[0];
    assert!(request.body == content, "{} bytes in place of {}", request.body.len(), content.len());
    for (name, value) in [
        ("authorization", Some("Bearer run-token")),
        ("content-type", Some("application/octet-stream")),
        ("accept", Some("*/*")),
        ("content-length", Some("800000")),
        ("transfer-encoding", None),
    ] {
        assert_eq!(header(request, name), value, "{name}");
    }
}

#[tokio::test]
async fn an_upload_that_is_refused_or_redirected_or_has_no_file_fails() {
    let server = MockServer::start().await;
    answer(&server, "PUT", "/full", ResponseTemplate::new(507).set_body_string("disk of run-token full")).await;
    answer(&server, "PUT", "/moved", to("/else".to_owned())).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("plan");
    std::fs::write(&file, "plan").unwrap();
    let client = client(&server.uri());
    let href = |path: &str| format!("{}/{path}", server.uri());
    let error = client.upload_plan(&access(), &href("full"), &file).await.unwrap_err();
    assert!(error.to_string().ends_with("HTTP 507, not available now: disk of *** full"), "{error}");
    let error = client.upload_plan(&access(), &href("moved"), &file).await.unwrap_err();
    assert!(matches!(error.problem, Problem::BrokenAnswer { status: 302, .. }), "{error}");
    let error = client.upload_plan(&access(), &href("full"), &folder.path().join("none")).await.unwrap_err();
    assert!(error.to_string().ends_with("the plan cannot be read from disk"), "{error}");
}
