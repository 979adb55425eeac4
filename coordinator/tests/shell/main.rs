//! The coordinator as agents and operators meet it: over real mTLS on loopback, with fake agents.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod drifting;
mod enrolment;
mod evidence;
mod fencing;
mod findings;
mod journal;
mod judged;
mod living;
mod notification;
mod operators;
mod orders;
mod push;
mod refusals;
mod rig;
mod roles;
mod secrets;
mod sinks;
mod sole;
mod users;
