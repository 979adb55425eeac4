//! The gRPC services.

pub mod agent;
mod caller;
mod fleet;
mod guard;
pub mod operator;
pub mod status;
mod watch;

pub(crate) use caller::require_certificate;
pub(crate) use guard::Guarded;
