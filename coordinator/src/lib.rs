//! The hafleet coordinator as a library: the shell around the fleet core.

pub mod store;
