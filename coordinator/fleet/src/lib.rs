//! What the fleet's story means, as a pure state machine: who holds which address, what is wrong, why, and whom to
//! tell.
//!
//! Nothing here can read a clock, open a socket or hash at random: the crate is `no_std`, time is an argument
//! ([`Instant`], the coordinator's monotonic clock) and every effect is an [`Effect`] that the caller carries out.
//!
//! ```text
//! fleet.handle(input, now);                          one door in
//! while let Some(effect) = fleet.next_output() { … } one door out
//! fleet.deadline()                                   one thing to wait for
//! ```
#![no_std]
extern crate alloc;

mod codes;
mod effect;
mod fleet;
mod input;
mod model;
mod time;
pub mod view;

pub use codes::UnknownCode;
pub use effect::{
    CauseCode, Effect, Evidence, Finding, FindingId, FindingKind, FindingStatus, Probe, ProbeId, Severity,
};
pub use fleet::{Fleet, Windows};
pub use input::{ArpAnswer, Heard, Input, InstanceReport, Rejected, RestoredFinding, Snapshot, StateChange};
pub use model::{GroupKey, NodeName, Site, VrrpState};
pub use time::Instant;
