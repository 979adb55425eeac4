//! What hafleet's tests stand on: the lab of network namespaces, the simulations, and the benchmarks.
//!
//! The tests themselves are in `tests/tests/`, the programs that run inside the lab in `src/bin/`.
#![allow(clippy::disallowed_methods, reason = "the lab measures real time on real hosts")]

pub mod bench;
pub mod interop;
pub mod lab;
pub mod postgres;
