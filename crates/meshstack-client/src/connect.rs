//! Connections: which trust, which proxy.
//!
//! Loading the platform's certificates takes longer than all the rest of a start, so it is done when an https address is
//! first used, and never for a runner that talks plain http.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::{Client, ClientBuilder, Url, redirect};
use tokio::sync::OnceCell;

use crate::ca;

/// A connection is given up after this time without a request, before a load balancer cuts it under a request.
const POOL_IDLE: Duration = Duration::from_secs(30);

/// HTTP clients, made when they are first needed. They follow no redirects, ask the proxies of the environment for
/// everything that is not on this machine, and trust the platform's authorities and the operator's.
///
/// Source: `protocol/configuration.md`, `CUSTOM_CA_CERTS_PATH`.
pub struct Connections {
    ca_paths: Vec<PathBuf>,
    connect: Duration,
    /// By kind: TLS or not, through a proxy or not.
    clients: [OnceCell<Client>; 4],
}

impl Connections {
    /// Clients that also trust the certificates in these files, and in the files of these folders. `connect`: how long a
    /// connection may take to be made.
    pub fn new(ca_paths: Vec<PathBuf>, connect: Duration) -> Self {
        Self { ca_paths, connect, clients: Default::default() }
    }

    /// The client for an address. An error: none can be made, because of certificates that the TLS library does not take.
    pub async fn client_for(&self, url: &Url) -> Result<&Client, reqwest::Error> {
        // A proxy elsewhere cannot reach what listens on this machine only, so it is not asked.
        let proxied = !is_loopback(url);
        let tls = url.scheme() == "https" || (proxied && http_proxy_is_https());
        let cell = &self.clients[usize::from(tls) * 2 + usize::from(proxied)];
        cell.get_or_try_init(|| async {
            let builder = move |connect| {
                let builder = base(connect);
                if proxied { builder } else { builder.no_proxy() }
            };
            let connect = self.connect;
            if !tls {
                return builder(connect).tls_certs_only([]).build();
            }
            let paths = self.ca_paths.clone();
            let built = tokio::task::spawn_blocking(move || build_trusting(&paths, || builder(connect)));
            // The task neither panics nor is cancelled, but for the end of the runtime, which ends us as well.
            match built.await {
                Ok(client) => client,
                Err(_) => std::future::pending().await,
            }
        })
        .await
    }
}

fn base(connect: Duration) -> ClientBuilder {
    Client::builder()
        .redirect(redirect::Policy::none())
        .referer(false)
        .connect_timeout(connect)
        .pool_idle_timeout(POOL_IDLE)
}

/// A client that trusts the platform's authorities and those of the paths.
///
/// One authority that the TLS library does not take must not cost the others, so then each is tried alone.
fn build_trusting(paths: &[PathBuf], builder: impl Fn() -> ClientBuilder) -> Result<Client, reqwest::Error> {
    let extra = ca::load(paths);
    let all = extra.iter().map(|authority| authority.certificate.clone());
    let error = match builder().tls_certs_merge(all).build() {
        Ok(client) => return Ok(client),
        Err(error) if extra.is_empty() => return Err(error),
        Err(error) => error,
    };
    let (good, bad): (Vec<_>, Vec<_>) = extra
        .into_iter()
        .partition(|authority| builder().tls_certs_only([authority.certificate.clone()]).build().is_ok());
    if bad.is_empty() {
        return Err(error);
    }
    for authority in bad {
        tracing::warn!(file = %authority.file.display(), "a CA certificate is not usable and is left out");
    }
    builder().tls_certs_merge(good.into_iter().map(|authority| authority.certificate)).build()
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    address.map_or_else(|_| host == "localhost" || host.ends_with(".localhost"), |address| address.is_loopback())
}

/// Whether plain http may have to go through TLS after all, to a proxy.
fn http_proxy_is_https() -> bool {
    ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"].iter().any(|name| {
        std::env::var(name).is_ok_and(|value| value.trim_start().to_ascii_lowercase().starts_with("https:"))
    })
}

#[cfg(test)]
mod tests {
    use reqwest::Url;

    use super::is_loopback;

    #[test]
    fn addresses_of_this_machine_are_told_from_others() {
        let loopback = |text: &str| Url::parse(text).is_ok_and(|url| is_loopback(&url));
        for here in
            ["http://127.0.0.1:80", "http://127.9.9.9/x", "http://[::1]:8080", "http://localhost", "http://a.localhost"]
        {
            assert!(loopback(here), "{here}");
        }
        for there in
            ["http://10.0.0.1", "http://localhost.example.com", "http://[::2]", "https://meshstack.example.com"]
        {
            assert!(!loopback(there), "{there}");
        }
    }
}
