//! Downloads: with the operator's proxy and certificates, bounded, and tried again where that may help.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use reqwest::redirect::{Action, Attempt, Policy};
use reqwest::{Certificate, Client, ClientBuilder, Response, StatusCode, Url};
use tokio::io::AsyncWriteExt as _;

use super::sums::Sum;
use crate::certificates;

/// As many redirects as browsers follow would be many; a release site needs one or two.
const MOST_REDIRECTS: usize = 10;

/// How long the web is waited for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// Until a connection is made.
    pub(crate) connect: Duration,
    /// Without a single byte.
    pub(crate) stall: Duration,
    /// Attempts, the first included.
    pub(crate) attempts: u32,
    /// Before the second attempt; twice as long before each further one.
    pub(crate) pause: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            stall: Duration::from_secs(30),
            attempts: 4,
            pause: Duration::from_secs(1),
        }
    }
}

/// Why something could not be downloaded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WebError {
    #[error("the server answered {0}")]
    Status(StatusCode),
    #[error("it has more than {most} bytes")]
    TooLarge { most: u64 },
    #[error("the connection failed")]
    Network(#[source] reqwest::Error),
    #[error("no connection can be set up")]
    Setup(#[source] reqwest::Error),
    #[error("it could not be written to disk")]
    Disk(#[source] io::Error),
}

impl WebError {
    /// Whether another attempt may end better.
    fn is_transient(&self) -> bool {
        match self {
            Self::Status(status) => {
                status.is_server_error()
                    || matches!(*status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS)
            }
            Self::Network(error) => !error.is_redirect(),
            Self::TooLarge { .. } | Self::Setup(_) | Self::Disk(_) => false,
        }
    }

    /// The innermost cause, if there is one, for a line in a log.
    fn innermost(&self) -> String {
        let mut cause = self.source();
        while let Some(deeper) = cause.and_then(Error::source) {
            cause = Some(deeper);
        }
        cause.map_or_else(String::new, |cause| format!(": {cause}"))
    }
}

/// Something that takes lines for the log.
pub(crate) type Say<'a> = &'a (dyn Fn(String) + Send + Sync);

/// Is told how many bytes there are, of how many.
pub(crate) type Progress<'a> = &'a (dyn Fn(u64, Option<u64>) + Send + Sync);

/// The way to the web.
pub(crate) struct Web {
    client: Client,
    patience: Patience,
}

impl Web {
    /// Trusts the system's authorities and those in the files and folders. Blocks while it reads them.
    ///
    /// `to` is where downloads come from: what listens on this machine only is not asked for through a proxy.
    pub(crate) fn new(ca_certs: &[PathBuf], to: &Url, patience: Patience) -> Result<Self, WebError> {
        let builder = || {
            let builder = Client::builder()
                .user_agent(concat!("meshstack-building-block-runner/", env!("CARGO_PKG_VERSION")))
                .connect_timeout(patience.connect)
                .read_timeout(patience.stall)
                .redirect(Policy::custom(follow))
                .referer(false);
            if is_loopback(to) { builder.no_proxy() } else { builder }
        };
        let client = trusting(certificates::own(ca_certs), builder).map_err(WebError::Setup)?;
        Ok(Self { client, patience })
    }

    /// Reads a small file.
    pub(crate) async fn read(&self, url: &Url, most: u64, say: Say<'_>) -> Result<Vec<u8>, WebError> {
        let mut attempts = Attempts::new(self.patience);
        loop {
            match self.read_once(url, most).await {
                Err(error) => attempts.again_after(error, say).await?,
                done => return done,
            }
        }
    }

    async fn read_once(&self, url: &Url, most: u64) -> Result<Vec<u8>, WebError> {
        let mut body = self.open(url, most).await?;
        let mut content = Vec::new();
        while let Some(chunk) = body.next().await? {
            content.extend_from_slice(&chunk);
        }
        Ok(content)
    }

    /// Writes a file to `to`, and gives its checksum. `progress` is told how much there is of how much.
    pub(crate) async fn save(
        &self,
        url: &Url,
        to: &Path,
        most: u64,
        say: Say<'_>,
        progress: Progress<'_>,
    ) -> Result<Sum, WebError> {
        let mut attempts = Attempts::new(self.patience);
        loop {
            match self.save_once(url, to, most, progress).await {
                Err(error) => attempts.again_after(error, say).await?,
                done => return done,
            }
        }
    }

    async fn save_once(&self, url: &Url, to: &Path, most: u64, progress: Progress<'_>) -> Result<Sum, WebError> {
        let mut body = self.open(url, most).await?;
        let mut file = tokio::fs::File::create(to).await.map_err(WebError::Disk)?;
        let (mut digest, mut done) = (Context::new(&SHA256), 0);
        while let Some(chunk) = body.next().await? {
            digest.update(&chunk);
            file.write_all(&chunk).await.map_err(WebError::Disk)?;
            done += chunk.len() as u64;
            progress(done, body.total);
        }
        file.flush().await.map_err(WebError::Disk)?;
        let mut sum = Sum([0; 32]);
        sum.0.copy_from_slice(digest.finish().as_ref());
        Ok(sum)
    }

    async fn open(&self, url: &Url, most: u64) -> Result<Body, WebError> {
        let response = self.client.get(url.clone()).send().await.map_err(network)?;
        if response.status() != StatusCode::OK {
            return Err(WebError::Status(response.status()));
        }
        let total = response.content_length();
        if total.is_some_and(|total| total > most) {
            return Err(WebError::TooLarge { most });
        }
        Ok(Body { response, total, most, left: most })
    }
}

/// What a server sends.
struct Body {
    response: Response,
    /// Its whole length, if the server tells it.
    total: Option<u64>,
    most: u64,
    left: u64,
}

impl Body {
    async fn next(&mut self) -> Result<Option<Bytes>, WebError> {
        let Some(chunk) = self.response.chunk().await.map_err(network)? else { return Ok(None) };
        self.left = self.left.checked_sub(chunk.len() as u64).ok_or(WebError::TooLarge { most: self.most })?;
        Ok(Some(chunk))
    }
}

/// The address may be signed, so it is left out.
fn network(error: reqwest::Error) -> WebError {
    WebError::Network(error.without_url())
}

/// How often something may still be tried.
struct Attempts {
    left: u32,
    pause: Duration,
}

impl Attempts {
    fn new(patience: Patience) -> Self {
        Self { left: patience.attempts, pause: patience.pause }
    }

    /// Returns after a pause if it is worth another attempt, else gives the error back.
    async fn again_after(&mut self, error: WebError, say: Say<'_>) -> Result<(), WebError> {
        self.left = self.left.saturating_sub(1);
        if self.left == 0 || !error.is_transient() {
            return Err(error);
        }
        say(format!("The download failed ({error}{}). Trying again.", error.innermost()));
        tokio::time::sleep(self.pause).await;
        self.pause *= 2;
        Ok(())
    }
}

/// Nothing that began encrypted goes on in the clear.
fn follow(attempt: Attempt<'_>) -> Action {
    let from = attempt.previous().last().map(Url::scheme);
    if attempt.previous().len() > MOST_REDIRECTS {
        attempt.error("there are too many redirects")
    } else if from == Some("https") && attempt.url().scheme() != "https" {
        attempt.error("it redirects from https to http")
    } else {
        attempt.follow()
    }
}

/// One authority that the TLS library does not take must not cost the others.
fn trusting(own: Vec<(PathBuf, Vec<u8>)>, builder: impl Fn() -> ClientBuilder) -> Result<Client, reqwest::Error> {
    let mut taken = Vec::new();
    for (file, bytes) in own {
        for certificate in Certificate::from_pem_bundle(&bytes).unwrap_or_default() {
            if builder().tls_certs_only([certificate.clone()]).build().is_ok() {
                taken.push(certificate);
            } else {
                tracing::warn!(file = %file.display(), "a CA certificate is not usable and is left out");
            }
        }
    }
    builder().tls_certs_merge(taken).build()
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    address.map_or_else(|_| host == "localhost" || host.ends_with(".localhost"), |address| address.is_loopback())
}
