//! The real binaries on a real kernel: every test makes its own rack of network namespaces.
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by failing there")]

mod failover;
mod fleet;
mod lab;
mod notify;
mod refusals;
mod split_brain;
mod tutorial;
