//! The real binaries on a real kernel: every test makes its own rack of network namespaces.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what went wrong by failing there")]
#![allow(clippy::disallowed_methods, reason = "the lab measures real time on real hosts")]

mod acting;
mod evidence;
mod failover;
mod fencing;
mod fleet;
mod isolation;
mod lab;
mod lines;
mod nginx;
mod no_accept;
mod notify;
mod planned;
mod planned_outage;
mod push;
mod refusals;
mod rejected;
mod reload;
mod split_brain;
mod systemd;
mod tracking;
mod tutorial;
