//! `git http-backend` behind a small HTTP server: git over http as real hosts speak it.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

/// How the server behaves.
#[derive(Clone, Default)]
pub(crate) struct Behaviour {
    /// The one `Authorization` that opens it; without it, it is public.
    pub(crate) authorization: Option<String>,
    /// It speaks only the first version of git's protocol, where a commit that is no ref is not handed out.
    pub(crate) old_protocol: bool,
}

pub(crate) struct GitServer {
    port: u16,
    requests: Arc<Mutex<Vec<Request>>>,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) authorization: Option<String>,
    content_type: String,
    encoding: String,
    protocol: String,
    body: Vec<u8>,
}

impl Request {
    pub(crate) fn body_contains(&self, text: &str) -> bool {
        self.body.windows(text.len()).any(|part| part == text.as_bytes())
    }
}

impl GitServer {
    /// Serves the repositories in this folder.
    pub(crate) fn start(folder: &Path, behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let server = Arc::new(Server { folder: folder.to_owned(), behaviour, requests: Arc::clone(&requests) });
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let server = Arc::clone(&server);
                // A client that goes away in the middle is no concern of the server.
                thread::spawn(move || drop(server.answer(&stream)));
            }
        });
        Self { port, requests }
    }

    /// The address of a repository; `credentials` are empty or `user:password@`.
    pub(crate) fn url(&self, credentials: &str, repository: &str) -> String {
        format!("http://{credentials}127.0.0.1:{}/{repository}", self.port)
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().expect("no test has failed").clone()
    }
}

struct Server {
    folder: PathBuf,
    behaviour: Behaviour,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    fn answer(&self, mut stream: &TcpStream) -> std::io::Result<()> {
        let request = read(stream)?;
        let open = self.behaviour.authorization.is_none() || request.authorization == self.behaviour.authorization;
        self.requests.lock().expect("no test has failed").push(request.clone());
        if open {
            stream.write_all(&http(&self.backend(&request)?))
        } else {
            stream.write_all(
                b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"git\"\r\nContent-Length: 0\r\n\
                  Connection: close\r\n\r\n",
            )
        }
    }

    /// The answer as a CGI program gives it.
    fn backend(&self, request: &Request) -> std::io::Result<Vec<u8>> {
        let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
        let mut command = Command::new("git");
        command
            .arg("http-backend")
            .env("GIT_PROJECT_ROOT", &self.folder)
            .env("GIT_HTTP_EXPORT_ALL", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("REQUEST_METHOD", &request.method)
            .env("PATH_INFO", path)
            .env("QUERY_STRING", query)
            .env("CONTENT_TYPE", &request.content_type)
            .env("CONTENT_LENGTH", request.body.len().to_string())
            .env("HTTP_CONTENT_ENCODING", &request.encoding)
            .env("REMOTE_ADDR", "127.0.0.1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        if !self.behaviour.old_protocol {
            command.env("GIT_PROTOCOL", &request.protocol);
        }
        let mut backend = command.spawn()?;
        // A request is a few KiB: it fits into the pipe.
        drop(backend.stdin.take().map(|mut stdin| stdin.write_all(&request.body)));
        Ok(backend.wait_with_output()?.stdout)
    }
}

/// A whole request; git sends its length with all that are not huge.
fn read(stream: &TcpStream) -> std::io::Result<Request> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split(' ').map(str::to_owned);
    let mut request = Request {
        method: words.next().unwrap_or_default(),
        target: words.next().unwrap_or_default(),
        ..Request::default()
    };
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        let value = value.to_owned();
        match name.to_ascii_lowercase().as_str() {
            "authorization" => request.authorization = Some(value),
            "content-type" => request.content_type = value,
            "content-encoding" => request.encoding = value,
            "git-protocol" => request.protocol = value,
            "content-length" => length = value.parse().expect("a length"),
            _ => {}
        }
    }
    request.body = vec![0; length];
    reader.read_exact(&mut request.body)?;
    Ok(request)
}

/// The answer as HTTP: the status out of the headers, and the length into them.
fn http(cgi: &[u8]) -> Vec<u8> {
    let end = cgi.windows(4).position(|four| four == b"\r\n\r\n").expect("headers");
    let (head, body) = (String::from_utf8_lossy(&cgi[..end]).into_owned(), &cgi[end + 4..]);
    let status = head.lines().find_map(|line| line.strip_prefix("Status: ")).unwrap_or("200 OK");
    let mut answer = format!("HTTP/1.1 {status}\r\n");
    for line in head.lines().filter(|line| !line.starts_with("Status: ")) {
        let _ = write!(answer, "{line}\r\n");
    }
    let _ = write!(answer, "Content-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    [answer.as_bytes(), body].concat()
}
