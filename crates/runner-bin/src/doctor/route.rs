//! The way to an address: proxy, DNS, TCP, TLS. Each step is tried by itself, and for a few seconds.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use axum::http::Uri;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use reqwest::Url;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use super::report::Check;
use super::tls::{self, Presented};
use crate::runner_api::{RunnerApi, Unanswered};

/// How long each step may take.
pub(super) const LIMIT: Duration = Duration::from_secs(5);

/// The way to an address.
pub(super) struct Route {
    url: Url,
    proxy: Option<Intercept>,
    ca_paths: Vec<PathBuf>,
}

/// A step that did not work.
pub(super) struct Broken {
    seen: String,
    advice: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.seen)
    }
}

impl Route {
    pub(super) fn to(url: &Url, ca_paths: &[PathBuf]) -> Self {
        let uri = url.as_str().parse::<Uri>().ok().filter(|_| !is_loopback(url));
        let proxy = uri.and_then(|uri| Matcher::from_system().intercept(&uri));
        Self { url: url.clone(), proxy, ca_paths: ca_paths.to_owned() }
    }

    fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']')
    }

    fn port(&self) -> u16 {
        self.url.port_or_known_default().unwrap_or(443)
    }

    /// The first machine on the way, and its port.
    fn first(&self) -> (String, u16) {
        match &self.proxy {
            None => (self.host().to_owned(), self.port()),
            Some(proxy) => {
                let uri = proxy.uri();
                let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
                let default = if uri.scheme_str() == Some("https") { 443 } else { 80 };
                (host.to_owned(), uri.port_u16().unwrap_or(default))
            }
        }
    }

    fn is_tls(&self) -> bool {
        self.url.scheme() == "https"
    }

    /// Every step as a check; and whether the way is open.
    pub(super) async fn checks(&self) -> (Vec<Check>, bool) {
        let mut checks = vec![self.proxy_check()];
        let mut add = |name: &str, result: Result<String, Broken>| {
            let open = result.is_ok();
            checks.push(match result {
                Ok(seen) => Check::fine(name, seen),
                Err(broken) => Check::problem(name, broken.seen, broken.advice),
            });
            open
        };
        let resolved = self.resolve().await;
        let addresses = resolved.as_ref().map(|(addresses, _)| addresses.clone()).unwrap_or_default();
        let open = add("DNS", resolved.map(|(_, seen)| seen))
            && add("TCP", self.connect(&addresses).await.map(|(_, seen)| seen))
            && (!self.is_tls() || add("TLS", self.tls(&addresses).await));
        if open && !self.is_tls() && !is_loopback(&self.url) {
            let advice =
                "Use https, unless the network between is your own: credentials and secrets travel in the open.";
            checks.push(Check::warning("TLS", "The address begins with http://, so nothing is encrypted.", advice));
        }
        (checks, open)
    }

    /// All steps in one.
    pub(super) async fn check(&self, name: &str) -> Result<String, (String, String)> {
        let all = async {
            let (addresses, _) = self.resolve().await?;
            let (_, seen) = self.connect(&addresses).await?;
            if self.is_tls() { self.tls(&addresses).await } else { Ok(seen) }
        };
        all.await.map(|seen| format!("{name}: {seen}")).map_err(|broken: Broken| (broken.seen, broken.advice))
    }

    fn proxy_check(&self) -> Check {
        const NAME: &str = "proxy";
        if is_loopback(&self.url) {
            return Check::fine(NAME, "none is asked for addresses of this machine");
        }
        if self.proxy.is_some() {
            let (host, port) = self.first();
            return Check::fine(NAME, format!("{host}:{port} is asked for {}", self.host()));
        }
        let set = ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"]
            .into_iter()
            .find(|name| std::env::var(name).is_ok_and(|value| !value.is_empty()));
        Check::fine(
            NAME,
            set.map_or_else(
                || "none is set".to_owned(),
                |name| format!("none for {} ({name} is set, but is not for it, or NO_PROXY excludes it)", self.host()),
            ),
        )
    }

    async fn resolve(&self) -> Result<(Vec<SocketAddr>, String), Broken> {
        let (host, port) = self.first();
        let advice = match self.proxy {
            Some(_) => "Check the address in HTTPS_PROXY.",
            None => "Check the name, and the DNS of this machine or container (/etc/resolv.conf).",
        };
        let broken =
            |why: String| Broken { seen: format!("{host} cannot be found ({why})."), advice: advice.to_owned() };
        let found = match timeout(LIMIT, lookup_host((host.as_str(), port))).await {
            Err(_) => return Err(broken(format!("no answer within {} seconds", LIMIT.as_secs()))),
            Ok(Err(error)) => return Err(broken(error.to_string())),
            Ok(Ok(found)) => found.collect::<Vec<_>>(),
        };
        if found.is_empty() {
            return Err(broken("the name has no address".to_owned()));
        }
        let list = found.iter().map(|address| address.ip().to_string()).collect::<Vec<_>>().join(", ");
        let seen =
            if host.parse::<IpAddr>().is_ok() { format!("{host} is an address") } else { format!("{host} is {list}") };
        Ok((found, seen))
    }

    async fn connect(&self, addresses: &[SocketAddr]) -> Result<(TcpStream, String), Broken> {
        let (host, port) = self.first();
        let started = Instant::now();
        let why = match timeout(LIMIT, TcpStream::connect(addresses)).await {
            Ok(Ok(stream)) => {
                let seen = format!("{host}:{port} answers after {} ms", started.elapsed().as_millis());
                return Ok((stream, seen));
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {} seconds", LIMIT.as_secs()),
        };
        let advice = if why.contains("refused") {
            "Check the port, and that something listens there."
        } else {
            "A firewall or a network policy may drop the packets: allow this machine to connect there, or set HTTPS_PROXY."
        };
        Err(Broken { seen: format!("{host}:{port} cannot be connected to ({why})."), advice: advice.to_owned() })
    }

    /// A connection to the host itself, through the proxy if there is one.
    async fn tunnel(&self, addresses: &[SocketAddr]) -> Result<TcpStream, Broken> {
        let (mut stream, _) = self.connect(addresses).await?;
        let Some(proxy) = &self.proxy else { return Ok(stream) };
        let (host, port) = (self.url.host_str().unwrap_or_default(), self.port());
        let authorization = proxy
            .basic_auth()
            .and_then(|value| value.to_str().ok())
            .map(|value| format!("Proxy-Authorization: {value}\r\n"))
            .unwrap_or_default();
        let request = format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n{authorization}\r\n");
        let exchange = async {
            stream.write_all(request.as_bytes()).await?;
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") && head.len() < 16 << 10 {
                head.push(stream.read_u8().await?);
            }
            std::io::Result::Ok(String::from_utf8_lossy(&head).lines().next().unwrap_or_default().to_owned())
        };
        let broken = |why: &str| {
            Broken {
            seen: format!("The proxy does not connect to {host}:{port} ({why})."),
            advice: "Check what the proxy allows, and its user and password in HTTPS_PROXY; or exclude the host with NO_PROXY."
                .to_owned(),
        }
        };
        match timeout(LIMIT, exchange).await {
            Ok(Ok(line)) if line.split(' ').nth(1).is_some_and(|status| status.starts_with('2')) => Ok(stream),
            Ok(Ok(line)) => Err(broken(line.trim())),
            Ok(Err(error)) => Err(broken(&error.to_string())),
            Err(_) => Err(broken("no answer in time")),
        }
    }

    /// Whether the runner's own connections trust the host; if not, what it shows and what is missing.
    async fn tls(&self, addresses: &[SocketAddr]) -> Result<String, Broken> {
        let api = RunnerApi::new(self.url.clone(), None, self.ca_paths.clone(), LIMIT);
        let asked = api.look().await;
        let plain_proxy = self.proxy.as_ref().is_none_or(|proxy| proxy.uri().scheme_str() == Some("http"));
        let presented = if plain_proxy {
            match self.tunnel(addresses).await {
                Ok(stream) => tls::presented(stream, self.host(), LIMIT).await,
                Err(broken) if asked.is_err() => return Err(broken),
                Err(_) => None,
            }
        } else {
            None
        };
        match asked {
            Ok(_) => Ok(presented.map_or_else(|| "the certificate is trusted".to_owned(), |chain| chain.trusted())),
            Err(error) => Err(self.untrusted(&error, presented.as_ref())),
        }
    }

    fn untrusted(&self, error: &Unanswered, presented: Option<&Presented>) -> Broken {
        let chain = error.chain();
        let (seen, advice) = tls::explained(&chain, presented, self.host());
        Broken { seen, advice }
    }
}

/// Whether it is an address of this machine, for which no proxy is asked.
pub(super) fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    address.map_or_else(|_| host == "localhost" || host.ends_with(".localhost"), |address| address.is_loopback())
}
