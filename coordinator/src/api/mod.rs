//! The gRPC services.

pub mod agent;
mod caller;
mod fleet;
pub mod operator;
pub mod status;
mod watch;

pub(crate) use caller::require_certificate;
