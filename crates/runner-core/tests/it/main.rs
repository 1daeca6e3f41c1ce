//! The runner against a meshStack in memory, with paused time: nothing here waits for real.

mod again;
mod claiming;
mod crash;
mod cut_off;
mod directories;
mod ending;
mod external_run;
mod fake;
mod handing_over;
mod journal;
mod random;
mod reporting;
mod scene;
mod secrets;
mod shutdown;
mod single;
mod stopping;
mod watching;
