//! What is kept from run to run, so that it need not be downloaded again: providers and repositories.
//!
//! Both caches are off unless the operator names a folder. Several runs and several runners may share a folder on
//! one machine. Neither is ever the reason why a run fails: what does not work with it is done without it.

mod checksum;
mod lock;
mod providers;
mod room;

pub(crate) use lock::Lock;
pub(crate) use providers::{Kept, Providers, shares_providers};
pub(crate) use room::make_room;
