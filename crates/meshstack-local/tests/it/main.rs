//! What a local meshStack answers over HTTP, spoken to by hand.

mod auth;
mod claims;
mod client;
mod encryption;
mod faults;
mod operator;
mod patches;
mod plans;
mod process;
mod redelivery;
mod registrations;
mod runners;
mod terraform_state;
mod views;
