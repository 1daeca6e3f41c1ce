//! `bb-runner health`: asks the runner of this machine or container how it is, as `curl` would, for images without one.

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::config::{DEFAULT_PORT, Environment, Mode, Sources};
use crate::say::say;
use crate::{Exit, logging};

/// Shorter than the time that container engines give a check by default.
const PATIENCE: Duration = Duration::from_secs(3);
/// Of an answer, more is not read. Ours has a hundred bytes.
const MAX_BYTES: usize = 4096;

/// Asks, says what was answered, and succeeds if that is 200.
pub(crate) fn run(port: Option<u16>, config: Option<&Path>, environment: &Environment) -> Exit {
    let sources = Sources { file: config, environment, directory: Path::new(".") };
    if port.is_none() && matches!(sources.mode(), Ok(Mode::SingleRun(_))) {
        say!("A single run answers no /healthz: it is well as long as it lives.");
        return Exit::Success;
    }
    let configured = || sources.port().map(|port| port.unwrap_or(DEFAULT_PORT));
    let port = match port.map_or_else(configured, Ok) {
        Ok(0) => {
            logging::complain(
                "PORT is 0, so the runner took a free port, which only its log says. Give it with --port.",
            );
            return Exit::BadConfiguration;
        }
        Ok(port) => port,
        Err(error) => {
            logging::complain(&error.to_string());
            return Exit::BadConfiguration;
        }
    };
    match ask(port) {
        Ok(answer) => {
            say!("{answer}");
            if answer.starts_with("200 ") { Exit::Success } else { Exit::Failure }
        }
        Err(error) => {
            logging::complain(&format!(
                "Nobody answers on port {port} of this machine ({error}). Is the runner up, with this PORT?"
            ));
            Exit::Failure
        }
    }
}

/// The status and the body of the answer, on one line.
fn ask(port: u16) -> io::Result<String> {
    let deadline = Instant::now() + PATIENCE;
    // The runner listens on both families where it can.
    let mut stream = connect(Ipv4Addr::LOCALHOST.into(), port, deadline)
        .or_else(|error| connect(Ipv6Addr::LOCALHOST.into(), port, deadline).map_err(|_| error))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    while answer.len() < MAX_BYTES {
        let mut piece = [0; 512];
        stream.set_read_timeout(Some(left(deadline)?))?;
        match stream.read(&mut piece)? {
            0 => break,
            read => answer.extend_from_slice(&piece[..read]),
        }
    }
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.lines().next().and_then(|line| line.strip_prefix("HTTP/1.1 "));
    let status = status.and_then(|line| line.split(' ').next());
    let status = status.ok_or_else(|| io::Error::other("what answers is no web server"))?;
    Ok(format!("{status} {}", body.trim()))
}

fn connect(address: IpAddr, port: u16, deadline: Instant) -> io::Result<TcpStream> {
    TcpStream::connect_timeout(&SocketAddr::new(address, port), left(deadline)?)
}

fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}
