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
//!
//! What the caller owes the core:
//! - [`Input::NodeConnected`] before the first snapshot of a stream, [`Input::NodeDisconnected`] after its last; what a
//!   node says while it is not connected is ignored and counted in [`Counters`].
//! - The inputs of one stream in their order. Those of different nodes may come in any order.
//! - After a start: [`Input::Started`], every known node, every open finding and the numbers of the resolved ones, before
//!   any stream; among these in any order.
//! - Draining [`Fleet::next_output`] after every [`Fleet::handle`], and an `Input::Deadline` when its time has come.
//! - Probes that are answered well within [`Windows::probe`]: a node that misses one and says nothing else meanwhile is
//!   taken for frozen, and its claim counts anew from its next word.
//!
//! How it is made: [`Fleet`] keeps nodes and an index from addresses to the instances that could hold them. Addresses
//! with exactly the same members are one group, keyed by the lowest. An input judges the groups it touches, one file of
//! `detect/` for each kind of finding; the ledger gives findings their number, their hysteresis and their one telling. What may
//! be done about a confirmed split brain is decided in [`fence`], at the end of every input, if the caller has given it a policy.
//! Bounds stand in `bounds.rs`; [`Fleet::counters`] shows when one was reached.
#![no_std]
extern crate alloc;

mod ask;
mod bounds;
mod cause;
mod codes;
mod describe;
mod detect;
mod effect;
mod explain;
pub mod fence;
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

pub use bounds::{Counters, PROBES as PROBES_MAX};
pub use codes::UnknownCode;
pub use effect::{
    CauseCode, Effect, Evidence, Finding, FindingId, FindingKind, FindingStatus, Probe, ProbeId, Severity,
};
pub use fleet::{Fleet, Windows};
pub use input::{
    ArpAnswer, Heard, Input, InstanceReport, Reference, Refused, Rejected, RestoredFinding, Snapshot,
    StateChange,
};
pub use model::{GroupKey, NodeName, Site, VrrpState};
pub use time::Instant;
