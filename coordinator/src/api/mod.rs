//! The gRPC services.

pub mod agent;
pub mod caller;
pub mod config;
pub mod fence;
mod fleet;
pub(crate) mod group;
mod guard;
mod operate;
pub mod operator;
mod probe;
pub mod status;
mod users;
mod watch;

pub(crate) use guard::Guarded;
