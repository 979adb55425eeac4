//! The gRPC services.

pub mod agent;
pub mod caller;
mod fleet;
mod guard;
pub mod operator;
pub mod status;
mod users;
mod watch;

pub(crate) use guard::Guarded;
