use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use reqwest::{Method, Url};

use super::{Answer, Web, WebError, WebSettings, last_lines};

/// Answers one connection with these bytes; gives the address.
fn answering(bytes: Vec<u8>) -> Url {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = Url::parse(&format!("http://{}/a/b?c=d", listener.local_addr().unwrap())).unwrap();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 4096];
        let _ = stream.read(&mut request).unwrap();
        let _ = stream.write_all(&bytes);
    });
    url
}

fn with(status: &str, headers: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n{headers}\r\n{body}", body.len()).into_bytes()
}

async fn get(url: Url) -> Result<Answer, WebError> {
    let web = Web::new(WebSettings::default());
    web.send(web.request(Method::GET, url).await.unwrap()).await
}

#[tokio::test]
async fn an_answer_is_read_with_its_status_headers_and_body() {
    let answer = get(answering(with("404 Not Found", "X-Thing: seven\r\n", r#"{"a":1}"#))).await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.header("x-thing")), (404, Some("seven")));
    assert_eq!(answer.json::<serde_json::Value>().unwrap()["a"], 1);
    assert!(!answer.is_success());
}

#[tokio::test]
async fn a_redirect_is_not_followed_but_told() {
    let answer = get(answering(with("307 Temporary Redirect", "Location: ../x\r\n", ""))).await.unwrap();
    assert_eq!(answer.redirect().unwrap().path(), "/x");
    let answer = get(answering(with("302 Found", "Location: file:///etc/passwd\r\n", ""))).await.unwrap();
    assert_eq!(answer.redirect(), None);
}

#[tokio::test]
async fn only_a_refused_connection_certainly_never_arrived() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
    drop(listener);
    assert!(!get(url).await.unwrap_err().may_have_arrived());
    assert!(get(answering(Vec::new())).await.unwrap_err().may_have_arrived(), "closed without an answer");
    let half = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf".to_vec();
    assert!(get(answering(half)).await.unwrap_err().may_have_arrived());
}

#[tokio::test]
async fn an_error_shows_no_address() {
    let mut url = answering(Vec::new());
    url.set_query(Some("token=s3cret"));
    let error = get(url).await.unwrap_err();
    let mut texts = vec![error.to_string(), format!("{error:?}")];
    let mut next = std::error::Error::source(&error);
    while let Some(source) = next {
        texts.push(source.to_string());
        next = source.source();
    }
    assert!(texts.iter().all(|text| !text.contains("s3cret")), "{texts:?}");
}

#[tokio::test]
async fn of_an_endless_body_the_last_bytes_are_kept_where_that_is_asked_for() {
    let lines = (0..200_000).fold(String::new(), |lines, i| lines + "line " + &i.to_string() + "\n");
    let url = answering(with("200 OK", "", &lines));
    let web = Web::new(WebSettings::default());
    let answer = web.send_tail(web.request(Method::GET, url).await.unwrap(), 1000).await.unwrap();
    assert_eq!((answer.body.len(), answer.cut), (1000, true));
    assert!(lines.ends_with(&*answer.text()));
}

#[tokio::test]
async fn a_body_that_is_too_long_is_an_error() {
    let url = answering(with("200 OK", "", &"x".repeat((16 << 20) + 1)));
    assert!(matches!(get(url).await, Err(WebError::TooLong { .. })));
}

#[tokio::test]
async fn a_slow_answer_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
    let web = Web::new(WebSettings { timeout: Duration::from_millis(50), ..WebSettings::default() });
    let error = web.send(web.request(Method::GET, url).await.unwrap()).await.unwrap_err();
    assert!(error.may_have_arrived());
    drop(listener);
}

#[tokio::test]
async fn an_excerpt_is_one_short_line_and_of_a_page_the_title() {
    let page = "<!DOCTYPE html><html><head><TITLE>Sign In\n to Azure</TITLE></head><body>much</body></html>";
    let answer = get(answering(with("203 Non-Authoritative", "Content-Type: text/html\r\n", page))).await.unwrap();
    assert!(answer.is_html());
    assert_eq!(answer.excerpt(), "Sign In to Azure");
    let answer = get(answering(with("500 Oops", "", &"ä\u{1b}[31m\n".repeat(500)))).await.unwrap();
    assert!(!answer.excerpt().contains(['\u{1b}', '\n']));
    assert_eq!(answer.excerpt().chars().count(), 301);
}

#[tokio::test]
async fn a_wait_is_seconds_or_a_date_by_the_clock_of_the_platform() {
    let header = "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nRetry-After: Sun, 06 Nov 1994 08:50:07 GMT\r\n";
    let answer = get(answering(with("429 Slow down", header, ""))).await.unwrap();
    assert_eq!(answer.retry_after(), Some(Duration::from_secs(30)));
    for (text, wait) in [("17", Some(17.0)), ("1.5", Some(1.5)), ("soon", None), ("1e99", Some(86_400.0))] {
        let answer = get(answering(with("429 Slow down", &format!("Retry-After: {text}\r\n"), ""))).await.unwrap();
        assert_eq!(answer.retry_after(), wait.map(Duration::from_secs_f64), "{text}");
    }
}

#[test]
fn the_end_of_a_text_begins_with_a_whole_line() {
    assert_eq!(last_lines("one\ntwo\nthree\n", 10), "two\nthree\n");
    assert_eq!(last_lines("one\ntwo\nthree\n", 9), "three\n");
    assert_eq!(last_lines("one\n", 100), "one\n");
    assert_eq!(last_lines("ääääääää", 5), "ää", "a line that is longer is cut, between characters");
    assert_eq!(last_lines("ab\n", 2), "b\n");
}
