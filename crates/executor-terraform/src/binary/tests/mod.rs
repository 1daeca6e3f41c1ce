//! Downloads from a mirror on this machine, by makers with throw-away keys.

mod installing;
mod maker;
mod mirror;
mod network;
mod refusing;
mod signatures;
mod together;
mod world;
