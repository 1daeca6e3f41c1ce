#![doc = include_str!("../README.md")]

mod access;
mod address;
mod answer;
mod artifact;
mod auth;
mod ca;
mod client;
mod config;
mod connect;
mod crypto;
mod error;
mod excerpt;
mod http;
#[cfg(test)]
mod limits_tests;
mod run;
mod runner;
mod salvage;
mod secret;
mod secrets;
mod status;

pub use access::RunAccess;
pub use client::Client;
pub use config::{ClientConfig, ClientConfigError, Credentials};
pub use connect::Connections;
pub use crypto::{Certificate, DecryptError, KeyError, KeyPair, KeyRing, PrivateKey, generate_key_pair};
pub use error::{ApiError, Problem};
pub use run::{Behavior, ImplementationType, Input, InputType, RunFormatError, RunObject};
pub use runner::{CloudIdentity, RunnerObject, RunnerType, WorkloadIdentityFederation};
pub use secret::Secret;
pub use secrets::{DecryptRunError, Decrypted};
pub use status::{
    Output, OutputType, PatchAnswer, RunStatus, Source, SourceRegistration, StatusPatch, StepPatch, StepRegistration,
    StepStatus,
};
