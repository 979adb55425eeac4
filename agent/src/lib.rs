//! The hafleet agent as a library: the engine that keeps virtual addresses alive on one host, and what it is told.
//!
//! [`driver`] is the engine thread; [`net`] is everything of it that touches the kernel; [`config`] is what it runs.
//! Around it, on a runtime of its own: [`journal`], [`uplink`], [`join`], the [`orders`] that stand over it, what was [`push`]ed, the status socket [`local`], [`metrics`] (both show the
//! [`present`]), [`run`] that ties them together, and the command line [`cli`].

pub mod cli;
pub mod clock;
mod disk;
pub mod driver;
pub mod join;
pub mod journal;
pub mod local;
pub mod log;
pub mod metrics;
pub mod net;
pub mod orders;
pub mod present;
pub mod push;
pub mod reference;
pub mod run;
pub mod status;
pub mod track;
pub mod uplink;

pub use hafleet_config as config;
