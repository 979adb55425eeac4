//! What hafleet's tests stand on: the lab of network namespaces, and the simulations.
//!
//! The tests themselves are in `tests/tests/`, the programs that run inside the lab in `src/bin/`.

pub mod lab;
pub mod postgres;
