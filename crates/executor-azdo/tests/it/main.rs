//! Azure DevOps runs, claimed from a meshStack over HTTP and carried out against a fake of Azure DevOps.

mod aborted_start;
mod book;
mod fake;
mod fixtures;
mod following;
mod parallel;
mod restarts;
mod starting;
mod stopping;
mod watching;
mod world;
mod yaml;
