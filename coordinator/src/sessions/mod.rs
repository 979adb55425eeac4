//! The agents' streams.
//!
//! One task per stream reads, and answers through a bounded channel. Whatever waits (the database, the core, an agent
//! that does not read) makes only its own stream wait. The task ends with the stream, when it is told to by the
//! [`roster`], or with the coordinator; dropping it in the middle of a commit rolls the commit back, and the agent
//! sends again what was not acknowledged.

pub mod border;
pub mod offset;
pub mod roster;
mod stream;
pub mod witness;

pub(crate) use stream::read_stored;
pub use stream::{ToAgentStream, serve};
