//! What the client sends, and what it makes of the answers.

mod artifact;
mod auth;
mod claim;
mod crypto;
mod debug;
mod links;
mod properties;
mod proxy;
mod report;
mod runners;
mod secrets;
mod support;
mod tls;
mod transport;
