//! GitLab runs, claimed from a meshStack over HTTP, against a GitLab that keeps state: what both of them see.
//!
//! Source: `protocol/executors.md`, `GITLAB_CICD`.

mod example;
mod fake;
mod fixtures;
mod killed;
mod log;
mod lost;
mod many;
mod network;
mod refused;
mod trigger;
mod watching;
mod world;
mod yaml;
