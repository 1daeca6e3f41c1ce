//! A mirror on this machine, which may misbehave.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Response, header};
use futures_util::stream;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::server::TlsStream;

/// What is answered to one request.
#[derive(Debug, Clone)]
pub(super) enum Answer {
    File(Vec<u8>),
    Status(u16),
    /// The first bytes of a longer file, and then the connection breaks.
    CutOff(Vec<u8>),
    /// The first bytes of a longer file, and then nothing.
    Stalled(Vec<u8>),
    Redirect(String),
}

#[derive(Debug, Default)]
struct Files {
    /// By path, one after the other; the last one stands.
    answers: HashMap<String, Vec<Answer>>,
    /// The credentials sent last.
    authorization: Option<String>,
}

/// The server.
pub(super) struct Mirror {
    pub(super) url: String,
    files: Arc<Mutex<Files>>,
    /// Paths that were asked for, in order.
    asked: watch::Sender<Vec<String>>,
    /// False as long as no answers are given.
    answers: watch::Sender<bool>,
    server: JoinHandle<()>,
}

type Shared = (Arc<Mutex<Files>>, watch::Sender<Vec<String>>, watch::Sender<bool>);

impl Mirror {
    pub(super) async fn start() -> Self {
        Self::serve("http", |listener| listener).await
    }

    /// With TLS, by an authority of its own. Gives its certificate, too.
    pub(super) async fn start_with_tls() -> (Self, String) {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &authority).unwrap();
        let tls = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        (Self::serve("https", |listener| Tls { listener, acceptor }).await, authority.pem())
    }

    async fn serve<L>(scheme: &str, listener: impl FnOnce(TcpListener) -> L) -> Self
    where
        L: axum::serve::Listener,
        L::Addr: std::fmt::Debug,
    {
        let plain = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("{scheme}://{}", plain.local_addr().unwrap());
        let (files, asked, answers) = (Arc::default(), watch::Sender::default(), watch::Sender::new(true));
        let shared: Shared = (Arc::clone(&files), asked.clone(), answers.clone());
        let router = Router::new().fallback(answer).with_state(shared);
        let listener = listener(plain);
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, files, asked, answers, server }
    }

    /// Answers to this path so from now on.
    pub(super) fn put(&self, path: &str, content: impl Into<Vec<u8>>) {
        self.answer(path, [Answer::File(content.into())]);
    }

    /// Answers to this path so, one after the other; the last answer stands.
    pub(super) fn answer(&self, path: &str, answers: impl Into<Vec<Answer>>) {
        self.files.lock().unwrap().answers.insert(path.to_owned(), answers.into());
    }

    /// What was asked for so far.
    pub(super) fn asked(&self) -> Vec<String> {
        self.asked.borrow().clone()
    }

    /// How often this was asked for.
    pub(super) fn count(&self, path: &str) -> usize {
        self.asked.borrow().iter().filter(|asked| *asked == path).count()
    }

    /// The credentials that were sent last.
    pub(super) fn authorization(&self) -> Option<String> {
        self.files.lock().unwrap().authorization.clone()
    }

    /// Waits until somebody asks for it.
    pub(super) async fn asked_for(&self, path: &str) {
        let mut asked = self.asked.subscribe();
        let there = asked.wait_for(|asked| asked.iter().any(|asked| asked == path));
        tokio::time::timeout(Duration::from_secs(60), there).await.expect("it is asked for").unwrap();
    }

    /// Gives no answers, until it does again.
    pub(super) fn hold(&self, hold: bool) {
        self.answers.send_replace(!hold);
    }
}

impl Drop for Mirror {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn answer(State((files, asked, answers)): State<Shared>, request: Request) -> Response<Body> {
    let path = request.uri().path().to_owned();
    asked.send_modify(|asked| asked.push(path.clone()));
    let _ = answers.subscribe().wait_for(|answers| *answers).await;
    let answer = {
        let mut files = files.lock().unwrap();
        let sent = request.headers().get(header::AUTHORIZATION);
        files.authorization = sent.map(|sent| sent.to_str().unwrap().to_owned());
        match files.answers.get_mut(&path) {
            Some(answers) if answers.len() > 1 => answers.remove(0),
            Some(answers) => answers[0].clone(),
            None => Answer::Status(404),
        }
    };
    let response = Response::builder();
    let longer = |bytes: &[u8]| bytes.len() * 2 + 1;
    match answer {
        Answer::File(content) => response.body(Body::from(content)),
        Answer::Status(status) => response.status(status).body(Body::empty()),
        Answer::CutOff(bytes) => {
            let length = longer(&bytes);
            let parts = [Ok(bytes), Err(io::Error::other("broken"))];
            response.header(header::CONTENT_LENGTH, length).body(Body::from_stream(stream::iter(parts)))
        }
        Answer::Stalled(bytes) => {
            let length = longer(&bytes);
            let parts = stream::once(async { Ok::<_, io::Error>(bytes) });
            let body = futures_util::StreamExt::chain(parts, stream::pending());
            response.header(header::CONTENT_LENGTH, length).body(Body::from_stream(body))
        }
        Answer::Redirect(to) => response.status(302).header(header::LOCATION, to).body(Body::empty()),
    }
    .unwrap()
}

/// A listener that speaks TLS.
struct Tls {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl axum::serve::Listener for Tls {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let Ok((stream, address)) = self.listener.accept().await else { continue };
            // Somebody who does not trust us hangs up here.
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}
