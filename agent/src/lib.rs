//! The hafleet agent as a library: the engine that keeps virtual addresses alive on one host, and what it is told.
//!
//! [`driver`] is the engine thread; [`net`] is everything of it that touches the kernel; [`config`] is what it runs.

pub mod clock;
pub mod config;
pub mod driver;
pub mod net;
