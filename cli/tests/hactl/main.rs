//! The real `hactl` against a fake coordinator: a tonic server with mutual TLS on loopback, in this process.
//!
//! Times are fixed: the fake coordinator's clock stands still, and `TZ` says the zone. Output is compared with the
//! golden files in `snapshots/`; after a change on purpose, look at `cargo insta review`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod configs;
mod contexts;
mod doctor;
mod document;
mod exits;
mod fake;
mod fake_configs;
mod fences;
mod golden;
mod help;
mod mutations;
mod orders;
mod pki;
mod run;
mod sample;
mod terminal;
mod users;
mod watch;
