//! `GET /healthz`: 200 `OK`, and 503 `draining` once a shutdown was asked for.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use runner_core::Shutdown;

use crate::config::DEFAULT_PORT;

/// Listens. A port that was asked for and is taken is an error; the default port is only tried, since a second runner
/// on one machine is nothing unusual.
pub(crate) fn listen(port: Option<u16>) -> Result<Option<TcpListener>, String> {
    let error = match bind(port.unwrap_or(DEFAULT_PORT)) {
        Ok(listener) => return Ok(Some(listener)),
        Err(error) => error,
    };
    if let Some(port) = port {
        return Err(format!("The port {port} for /healthz cannot be opened ({error}). Set PORT to one that is free."));
    }
    tracing::warn!(%error, "the port {DEFAULT_PORT} for /healthz cannot be opened; set PORT to one that is free");
    Ok(None)
}

/// Both address families where the machine has both.
fn bind(port: u16) -> io::Result<TcpListener> {
    let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).or_else(|error| match error.kind() {
        io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied => Err(error),
        _ => TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)),
    })?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Answers until the process ends.
pub(crate) async fn serve(listener: TcpListener, shutdown: Shutdown) {
    let served = async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        tracing::info!(address = %listener.local_addr()?, "answering /healthz");
        let health = move || {
            let draining = shutdown.is_draining();
            async move { if draining { (StatusCode::SERVICE_UNAVAILABLE, "draining") } else { (StatusCode::OK, "OK") } }
        };
        axum::serve(listener, Router::new().route("/healthz", get(health))).await
    };
    if let Err(error) = served.await {
        tracing::error!(%error, "/healthz is not answered any more");
    }
}
