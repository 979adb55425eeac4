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

mod bounds;
mod cause;
mod codes;
mod describe;
mod detect;
mod effect;
mod explain;
mod fleet;
mod index;
mod input;
mod ledger;
mod model;
mod node;
mod probe;
mod scene;
mod time;
mod timers;
pub mod view;
mod words;

pub use bounds::Counters;
pub use codes::UnknownCode;
pub use effect::{
    CauseCode, Effect, Evidence, Finding, FindingId, FindingKind, FindingStatus, Probe, ProbeId, Severity,
};
pub use fleet::{Fleet, Windows};
pub use input::{ArpAnswer, Heard, Input, InstanceReport, Rejected, RestoredFinding, Snapshot, StateChange};
pub use model::{GroupKey, NodeName, Site, VrrpState};
pub use time::Instant;
