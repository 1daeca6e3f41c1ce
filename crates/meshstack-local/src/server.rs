//! Accepting connections, and cutting them when a fault says so.

use std::io;
use std::sync::Arc;

use axum::Router;
use axum::response::Response;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Duration, sleep};

use crate::shared::Shared;
use crate::{operator, protocol};

/// Marks a response that must not be sent: the connection is closed instead.
#[derive(Debug, Clone, Copy)]
struct Cut;

/// A response in whose place the connection is closed.
pub(crate) fn cut() -> Response {
    let mut response = Response::default();
    response.extensions_mut().insert(Cut);
    response
}

/// Serves until it is dropped; its connections end with it.
pub(crate) async fn run(listener: TcpListener, shared: Arc<Shared>) {
    let router = Router::new().nest("/local", operator::router()).fallback(protocol::serve).with_state(shared);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => drop(connections.spawn(serve(stream, router.clone()))),
                // Out of file descriptors, say: some will be free again.
                Err(_) => sleep(Duration::from_millis(50)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Serves one connection. axum's own server can't close one in place of an answer, hyper's does when the service fails.
async fn serve(stream: TcpStream, router: Router) {
    // Without it, small answers may wait for the other side's acknowledgement; failing only costs speed.
    let _ = stream.set_nodelay(true);
    let router = TowerToHyperService::new(router);
    let service = service_fn(|request| {
        let response = router.call(request);
        async {
            let response = response.await.map_err(io::Error::other)?;
            if response.extensions().get::<Cut>().is_some() {
                return Err(io::Error::from(io::ErrorKind::ConnectionAborted));
            }
            Ok(response)
        }
    });
    // Whatever ends the connection concerns its client only.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}
