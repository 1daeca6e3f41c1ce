//! The executor against a GitHub and a meshStack over HTTP: what both of them see.

mod aborting;
mod correlating;
mod crash;
mod credentials;
mod ending;
mod examples;
mod fake;
mod limits;
mod refusing;
mod watching;
mod world;
mod yaml;
